"""The answer to a wish that another shall be undone: its opposite, as far as that still applies.

What started meanwhile keeps what it was given, what was set otherwise since stays so, and that is told. What must not
enter: changes of state; what the opposite is (`remembering`).
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from longshore_common import events as e
from longshore_common.ids import SubmissionId, TaskRange
from longshore_dispatcher.core import aside, authority, remembering, requirements
from longshore_dispatcher.core.deeds import Deed, Step, Undoable
from longshore_dispatcher.core.named import Decision, refuse
from longshore_dispatcher.core.ranges import of
from longshore_dispatcher.core.state import PHASE, State, Submission, Task, Wish

#: What became of tasks since, where the opposite does not apply to them any more.
_SINCE = "of these tasks have started, ended, or been changed otherwise since"


def answers(state: State, wish: Wish, event: e.UndoRequested) -> Iterator[Decision]:
    """The opposite of what was done, the last step first; nothing yet while the wish, or one before, is under way."""
    if any(other.user == wish.user and other.seq < wish.seq for other in state.wishes.values()):
        return
    deed = remembering.to_undo(state, wish, event)
    if why := _fault(state, wish, event, deed):
        yield refuse(wish, why)
        return
    assert deed is not None  # it would be a fault
    if _under_way(state, deed):
        return
    if fetch := _handed_out(state, deed):
        yield from aside.fetched(state, fetch)
        return
    yield from _opposites(state, wish, deed)


def awaited(state: State) -> set[int]:
    """Submissions of which tasks are fetched back to be changed all at once: what is back already is not handed out again."""
    found: set[int] = set()
    for wish in state.wishes.values():
        if (
            isinstance(wish.event, e.UndoRequested)
            and (deed := remembering.to_undo(state, wish, wish.event)) is not None
        ):
            found.update(task.submission for task in _handed_out(state, deed))
    return found


def _opposites(state: State, wish: Wish, deed: Deed) -> Iterator[Decision]:
    done: list[tuple[Undoable, str]] = []
    left: dict[str, int] = {}
    for step in reversed(deed.steps):
        opposite, why, count = _still(state, step)
        if opposite is not None:
            done.append((opposite, step.to))
        if why:
            left[why] = left.get(why, 0) + count
    told = "; ".join(f"{count} {why}" if count else why for why, count in left.items())
    if not done:
        yield refuse(wish, told or f"nothing of event {deed.request} is left to be undone")
        return
    for k, (event, to) in enumerate(done, 1):
        yield _asked(_waiting(state, event), wish.seq, more=k < len(done) or bool(told)), to
    if told:
        yield refuse(wish, f"all else is undone, but {told}")


def _waiting(state: State, event: Undoable) -> Undoable:
    """A retry says which of its tasks wait for others first."""
    if not isinstance(event, e.TasksRetried):
        return event
    waiting = tuple(run for run in event.tasks if requirements.waits_again(state, run.submission))
    return msgspec.structs.replace(event, waiting=waiting)


def _asked(event: Undoable, request: int, *, more: bool) -> Undoable:
    fields: dict[str, Any] = {"request": request, "more": more}
    return msgspec.structs.replace(event, **{k: v for k, v in fields.items() if k in event.__struct_fields__})


def _fault(state: State, wish: Wish, event: e.UndoRequested, deed: Deed | None) -> str:
    """Why it cannot be undone at all."""
    if deed is None:
        if event.request in state.submissions or event.request in state.closed:
            return f"event {event.request} is a submission: `longshore task cancel {event.request}` takes it back"
        what = f"event {event.request}" if event.request else "you have none that"
        return f"{what} is no wish that changed anything, or it was too long ago: see `longshore history`"
    if why := authority.undoing_fault(state, wish, deed):
        return why
    if deed.undone and deed.undone != wish.seq:
        return f"event {deed.request} is undone already: `longshore undo {deed.undone}` takes that back"
    if deed.final:
        return deed.final
    return "" if deed.steps else f"event {deed.request} changed nothing that could be undone"


def _under_way(state: State, deed: Deed) -> bool:
    """Whether tasks are still being stopped for it."""
    held = (task for load in state.loads.values() for task in load.attempts.values())
    return any(task.cancel == deed.request for task in (*held, *state.verdicts.values()))


def _handed_out(state: State, deed: Deed) -> list[Task]:
    """Tasks whose edit is to be undone, on workers and not running yet."""
    found: list[Task] = []
    for step in deed.steps:
        for run in step.did.tasks if isinstance(step.did, e.TasksEdited) else ():
            if (sub := state.submissions.get(run.submission)) is not None:
                found += (t for t in sub.tasks_in(run.lo, run.hi) if t.placed and PHASE[t.state] == 0 and not t.cancel)
    return found


def _still(state: State, step: Step) -> tuple[Undoable | None, str, int]:
    """(the opposite as far as it applies, why not all of it does, for how many tasks)"""
    did, opposite = step.did, step.opposite
    if isinstance(did, e.AttemptsSignalled) and isinstance(opposite, e.AttemptsSignalled):
        held = state.load(step.to).attempts
        there = tuple(a for a in opposite.attempts if a in held and held[a].wanted == did.wanted)
        why = "" if len(there) == len(opposite.attempts) else "of these attempts have ended since"
        return (
            msgspec.structs.replace(opposite, attempts=there) if there else None, why, len(opposite.attempts) - len(there)
        )  # fmt: skip
    tasks: Sequence[TaskRange] | None = getattr(opposite, "tasks", None)
    if tasks is not None:
        left = tuple(_applies(state, did, tasks))
        missing = sum(map(len, tasks)) - sum(map(len, left))
        return (
            msgspec.structs.replace(opposite, tasks=left) if left else None, _SINCE if missing else "", missing
        )  # fmt: skip
    return _setting(state, step)


def _setting(state: State, step: Step) -> tuple[Undoable | None, str, int]:
    now = remembering.current(state, step.did, step.to)
    if now is None or remembering.same(now, step.opposite):
        return None, "", 0
    if not remembering.same(now, step.did):
        return None, f"{_named(step)} was changed again since", 0
    return step.opposite, "", 0


def _named(step: Step) -> str:
    match step.did:
        case e.BatchPaused() | e.BatchResumed() | e.BatchRetentionSet():
            return f"batch {step.did.batch}"
        case e.ShareSet():
            return f"the share of {step.did.kind} {step.did.name}"
        case e.PolicySet():
            return "the policy"
        case _:
            return f"worker {step.to}"


def _applies(state: State, did: Undoable, tasks: Sequence[TaskRange]) -> Iterator[TaskRange]:
    """Those of these tasks that are as the deed left them."""
    if isinstance(did, e.TasksDeleted):
        for run in tasks:
            yield from _as_deleted(state, did, run)
        return
    for submission, runs in remembering.by_submission(tasks).items():
        sub = remembering.known(state, submission)
        if sub is not None:
            for lo, hi in remembering.of_runs(sub, runs, _LEFT.get(type(did), "editable")).ascending():
                yield TaskRange(SubmissionId(submission), lo, hi)


#: What tasks are that are as the deed left them; edited ones have not started since.
_LEFT: Final[dict[type[e.Event], remembering.What]] = {
    e.TasksCancelled: "cancelled",
    e.TasksFailed: "ended badly",
    e.TasksHeld: "kept",
    e.TasksRetried: "fresh",
}


def _as_deleted(state: State, did: e.TasksDeleted, run: TaskRange) -> Iterator[TaskRange]:
    known = state.submissions.get(run.submission) or state.closed.get(run.submission)
    if known is None:
        yield run
        return
    gone = known.deleted if isinstance(known, Submission) else of(known.deleted)
    runs = aside.shown([(run.lo, run.hi)], gone) if did.restored else gone.within(run.lo, run.hi)
    for lo, hi in reversed(runs):
        yield TaskRange(SubmissionId(run.submission), lo, hi)
