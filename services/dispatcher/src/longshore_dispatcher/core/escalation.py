"""How much memory a task gets after an attempt ran out of it: half as much again as it was seen to use or had.

What must not enter: changes of state, verdicts.
"""

from typing import Final

from longshore_dispatcher.core import changes
from longshore_dispatcher.core.content import with_memory
from longshore_dispatcher.core.seats import able
from longshore_dispatcher.core.state import State, Submission

#: Times what it used or had, whichever is more.
FACTOR: Final = 1.5
#: Bytes are rounded up to four steps per power of two, and to this at least: few different needs, so few lines.
LEAST_STEP: Final = 16 << 20


def had(sub: Submission, index: int) -> int:
    """Bytes that the task's last attempt was promised, 0 if it asked for none."""
    return changes.lot_at(sub, index).need.memory


def roomier(state: State, sub: Submission, index: int, peak: int) -> int:
    """Bytes for the next attempt; 0 if there is nothing to go by, what it had (or less) if no worker has more."""
    base = max(had(sub, index), peak)
    largest = most(state, sub, index)
    if not base or not largest:
        return 0
    return min(_rounded(int(base * FACTOR)), largest)


def most(state: State, sub: Submission, index: int) -> int:
    """Bytes of memory of the largest worker that could run this task; of those that are up, if any of them could."""
    need = with_memory(changes.lot_at(sub, index).need, 0)
    could = [worker for worker in state.workers.values() if able(worker, sub.batch, need)]
    up = [worker.facts.memory for worker in could if worker.state == "up"]
    return max(up or [worker.facts.memory for worker in could], default=0)


def shown(size: int) -> str:
    """101000000 -> 101 MB, for people."""
    return f"{size / 1e9:.3g} GB" if size >= 10**9 else f"{size / 1e6:.3g} MB"


def _rounded(size: int) -> int:
    step = max(LEAST_STEP, 1 << max(0, size.bit_length() - 3))
    return -(-size // step) * step
