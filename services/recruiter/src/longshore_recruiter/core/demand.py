"""The question hiring will start from: what waits, in which shapes, since when, and what serves it already."""

from collections.abc import Iterable
from typing import NamedTuple

from longshore_recruiter.core.state import Run, Shape, State, Wanted


class Demand(NamedTuple):
    """Of one batch: queued tasks per shape, when the oldest began to wait (Unix seconds), and the slots that serve it."""

    batch: str
    shapes: dict[Shape, int]
    since: float
    slots: int

    @property
    def tasks(self) -> int:
        """Queued tasks of all shapes."""
        return sum(self.shapes.values())


def demand(state: State) -> list[Demand]:
    """Per batch that has queued tasks and is not paused, by name."""
    shapes: dict[str, dict[Shape, int]] = {}
    since: dict[str, float] = {}
    for wanted in state.submissions.values():
        if not wanted.queued or wanted.batch in state.paused:
            continue
        counts = shapes.setdefault(wanted.batch, {})
        for shape, count in (*_counted(wanted), *_grown(wanted)):
            counts[shape] = counts.get(shape, 0) + count
        since[wanted.batch] = min(since.get(wanted.batch, wanted.since), wanted.since)
    shapes = {batch: {shape: n for shape, n in counts.items() if n} for batch, counts in shapes.items()}
    return [Demand(batch, shapes[batch], since[batch], slots(state, batch)) for batch in sorted(shapes)]


def slots(state: State, batch: str) -> int:
    """Slots of workers that take work of this batch now."""
    return sum(h.concurrency for h in state.hands.values() if h.takes_work and h.batch in ("*", batch))


def _grown(wanted: Wanted) -> Iterable[tuple[Shape, int]]:
    """Queued tasks that need more memory than they asked for: one less of the one shape, one more of the other."""
    for index, memory in wanted.memory.items():
        if index in wanted.queued:
            shape = next((run.shape for run in reversed(wanted.runs) if run.lo <= index), Shape())
            yield shape, -1
            yield shape._replace(memory=memory), 1


def _counted(wanted: Wanted) -> Iterable[tuple[Shape, int]]:
    """Queued tasks per run of equal shapes; both lists ascend, so one walk over each does."""
    runs = wanted.runs or [Run(0, Shape())]
    at = 0
    for lo, hi in wanted.queued:
        while at + 1 < len(runs) and runs[at + 1].lo <= lo:
            at += 1
        while lo <= hi:
            end = min(hi, runs[at + 1].lo - 1) if at + 1 < len(runs) else hi
            yield runs[at].shape, end - lo + 1
            lo, at = end + 1, at + 1 if end < hi else at
