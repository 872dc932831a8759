"""What single attempts have of the host for themselves: GPUs by id, and hardware threads of one NUMA node.

What must not enter: finding out what there is, and how it takes effect in a process (`contract`, the lanes).
"""

from collections.abc import Iterable
from math import ceil
from typing import Final

from .contract import SHARED, Devices

#: A host of one node, on which nothing is pinned.
UNPINNED: Final[tuple[tuple[int, ...], ...]] = ()


class Ledger:
    """Which ids are taken; each by one attempt at a time. `nodes`: hardware threads of each node, empty: no pinning."""

    def __init__(self, gpus: Iterable[str] = (), nodes: Iterable[Iterable[int]] = UNPINNED) -> None:
        self.gpus = tuple(gpus)
        self.nodes = tuple(tuple(node) for node in nodes)
        self._gpus: set[str] = set()
        self._cpus: set[int] = set()

    @property
    def pins(self) -> bool:
        """Attempts get hardware threads of their own."""
        return bool(self.nodes)

    def take(self, gpus: int, cpus: float) -> Devices | None:
        """So many GPUs, and whole threads of one node; None if the GPUs are not free now.

        Threads that no single node has left are not set aside: the attempt then shares what there is, as without pinning.
        """
        free = [g for g in self.gpus if g not in self._gpus] if gpus else []
        if len(free) < gpus:
            return None
        taken = Devices(self._threads(ceil(cpus)) if self.nodes else (), tuple(free[:gpus]))
        if taken == SHARED:
            return SHARED
        self.hold(taken)
        return taken

    def _threads(self, wanted: int) -> tuple[int, ...]:
        """Of the node that is left with the fewest, so that large attempts find room later."""
        left = [[c for c in node if c not in self._cpus] for node in self.nodes]
        fitting = [threads for threads in left if len(threads) >= wanted > 0]
        return tuple(min(fitting, key=len)[:wanted]) if fitting else ()

    def hold(self, devices: Devices) -> None:
        """These are taken, as a journal says."""
        self._gpus.update(devices.gpus)
        self._cpus.update(devices.cpus)

    def give_back(self, devices: Devices) -> None:
        """These are free again; a repeat changes nothing."""
        self._gpus.difference_update(devices.gpus)
        self._cpus.difference_update(devices.cpus)
