"""The fold: one small function per event. It changes the state and never refuses; what does not apply is history.

What must not enter: decisions, I/O, the clock (instants come with the records).
"""

from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import Any, Final

from longshore_common import events as e
from longshore_common.log import Malformed, Recorded
from longshore_common.model import OWN_CAUSES, Cause
from longshore_dispatcher.core import (
    aside,
    authority,
    blocked,
    changes,
    confidences,
    edits,
    governing,
    intake,
    placing,
    remembering,
    reports,
    requirements,
    reserve,
    reuse,
    sweeping,
    trust,
)
from longshore_dispatcher.core.ledger import mark_of
from longshore_dispatcher.core.state import Batch, Closed, State, Submission, Task, Wish, Worker

#: Seconds for which finished submissions and their keys are remembered; those with something to retry, longer.
REMEMBERED: Final = 8 * 86_400
RETRIABLE: Final = 90 * 86_400
#: Finished submissions looked at per election or submission when forgetting.
PRUNED: Final = 50
#: Causes whose retries count as losses: the task had no part in it.
LOSSES: Final = frozenset[Cause]({"worker-lost", "evicted"})


def evolve(state: State, record: Recorded) -> None:
    """Fold one recorded event into the state; a sequence seen before changes nothing."""
    if record.seq <= state.seq:
        return
    state.seq, state.at = record.seq, record.at
    event = record.event
    if isinstance(event, Malformed):
        if record.author.role == "user":
            intake.unreadable(state, record, event.reason)
        return
    if getattr(event, "request", 0):
        remembering.remember(state, record, event)
    apply = _APPLY.get(type(event))
    if apply is not None:
        apply(state, record, event)
        if record.author.name or (name := record.subject.split(".")[2]) in state.workers:
            state.roster.touched.add(record.author.name or name)
        if state.roster.touched:
            state.roster.refresh(state)


def evolve_all(state: State, records: Iterable[Recorded]) -> None:
    """Fold many, in order."""
    for record in records:
        evolve(state, record)


def _wished(state: State, record: Recorded, event: Any) -> None:
    state.wishes[record.seq] = Wish(record.seq, record.author.name, event)


def _enrolled(state: State, record: Recorded, event: e.WorkerEnrolled) -> None:
    state.workers.setdefault(event.worker, Worker(event.worker, since=record.at))


def _elected(state: State, record: Recorded, event: e.LeaderElected) -> None:
    state.leader, state.leader_name = record.seq, event.dispatcher
    state.roster.tried.clear()  # what another, or this one, decided last may not be in the log
    _prune(state)


def _accepted(state: State, record: Recorded, event: e.SubmissionAccepted) -> None:
    state.wishes.pop(event.submission, None)
    sub = state.submissions.get(event.submission)
    if sub is None or sub.accepted:
        return
    sub.accepted = True
    state.keys.setdefault(f"{sub.user}/{sub.key}", sub.id)
    requirements.register(state, sub)
    blocked.register(state, sub)
    changes.changed(state, sub)
    if record.seq % 16 == 0:
        _prune(state)


def _rejected(state: State, record: Recorded, event: e.SubmissionRejected) -> None:
    _unsubmit(state, record, event.submission, Closed(0, "", "", "", 0, 0, rejected=event.reason[:300] or "rejected"))


def _duplicated(state: State, record: Recorded, event: e.SubmissionDuplicated) -> None:
    _unsubmit(state, record, event.submission, Closed(0, "", "", "", 0, 0, first=event.first))


def _unsubmit(state: State, record: Recorded, submission: int, closed: Closed) -> None:
    state.wishes.pop(submission, None)
    sub = state.submissions.get(submission)
    if sub is None or sub.accepted:
        return
    del state.submissions[submission]
    state.count_priority(sub.priority, -1)
    closed.id, closed.user, closed.batch, closed.key, closed.at = sub.id, sub.user, sub.batch, sub.key, record.at
    closed.size = 0 if closed.first else sub.size
    state.closed[submission] = closed
    state.news[submission] = None
    whose = f"{sub.user}/{sub.key}"
    if state.keys.get(whose, 0) == submission:
        del state.keys[whose]


def _refused(state: State, _record: Recorded, event: e.RequestRefused) -> None:
    state.wishes.pop(event.request, None)


def _met(state: State, _record: Recorded, event: e.RequirementsMet) -> None:
    for submission in event.submissions:
        if (sub := state.submissions.get(submission)) is not None:
            requirements.forget(state, sub)
            sub.met = True
            changes.changed(state, sub)
    for sub, runs in changes.of_submissions(state, event.tasks):
        requirements.forget(state, sub)
        sub.met = True
        changes.line_up(sub, blocked.leave(state, sub, runs))
        changes.changed(state, sub)


def _requeued(state: State, _record: Recorded, event: e.TasksRequeued) -> None:
    touched: dict[int, Submission] = {}
    for verdict in event.tasks:
        task = state.verdicts.get((verdict.submission, verdict.index))
        if task is None or task.n != verdict.n:
            continue
        del state.verdicts[(verdict.submission, verdict.index)]
        sub = touched[verdict.submission] = state.submissions[verdict.submission]
        _charge(state, task, verdict)
        if verdict.memory:
            changes.give_memory(sub, task.index, verdict.memory)
        changes.requeue(state, sub, task)
    changes.tidy_delayed(state)
    for sub in touched.values():
        changes.stand(state, sub)


def _charge(state: State, task: Task, verdict: e.Requeue) -> None:
    """Spend the budget of the verdict's cause, and remember where not to go again."""
    task.not_before, task.wait, task.reason = verdict.not_before, verdict.wait, verdict.reason[:200]
    task.avoid = task.worker
    task.returned = verdict.cause is None
    if verdict.cause in OWN_CAUSES:
        task.spent += 1
        task.avoid, task.granted = trust.shunned(state, task.worker), 0
    elif verdict.cause in LOSSES:
        task.losses += 1
    elif verdict.cause is not None:
        task.trouble += 1
    if task.granted and task.granted != task.n and verdict.cause == "stage-out":
        task.granted = 0  # whoever was to publish found nothing: run anew


def _retried(state: State, record: Recorded, event: e.TasksRetried) -> None:
    for run in event.tasks:
        sub = changes.reopen(state, run.submission)
        if sub is None:
            continue
        changes.retry_run(state, sub, (run.lo, run.hi))
        if sub.requires and not sub.met and sub.id not in state.open:
            requirements.register(state, sub)
        changes.changed(state, sub)
    _answered(state, record, event)


def _failed(state: State, record: Recorded, event: e.TasksFailed) -> None:
    for sub, runs in changes.of_submissions(state, event.tasks):
        changes.end_runs(state, sub, runs, sub.failed)
        changes.changed(state, sub)
    changes.tidy_delayed(state)
    _answered(state, record, event)


def _cancelled(state: State, record: Recorded, event: e.TasksCancelled) -> None:
    for sub, runs in changes.of_submissions(state, event.tasks):
        changes.end_runs(state, sub, runs, sub.cancelled)
        changes.changed(state, sub)
    changes.tidy_delayed(state)
    _answered(state, record, event)


def _batch_paused(state: State, _record: Recorded, event: e.BatchPaused) -> None:
    state.batches[event.batch] = Batch(paused=True, frozen=event.frozen)
    state.wishes.pop(event.request, None)


def _batch_resumed(state: State, _record: Recorded, event: e.BatchResumed) -> None:
    state.batches.pop(event.batch, None)
    state.wishes.pop(event.request, None)


def _recalled(state: State, record: Recorded, event: e.AttemptsRecalled) -> None:
    load = state.load(record.subject.split(".")[2])
    for attempt in event.attempts:
        task = load.attempts.get(attempt)
        if task is not None and not task.recalled and task.state in ("assigned", "staging"):
            task.recalled, task.asked_at = True, record.at
            load.recalls += 1
            state.asked_back[attempt] = task


def _signalled(state: State, record: Recorded, event: e.AttemptsSignalled) -> None:
    name = record.subject.split(".")[2]
    load = state.load(name)
    for attempt in event.attempts:
        task = load.attempts.get(attempt)
        if task is None:
            if name in state.workers:
                state.workers[name].kill.pop(attempt, None)
        elif not event.signal:
            _want(state, task, event)
    if not event.more:
        state.wishes.pop(event.request, None)


def _want(state: State, task: Task, event: e.AttemptsSignalled) -> None:
    if event.wanted == "publish":
        task.granted = task.n
        state.grants.pop((task.submission, task.index), None)
        return
    task.wanted = event.wanted
    task.frozen = event.wanted == "pause" and not event.request
    (state.frozen.add if task.frozen else state.frozen.discard)(task.attempt)
    wish = state.wishes.get(event.request)
    if wish is not None and isinstance(wish.event, e.CancelRequested):
        task.cancel = event.request


def _worker_set(state: State, record: Recorded, event: e.WorkerPaused | e.WorkerResumed | e.WorkerResized) -> None:
    name = record.subject.split(".")[2]
    worker = state.workers.setdefault(name, Worker(name))
    match event:
        case e.WorkerResized():
            worker.concurrency, worker.prefetch = event.concurrency, event.prefetch
            worker.prefetch_percent = event.prefetch_percent
        case e.WorkerPaused():
            worker.paused, worker.drain, worker.pause_reason = True, event.drain, event.reason[:300]
        case e.WorkerResumed():
            worker.paused, worker.drain, worker.pause_reason = False, False, ""
            trust.release(state, worker)
    _answered(state, record, event)


def _answered(state: State, _record: Recorded, event: Any) -> None:
    """The last event that names a wish closes it."""
    if not event.more:
        state.wishes.pop(event.request, None)


def _care_ordered(state: State, record: Recorded, event: e.WorkerCareOrdered) -> None:
    trust.care_ordered(state, record, event)
    _answered(state, record, event)


def _retention_set(state: State, _record: Recorded, event: e.BatchRetentionSet) -> None:
    sweeping.retention_set(state, event)
    state.wishes.pop(event.request, None)


def _sweep_ordered(state: State, record: Recorded, event: e.SweepOrdered) -> None:
    sweeping.ordered(state, record.seq, record.subject.split(".")[2], event)


def _sweep_done(state: State, record: Recorded, event: e.SweepDone) -> None:
    sweeping.done(state, record.author.name, event)


def _prune(state: State) -> None:
    """Forget the oldest finished submissions once they are past what we promise to remember."""
    sweeping.prune(state, state.at - REMEMBERED, PRUNED)
    for submission in [*state.closed.oldest(state.at - REMEMBERED, PRUNED), *_oldest(state)]:
        closed = state.closed.pop(submission)
        if submission in state.dependents or (
            closed.revive and closed.at > state.at - RETRIABLE and not aside.forgotten(closed)
        ):
            state.closed[submission] = closed  # to the end of the line
            continue
        state.keys.release(mark_of(closed), submission)


def _oldest(state: State) -> list[int]:
    """Those that are kept whole; what is left of the line after one that is too young is younger."""
    first = list(zip(state.closed.others.items(), range(PRUNED), strict=False))
    return [sid for (sid, _), _ in takewhile(lambda entry: entry[0][1].at <= state.at - REMEMBERED, first)]


def _no_matter(_state: State, _record: Recorded, _event: e.Event) -> None:
    """It changes nothing that is decided here."""


_APPLY: Final[dict[type[e.Event], Callable[[State, Recorded, Any], None]]] = {
    e.TasksSubmitted: intake.submitted, e.SubmissionPartSent: intake.part_sent,
    e.CancelRequested: _wished, e.RetryRequested: _wished, e.SignalRequested: _wished,
    e.BatchPauseRequested: _wished, e.BatchResumeRequested: _wished, e.WorkerPauseRequested: _wished,
    e.WorkerResumeRequested: _wished, e.WorkerResizeRequested: _wished, e.WorkerCareRequested: _wished,
    e.RemotesShared: _wished, e.WorkerCareOrdered: _care_ordered, e.RemotesGiven: _answered,
    e.WorkerEnrolled: _enrolled, e.LeaderElected: _elected,
    e.SubmissionAccepted: _accepted, e.SubmissionRejected: _rejected, e.SubmissionDuplicated: _duplicated,
    e.RequestRefused: _refused, e.RequirementsMet: _met, e.TasksRequeued: _requeued, e.TasksRetried: _retried,
    e.TasksFailed: _failed, e.TasksCancelled: _cancelled,
    e.BatchPaused: _batch_paused, e.BatchResumed: _batch_resumed,
    e.PlaceReserved: reserve.placed,
    e.AttemptsAssigned: placing.assigned, e.AttemptsRecalled: _recalled, e.AttemptsSignalled: _signalled,
    e.WorkerPaused: _worker_set, e.WorkerResumed: _worker_set, e.WorkerResized: _worker_set,
    e.WorkerLost: reports.lost, e.WorkerJoined: reports.joined, e.AttemptsReported: reports.reported,
    e.WorkerLeft: reports.left, e.WorkerHindered: reports.hindered, e.WorkerEvicted: reports.evicted,
    e.ResourcesHeld: reports.held, e.BatchRetentionRequested: _wished, e.BatchRetentionSet: _retention_set,
    e.SweepOrdered: _sweep_ordered, e.SweepDone: _sweep_done,
    e.EditRequested: _wished, e.UndoRequested: _wished, e.DeleteRequested: _wished, e.WorkerMoveRequested: _wished,
    e.ShareRequested: _wished, e.PolicyRequested: _wished,
    e.ShareSet: governing.share_set, e.PolicySet: governing.policy_set, e.AttemptsReused: reuse.answered,
    e.WorkerQuarantined: trust.quarantined, e.WorkerTrusted: trust.trusted,
    e.UserAdded: authority.told, e.UserChanged: authority.told, e.UserRevoked: authority.told, e.CredentialIssued: _no_matter,
    e.CredentialExpires: _no_matter, e.CredentialRevoked: _no_matter,
    e.NotificationSet: _no_matter, e.NotificationRemoved: _no_matter,
    e.SecretShared: _wished, e.SecretGiven: confidences.given,
    e.TasksEdited: edits.tasks_edited, e.TasksHeld: aside.held, e.TasksDeleted: aside.deleted, e.WorkerMoved: aside.moved,
}  # fmt: skip
