"""The fold of demand: one function per event that makes tasks wait, or workers serve.

It never refuses: what contradicts the log so far changes nothing. What must not enter: the clock, hiring.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from longshore_common import events as e
from longshore_common.errors import BadInput
from longshore_common.ids import TaskRange, split_attempt
from longshore_common.log import Malformed, Recorded
from longshore_common.model import Array, Parts, Specs
from longshore_recruiter.core.state import Hand, Run, Shape, State, Wanted, shape_of


def evolve(state: State, record: Recorded) -> None:
    """Take one event, in log order; a repeat changes nothing."""
    if record.seq <= state.position:
        return
    state.position = record.seq
    if not isinstance(record.event, Malformed):
        fold = _FOLDS.get(type(record.event))
        if fold is not None:
            fold(state, record, record.event)


# --- tasks ------------------------------------------------------------------------------------------------------------


def _submitted(state: State, record: Recorded, event: e.TasksSubmitted) -> None:
    runs, size = _runs(state, record.author.name, event)
    wanted = Wanted(event.batch, runs, size, since=record.at)
    if size > 0:
        edges = event.body.edges if isinstance(event.body, Specs | Parts) else ()
        (wanted.waiting if event.requires or event.held or edges else wanted.queued).add(0, size - 1)
        state.submissions[record.seq] = wanted


def _runs(state: State, user: str, event: e.TasksSubmitted) -> tuple[list[Run], int]:
    match event.body:
        case Array() as array:
            return [Run(0, shape_of(array.spec))], array.size
        case Specs() as body:
            return _joined(shape_of(s) for s in body.specs), len(body.specs)
        case Parts() as body:
            parts = state.parts.pop((user, event.key), {})
            return _joined(shape for _, shapes in sorted(parts.items()) for shape in shapes), body.size


def _joined(shapes: Iterable[Shape]) -> list[Run]:
    runs: list[Run] = []
    for lo, shape in enumerate(shapes):
        if not runs or runs[-1].shape != shape:
            runs.append(Run(lo, shape))
    return runs


def _part_sent(state: State, record: Recorded, event: e.SubmissionPartSent) -> None:
    parts = state.parts.setdefault((record.author.name, event.key), {})
    parts.setdefault(event.part, tuple(shape_of(s) for s in event.specs))


def _withdrawn(state: State, record: Recorded, event: e.SubmissionRejected | e.SubmissionDuplicated) -> None:
    state.submissions.pop(event.submission, None)


def _met(state: State, record: Recorded, event: e.RequirementsMet) -> None:
    for sid in event.submissions:
        if wanted := state.submissions.get(sid):
            for lo, hi in wanted.waiting.take():
                _queue(wanted, lo, hi, record.at)
    for wanted, task in _known(state, event.tasks):
        wanted.waiting.remove(task.lo, task.hi)
        _queue(wanted, task.lo, min(task.hi, wanted.size - 1), record.at)


def _assigned(state: State, record: Recorded, event: e.AttemptsAssigned) -> None:
    for order in event.orders:
        if wanted := state.submissions.get(order.submission):
            indices = [start.index for start in order.starts]
            wanted.flying.update((start.index, start.n) for start in order.starts)
            for lo, hi in _stretches(indices):
                wanted.queued.remove(lo, hi)


def _stretches(indices: list[int]) -> Iterable[tuple[int, int]]:
    """Consecutive ordinals as ranges, in the order given."""
    start = last = None
    for index in indices:
        if last is not None and start is not None and index != last + 1:
            yield start, last
            start = index
        start = index if start is None else start
        last = index
    if start is not None and last is not None:
        yield start, last


def _reported(state: State, record: Recorded, event: e.AttemptsReported) -> None:
    for end in event.ended:
        if end.outcome != "succeeded":
            continue
        try:
            sid, index, n = split_attempt(end.attempt)
        except BadInput:
            continue
        wanted = state.submissions.get(sid)
        if wanted and wanted.flying.get(index) == n:
            del wanted.flying[index]
            _forget(state, sid, wanted)


def _requeued(state: State, record: Recorded, event: e.TasksRequeued) -> None:
    for task in event.tasks:
        if wanted := state.submissions.get(task.submission):
            wanted.flying.pop(task.index, None)
            if task.memory:
                wanted.memory[task.index] = task.memory
            _queue(wanted, task.index, task.index, record.at)


def _retried(state: State, record: Recorded, event: e.TasksRetried) -> None:
    for wanted, task in _known(state, event.tasks):
        wanted.waiting.remove(task.lo, task.hi)
        _queue(wanted, task.lo, min(task.hi, wanted.size - 1), record.at)
    for wanted, task in _known(state, event.waiting):
        wanted.queued.remove(task.lo, task.hi)
        wanted.waiting.add(task.lo, min(task.hi, wanted.size - 1))


def _stopped(state: State, record: Recorded, event: e.TasksFailed | e.TasksCancelled) -> None:
    for wanted, task in _known(state, event.tasks):
        wanted.queued.remove(task.lo, task.hi)
        wanted.waiting.remove(task.lo, task.hi)
        wanted.flying = {i: n for i, n in wanted.flying.items() if not task.lo <= i <= task.hi}
        wanted.may_return = True


def _known(state: State, tasks: Iterable[TaskRange]) -> Iterable[tuple[Wanted, TaskRange]]:
    for task in tasks:
        if wanted := state.submissions.get(task.submission):
            yield wanted, task


def _queue(wanted: Wanted, lo: int, hi: int, at: float) -> None:
    if not wanted.queued:
        wanted.since = at
    wanted.queued.add(lo, hi)


def _forget(state: State, sid: int, wanted: Wanted) -> None:
    if wanted.over:
        del state.submissions[sid]


# --- batches and workers ------------------------------------------------------------------------------------------------


def _paused(state: State, record: Recorded, event: e.BatchPaused) -> None:
    state.paused.add(event.batch)


def _resumed(state: State, record: Recorded, event: e.BatchResumed) -> None:
    state.paused.discard(event.batch)


def _joined_up(state: State, record: Recorded, event: e.WorkerJoined) -> None:
    hand = state.hands.setdefault(record.author.name, Hand())
    hand.up, hand.batch, hand.concurrency = True, event.batch, event.concurrency
    hand.hindered = hand.evicted = False  # what still holds is said again


def _hindered(state: State, record: Recorded, event: e.WorkerHindered) -> None:
    state.hands.setdefault(record.author.name, Hand()).hindered = bool(event.reason)


def _evicted(state: State, record: Recorded, event: e.WorkerEvicted) -> None:
    state.hands.setdefault(record.author.name, Hand()).evicted = True


def _left(state: State, record: Recorded, event: e.WorkerLeft) -> None:
    state.hands.setdefault(record.author.name, Hand()).up = False


def _addressed(state: State, record: Recorded) -> Hand:
    return state.hands.setdefault(record.subject.split(".")[2], Hand())


def _lost(state: State, record: Recorded, event: e.WorkerLost) -> None:
    _addressed(state, record).up = False


def _worker_paused(state: State, record: Recorded, event: e.WorkerPaused) -> None:
    _addressed(state, record).paused = True


def _worker_resumed(state: State, record: Recorded, event: e.WorkerResumed) -> None:
    hand = _addressed(state, record)
    hand.paused = hand.quarantined = False


def _quarantined(state: State, record: Recorded, event: e.WorkerQuarantined) -> None:
    _addressed(state, record).quarantined = True


def _trusted(state: State, record: Recorded, event: e.WorkerTrusted) -> None:
    _addressed(state, record).quarantined = False


def _resized(state: State, record: Recorded, event: e.WorkerResized) -> None:
    _addressed(state, record).concurrency = event.concurrency


_Fold = Callable[[State, Recorded, Any], None]

#: Events that are not here say nothing about demand.
_FOLDS: Final[dict[type[e.Event], _Fold]] = {
    e.TasksSubmitted: _submitted, e.SubmissionPartSent: _part_sent, e.SubmissionRejected: _withdrawn,
    e.SubmissionDuplicated: _withdrawn, e.RequirementsMet: _met, e.AttemptsAssigned: _assigned,
    e.AttemptsReported: _reported, e.TasksRequeued: _requeued, e.TasksRetried: _retried, e.TasksFailed: _stopped,
    e.TasksCancelled: _stopped, e.BatchPaused: _paused, e.BatchResumed: _resumed, e.WorkerJoined: _joined_up,
    e.WorkerLeft: _left, e.WorkerLost: _lost, e.WorkerPaused: _worker_paused, e.WorkerResumed: _worker_resumed,
    e.WorkerQuarantined: _quarantined, e.WorkerTrusted: _trusted,
    e.WorkerResized: _resized, e.WorkerHindered: _hindered, e.WorkerEvicted: _evicted,
}  # fmt: skip
