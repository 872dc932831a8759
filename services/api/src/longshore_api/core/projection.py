"""The fold of events into row changes: one function per event, over the memory.

It never refuses and never raises on what an event says: what contradicts the log so far changes nothing. The rules of
`longshore_common.events` decide what is current. What must not enter: SQL, the clock, decisions about tasks.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from longshore_api.core import (
    archive,
    attempts,
    confidences,
    edits,
    governing,
    hidden,
    notices,
    presence,
    submitting,
    waiting,
)
from longshore_api.core.memory import Memory
from longshore_api.core.rows import OPEN_STATES, Progress, Row, Submission
from longshore_api.core.spans import Span, put, take
from longshore_common import events as e
from longshore_common.ids import TaskRange
from longshore_common.log import Malformed, Recorded
from longshore_common.model import TERMINAL

_encode: Final = msgspec.json.Encoder().encode
_progress: Final = msgspec.json.Decoder(Progress).decode


def fold(memory: Memory, records: Iterable[Recorded]) -> None:
    """Take these events, in log order; what the memory lacks of them was admitted before (see `needs`)."""
    for record in records:
        if record.seq <= memory.position:
            continue
        archive.keep(memory.changes, record)
        if not isinstance(record.event, Malformed):
            _FOLDS[type(record.event)](memory, record, record.event)
        memory.position = record.seq
        memory.changes.at = record.at


def replay(memory: Memory, records: Iterable[Recorded]) -> None:
    """The same without the archive: of events that are there."""
    for record in records:
        if not isinstance(record.event, Malformed):
            _FOLDS[type(record.event)](memory, record, record.event)
    memory.changes.links.clear()


def weight(record: Recorded) -> int:
    """About how many rows the event touches: where to cut a batch."""
    match record.event:
        case e.AttemptsReported() as event:
            return 1 + len(event.moved) + len(event.ended)
        case e.AttemptsAssigned() as event:
            return 1 + sum(len(order.starts) for order in event.orders)
        case e.SubmissionPartSent() as event:
            return 1 + len(event.specs) // 4
        case e.TasksRequeued() | e.TasksRetried() | e.TasksFailed() | e.TasksCancelled() | e.RequirementsMet() as event:
            return 1 + len(event.tasks)
        case _:
            return 1


# --- verdicts ---------------------------------------------------------------------------------------------------------


def _requeued(memory: Memory, record: Recorded, event: e.TasksRequeued) -> None:
    cover: dict[int, tuple[int, int]] = {}
    for task in event.tasks:
        submission = memory.submissions.get(task.submission)
        if submission is None:
            continue
        attempts.widen(cover, task.submission, task.index)
        row = submission.rows.get(task.index)
        if row is None:
            _retag(memory, submission, (task.index, task.index), OPEN_STATES, Span(0, 0, "queued"))
        elif row.attempt == task.n and row.state not in TERMINAL:
            memory.close(row, "failed" if task.cause else "superseded")
            row.cause, row.reason = row.cause or task.cause, row.reason or archive.clean(task.reason)
            row.not_before, row.paused = task.not_before, False
            memory.enter(row, "queued")
    for sid, (lo, hi) in cover.items():
        memory.link(record.seq, sid, lo, hi)


def _retried(memory: Memory, record: Recorded, event: e.TasksRetried) -> None:
    admits = frozenset({"waiting", "failed", "cancelled"})
    for submission, lo, hi in _known(memory, record, event.tasks):
        _retag(memory, submission, (lo, hi), admits, Span(0, 0, "queued"))
        for row in submission.rows_of(lo, hi):
            if row.state in admits:
                memory.close(row, "superseded")
                row.not_before = 0
                memory.enter(row, "queued")
    waiting.move(memory, record, event.waiting, "queued", "waiting")


def _held(memory: Memory, record: Recorded, event: e.TasksHeld) -> None:
    waiting.move(memory, record, event.tasks, "queued", "waiting")


def _failed(memory: Memory, record: Recorded, event: e.TasksFailed) -> None:
    reason = archive.clean(event.reason)
    for submission, lo, hi in _known(memory, record, event.tasks):
        _retag(memory, submission, (lo, hi), OPEN_STATES, Span(0, 0, "failed", event.cause, reason, record.at))
        for row in submission.rows_of(lo, hi):
            if row.state in OPEN_STATES:
                if not (event.undoes and row.cause):  # else what its last attempt said stands again
                    row.cause, row.reason = event.cause, reason or row.reason
                memory.close(row, "failed")
                _conclude(memory, row, "failed", record.at)


def _cancelled(memory: Memory, record: Recorded, event: e.TasksCancelled) -> None:
    reason = archive.clean(event.reason)
    for submission, lo, hi in _known(memory, record, event.tasks):
        _retag(memory, submission, (lo, hi), OPEN_STATES, Span(0, 0, "cancelled", None, reason, record.at))
        for row in submission.rows_of(lo, hi):
            if row.state in OPEN_STATES:
                row.reason = reason or row.reason
                memory.close(row, "superseded")
                _conclude(memory, row, "cancelled", record.at)


def _conclude(memory: Memory, row: Row, state: str, at: float) -> None:
    row.ended_at, row.paused = at if row.ended_at is None else row.ended_at, False
    memory.enter(row, state)
    attempts.ended(memory, row.submission, row.ended_at)


def _known(memory: Memory, record: Recorded, tasks: Iterable[TaskRange]) -> Iterable[tuple[Submission, int, int]]:
    for sid, lo, hi in ((t.submission, t.lo, t.hi) for t in tasks):
        submission = memory.submissions.get(sid)
        if submission is not None and 0 <= lo <= hi:
            hi = min(hi, submission.size - 1)
            memory.link(record.seq, sid, lo, hi)
            yield submission, lo, hi


def _retag(memory: Memory, submission: Submission, at: tuple[int, int], admits: frozenset[Any], to: Span) -> None:
    """Untouched tasks `at` (both ends included) that are in one of the states `admits` become like `to`."""
    for span in take(submission.spans, *at):
        if span.state not in admits:
            put(submission.spans, span)
            continue
        put(submission.spans, msgspec.structs.replace(to, lo=span.lo, hi=span.hi))
        memory.shift(submission, span.state, to.state, (span.lo, span.hi))
        if to.at is not None:
            attempts.ended(memory, submission, to.at)


# --- answers to submissions ---------------------------------------------------------------------------------------------


def _accepted(memory: Memory, record: Recorded, event: e.SubmissionAccepted) -> None:
    if submission := _answered(memory, record, event.submission):
        submission.status = "accepted"


def _rejected(memory: Memory, record: Recorded, event: e.SubmissionRejected) -> None:
    if submission := _answered(memory, record, event.submission):
        submission.status, submission.reason = "rejected", archive.clean(event.reason)
        submission.by_index = _encode(event.by_index).decode() if event.by_index else None
        to = Span(0, 0, "failed", "rejected", submission.reason, record.at)
        _retag(memory, submission, (0, submission.size - 1), OPEN_STATES, to)


def _duplicated(memory: Memory, record: Recorded, event: e.SubmissionDuplicated) -> None:
    if submission := _answered(memory, record, event.submission):
        submission.status, submission.duplicate_of = "duplicate", event.first
        for span in take(submission.spans, 0, submission.size - 1):
            submission.counts[span.state] -= submission.visible(span.lo, span.hi)
        batch = memory.batch(submission.batch)
        batch.size, batch.submissions = batch.size - submission.shown, batch.submissions - bool(submission.shown)
        memory.changes.parts_dropped.append((submission.id,))


def _answered(memory: Memory, record: Recorded, sid: int) -> Submission | None:
    """The submission, if it still waits for its answer."""
    submission = memory.submissions.get(sid)
    if submission is None or submission.status != "submitted":
        return None
    memory.link(record.seq, sid, 0, submission.size - 1)
    memory.change(submission)
    return submission


# --- kept as history ------------------------------------------------------------------------------------------------------


def _signalled(memory: Memory, record: Recorded, event: e.AttemptsSignalled | e.AttemptsRecalled) -> None:
    """What is wanted changes no row; the agents' reports will. Kept as history of the tasks."""
    cover: dict[int, tuple[int, int]] = {}
    for attempt in event.attempts:
        row = memory.current.get(attempt)
        if row is not None:
            attempts.widen(cover, row.submission.id, row.index)
    for sid, (lo, hi) in cover.items():
        memory.link(record.seq, sid, lo, hi)


def _wished(memory: Memory, record: Recorded, event: e.CancelRequested | e.RetryRequested | e.SignalRequested) -> None:
    """Wishes change nothing until they are answered; kept as history of the tasks they name."""
    for task in event.tasks:
        memory.link(record.seq, task.submission, task.lo, task.hi)


def _swept(memory: Memory, record: Recorded, event: e.SweepOrdered) -> None:
    """A sweep changes no row: it is history of the tasks whose things go."""
    for order in event.orders:
        if order.starts:
            indices = [start.index for start in order.starts]
            memory.link(record.seq, order.submission, min(indices), max(indices))


def _reserved(memory: Memory, record: Recorded, event: e.PlaceReserved) -> None:
    memory.link(record.seq, event.submission, event.index, event.index)


def _reused(memory: Memory, record: Recorded, event: e.AttemptsReused) -> None:
    for row in filter(None, (memory.current.get(reuse.attempt) for reuse in event.attempts)):
        memory.link(record.seq, row.submission.id, row.index, row.index)


def _kept(memory: Memory, record: Recorded, event: e.Event) -> None:
    """In the archive, and in no row."""


_Fold = Callable[[Memory, Recorded, Any], None]

_FOLDS: Final[dict[type[e.Event], _Fold]] = {
    e.TasksSubmitted: submitting.submitted, e.SubmissionPartSent: submitting.part_sent,
    e.CancelRequested: _wished, e.RetryRequested: _wished, e.SignalRequested: _wished,
    e.BatchPauseRequested: _kept, e.BatchResumeRequested: _kept,
    e.WorkerPauseRequested: _kept, e.WorkerResumeRequested: _kept, e.WorkerResizeRequested: _kept,
    e.WorkerEnrolled: presence.enrolled, e.LeaderElected: _kept,
    e.SubmissionAccepted: _accepted, e.SubmissionRejected: _rejected, e.SubmissionDuplicated: _duplicated,
    e.RequestRefused: _kept, e.RequirementsMet: waiting.met,
    e.TasksRequeued: _requeued, e.TasksRetried: _retried, e.TasksFailed: _failed, e.TasksCancelled: _cancelled,
    e.BatchPaused: presence.batch_paused, e.BatchResumed: presence.batch_resumed,
    e.AttemptsAssigned: attempts.assigned, e.AttemptsRecalled: _signalled, e.AttemptsSignalled: _signalled,
    e.WorkerPaused: presence.worker_paused, e.WorkerResumed: presence.worker_resumed, e.WorkerResized: presence.worker_resized,
    e.WorkerLost: presence.lost, e.WorkerJoined: presence.joined,
    e.AttemptsReported: attempts.reported, e.WorkerLeft: presence.left,
    e.BatchRetentionRequested: _kept, e.WorkerCareRequested: _kept, e.RemotesShared: _kept,
    e.BatchRetentionSet: presence.batch_retention, e.WorkerCareOrdered: _kept, e.RemotesGiven: presence.remotes_given,
    e.SweepOrdered: _swept, e.WorkerHindered: presence.hindered, e.WorkerEvicted: presence.evicted,
    e.ResourcesHeld: presence.held, e.WorkerCared: presence.cared, e.SweepDone: _kept,
    e.EditRequested: _wished, e.UndoRequested: _kept, e.DeleteRequested: _wished, e.WorkerMoveRequested: _kept,
    e.ShareRequested: _kept, e.PolicyRequested: _kept, e.TasksEdited: edits.edited,
    e.TasksHeld: _held, e.TasksDeleted: hidden.deleted,
    e.PlaceReserved: _reserved, e.ShareSet: governing.share_set, e.PolicySet: governing.policy_set,
    e.WorkerMoved: presence.moved, e.WorkerQuarantined: presence.quarantined,
    e.WorkerTrusted: presence.trusted, e.AttemptsReused: _reused,
    e.UserAdded: governing.user_fact, e.UserChanged: governing.user_fact, e.UserRevoked: governing.user_fact,
    e.CredentialIssued: governing.user_fact, e.CredentialExpires: governing.user_fact,
    e.CredentialRevoked: governing.user_fact, e.NotificationSet: notices.rule_set, e.NotificationRemoved: notices.rule_removed,
    e.SecretShared: _kept, e.SecretGiven: confidences.given,
}  # fmt: skip
