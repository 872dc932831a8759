"""What an event is about: tasks as ranges, batches, workers; and the filters of who follows the log.

What must not enter: what the event does to them.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from longshore_api.core import archive
from longshore_api.core.selection import Window
from longshore_common import events as e
from longshore_common.ids import TaskRange, ranges, split_attempt
from longshore_common.log import Malformed, Recorded
from longshore_common.parts import size_of

_BY_WORKER: Final = (e.AttemptsReported,)
_TO_WORKER: Final = (
    e.AttemptsAssigned, e.AttemptsRecalled, e.AttemptsSignalled, e.AttemptsReused, e.SecretGiven,
)  # fmt: skip
#: The last ordinal of a submission whose size an event does not say.
_ALL: Final = (1 << 53) - 1


class Touched(NamedTuple):
    """Tasks (both ends included), batches and workers by name; of batches only those the event itself names."""

    tasks: tuple[TaskRange, ...] = ()
    batches: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    request: int = 0


def touched(record: Recorded) -> Touched:
    """What the event is about; nothing for one that cannot be read."""
    event = record.event
    if isinstance(event, Malformed):
        return Touched()
    places = list(archive.abouts(record, event))
    workers = [name for kind, name in places if kind == "worker"]
    if isinstance(event, _TO_WORKER):
        workers.append(archive.addressee(record))
    elif isinstance(event, _BY_WORKER):
        workers.append(record.author.name)
    batches = {name for kind, name in places if kind == "batch"}
    if isinstance(event, e.AttemptsAssigned):
        batches |= {order.batch for order in event.orders}
    request: int = 0 if isinstance(event, e.UndoRequested) else getattr(event, "request", 0)
    return Touched(tuple(_tasks(record.seq, event)), tuple(sorted(batches)), tuple(workers), request)


def _tasks(seq: int, event: e.Event) -> Iterator[TaskRange]:
    match event:
        case e.TasksSubmitted():
            yield TaskRange(seq, 0, size_of(event.body) - 1)  # type: ignore[arg-type]
        case e.SubmissionAccepted() | e.SubmissionRejected() | e.SubmissionDuplicated():
            yield TaskRange(event.submission, 0, _ALL)
        case e.RequirementsMet():
            yield from event.tasks
            yield from (TaskRange(one, 0, _ALL) for one in event.submissions)
        case e.AttemptsAssigned():
            for order in event.orders:
                yield from ranges(order.submission, [start.index for start in order.starts])
        case e.TasksRequeued():
            yield from _joined((one.submission, one.index) for one in event.tasks)
        case e.PlaceReserved():
            yield TaskRange(event.submission, event.index, event.index)
        case _:
            yield from _others(event)


def _others(event: Any) -> Iterator[TaskRange]:
    """Of events that name ranges, or attempts by their ids."""
    yield from getattr(event, "tasks", ())
    names: list[str] = []
    if isinstance(event, e.AttemptsReported):
        for told in (event.moved, event.ended, event.delivered, event.identified):
            names += [one.attempt for one in told]
    elif isinstance(event, e.AttemptsReused):
        names += [one.attempt for one in event.attempts]
    elif isinstance(event, e.AttemptsRecalled | e.AttemptsSignalled):
        names += event.attempts
    yield from _joined(split_attempt(name)[:2] for name in names)


def _joined(places: Iterable[tuple[int, int]]) -> Iterator[TaskRange]:
    found: dict[int, list[int]] = {}
    for submission, index in places:
        found.setdefault(submission, []).append(index)
    for submission, indices in found.items():
        yield from ranges(submission, indices)


class Filters:
    """Which events somebody follows; what is None or empty admits any. One per reader: it learns of new submissions.

    `submissions`: those of `batch` so far.
    """

    def __init__(
        self,
        kinds: frozenset[str] = frozenset(),
        batch: str | None = None,
        windows: tuple[Window, ...] | None = None,
        worker: str | None = None,
    ) -> None:
        self.kinds = kinds
        self.batch = batch
        self.windows = windows
        self.worker = worker
        self.submissions: set[int] = set()

    def admit(self, record: Recorded, about: Touched) -> bool:
        """Whether all of them admit it."""
        event = record.event
        if self.batch is not None and isinstance(event, e.TasksSubmitted) and event.batch == self.batch:
            self.submissions.add(record.seq)
        if self.kinds and kind_of(record) not in self.kinds:
            return False
        return self._of_batch(about) and self._of_tasks(about) and self._of_worker(about)

    def _of_batch(self, about: Touched) -> bool:
        if self.batch is None or self.batch in about.batches:
            return True
        return any(run.submission in self.submissions for run in about.tasks)

    def _of_tasks(self, about: Touched) -> bool:
        if self.windows is None:
            return True
        return any(
            run.submission == window.submission and run.lo <= window.hi and run.hi >= window.lo
            for run in about.tasks
            for window in self.windows
        )

    def _of_worker(self, about: Touched) -> bool:
        return self.worker is None or self.worker in about.workers or archive.EVERY in about.workers


def kind_of(record: Recorded) -> str:
    """The tag of its event."""
    if isinstance(record.event, Malformed):
        return "unreadable"
    return str(type(record.event).__struct_config__.tag)
