"""Who waits for whom, counted as tasks end, so that no turn has to look at a submission that cannot go on yet.

`state.open[w]` is [required tasks that are still to come, required tasks that broke it]; `state.ripe` those decided.
"""

from typing import Final

import msgspec
from msgspec import Struct

from longshore_common.ids import SubmissionId, TaskRange
from longshore_dispatcher.core import blocked
from longshore_dispatcher.core.blocked import Change
from longshore_dispatcher.core.ranges import Run
from longshore_dispatcher.core.state import State, Submission
from longshore_dispatcher.core.ties import Ties


def register(state: State, sub: Submission) -> None:
    """Begin to count what `sub` requires as a whole, if it does; it waits until `forget`."""
    if not sub.requires or (sub.ties is not None and sub.ties.each):
        return
    total = [0, 0]
    sub.requires = tuple(TaskRange(SubmissionId(state.original(r.submission)), r.lo, r.hi) for r in sub.requires)
    for required in sub.requires:
        source = required.submission
        state.dependents.setdefault(source, {}).setdefault(sub.id, []).append((required.lo, required.hi))
        still, broken = standing(state, source, required.lo, required.hi)
        total[0] += still if sub.any_outcome else still + broken
        total[1] += 0 if sub.any_outcome else broken
    sub.waiting = True
    state.open[sub.id] = total
    _ripen(state, sub.id)


def forget(state: State, sub: Submission) -> None:
    """Stop counting for `sub`: its requirements are met, or it ended."""
    if state.open.pop(sub.id, None) is None:
        return
    sub.waiting = False
    state.ripe.discard(sub.id)
    for required in sub.requires:
        waiting = state.dependents.get(required.submission, {})
        waiting.pop(sub.id, None)
        if not waiting:
            state.dependents.pop(required.submission, None)


class _Kept(Struct):
    """What of an ended submission's record says whether its tasks wait when they are retried."""

    requires: tuple[TaskRange, ...] = ()
    met: bool = False
    ties: Ties | None = None


_glimpse: Final = msgspec.msgpack.Decoder(_Kept).decode


def waits_again(state: State, submission: int) -> bool:
    """Whether tasks of this submission are `waiting` after a retry, until their requirements were looked at."""
    sub: Submission | _Kept | None = state.submissions.get(submission)
    if sub is None and (closed := state.closed.get(submission)) is not None and closed.revive:
        sub = _glimpse(closed.revive)
    if sub is None:
        return False
    return (sub.ties is not None and sub.ties.by_task) or (bool(sub.requires) and not sub.met)


def shift(state: State, source: int, run: Run, change: Change) -> None:
    """Tasks `run` of `source` changed: count it for all who require them."""
    if (counts := state.tied.graphs.get(source)) is not None:
        blocked.shift_edges(state, state.submissions[source], counts, run, change)
    for waiting, runs in state.dependents.get(source, {}).items():
        if waiting not in state.open:
            blocked.shift_each(state, state.submissions[waiting], runs, run, change)
            continue
        touched = sum(max(0, min(run[1], hi) - max(run[0], lo) + 1) for lo, hi in runs)
        if not touched:
            continue
        total = state.open[waiting]
        sign = 1 if change == "mended" else -1
        if change == "succeeded" or state.submissions[waiting].any_outcome:
            total[0] += sign * touched
        else:
            total[1] -= sign * touched
        _ripen(state, waiting)


def standing(state: State, source: int, lo: int, hi: int) -> Run:
    """(not ended, failed or cancelled) of these tasks; a submission that nobody knows any more counts as done."""
    if (sub := state.submissions.get(source)) is not None:
        broken = sub.failed.overlap(lo, hi) + sub.cancelled.overlap(lo, hi)
        still = blocked.unmet(sub, lo, hi, any_outcome=True)
        return sum(b - a + 1 for a, b in still), broken
    if (closed := state.closed.get(source)) is not None:
        if closed.rejected:
            return 0, hi - lo + 1
        runs = (*closed.failed, *closed.cancelled)
        return 0, sum(max(0, min(hi, b) - max(lo, a) + 1) for a, b in runs)
    return 0, 0


def _ripen(state: State, waiting: int) -> None:
    still, broken = state.open[waiting]
    ties = state.submissions[waiting].ties
    if (broken and (ties is None or not ties.patient)) or not still:
        state.ripe.add(waiting)
    else:
        state.ripe.discard(waiting)
