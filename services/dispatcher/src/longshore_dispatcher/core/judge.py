"""What becomes of tasks whose attempt ended otherwise than by success: again, failed, or cancelled.

Retries by cause: only what the task did itself spends its `retries`; infrastructure has a budget and a back-off of its
own; a lost worker costs almost nothing. What must not enter: changes of state.
"""

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from longshore_common import events as e
from longshore_common.ids import SubmissionId, TaskRange, ranges
from longshore_common.model import FINAL_CAUSES, OWN_CAUSES, Cause
from longshore_dispatcher.core import edits, escalation
from longshore_dispatcher.core.changes import LONGEST_WAIT
from longshore_dispatcher.core.state import End, State, Task

Decision = tuple[e.Event, str]

#: Attempts again after trouble that is not the task's own, by cause; others have `TROUBLE`. What the same words always
#: bring about again (an input that is not there, an unknown image, a program that cannot be started) is not tried long,
#: nor is what costs the whole run again: an agent waits itself for storage that is only away.
TROUBLE: Final = 10
TROUBLE_BY: Final[dict[Cause | None, int]] = {
    "stage-in": 3,
    "image": 3,
    "launch": 2,
    "timeout-staging": 3,
    "stage-out": 3,
}
#: Attempts again after the worker was lost or evicted.
LOSSES: Final = 100
#: Seconds of the first wait after trouble; then doubled, up to LONGEST_WAIT.
FIRST_WAIT: Final = 1.0
#: Seconds before a task's own second retry (then doubled, the first is at once), and the longest.
OWN_WAIT, OWN_LONGEST = 0.25, 10.0
#: Verdicts per event, so that each fits in a message.
PER_EVENT: Final = 2000


class Verdict(NamedTuple):
    """What becomes of one task: "requeue" not before an instant, "fail", or "cancel" by the wish `request`.

    `memory` > 0: bytes that its attempts get from here on.
    """

    what: str
    cause: Cause | None = None
    reason: str = ""
    not_before: float = 0
    request: int = 0
    memory: int = 0


def verdict(state: State, task: Task, end: End, now: float) -> Verdict:
    """The one place where an ended attempt is judged."""
    if task.cancel:
        return Verdict("cancel", request=task.cancel)
    if task.wanted in ("stop", "kill"):
        return Verdict("fail", "operator", f"it was told to {task.wanted}")
    if end.outcome == "recalled":
        return Verdict("requeue", reason="given back by its worker")
    cause: Cause = end.cause or "host"
    if cause in FINAL_CAUSES:
        return Verdict("fail", cause, end.reason)
    if cause in OWN_CAUSES:
        return _own(state, task, cause, end, now)
    if end.definite:
        return Verdict("fail", cause, end.reason)
    return _troubled(task, cause, end.reason, now)


def _troubled(task: Task, cause: Cause, reason: str, now: float) -> Verdict:
    if cause in ("worker-lost", "evicted"):
        if task.losses >= LOSSES:
            return Verdict("fail", cause, f"lost with its worker {task.losses + 1} times; the last: {reason}")
        return Verdict("requeue", cause, reason)
    budget = TROUBLE_BY.get(cause, TROUBLE)
    if task.trouble >= budget:
        return Verdict("fail", cause, reason or f"given up after {task.trouble + 1} attempts")
    wait = min(FIRST_WAIT * 2**task.trouble, LONGEST_WAIT)
    return Verdict("requeue", cause, reason, now + wait)


def _own(state: State, task: Task, cause: Cause, end: End, now: float) -> Verdict:
    sub = state.submissions[task.submission]
    retries = edits.spec_of(state, sub, task.index).retries
    if task.spent >= retries:
        return Verdict("fail", cause, end.reason)
    wait = min(OWN_WAIT * 2**task.spent, OWN_LONGEST) if task.spent else 0
    again = Verdict("requeue", cause, end.reason, now + wait if wait else 0)
    return _with_more_memory(state, task, end, again) if cause == "oom" else again


def _with_more_memory(state: State, task: Task, end: End, again: Verdict) -> Verdict:
    """The same memory would run out again: more of it, or the end if no worker has more."""
    sub = state.submissions[task.submission]
    had, wants = escalation.had(sub, task.index), escalation.roomier(state, sub, task.index, end.peak)
    if not wants:
        return again
    if wants <= had:
        why = f"it ran out of {escalation.shown(had)} of memory, and no worker that could run it has more"
        return Verdict("fail", "oom", f"{end.reason}; {why}" if end.reason else why)
    return again._replace(reason=f"it ran out of {escalation.shown(had or end.peak)} of memory", memory=wants)


def judge(state: State, now: float, wished: Collection[int] = ()) -> Iterable[Decision]:
    """The verdicts on all that await one, together where they agree; those of submissions `wished` come next turn."""
    again: list[e.Requeue] = []
    failed: dict[tuple[Cause, str], list[Task]] = {}
    cancelled: dict[int, list[Task]] = {}
    for task in state.verdicts.values():
        if task.end is None or task.submission in wished:
            continue
        v = verdict(state, task, task.end, now)
        if v.what == "requeue":
            submission = SubmissionId(task.submission)
            again.append(e.Requeue(submission, task.index, task.n, v.not_before, v.cause, v.reason, v.memory))
        elif v.what == "fail":
            failed.setdefault((v.cause or "host", v.reason), []).append(task)
        else:
            cancelled.setdefault(v.request, []).append(task)
    for at in range(0, len(again), PER_EVENT):
        yield e.TasksRequeued(tasks=tuple(again[at : at + PER_EVENT])), ""
    for (cause, reason), tasks in failed.items():
        yield e.TasksFailed(tasks=_ranges(tasks), cause=cause, reason=reason), ""
    for request, tasks in cancelled.items():
        yield e.TasksCancelled(tasks=_ranges(tasks), request=request, reason="cancelled by its user"), ""


def _ranges(tasks: list[Task]) -> tuple[TaskRange, ...]:
    by_submission: dict[int, list[int]] = {}
    for task in tasks:
        by_submission.setdefault(task.submission, []).append(task.index)
    return tuple(r for submission, indices in by_submission.items() for r in ranges(submission, indices))
