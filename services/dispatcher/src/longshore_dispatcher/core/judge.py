"""What becomes of tasks whose attempt ended otherwise than by success: again, failed, or cancelled.

Retries by cause: only what the task did itself spends its `retries`; infrastructure has a budget and a back-off of its
own; a lost worker costs almost nothing. What must not enter: changes of state.
"""

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from longshore_common import events as e
from longshore_common.ids import SubmissionId, TaskRange, ranges
from longshore_common.model import FINAL_CAUSES, OWN_CAUSES, Cause, TaskSpec
from longshore_dispatcher.core import budgets, edits, escalation
from longshore_dispatcher.core.escalation import Largest
from longshore_dispatcher.core.state import End, State, Submission, Task

Decision = tuple[e.Event, str]

#: Verdicts per event, so that each fits in a message.
PER_EVENT: Final = 2000


class Verdict(NamedTuple):
    """What becomes of one task: "requeue" after `wait` seconds, "fail", or "cancel" by the wish `request`.

    `memory` > 0: bytes that its attempts get from here on.
    """

    what: str
    cause: Cause | None = None
    reason: str = ""
    wait: float = 0
    request: int = 0
    memory: int = 0


def verdict(state: State, task: Task, end: End, largest: Largest) -> Verdict:
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
    spec = edits.spec_of(state, state.submissions[task.submission], task.index)
    if cause in OWN_CAUSES:
        return _own(state, task, end, spec, largest)
    if end.definite and not spec.retry_on.get(cause):
        return Verdict("fail", cause, end.reason)
    return _troubled(state, task, cause, end.reason, spec)


def _troubled(state: State, task: Task, cause: Cause, reason: str, spec: TaskSpec) -> Verdict:
    most = budgets.most(state.policy, spec, cause)
    if cause in budgets.LOST:
        if task.losses >= most:
            return Verdict("fail", cause, f"lost with its worker {task.losses + 1} times; the last: {reason}")
        return Verdict("requeue", cause, reason)
    if task.trouble >= most:
        return Verdict("fail", cause, reason or f"given up after {task.trouble + 1} attempts")
    return Verdict("requeue", cause, reason, budgets.wait(state.policy, spec, cause, task.trouble))


def _own(state: State, task: Task, end: End, spec: TaskSpec, largest: Largest) -> Verdict:
    cause: Cause = end.cause or "exit"
    if cause == "exit" and (why := budgets.final_exit(spec, end.code)):
        return Verdict("fail", cause, f"{end.reason}; {why}" if end.reason else why)
    if task.spent >= budgets.most(state.policy, spec, cause):
        return Verdict("fail", cause, end.reason)
    again = Verdict("requeue", cause, end.reason, budgets.wait(state.policy, spec, cause, task.spent))
    if cause != "oom":
        return again
    return _with_more_memory(state.submissions[task.submission], task, end, again, largest)


def _with_more_memory(sub: Submission, task: Task, end: End, again: Verdict, largest: Largest) -> Verdict:
    """The same memory would run out again: more of it, or the end if no worker has more."""
    had, wants = escalation.had(sub, task), escalation.roomier(sub, task, end.peak, largest)
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
    largest = Largest(state)
    for task in state.verdicts.values():
        if task.end is None or task.submission in wished:
            continue
        v = verdict(state, task, task.end, largest)
        if v.what == "requeue":
            submission, at = SubmissionId(task.submission), now + v.wait if v.wait else 0
            again.append(e.Requeue(submission, task.index, task.n, at, v.cause, v.reason, v.memory, v.wait))
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
