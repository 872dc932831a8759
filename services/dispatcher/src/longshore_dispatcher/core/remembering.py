"""What the answer to a wish changes, and the opposite, looked at just before it is folded.

What must not enter: decisions; whether the opposite can be done is asked when somebody wants it (`undoing`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Literal

import msgspec

from longshore_common import events as e
from longshore_common.ids import SubmissionId, TaskRange
from longshore_common.log import Recorded
from longshore_common.model import Cause, Retention, Share, Wanted
from longshore_dispatcher.core import blocked, bulk, deeds
from longshore_dispatcher.core.deeds import Deed, Step, Undoable
from longshore_dispatcher.core.ranges import Ranges, Run, of
from longshore_dispatcher.core.state import State, Submission, Wish, Worker

#: Held; cancelled; failed after an attempt; failed without one; queued or blocked and untouched; these, or queued again;
#: all that has not ended; what an edit reaches: not on a worker, and not succeeded.
What = Literal["kept", "cancelled", "failed", "never", "fresh", "open", "unfinished", "editable", "ended badly"]
#: Why some wishes cannot be undone.
_FINAL = {
    e.WorkerCareOrdered: "what a worker does for its host cannot be taken back",
    e.RemotesGiven: "a storage configuration that was given cannot be taken back: share another, or withdraw it",
    e.SecretGiven: "a secret that was given cannot be taken back: set another, or delete it",
}


_OF_WORKERS = (e.WorkerPaused, e.WorkerResumed, e.WorkerResized, e.WorkerMoved)


def remember(state: State, record: Recorded, event: e.Event) -> None:
    """Keep how to take back what this event is about to change, if a wish of a user is behind it."""
    request: int = getattr(event, "request", 0)
    wish = state.wishes.get(request)
    deed = state.deeds.get(request)
    if isinstance(event, e.RequestRefused) or (wish is None and deed is None):
        return
    if deed is None and wish is not None:
        deed = _begin(state, wish)
    assert deed is not None  # one of the two was there
    deed.at = record.at
    deed.final = deed.final or _FINAL.get(type(event), "")
    _note(deed, _steps(state, record, event, wish))
    _forget(state)


def _begin(state: State, wish: Wish) -> Deed:
    deed = state.deeds[wish.seq] = Deed(wish.seq, wish.user, state.at)
    if isinstance(wish.event, e.UndoRequested):
        target = to_undo(state, wish, wish.event)
        if target is not None:
            deed.undoes, target.undone = target.request, wish.seq
            if target.undoes and (first := state.deeds.get(target.undoes)) is not None:
                first.undone = 0
    return deed


def to_undo(state: State, wish: Wish, event: e.UndoRequested) -> Deed | None:
    """What a wish wants undone: what it says, or else its user's last that is not undone, nor an undoing itself."""
    known = state.deeds.get(wish.seq)
    if known is not None and known.undoes:  # it is in the midst of it
        return state.deeds.get(known.undoes)
    if event.request:
        return state.deeds.get(event.request)
    for deed in reversed(state.deeds.values()):
        if deed.user == wish.user and deed.request < wish.seq and not (deed.undone or deed.undoes):
            return deed
    return None


def _note(deed: Deed, steps: Iterator[Step] | Sequence[Step]) -> None:
    for step in steps:
        if step.ranges or not hasattr(step.opposite, "tasks"):
            deed.steps.append(step)


def _forget(state: State) -> None:
    ranges = sum(step.ranges for deed in state.deeds.values() for step in deed.steps)
    for request, deed in list(state.deeds.items()):
        if len(state.deeds) <= deeds.MOST and ranges <= deeds.MOST_RANGES and deed.at > state.at - deeds.KEPT:
            return
        ranges -= sum(step.ranges for step in deed.steps)
        del state.deeds[request]


def _steps(state: State, record: Recorded, event: e.Event, wish: Wish | None) -> Iterator[Step]:
    match event:
        case e.TasksCancelled() | e.TasksRetried() | e.TasksHeld() | e.TasksFailed():
            yield from _of_tasks(state, record, event)
        case e.TasksEdited():
            back = event.restored if event.undoes else False
            opposite = e.TasksEdited(
                tasks=event.tasks, undoes=event.undoes or record.seq, restored=bool(event.undoes) and not back
            )
            yield Step(event, opposite)
        case e.TasksDeleted():
            yield Step(event, msgspec.structs.replace(event, restored=not event.restored, note="", more=False))
        case e.AttemptsSignalled():
            yield from _signalled(state, record, event, wish)
        case _:
            name = record.subject.split(".")[2] if isinstance(event, _OF_WORKERS) else ""
            old = current(state, event, name)
            if old is not None and not same(old, event):
                yield Step(event, old, name)  # type: ignore[arg-type]  # what is no setting has no opposite


def current(state: State, event: e.Event, worker: str = "") -> Undoable | None:
    """The event that would set what it is now, in what this kind of event is about; None if it sets nothing."""
    if worker:
        return _of_worker(state.workers[worker], event) if worker in state.workers else None
    old: Undoable
    match event:
        case e.BatchPaused() | e.BatchResumed():
            batch = state.batches.get(event.batch)
            paused = batch is not None and batch.paused
            name = event.batch
            old = e.BatchPaused(batch=name, frozen=batch.frozen) if batch and paused else e.BatchResumed(batch=name)
        case e.BatchRetentionSet():
            old = e.BatchRetentionSet(batch=event.batch, retention=state.retention.get(event.batch, Retention()))
        case e.ShareSet():
            share = state.shares.get((event.kind, event.name), Share())
            old = e.ShareSet(kind=event.kind, name=event.name, share=share)
        case e.PolicySet():
            old = e.PolicySet(policy=msgspec.structs.replace(state.policy))
        case _:
            return None
    return old


def same(one: e.Event, other: e.Event) -> bool:
    """Whether two events set the same, whoever asked for it."""
    return type(one) is type(other) and _bare(one) == _bare(other)


def _bare(event: e.Event) -> e.Event:
    named = {"request": 0, "more": False, "note": "", "reason": ""}
    return msgspec.structs.replace(event, **{k: v for k, v in named.items() if k in event.__struct_fields__})


def _of_worker(worker: Worker, event: e.Event) -> Undoable | None:
    match event:
        case e.WorkerPaused() | e.WorkerResumed():
            return (
                e.WorkerPaused(drain=worker.drain, reason=worker.pause_reason) if worker.paused else e.WorkerResumed()
            )
        case e.WorkerResized():
            return e.WorkerResized(
                concurrency=worker.concurrency, prefetch=worker.prefetch, prefetch_percent=worker.prefetch_percent
            )
        case e.WorkerMoved():
            return e.WorkerMoved(batch=worker.batch)
        case _:
            return None


def _signalled(state: State, record: Recorded, event: e.AttemptsSignalled, wish: Wish | None) -> Iterator[Step]:
    """Of signals only a pause and its end have an opposite; the stop of a cancel is no step of its own."""
    if wish is None or not isinstance(wish.event, e.SignalRequested | e.UndoRequested):
        return
    name = record.subject.split(".")[2]
    if event.signal or event.wanted not in ("pause", "run"):
        state.deeds[wish.seq].final = f"a signal ({event.signal or event.wanted}) cannot be taken back"
        return
    held = state.load(name).attempts
    other = tuple(
        a for a in event.attempts if a in held and held[a].wanted in ("run", "pause") and held[a].wanted != event.wanted
    )
    if other:
        wanted: Wanted = "run" if event.wanted == "pause" else "pause"
        yield Step(event, e.AttemptsSignalled(attempts=other, wanted=wanted), name)


# --- tasks ------------------------------------------------------------------------------------------------------------


def _of_tasks(
    state: State, record: Recorded, event: e.TasksCancelled | e.TasksRetried | e.TasksHeld | e.TasksFailed
) -> Iterator[Step]:
    """Steps in such an order that they are right when they are done from the last to the first."""
    match event:
        case e.TasksHeld():
            yield Step(event, e.TasksRetried(tasks=_in(state, event.tasks, "open")))
        case e.TasksCancelled() | e.TasksFailed():
            yield Step(event, e.TasksHeld(tasks=_in(state, event.tasks, "kept")))
            yield Step(event, e.TasksRetried(tasks=_in(state, event.tasks, "unfinished")))
        case e.TasksRetried():
            yield Step(event, e.TasksHeld(tasks=_in(state, event.tasks, "kept")))
            yield Step(
                event, e.TasksCancelled(tasks=_in(state, event.tasks, "cancelled"), reason="its retry was undone")
            )
            yield Step(event, _fail(record, _in(state, event.tasks, "failed"), "operator"))
            yield Step(event, _fail(record, _in(state, event.tasks, "never"), "requirement"))


def _fail(record: Recorded, tasks: tuple[TaskRange, ...], cause: Cause) -> e.TasksFailed:
    return e.TasksFailed(tasks=tasks, cause=cause, reason="its retry was undone", undoes=record.seq)


def _in(state: State, tasks: Sequence[TaskRange], what: What) -> tuple[TaskRange, ...]:
    return tuple(among(state, tasks, what))


def among(state: State, tasks: Sequence[TaskRange], what: What) -> Iterator[TaskRange]:
    """Those of these tasks that are so."""
    for submission, runs in by_submission(tasks).items():
        sub = known(state, submission)
        if sub is not None:
            for lo, hi in of_runs(sub, runs, what).ascending():
                yield TaskRange(SubmissionId(submission), lo, hi)


def by_submission(tasks: Iterable[TaskRange]) -> dict[int, list[Run]]:
    """The runs named, per submission."""
    found: dict[int, list[Run]] = {}
    for run in tasks:
        found.setdefault(run.submission, []).append((run.lo, run.hi))
    return found


def of_runs(sub: Submission, runs: Sequence[Run], what: What) -> Ranges:
    """Those tasks of the runs that are so, in one walk over both."""
    lo, hi = max(0, min(a for a, _ in runs)), min(sub.size - 1, max(b for _, b in runs))
    found = ranges_of(sub, (lo, hi), what)
    return found if len(runs) == 1 else of(reversed(bulk.falling(bulk.take(found, runs))))


_revived = msgspec.msgpack.Decoder(Submission).decode


def known(state: State, submission: int) -> Submission | None:
    """The submission, open or as it could be opened again; None if there is nothing of it to be done again."""
    if (sub := state.submissions.get(submission)) is not None:
        return sub
    closed = state.closed.get(submission)
    if closed is None or not closed.revive:
        return None
    sub = _revived(closed.revive)
    for run in closed.deleted:
        sub.deleted.add(*run)
    return sub


def ranges_of(sub: Submission, run: Run, what: What) -> Ranges:
    """The tasks of `run` that are so."""
    found = of(reversed(bulk.falling(_RUNS[what](sub, run))))
    if what in ("editable", "cancelled", "ended badly"):
        gone = [(t.index, t.index) for t in sub.tasks_in(*run) if t.granted] + sub.deleted.within(*run)
        for lo, hi in gone:
            found.cut(lo, hi)
    return found


def _kept(sub: Submission, run: Run) -> Iterable[Run]:
    return sub.kept.within(*run)


def _cancelled(sub: Submission, run: Run) -> Iterable[Run]:
    return sub.cancelled.within(*run)


def _failed(sub: Submission, run: Run) -> Iterable[Run]:
    return (part for lo, hi in sub.failed.within(*run) for part in sub.tried.within(lo, hi))


def _all_failed(sub: Submission, run: Run) -> Iterable[Run]:
    return sub.failed.within(*run)


def _never(sub: Submission, run: Run) -> Iterable[Run]:
    left = Ranges()
    for lo, hi in sub.failed.within(*run):
        left.add(lo, hi)
    for lo, hi in _failed(sub, run):
        left.cut(lo, hi)
    return left.runs


def _fresh(sub: Submission, run: Run) -> Iterable[Run]:
    return [*blocked.within(sub, run), *(part for lot in sub.lots for part in lot.fresh.within(*run))]


def _open(sub: Submission, run: Run) -> Iterable[Run]:
    return [*_fresh(sub, run), *((task.index, task.index) for task in sub.tasks_in(*run) if not task.placed)]


def _unfinished(sub: Submission, run: Run) -> Iterable[Run]:
    return [*_fresh(sub, run), *_kept(sub, run), *((task.index, task.index) for task in sub.tasks_in(*run))]


def _editable(sub: Submission, run: Run) -> Iterable[Run]:
    return [*_open(sub, run), *_kept(sub, run), *_cancelled(sub, run), *sub.failed.within(*run)]


_RUNS: Final[dict[What, Callable[[Submission, Run], Iterable[Run]]]] = {
    "kept": _kept, "cancelled": _cancelled, "failed": _failed, "never": _never, "fresh": _fresh, "open": _open,
    "unfinished": _unfinished, "editable": _editable, "ended badly": _all_failed,
}  # fmt: skip
