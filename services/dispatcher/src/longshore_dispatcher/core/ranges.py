"""A set of task ordinals as runs: a million untouched tasks are one pair of numbers.

What must not enter: what the ordinals mean.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from msgspec import Struct

Run = tuple[int, int]


class Ranges(Struct, array_like=True, gc=False):
    """Disjoint, non-adjacent runs `(lo, hi)`, both ends in, the lowest last so that taking from the front is a pop."""

    runs: list[Run] = []
    count: int = 0

    def __len__(self) -> int:
        return self.count

    def ascending(self) -> Iterator[Run]:
        """The runs, lowest first."""
        return reversed(self.runs)

    def has(self, index: int) -> bool:
        """Whether this ordinal is in."""
        at = self._below(index)
        return at < len(self.runs) and self.runs[at][1] >= index

    def first(self, k: int) -> list[Run]:
        """The `k` lowest ordinals as runs; fewer if there are fewer."""
        found = []
        for lo, hi in reversed(self.runs):
            if k <= 0:
                break
            if hi - lo >= k:
                hi = lo + k - 1
            found.append((lo, hi))
            k -= hi - lo + 1
        return found

    def within(self, lo: int, hi: int) -> list[Run]:
        """What of `lo` to `hi` is in, highest run first."""
        at, found = self._below(hi), []
        while at < len(self.runs) and self.runs[at][1] >= lo:
            a, b = self.runs[at]
            found.append((max(a, lo), min(b, hi)))
            at += 1
        return found

    def overlap(self, lo: int, hi: int) -> int:
        """How many of `lo` to `hi` are in."""
        return sum(b - a + 1 for a, b in self.within(lo, hi))

    def cut(self, lo: int, hi: int) -> list[Run]:
        """Take `lo` to `hi` out; returns what was in, highest run first."""
        runs = self.runs
        if runs and runs[-1][0] == lo and hi <= runs[-1][1]:  # the front: what assignment takes
            end = runs.pop()[1]
            if hi < end:
                runs.append((hi + 1, end))
            self.count -= hi - lo + 1
            return [(lo, hi)]
        removed = self.within(lo, hi)
        if not removed:
            return removed
        at = self._below(hi)
        keep = []
        if runs[at][1] > hi:
            keep.append((hi + 1, runs[at][1]))
        last = runs[at + len(removed) - 1]
        if last[0] < lo:
            keep.append((last[0], lo - 1))
        runs[at : at + len(removed)] = keep
        self.count -= sum(b - a + 1 for a, b in removed)
        return removed

    def add(self, lo: int, hi: int) -> None:
        """Put `lo` to `hi` in; what is in already stays."""
        self.cut(lo, hi)
        self.count += hi - lo + 1
        runs, at = self.runs, self._below(lo)
        if at > 0 and runs[at - 1][0] == hi + 1:
            at -= 1
            hi = runs.pop(at)[1]
        if at < len(runs) and runs[at][1] == lo - 1:
            lo = runs.pop(at)[0]
        runs.insert(at, (lo, hi))

    def _below(self, index: int) -> int:
        """The position of the first run that begins at or below `index`."""
        return bisect_left(self.runs, -index, key=_descending)


def _descending(run: Run) -> int:
    return -run[0]


def whole(size: int) -> Ranges:
    """All of 0 to size-1."""
    return Ranges([(0, size - 1)], size) if size else Ranges([], 0)


def of(runs: Iterable[Run]) -> Ranges:
    """A set of ascending, disjoint, non-adjacent runs."""
    listed = list(runs)
    listed.reverse()
    return Ranges(listed, sum(b - a + 1 for a, b in listed))
