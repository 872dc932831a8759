"""How much memory a task gets after an attempt ran out of it: half as much again as it was seen to use or had.

What must not enter: changes of state, verdicts.
"""

from typing import Final

from longshore_dispatcher.core import changes
from longshore_dispatcher.core.content import Need, variants, with_memory
from longshore_dispatcher.core.seats import able
from longshore_dispatcher.core.state import State, Submission, Task

#: Times what it used or had, whichever is more.
FACTOR: Final = 1.5
#: Bytes are rounded up to four steps per power of two, and to this at least: few different needs, so few lines.
LEAST_STEP: Final = 16 << 20


class Largest:
    """How much memory there is for whom: asked once per turn and need, as many tasks run out of it together."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._known: dict[tuple[str, Need], int] = {}

    def of(self, batch: str, need: Need) -> int:
        """Bytes of the largest worker that could run such a task; of those that are up, if any of them could."""
        need = with_memory(need, 0)
        found = self._known.get((batch, need))
        if found is None:
            could = [worker for worker in self._state.workers.values() if able(worker, batch, need)]
            up = [worker.facts.memory for worker in could if worker.state == "up"]
            found = self._known[(batch, need)] = max(up or [worker.facts.memory for worker in could], default=0)
        return found


def had(sub: Submission, task: Task) -> int:
    """Bytes that the task's last attempt was promised, by whichever alternative it got; 0 if it asked for none."""
    return (task.need or changes.lot_at(sub, task.index).need).memory


def roomier(sub: Submission, task: Task, peak: int, largest: Largest) -> int:
    """Bytes for the next attempt, whichever alternative that gets: no less than any of them asks for. 0 if there is nothing
    to go by, what it had (or less) if no worker has more.
    """
    need = changes.lot_at(sub, task.index).need
    base, most = max(had(sub, task), peak), largest.of(sub.batch, need)
    if not base or not most:
        return 0
    return min(max(_rounded(int(base * FACTOR)), *(variant.memory for variant in variants(need))), most)


def shown(size: int) -> str:
    """101000000 -> 101 MB, for people."""
    return f"{size / 1e9:.3g} GB" if size >= 10**9 else f"{size / 1e6:.3g} MB"


def _rounded(size: int) -> int:
    step = max(LEAST_STEP, 1 << max(0, size.bit_length() - 3))
    return -(-size // step) * step
