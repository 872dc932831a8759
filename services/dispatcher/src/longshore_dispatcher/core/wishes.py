"""The answers to users' wishes, in the order they came.

A wish stays in the state until an event answers it, so a crash in the midst of an answer only means that the rest is
said again. What must not enter: changes of state.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from longshore_common import events as e
from longshore_common.ids import AttemptId, SubmissionId, TaskRange
from longshore_common.model import Wanted
from longshore_dispatcher.core import (
    aside,
    authority,
    blocked,
    edits,
    governing,
    requirements,
    surgery,
    validity,
    worker_wishes,
)
from longshore_dispatcher.core.named import Decision, Named, of_batch, refuse
from longshore_dispatcher.core.ranges import Ranges
from longshore_dispatcher.core.state import State, Submission, Task, Wish
from longshore_dispatcher.core.submitting import answer_submission

#: What a requested signal means as a wanted state; any other is sent to the process once.
WANTED: Final[dict[str, Wanted]] = {
    "stop": "stop", "kill": "kill", "pause": "pause", "continue": "run", "checkpoint": "checkpoint",
}  # fmt: skip
#: What need not wait until an undo of the same user, which it came after, is done.
_NOT_BEHIND = (type(None), e.CancelRequested, e.SignalRequested)
#: Attempts named per signal event.
PER_EVENT: Final = 2000


def answers(state: State) -> Iterator[Decision]:
    """The answers to all open wishes that can be answered now: none that depends on what an earlier one changes."""
    touched: set[object] = set()
    behind: set[str] = set()
    for wish in state.wishes.values():
        if isinstance(wish.event, e.UndoRequested):  # it may touch anything: it has a turn of its own
            undone = [] if touched else list(surgery.answers(state, wish, wish.event))
            if undone:
                yield from undone
                return
            behind.add(wish.user)
        elif wish.user not in behind or isinstance(wish.event, _NOT_BEHIND):
            footprint = _footprint(state, wish)
            free = touched.isdisjoint(footprint) and touched.isdisjoint(_required(state, wish))
            touched |= footprint
            if free:  # else the next turn sees what the earlier answer did
                yield from _said(state, wish)


def _footprint(state: State, wish: Wish) -> set[object]:
    """What the answer reads or changes: submissions by id, batches by name, the workers."""
    match wish.event:
        case None:
            return {wish.seq}
        case e.BatchPauseRequested() | e.BatchResumeRequested() | e.BatchRetentionRequested():
            return {wish.event.batch}
        case e.CancelRequested() | e.RetryRequested() | e.SignalRequested() | e.EditRequested() | e.DeleteRequested():
            batch = None if isinstance(wish.event, e.SignalRequested) else wish.event.batch
            named: set[object] = {state.original(run.submission) for run in wish.event.tasks}
            return named | {sub.id for sub in of_batch(state, wish, batch)}
        case _:
            return {0}  # any of the workers; no submission has this id


def _required(state: State, wish: Wish) -> set[int]:
    """What a submission requires: each must have its own answer first."""
    sub = state.submissions.get(wish.seq)
    return set() if sub is None else {run.submission for run in sub.requires}


def _unreadable(wish: Wish) -> str:
    return f"this event could not be read: {wish.malformed}; submit it with a client of this version"


def answered_now(state: State, wish: Wish) -> Iterable[Decision]:
    """What would be answered to a wish, were it made now."""
    why = authority.fault(state, wish)
    return [refuse(wish, why)] if why else _answer(state, wish)


def _said(state: State, wish: Wish) -> Iterable[Decision]:
    if wish.malformed:
        return [(e.SubmissionRejected(submission=SubmissionId(wish.seq), reason=_unreadable(wish)), "")]
    if why := authority.fault(state, wish):
        return [_turned_away(wish, why)]
    if wish.event is None:
        answer = answer_submission(state, wish)
        return [] if answer is None else [(answer, "")]
    return _answer(state, wish)


def _turned_away(wish: Wish, why: str) -> Decision:
    if wish.event is None:
        return e.SubmissionRejected(submission=SubmissionId(wish.seq), reason=why), ""
    return refuse(wish, why)


def _answer(state: State, wish: Wish) -> Iterable[Decision]:
    match wish.event:
        case e.CancelRequested():
            return _cancel(state, wish, wish.event)
        case e.RetryRequested():
            return _retry(state, wish, wish.event)
        case e.SignalRequested():
            return _signal(state, wish, wish.event)
        case e.BatchPauseRequested() | e.BatchResumeRequested() | e.BatchRetentionRequested():
            return [_batch(state, wish, wish.event)]
        case e.ShareRequested() | e.PolicyRequested():
            return [governing.answer(state, wish, wish.event)]
        case e.EditRequested() | e.UndoRequested() | e.DeleteRequested() | e.WorkerMoveRequested():
            return surgery.answers(state, wish, wish.event)
        case None:
            return []
        case _:
            return worker_wishes.answers(state, wish, wish.event)


def _batch(
    state: State, wish: Wish, event: e.BatchPauseRequested | e.BatchResumeRequested | e.BatchRetentionRequested
) -> Decision:
    if fault := validity.batch_fault(event.batch):
        return refuse(wish, fault)
    match event:
        case e.BatchPauseRequested():
            return e.BatchPaused(batch=event.batch, frozen=event.freeze, request=wish.seq), ""
        case e.BatchRetentionRequested() if fault := validity.retention_fault(event.retention):
            return refuse(wish, fault)
        case e.BatchRetentionRequested():
            return e.BatchRetentionSet(batch=event.batch, retention=event.retention, request=wish.seq), ""
        case e.BatchResumeRequested() if event.batch not in state.batches:
            return refuse(wish, f"batch {event.batch!r} is not paused")
        case e.BatchResumeRequested():
            return e.BatchResumed(batch=event.batch, request=wish.seq), ""


def _cancel(state: State, wish: Wish, event: e.CancelRequested) -> Iterator[Decision]:
    named = Named(state, wish, event.tasks, event.batch)
    at_once: list[TaskRange] = []
    stopped: dict[str, list[Task]] = {}
    for run in named.runs:
        sub = state.submissions.get(run.submission)
        if sub is not None:
            at_once += _not_on_workers(sub, run)
            for task in sub.tasks_in(run.lo, run.hi):
                if task.placed:
                    stopped.setdefault(task.worker, []).append(task)
    yield from _signals(wish, stopped, "kill" if event.kill else "stop", more=True)
    if at_once or stopped:
        yield e.TasksCancelled(tasks=tuple(at_once), request=wish.seq, reason=f"cancelled by {wish.user}"), ""
    nothing = "" if at_once or stopped else "nothing to cancel: all of it has ended"
    yield from named.rest(wish, nothing if named.runs else "")


def _not_on_workers(sub: Submission, run: TaskRange) -> list[TaskRange]:
    found = Ranges()
    for lot in sub.lots:
        for part in lot.fresh.within(run.lo, run.hi):
            found.add(*part)
    for part in (*sub.kept.within(run.lo, run.hi), *blocked.within(sub, (run.lo, run.hi))):
        found.add(*part)
    for task in sub.tasks_in(run.lo, run.hi):
        if not task.placed:
            found.add(task.index, task.index)
    return [TaskRange(SubmissionId(sub.id), lo, hi) for lo, hi in found.ascending()]


def _retry(state: State, wish: Wish, event: e.RetryRequested) -> Iterator[Decision]:
    named = Named(state, wish, event.tasks, event.batch)
    found: list[TaskRange] = []
    for run in named.runs:
        runs = Ranges()
        for part in aside.retriable(state, run):
            runs.add(*part)
        found += [TaskRange(run.submission, lo, hi) for lo, hi in runs.ascending()]
    if found:
        waiting = tuple(r for r in found if requirements.waits_again(state, r.submission))
        yield e.TasksRetried(tasks=tuple(found), request=wish.seq, waiting=waiting), ""
    nothing = "" if found else "nothing to retry: none of it failed, was cancelled or is held"
    yield from named.rest(wish, nothing if named.runs else "")


def _signal(state: State, wish: Wish, event: e.SignalRequested) -> Iterator[Decision]:
    named = Named(state, wish, event.tasks, None)
    on: dict[str, list[Task]] = {}
    for run in named.runs:
        if (sub := state.submissions.get(run.submission)) is not None:
            for task in sub.tasks_in(run.lo, run.hi):
                if task.placed and event.signal.lower() == "checkpoint" and not _saves(state, sub, task):
                    named.left_out.append(f"{sub.id}.{task.index} saves no checkpoint: submit with --checkpoint PATH")
                elif task.placed:
                    on.setdefault(task.worker, []).append(task)
    waiting = aside.holding(state, wish, event.signal.lower(), named.runs)
    yield from _signals(wish, on, event.signal, more=bool(waiting))
    yield from waiting
    nothing = (
        "" if on or waiting or named.left_out else "none of these tasks is on a worker: there is nothing to signal"
    )
    yield from named.rest(wish, nothing if named.runs else "")


def _saves(state: State, sub: Submission, task: Task) -> bool:
    """Whether the task's state can be saved for its next attempt; else a checkpoint would only lose work."""
    return bool(edits.spec_of(state, sub, task.index).checkpoint)


def _signals(wish: Wish, on: dict[str, list[Task]], signal: str, *, more: bool) -> Iterator[Decision]:
    """Signal events per worker; all but the last leave the wish open, the last too with `more`."""
    wanted = WANTED.get(signal.lower())
    once = None if wanted else signal.upper()
    chunks = [
        (worker, tuple(AttemptId(t.attempt) for t in tasks[at : at + PER_EVENT]))
        for worker, tasks in on.items()
        for at in range(0, len(tasks), PER_EVENT)
    ]
    for k, (worker, attempts) in enumerate(chunks, 1):
        yield (
            e.AttemptsSignalled(
                attempts=attempts, wanted=wanted or "run", signal=once, request=wish.seq, more=more or k < len(chunks)
            ),
            worker,
        )
