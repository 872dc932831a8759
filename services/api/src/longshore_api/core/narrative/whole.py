"""What an event says to whoever reads all of the log, or all that one user wrote: sentences that name their subject.

Every event there is has a text of its own; a test enumerates them. What must not enter: state.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from longshore_api.core.narrative.batches import of_batch
from longshore_api.core.narrative.tasks import answer, of_range, requeued, reserved
from longshore_api.core.narrative.users import of_fact
from longshore_api.core.narrative.words import count, listing, named, policy, size_of
from longshore_api.core.narrative.workers import of_worker
from longshore_common import events as e

#: (event, its sequence, the worker it is addressed to or written by)
_Text = Callable[[Any, int, str], str]


def _submitted(event: e.TasksSubmitted, seq: int, _: str) -> str:
    called = f" called {event.name}" if event.name else ""
    held = ", held" if event.held else ""
    return f"submission {seq} of {count(size_of(event.body), 'task')}{called} to batch {event.batch}{held}"


def _tasks(event: Any, _: int, __: str) -> str:
    return f"{listing(event.tasks)}: {of_range(event)}"


def _tasks_or_batch(event: Any, seq: int, _: str) -> str:
    if event.batch and not event.tasks:
        return f"batch {event.batch}: {of_batch(event, seq)}"
    return f"{named(event.tasks, event.batch)}: {of_range(event)}"


def _batch(event: Any, seq: int, _: str) -> str:
    return f"batch {event.batch}: {of_batch(event, seq)}"


def _share(event: Any, seq: int, _: str) -> str:
    return f"{event.kind} {event.name}: {of_batch(event, seq)}"


def _worker(event: Any, _: int, worker: str) -> str:
    return f"worker {getattr(event, 'worker', worker)}: {of_worker(event)}"


def _workers(event: Any, _: int, __: str) -> str:
    whose = f"worker {listing(event.workers)}" if event.workers else "all workers"
    return f"{whose}: {of_worker(event)}"


def _requeues(event: e.TasksRequeued, _: int, __: str) -> str:
    first = event.tasks[0] if event.tasks else None
    shown = listing([f"{q.submission}.{q.index}" for q in event.tasks])
    return f"{shown}: {requeued(first)}" if first else "nothing queued again"


def _assigned(event: e.AttemptsAssigned, _: int, worker: str) -> str:
    starts = [f"{o.submission}.{start.index}.{start.n}" for o in event.orders for start in o.starts]
    return f"{count(len(starts), 'attempt')} assigned to {worker}: {listing(starts)}"


def _reported(event: e.AttemptsReported, _: int, worker: str) -> str:
    counted = Counter[str](move.state for move in event.moved)
    counted.update(f"{end.outcome} without running" if end.reused else end.outcome for end in event.ended)
    counted.update(
        {"with outputs delivered": len(event.delivered), "with a known result, perhaps": len(event.identified)}
    )
    told = ", ".join(f"{n} {what}" for what, n in counted.items() if n)
    return f"attempts on {worker}: {told or 'nothing new'}"


def _reused(event: e.AttemptsReused, _: int, worker: str) -> str:
    known = sum(bool(r.source) for r in event.attempts)
    return f"{known} of {count(len(event.attempts), 'attempt')} on {worker} need not run: their results are known"


def _met(event: e.RequirementsMet, _: int, __: str) -> str:
    whose = [*(f"submission {s}" for s in event.submissions), *event.tasks]
    return f"{listing(whose)}: requirements are met"


def _undo(event: e.UndoRequested, _: int, __: str) -> str:
    return f"asked to undo {event.request}" if event.request else "asked to undo the last wish"


def _signalled(event: e.AttemptsSignalled, _: int, worker: str) -> str:
    what = f"sent signal {event.signal}" if event.signal else f"told to {event.wanted}"
    return f"{count(len(event.attempts), 'attempt')} on {worker} {what}: {listing(event.attempts)}"


def _fact(event: e.Event, _: int, __: str) -> str:
    return of_fact(event)


TEXTS: Final[dict[type[e.Event], _Text]] = {
    e.TasksSubmitted: _submitted,
    e.SubmissionPartSent: lambda event, _, __: f"part {event.part} of a submission, {count(len(event.specs), 'task')}",
    e.CancelRequested: _tasks_or_batch, e.RetryRequested: _tasks_or_batch, e.EditRequested: _tasks_or_batch,
    e.DeleteRequested: _tasks_or_batch, e.SignalRequested: _tasks, e.UndoRequested: _undo,
    e.BatchPauseRequested: _batch, e.BatchResumeRequested: _batch, e.BatchRetentionRequested: _batch,
    e.BatchPaused: _batch, e.BatchResumed: _batch, e.BatchRetentionSet: _batch,
    e.ShareRequested: _share, e.ShareSet: _share,
    e.PolicyRequested: lambda event, _, __: f"asked for a policy: {policy(event.policy)}",
    e.PolicySet: lambda event, _, __: f"the policy is: {policy(event.policy)}",
    e.WorkerPauseRequested: _workers, e.WorkerResumeRequested: _workers, e.WorkerResizeRequested: _workers,
    e.WorkerCareRequested: _workers, e.WorkerMoveRequested: _workers,
    e.RemotesShared: lambda event, _, __: of_worker(event),
    e.WorkerEnrolled: _worker, e.WorkerJoined: _worker, e.WorkerLeft: _worker, e.WorkerLost: _worker,
    e.WorkerHindered: _worker, e.WorkerEvicted: _worker, e.ResourcesHeld: _worker, e.WorkerCared: _worker,
    e.SweepDone: _worker, e.WorkerPaused: _worker, e.WorkerResumed: _worker, e.WorkerResized: _worker,
    e.WorkerMoved: _worker, e.WorkerQuarantined: _worker, e.WorkerTrusted: _worker, e.WorkerCareOrdered: _worker,
    e.RemotesGiven: _worker, e.SweepOrdered: _worker, e.SecretGiven: _worker, e.SecretShared: _fact,
    e.UserAdded: _fact, e.UserChanged: _fact, e.UserRevoked: _fact, e.CredentialIssued: _fact, e.CredentialExpires: _fact,
    e.CredentialRevoked: _fact, e.NotificationSet: _fact, e.NotificationRemoved: _fact,
    e.LeaderElected: lambda event, _, __: f"{event.dispatcher} leads the dispatch from here on",
    e.SubmissionAccepted: lambda event, _, __: f"submission {event.submission} of {count(event.size, 'task')} accepted",
    e.SubmissionRejected: lambda event, _, __: f"submission {event.submission} {answer(event)}",
    e.SubmissionDuplicated: lambda event, _, __: f"submission {event.submission} is {answer(event)}",
    e.RequestRefused: lambda event, _, __: f"wish {event.request} refused: {event.reason}",
    e.RequirementsMet: _met, e.TasksRequeued: _requeues, e.TasksRetried: _tasks, e.TasksFailed: _tasks,
    e.TasksCancelled: _tasks, e.TasksEdited: _tasks, e.TasksHeld: _tasks, e.TasksDeleted: _tasks,
    e.PlaceReserved: lambda event, _, __: f"{event.submission}.{event.index}: {reserved(event)}",
    e.AttemptsAssigned: _assigned, e.AttemptsReported: _reported, e.AttemptsReused: _reused,
    e.AttemptsSignalled: _signalled,
    e.AttemptsRecalled: lambda event, _, worker: (
        f"{count(len(event.attempts), 'attempt')} asked back from {worker}: {listing(event.attempts)}"
    ),
}  # fmt: skip


def of_event(event: object, seq: int, worker: str = "") -> str:
    """The event as one sentence; `worker`: to whom it is addressed or who wrote it, if it is about one."""
    return TEXTS[type(event)](event, seq, worker) if type(event) in TEXTS else "an event that this release cannot read"  # type: ignore[index]
