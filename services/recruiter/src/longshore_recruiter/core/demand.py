"""The question hiring will start from: what waits, in which shapes, since when, and what serves it already."""

from typing import NamedTuple

from longshore_common.demand import Shape, Waiting
from longshore_recruiter.core.state import State


class Demand(NamedTuple):
    """Of one batch: waiting tasks per shape, when the oldest began to wait (Unix seconds), and the slots that serve it.

    Long tasks that a worker holds in advance wait as well: another machine would run them now. `waiting` says
    the same by priority, with the seconds of work in it and how many of each the workers run at once.
    """

    batch: str
    shapes: dict[Shape, int]
    since: float
    slots: int
    waiting: tuple[Waiting, ...] = ()

    @property
    def tasks(self) -> int:
        """Waiting tasks of all shapes."""
        return sum(self.shapes.values())


def demand(state: State) -> list[Demand]:
    """Per batch that has waiting tasks and is not paused, by name."""
    found = []
    for name, batch in sorted(state.batches.items()):
        if batch.paused or not batch.waiting:
            continue
        shapes: dict[Shape, int] = {}
        for each in batch.waiting:
            shapes[each.shape] = shapes.get(each.shape, 0) + each.tasks + each.ahead
        since = min(each.since for each in batch.waiting)
        found.append(Demand(name, shapes, since, batch.slots, batch.waiting))
    return found
