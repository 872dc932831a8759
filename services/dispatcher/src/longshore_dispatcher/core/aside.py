"""Tasks put aside and taken back: held until a retry, deleted from all lists, workers moved to another batch.

The first part decides, the second folds. What must not enter: what else is done with tasks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from longshore_common import events as e
from longshore_common.ids import AttemptId, SubmissionId, TaskRange
from longshore_common.log import Recorded
from longshore_dispatcher.core import authority, blocked, changes, requirements, validity
from longshore_dispatcher.core.named import Decision, of_batch, refuse
from longshore_dispatcher.core.ranges import Ranges, Run, of
from longshore_dispatcher.core.state import PHASE, Closed, State, Submission, Task, Wish, Worker

#: Ranges named per event, so that it fits in a message.
PER_EVENT = 20_000


def holding(state: State, wish: Wish, signal: str, runs: Iterable[TaskRange]) -> list[Decision]:
    """What a pause means for tasks that wait for a worker, and its end for those that are held."""
    if signal not in ("pause", "continue"):
        return []
    found: list[TaskRange] = []
    for run in runs:
        if (sub := state.submissions.get(run.submission)) is not None:
            some = _to_hold(sub, (run.lo, run.hi)) if signal == "pause" else sub.kept.within(run.lo, run.hi)
            found += _named(sub.id, some)
    if not found:
        return []
    if signal == "pause":
        return [(e.TasksHeld(tasks=tuple(found), request=wish.seq), "")]
    return [retried(state, wish, found)]


def retried(state: State, wish: Wish, tasks: Sequence[TaskRange], *, more: bool = False) -> Decision:
    """These run again."""
    waiting = tuple(run for run in tasks if requirements.waits_again(state, run.submission))
    return e.TasksRetried(tasks=tuple(tasks), request=wish.seq, waiting=waiting, more=more), ""


def _to_hold(sub: Submission, run: Run) -> Iterator[Run]:
    for lot in sub.lots:
        yield from lot.fresh.within(*run)
    yield from blocked.within(sub, run)
    for task in sub.tasks_in(*run):
        if holdable(task):
            yield task.index, task.index


def holdable(task: Task) -> bool:
    """Whether it is queued again, and to be run: outputs that were granted are only to be published."""
    return task.state == "queued" and task.end is None and not task.granted


def _named(submission: int, runs: Iterable[Run]) -> list[TaskRange]:
    joined = Ranges()
    for run in runs:
        joined.add(*run)
    return [TaskRange(SubmissionId(submission), lo, hi) for lo, hi in joined.ascending()]


# --- deleting ---------------------------------------------------------------------------------------------------------


def delete(state: State, wish: Wish, event: e.DeleteRequested) -> Iterator[Decision]:
    """All of it, or nothing: what has not ended is to be cancelled first."""
    meant, left_out = _meant(state, wish, event)
    found: list[TaskRange] = []
    unfinished = 0
    for run in meant:
        known = state.submissions.get(run.submission) or state.closed.get(run.submission)
        if isinstance(known, Submission):
            unfinished += len(run) - _ended(known, run)
        found += _named(run.submission, _deleted(known, run, deleted=event.restore))
    what = event.batch or ", ".join(map(str, event.tasks[:3]))
    if left_out:
        yield refuse(wish, f"nothing is deleted: {'; '.join(left_out[:5])}")
    elif unfinished and not event.restore:
        yield refuse(
            wish, f"{unfinished} of these tasks have not ended: cancel them first, by `longshore task cancel` or "
            "`longshore batch stop`"
        )  # fmt: skip
    elif not found:
        yield refuse(wish, f"nothing of {what} {'is' if event.restore else 'is left to be'} deleted")
    else:
        whose = "" if authority.rules(state, wish.user) else wish.user  # of what only the read model knows
        chunks = [tuple(found[at : at + PER_EVENT]) for at in range(0, len(found), PER_EVENT)]
        for k, tasks in enumerate(chunks, 1):
            more = k < len(chunks)
            yield e.TasksDeleted(
                tasks=tasks, restored=event.restore, request=wish.seq, user=whose, more=more
            ), ""  # fmt: skip


def _meant(state: State, wish: Wish, event: e.DeleteRequested) -> tuple[list[TaskRange], list[str]]:
    """The tasks, as ranges; those of submissions that we have forgotten are left to the read model, which knows them."""
    meant: list[TaskRange] = []
    left_out: list[str] = []
    for run in event.tasks:
        source = state.original(run.submission)
        known: Submission | Closed | None = state.submissions.get(source) or state.closed.get(source)
        if not 0 <= run.lo <= run.hi or source >= wish.seq or (known is not None and run.hi >= known.size):
            left_out.append(f"{run} is unknown")
        elif known is not None and not authority.owns(state, wish, known.user):
            left_out.append(f"{run} belongs to {known.user}")
        else:
            meant.append(TaskRange(SubmissionId(source), run.lo, run.hi))
    for sub in of_batch(state, wish, event.batch):
        meant.append(TaskRange(SubmissionId(sub.id), 0, sub.size - 1))
    return meant, left_out


def _ended(sub: Submission, run: TaskRange) -> int:
    waiting = sum(lot.fresh.overlap(run.lo, run.hi) for lot in sub.lots) + sub.kept.overlap(run.lo, run.hi)
    waiting += sum(hi - lo + 1 for lo, hi in blocked.within(sub, (run.lo, run.hi)))
    return len(run) - waiting - sum(1 for _ in sub.tasks_in(run.lo, run.hi))


def _deleted(known: Submission | Closed | None, run: TaskRange, *, deleted: bool) -> list[Run]:
    """Those of the run that are deleted, or those that are not."""
    if known is None:
        return [(run.lo, run.hi)]
    gone = known.deleted if isinstance(known, Submission) else of(known.deleted)
    return gone.within(run.lo, run.hi) if deleted else shown([(run.lo, run.hi)], gone)


def shown(runs: Iterable[Run], deleted: Ranges) -> list[Run]:
    """What of these runs is not deleted."""
    left = Ranges()
    for lo, hi in runs:
        left.add(lo, hi)
        for gone in deleted.within(lo, hi):
            left.cut(*gone)
    return list(left.runs)


# --- moving -----------------------------------------------------------------------------------------------------------


def move(state: State, wish: Wish, event: e.WorkerMoveRequested) -> Iterator[Decision]:
    """Each worker is told its batch; what it holds of others and does not run goes to others."""
    if event.batch != "*" and (fault := validity.batch_fault(event.batch)):
        yield refuse(wish, f"{fault}; * means any")
        return
    known = [name for name in event.workers or state.workers if name in state.workers]
    for k, name in enumerate(known, 1):
        if back := recalled(state, name, lambda sub: event.batch not in ("*", sub.batch)):
            yield back
        yield e.WorkerMoved(batch=event.batch, request=wish.seq, more=k < len(known)), name
    if unknown := [name for name in event.workers if name not in state.workers]:
        there_are = ", ".join(state.workers) or "none"
        yield refuse(wish, f"no worker is called {', '.join(unknown)}; known are {there_are}")
    elif not known:
        yield refuse(wish, "no worker is known yet: start an agent first")


def fetched(state: State, tasks: Iterable[Task]) -> Iterator[Decision]:
    """The recalls of these tasks from their workers; those that were recalled already are awaited."""
    by_worker: dict[str, list[AttemptId]] = {}
    for task in tasks:
        if not task.recalled:
            by_worker.setdefault(task.worker, []).append(AttemptId(task.attempt))
    for worker, attempts in by_worker.items():
        yield e.AttemptsRecalled(attempts=tuple(attempts)), worker


def recalled(state: State, worker: str, whose: Callable[[Submission], bool]) -> Decision | None:
    """The recall of what this worker holds of such submissions and does not run."""
    wanted = [
        AttemptId(attempt)
        for attempt, task in state.load(worker).attempts.items()
        if PHASE[task.state] == 0 and not task.recalled and whose(state.submissions[task.submission])
    ]
    return (e.AttemptsRecalled(attempts=tuple(wanted)), worker) if wanted else None


# --- the fold ---------------------------------------------------------------------------------------------------------


def held(state: State, _record: Recorded, event: e.TasksHeld) -> None:
    """They wait until they are retried; those that were queued again begin anew then, as after any retry."""
    for run in event.tasks:
        if (sub := state.submissions.get(run.submission)) is None:
            continue
        queued = [part for lot in sub.lots for part in lot.fresh.cut(run.lo, run.hi)]
        for lo, hi in queued + blocked.leave(state, sub, [(run.lo, run.hi)]):
            sub.kept.add(lo, hi)
        for task in list(sub.tasks_in(run.lo, run.hi)):
            if holdable(task):
                changes.drop(state, sub, task)
                sub.kept.add(task.index, task.index)
        changes.changed(state, sub)
    changes.tidy_delayed(state)
    if not event.more:
        state.wishes.pop(event.request, None)


def deleted(state: State, _record: Recorded, event: e.TasksDeleted) -> None:
    """No list shows them, and no retry finds them; or again."""
    for run in event.tasks:
        known = state.submissions.get(run.submission) or state.closed.get(run.submission)
        if known is None or not 0 <= run.lo <= run.hi < known.size:
            continue
        gone = known.deleted if isinstance(known, Submission) else of(known.deleted)
        (gone.cut if event.restored else gone.add)(run.lo, run.hi)
        if isinstance(known, Closed):
            known.deleted = list(gone.ascending())
            state.closed[run.submission] = known
    if not event.more:
        state.wishes.pop(event.request, None)


def moved(state: State, record: Recorded, event: e.WorkerMoved) -> None:
    """The worker serves another batch."""
    name = record.subject.split(".")[2]
    worker = state.workers.setdefault(name, Worker(name))
    worker.batch, worker.moved = event.batch, record.seq
    if not event.more:
        state.wishes.pop(event.request, None)


def forgotten(closed: Closed) -> bool:
    """Whether all of it is deleted, so that nobody will ask for it for long."""
    return closed.deleted == [(0, closed.size - 1)]


def retriable(state: State, run: TaskRange) -> Sequence[Run]:
    """The ended or held tasks of the run that may run again."""
    if (sub := state.submissions.get(run.submission)) is not None:
        runs = [part for bucket in (sub.failed, sub.cancelled, sub.kept) for part in bucket.within(run.lo, run.hi)]
        return shown(runs, sub.deleted)
    closed = state.closed.get(run.submission)
    if closed is None or not closed.revive:
        return ()
    ended = ((max(lo, run.lo), min(hi, run.hi)) for lo, hi in (*closed.failed, *closed.cancelled))
    return shown(((lo, hi) for lo, hi in ended if lo <= hi), of(closed.deleted))
