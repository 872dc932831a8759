"""What must be in memory before a slice is folded: asked of each slice, answered by the store.

Reports ask for nothing: every attempt that can still be current is in memory. What must not enter: changes.
"""

from collections.abc import Iterable

from longshore_api.core.memory import Memory
from longshore_api.core.rows import Needs
from longshore_api.core.spans import covers
from longshore_common import events as e
from longshore_common.ids import SubmissionId, TaskRange
from longshore_common.log import Recorded

_OPEN = ("waiting", "queued")
_ENDED = ("failed", "cancelled")
_WAITING = ("waiting",)
_QUEUED = ("queued",)


def mentioned(event: object) -> Iterable[int]:
    """The submissions whose rows the fold of this event may change."""
    match event:
        case e.AttemptsAssigned():
            return [order.submission for order in event.orders]
        case (
            e.TasksRequeued() | e.TasksRetried() | e.TasksFailed() | e.TasksCancelled() | e.TasksHeld() | e.TasksDeleted()
        ):  # fmt: skip
            return [t.submission for t in event.tasks]
        case e.SubmissionAccepted() | e.SubmissionRejected() | e.SubmissionDuplicated():
            return [event.submission]
        case e.RequirementsMet():
            return (*event.submissions, *(t.submission for t in event.tasks))
        case _:
            return ()


def unknown_submissions(memory: Memory, records: Iterable[Recorded]) -> set[int]:
    """Submissions that this slice names, that memory lacks and that the slice itself does not begin."""
    known, unknown = memory.submissions, set[int]()
    born = set[int]()
    for record in records:
        if type(record.event) is e.TasksSubmitted:
            born.add(record.seq)
            continue
        unknown.update(sid for sid in mentioned(record.event) if sid not in known and sid not in born)
    return unknown


def needs(memory: Memory, records: Iterable[Recorded]) -> Needs:
    """Tasks that this slice may change and memory lacks; ask after the unknown submissions were admitted."""
    tasks: list[tuple[int, int]] = []
    ranges: list[tuple[int, int, int, tuple[str, ...]]] = []
    tallies: list[tuple[int, int, int]] = []
    for record in records:
        match record.event:
            case e.AttemptsAssigned() as event:
                for order in event.orders:
                    tasks += _assigned(memory, order)
            case e.TasksRequeued() as event:
                tasks += [
                    (q.submission, q.index) for q in event.tasks if q.n and _stored(memory, q.submission, q.index)
                ]
            case e.TasksDeleted() as event:
                tallies += [(t.submission, t.lo, t.hi) for t in event.tasks if t.submission in memory.submissions]
            case event:
                named, states = _ranges(memory, event)
                ranges += [(t.submission, t.lo, t.hi, states) for t in _touched(memory, named)]
    return Needs(tasks, ranges, tallies)


def _ranges(memory: Memory, event: object) -> tuple[Iterable[TaskRange], tuple[str, ...]]:
    """The tasks that an event names, and in which states it changes them."""
    match event:
        case e.TasksRetried():
            return event.tasks, _ENDED
        case e.RequirementsMet():
            return (*_whole(memory, event.submissions), *event.tasks), _WAITING
        case e.TasksHeld():
            return event.tasks, _QUEUED
        case e.TasksFailed() | e.TasksCancelled():
            return event.tasks, _OPEN
        case _:
            return (), ()


def _assigned(memory: Memory, order: e.Order) -> list[tuple[int, int]]:
    submission = memory.submissions.get(order.submission)
    if submission is None:
        return []
    spans, rows = submission.spans, submission.rows
    indices = [start.index for start in order.starts]
    if not indices or covers(spans, min(indices), max(indices)):
        return []
    return [(submission.id, i) for i in indices if i not in rows and not covers(spans, i, i)]


def _stored(memory: Memory, submission: int, index: int) -> bool:
    found = memory.submissions.get(submission)
    return found is not None and index not in found.rows


def _whole(memory: Memory, submissions: Iterable[SubmissionId]) -> Iterable[TaskRange]:
    for sid in submissions:
        if (found := memory.submissions.get(sid)) is not None:
            yield TaskRange(sid, 0, found.size - 1)


def _touched(memory: Memory, ranges: Iterable[TaskRange]) -> Iterable[TaskRange]:
    for t in ranges:
        found = memory.submissions.get(t.submission)
        if found and not covers(found.spans, t.lo, t.hi) and not (t.lo == t.hi and t.lo in found.rows):
            yield t
