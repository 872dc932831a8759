"""Which tasks of one submission require which others: a million edges as a few flat arrays.

`targets[offsets[r] : offsets[r + 1]]` are the dependents of task r (compressed sparse rows), so that what became ready is
found from the task that ended, never by a scan. What must not enter: states of tasks, events.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate, chain
from operator import eq, gt
from sys import byteorder

from msgspec import Struct

from longshore_common.model import Edge
from longshore_dispatcher.core.ranges import Run

#: Tasks of a cycle that are told.
SHOWN = 6
#: Four bytes for each ordinal, the lowest byte first.
WIDTH = 4


class Graph(Struct, array_like=True, gc=False):
    """The edges of a submission, as four bytes for each number; `thinned` to those that can still matter when it ended."""

    offsets: bytes
    targets: bytes

    @property
    def edges(self) -> int:
        """How many there are."""
        return len(self.targets) // WIDTH


def pack(edges: Iterable[Edge]) -> bytes:
    """Edges as (dependent, required) pairs of four bytes; `OverflowError` if a number is negative or has more."""
    return _bytes(array("I", chain.from_iterable(edges)))


def of(size: int, packed: bytes) -> Graph:
    """The graph of `size` tasks from packed edges that have no `fault`."""
    pairs = numbers(packed)
    return _graph(size, pairs[0::2], pairs[1::2])


def _graph(size: int, dependents: "array[int]", required: "array[int]") -> Graph:
    counts = array("I", bytes(WIDTH * (size + 1)))
    for r in required:
        counts[r + 1] += 1
    offsets = array("I", accumulate(counts))
    place, targets = offsets[:], array("I", bytes(WIDTH * len(dependents)))
    for d, r in zip(dependents, required, strict=True):
        at = place[r]
        targets[at] = d
        place[r] = at + 1
    return Graph(_bytes(offsets), _bytes(targets))


def numbers(packed: bytes) -> "array[int]":
    """What was packed, as an array."""
    found = array("I")
    found.frombytes(packed)
    if byteorder == "big":
        found.byteswap()
    return found


def _bytes(values: "array[int]") -> bytes:
    if byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


# --- what is wrong with edges -------------------------------------------------------------------------------------------


def fault(size: int, packed: bytes) -> tuple[int, str] | None:
    """(the dependent's ordinal, what is wrong) of the first bad edge: out of range, or of a task to itself."""
    pairs = numbers(packed)
    dependents, required = pairs[0::2], pairs[1::2]
    if max(pairs, default=0) < size and not any(map(eq, dependents, required)):
        return None
    for d, r in zip(dependents, required, strict=True):
        if d == r:
            return d, "it requires itself: leave that edge out"
        if max(d, r) >= size:
            return min(d, size - 1), f"the edge [{d},{r}] names a task that is not there: they are 0 to {size - 1}"
    return None


def cycle(size: int, packed: bytes, graph: Graph) -> list[int]:
    """Tasks that require one another in a ring, each the next one; empty if there is no such ring.

    Where all edges lead to tasks further in front, there is none; else Kahn (1962): take away what requires nothing.
    """
    pairs = numbers(packed)
    dependents, required = pairs[0::2], pairs[1::2]
    if all(map(gt, dependents, required)) or all(map(gt, required, dependents)):
        return []
    counts = Counts(size, graph)
    counts.all_open()
    left = counts.open
    free = [k for k in range(size) if not left[k]]
    while free:
        for d in counts.dependents(free.pop()):
            left[d] -= 1
            if not left[d]:
                free.append(d)
    if not any(left):
        return []
    return _ring({d: r for d, r in zip(dependents, required, strict=True) if left[d] and left[r]})


def _ring(requires: dict[int, int]) -> list[int]:
    """Each of these requires another of them; walk until one comes again."""
    walked: dict[int, int] = {}
    at = next(iter(requires))
    while at not in walked:
        walked[at] = len(walked)
        at = requires[at]
    return list(walked)[walked[at] :]


def told(ring: list[int]) -> str:
    """A cycle in words, with the fix."""
    shown = " requires ".join(map(str, [*ring[:SHOWN], "…", ring[0]] if len(ring) > SHOWN else [*ring, ring[0]]))
    return f"its edges go round in a circle: task {shown}; none of them could ever start: leave one of these edges out"


# --- how far it is ------------------------------------------------------------------------------------------------------


class Counts:
    """Derived, per task: `open` edges to tasks that are still to come, and of these the `broken` ones that failed."""

    __slots__ = ("_offsets", "broken", "open", "targets")

    def __init__(self, size: int, graph: Graph) -> None:
        self._offsets = numbers(graph.offsets)
        self.targets = numbers(graph.targets)
        self.open = array("i", bytes(WIDTH * size))
        self.broken = array("i", bytes(WIDTH * size))

    def dependents(self, required: int) -> "array[int]":
        """The tasks that require this one, one as often as it does."""
        offsets = self._offsets
        return self.targets[offsets[required] : offsets[required + 1]]

    def all_open(self) -> None:
        """Nothing has ended yet."""
        still = self.open
        for d in self.targets:
            still[d] += 1

    def add(self, numbers: "array[int]", runs: Iterable[Run]) -> None:
        """One more in `numbers` for each edge to a task in these runs."""
        for lo, hi in runs:
            for r in range(lo, hi + 1):
                for d in self.dependents(r):
                    numbers[d] += 1

    def required_by(self, dependent: int) -> Iterator[int]:
        """What this task requires: a search through all edges, about 4 ms in a million of them."""
        targets, at = _bytes(self.targets), -1
        wanted = _bytes(array("I", (dependent,)))
        while (at := targets.find(wanted, at + 1)) >= 0:
            if at % WIDTH == 0:
                yield bisect_right(self._offsets, at // WIDTH) - 1


def thinned(size: int, graph: Graph, kept: Iterable[Run]) -> Graph | None:
    """Only the edges to tasks in these runs: what succeeded is required by nobody any more."""
    counts = Counts(size, graph)
    dependents, required = array("I"), array("I")
    for lo, hi in kept:
        for r in range(lo, hi + 1):
            found = counts.dependents(r)
            dependents += found
            required.extend([r] * len(found))
    return _graph(size, dependents, required)
