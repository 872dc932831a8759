"""Tasks that wait on their own: for edges within their submission, or for the k-th task of what it requires.

Whatever changes a task they require asks here which of them are ready or doomed now. What must not enter: lots and lines
(`changes`), submissions that wait as a whole (`requirements`), decisions (`resolving`).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from longshore_common.ids import SubmissionId, TaskRange, task_id
from longshore_dispatcher.core import bulk
from longshore_dispatcher.core.graph import Counts
from longshore_dispatcher.core.ranges import Ranges, Run
from longshore_dispatcher.core.state import State, Submission
from longshore_dispatcher.core.ties import Ties

#: What happened to a required task.
Change = Literal["succeeded", "broke", "mended"]


def by_task(sub: Submission) -> bool:
    """Whether its tasks wait on their own."""
    return sub.ties is not None and sub.ties.by_task


def register(state: State, sub: Submission) -> None:
    """Begin to follow what the tasks of an open submission require, if they wait on their own."""
    ties = sub.ties
    if ties is None or not ties.by_task:
        return
    if ties.each:
        sub.requires = tuple(TaskRange(SubmissionId(state.original(r.submission)), r.lo, r.hi) for r in sub.requires)
        for r in sub.requires:
            state.dependents.setdefault(r.submission, {}).setdefault(sub.id, []).append((r.lo, r.hi))
    if ties.graph is not None:
        state.tied.graphs[sub.id] = _counted(sub, Counts(sub.size, ties.graph))
    _settle(state, sub, ties, (0, sub.size - 1))


def forget(state: State, sub: Submission) -> None:
    """Follow it no more: it ended."""
    if sub.ties is None:
        return
    for held in (state.tied.graphs, state.tied.ready, state.tied.doomed):
        held.pop(sub.id, None)
    if sub.ties.each:
        for required in sub.requires:
            waiting = state.dependents.get(required.submission, {})
            waiting.pop(sub.id, None)
            if not waiting:
                state.dependents.pop(required.submission, None)


def _counted(sub: Submission, counts: Counts) -> Counts:
    """How far the graph is, from where the tasks are."""
    if sub.succeeded == sub.failed.count == sub.cancelled.count == 0:
        counts.all_open()
        return counts
    counts.add(counts.open, unmet(sub, 0, sub.size - 1, any_outcome=sub.any_outcome))
    if not sub.any_outcome:
        counts.add(counts.broken, (*sub.failed.runs, *sub.cancelled.runs))
    return counts


# --- where the blocked are --------------------------------------------------------------------------------------------


def block(state: State, sub: Submission, runs: Sequence[Run]) -> None:
    """These tasks, which were in no place, wait on their own from here on."""
    if (ties := sub.ties) is not None and runs:
        bulk.put(ties.blocked, runs)
        for run in bulk.falling(runs):
            _settle(state, sub, ties, run)


def leave(state: State, sub: Submission, runs: Sequence[Run]) -> list[Run]:
    """These tasks are blocked no more; which of them were."""
    ties = sub.ties
    if ties is None or not ties.blocked.count:
        return []
    gone = bulk.take(ties.blocked, runs)
    for sets in (state.tied.ready, state.tied.doomed):
        if (found := sets.get(sub.id)) is not None:
            bulk.take(found, gone)
            if not found.count:
                del sets[sub.id]
    return gone


def within(sub: Submission, run: Run) -> list[Run]:
    """Which of these tasks are blocked, highest run first."""
    return [] if sub.ties is None else sub.ties.blocked.within(*run)


def _settle(state: State, sub: Submission, ties: Ties, window: Run) -> None:
    """Which of the blocked tasks in this window are ready, and which are doomed, looked at anew."""
    ready, doomed = Ranges(), Ranges()
    bulk.put(ready, ties.blocked.within(*window))
    if ready.count and ties.each:
        for required in sub.requires:
            lo, hi = window[0] + required.lo, window[1] + required.lo
            source = state.submissions.get(required.submission)
            if source is not None:
                shut = list(unmet(source, lo, hi, any_outcome=sub.any_outcome))
            else:
                shut = [] if sub.any_outcome else broken(state, required.submission, lo, hi)
            bulk.take(ready, [(a - required.lo, b - required.lo) for a, b in shut])
            if not (sub.any_outcome or ties.patient):
                lost = broken(state, required.submission, lo, hi)
                bulk.put(doomed, [(a - required.lo, b - required.lo) for a, b in lost])
        if doomed.count:
            doomed = _inside(doomed, ties.blocked.within(*window))
    if (counts := state.tied.graphs.get(sub.id)) is not None:
        inside = ties.blocked.within(*window)[::-1]
        ready = bulk.gathered(k for lo, hi in ready.ascending() for k in range(lo, hi + 1) if not counts.open[k])
        if not (sub.any_outcome or ties.patient) and (sub.failed.count or sub.cancelled.count):
            fallen = bulk.gathered(k for lo, hi in inside for k in range(lo, hi + 1) if counts.broken[k])
            bulk.put(doomed, fallen.runs)
    _renew(state.tied.ready, sub.id, window, ready)
    _renew(state.tied.doomed, sub.id, window, doomed)


def _inside(found: Ranges, runs: list[Run]) -> Ranges:
    kept = Ranges()
    bulk.put(kept, bulk.take(found, runs))
    return kept


def _renew(sets: dict[int, Ranges], submission: int, window: Run, found: Ranges) -> None:
    held = sets.get(submission)
    if held is not None:
        held.cut(*window)
        bulk.put(held, found.runs)
        if not held.count:
            del sets[submission]
    elif found.count:
        sets[submission] = found


# --- what changes it --------------------------------------------------------------------------------------------------


def shift_each(state: State, sub: Submission, spans: Iterable[Run], run: Run, change: Change) -> None:
    """Tasks `run` of a submission changed, of which the k-th of `spans` is required by task k of `sub`."""
    ties = sub.ties
    if ties is None or not ties.blocked.count:
        return
    for low, high in spans:
        lo, hi = max(run[0], low) - low, min(run[1], high) - low
        if lo == hi and change == "succeeded":
            _perhaps(state, sub, ties, lo)
        elif lo <= hi:
            _settle(state, sub, ties, (lo, hi))


def shift_edges(state: State, sub: Submission, counts: Counts, run: Run, change: Change) -> None:
    """Tasks `run` of `sub` changed: count it for those of `sub` that require them."""
    ties = sub.ties
    if ties is None:
        return
    if change == "succeeded" or sub.any_outcome:
        _opened(state, sub, counts, run, 1 if change == "mended" else -1)
        return
    by = 1 if change == "broke" else -1
    touched: set[int] = set()
    for required in range(run[0], run[1] + 1):
        for d in counts.dependents(required):
            counts.broken[d] += by
            touched.add(d)
    if not ties.patient:
        for run in bulk.gathered(sorted(touched)).runs:
            _settle(state, sub, ties, run)


def _opened(state: State, sub: Submission, counts: Counts, run: Run, by: int) -> None:
    """Tasks `run` ended (-1), or will end again (1)."""
    still, ties = counts.open, sub.ties
    assert ties is not None
    for required in range(run[0], run[1] + 1):
        for d in counts.dependents(required):
            still[d] += by
            if not still[d]:
                _perhaps(state, sub, ties, d)
            elif by > 0 and (ready := state.tied.ready.get(sub.id)) is not None:
                ready.cut(d, d)
                if not ready.count:
                    del state.tied.ready[sub.id]


def _perhaps(state: State, sub: Submission, ties: Ties, index: int) -> None:
    """One requirement of this task was met: it may have been the last."""
    if not ties.blocked.has(index):
        return
    counts = state.tied.graphs.get(sub.id)
    if counts is not None and counts.open[index]:
        return
    if ties.each and any(not _over(state, sub, r.submission, r.lo + index) for r in sub.requires):
        return
    ready = state.tied.ready.get(sub.id)
    if ready is None:
        ready = state.tied.ready[sub.id] = Ranges()
    ready.add(index, index)


# --- what a task requires ---------------------------------------------------------------------------------------------


def _over(state: State, sub: Submission, source: int, index: int) -> bool:
    """Whether this required task is as `sub` wants it."""
    where = standing(state, source, index)
    return where == "succeeded" or (sub.any_outcome and where in ("failed", "cancelled"))


def standing(state: State, source: int, index: int) -> str:
    """The state of a required task; of a submission that nobody knows any more: succeeded."""
    if (sub := state.submissions.get(source)) is not None:
        return sub.state_of(index)
    if (closed := state.closed.get(source)) is not None:
        if closed.rejected or any(lo <= index <= hi for lo, hi in closed.failed):
            return "failed"
        if any(lo <= index <= hi for lo, hi in closed.cancelled):
            return "cancelled"
    return "succeeded"


def unmet(source: Submission, lo: int, hi: int, *, any_outcome: bool) -> Iterator[Run]:
    """The tasks of an open submission from `lo` to `hi` that did not succeed yet, or did not end yet."""
    for lot in source.lots:
        yield from lot.fresh.within(lo, hi)
    yield from source.kept.within(lo, hi)
    if source.ties is not None:
        yield from source.ties.blocked.within(lo, hi)
    for task in source.tasks_in(lo, hi):
        yield task.index, task.index
    if not any_outcome:
        yield from source.failed.within(lo, hi)
        yield from source.cancelled.within(lo, hi)


def broken(state: State, source: int, lo: int, hi: int) -> list[Run]:
    """The tasks of a submission from `lo` to `hi` that failed or were cancelled."""
    if (sub := state.submissions.get(source)) is not None:
        return sub.failed.within(lo, hi) + sub.cancelled.within(lo, hi)
    if (closed := state.closed.get(source)) is None:
        return []
    if closed.rejected:
        return [(lo, hi)]
    runs = (*closed.failed, *closed.cancelled)
    return [(max(a, lo), min(b, hi)) for a, b in runs if a <= hi and lo <= b]


def requirements_of(state: State, sub: Submission, index: int) -> Iterator[tuple[str, str]]:
    """(task id, its state) of each task that this one requires on its own and that is not as it wants it."""
    if sub.ties is None:
        return
    found = [(r.submission, r.lo + index) for r in sub.requires] if sub.ties.each else []
    if (counts := state.tied.graphs.get(sub.id)) is not None and counts.open[index]:
        found += [(SubmissionId(sub.id), r) for r in counts.required_by(index)]
    for source, at in found:
        if not _over(state, sub, source, at):
            yield task_id(source, at), standing(state, source, at)
