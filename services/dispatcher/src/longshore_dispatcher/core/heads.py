"""What a submission has to give to the turn at hand: tasks queued again, oldest index first, then untouched ones.

What must not enter: who gets them.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from longshore_dispatcher.core import changes
from longshore_dispatcher.core.content import Need
from longshore_dispatcher.core.ranges import Run
from longshore_dispatcher.core.state import State, Submission, Task

#: Seconds for which a task queued again keeps away from the host that failed it while there is another.
AVOIDED: Final = 60.0
#: Untouched tasks looked at per turn.
LOOKED_AT: Final = 2000


#: Tasks whose back-off is over, by submission and need.
Due = dict[tuple[int, Need], list[Task]]


class Shyness(NamedTuple):
    """The worker that some tasks keep away from ("": none), and whether it gave them back or failed them."""

    avoid: str = ""
    returned: bool = False


NOT_SHY: Final = Shyness()


def shyness(task: Task, now: float) -> Shyness:
    """What a task queued again keeps away from now."""
    old = now - max(task.not_before, task.at) > AVOIDED
    return NOT_SHY if old else Shyness(task.avoid, task.returned)


class Head:
    """The tasks of one submission that need the same; what is taken here is taken from this turn's view only."""

    __slots__ = ("_again", "_groups", "_runs", "fresh", "need", "pace", "sub")

    def __init__(self, state: State, sub: Submission, need: Need, due: list[Task]) -> None:
        self.sub, self.need = sub, need
        lot = sub.lots[0] if len(sub.lots) == 1 else next(lot for lot in sub.lots if lot.need == need)
        self.pace = sub.pace if sub.pace >= 0 else state.paces.get(sub.batch, -1.0)
        self._again = [sub.tasks[index] for index in sorted(lot.again)] + due if lot.again else list(due)
        self._groups: dict[Shyness, list[Task]] | None = None
        self._runs = lot.fresh.first(LOOKED_AT)
        self._runs.reverse()
        self.fresh = min(LOOKED_AT, lot.fresh.count)

    @property
    def left(self) -> int:
        """How many tasks it has to give still."""
        again = len(self._again) if self._groups is None else sum(map(len, self._groups.values()))
        return again + self.fresh

    @property
    def index(self) -> int:
        """Its next task."""
        if self.fresh:
            return self._runs[-1][0]
        return self._again[0].index

    def groups(self, now: float) -> Iterator[tuple[Shyness, int]]:
        """How many tasks queued again it has, by the host that they keep away from."""
        if self._groups is None:
            self._groups = {}
            for task in self._again:
                self._groups.setdefault(shyness(task, now), []).append(task)
        for shy, tasks in self._groups.items():
            if tasks:
                yield shy, len(tasks)

    def take(self, shy: Shyness, count: int) -> list[Task]:
        """The first tasks of such a group, which are given away."""
        tasks = self._groups[shy] if self._groups is not None else []
        taken = tasks[:count]
        del tasks[:count]
        return taken

    def cut(self, count: int) -> Iterator[Run]:
        """The first untouched tasks, which are given away."""
        self.fresh -= count
        while count > 0:
            lo, hi = self._runs.pop()
            end = min(hi, lo + count - 1)
            count -= end - lo + 1
            if end < hi:
                self._runs.append((end + 1, hi))
            yield lo, end


def due(state: State, now: float) -> Due:
    """The queued tasks whose back-off is over: the top of the heap, which is left as it is, and what no clock that is
    right can have put so far down.
    """
    found: Due = {}
    for entry in (*_top(state.delayed, now), *changes.set_back(state, now)):
        if changes.is_delayed(state, entry):
            sub = state.submissions[entry[1]]
            task = sub.tasks[entry[2]]
            tasks = found.setdefault((sub.id, changes.lot_at(sub, task.index).need), [])
            if task not in tasks[-1:]:
                tasks.append(task)
    return found


def _top(heap: list[tuple[float, int, int]], now: float) -> Iterator[tuple[float, int, int]]:
    at = [0]
    while at:
        k = at.pop()
        if k < len(heap) and heap[k][0] <= now:
            yield heap[k]
            at += (2 * k + 1, 2 * k + 2)
