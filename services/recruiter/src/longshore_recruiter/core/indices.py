"""A set of task ordinals as ranges: a million waiting tasks of an array are one."""

from bisect import bisect_left
from collections.abc import Iterator


class Indices:
    """Mutable; ranges are disjoint, sorted, never adjacent."""

    def __init__(self, lo: int = 0, hi: int = -1) -> None:
        self._ranges: list[tuple[int, int]] = [(lo, hi)] if lo <= hi else []

    def __len__(self) -> int:
        return sum(hi - lo + 1 for lo, hi in self._ranges)

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def __contains__(self, index: int) -> bool:
        start, stop = self._meeting(index, index)
        return start < stop

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Ranges (lo, hi), both included, ascending."""
        return iter(self._ranges)

    def add(self, lo: int, hi: int) -> None:
        """Put `lo`..`hi` in; what is in already stays."""
        start, stop = self._meeting(lo - 1, hi + 1)
        if start < stop:
            lo, hi = min(lo, self._ranges[start][0]), max(hi, self._ranges[stop - 1][1])
        self._ranges[start:stop] = [(lo, hi)]

    def remove(self, lo: int, hi: int) -> None:
        """Take `lo`..`hi` out; what is not in is passed over."""
        start, stop = self._meeting(lo, hi)
        met = self._ranges[start:stop]
        left = [(a, lo - 1) for a, _ in met[:1] if a < lo]
        right = [(hi + 1, b) for _, b in met[-1:] if b > hi]
        self._ranges[start:stop] = left + right

    def take(self) -> list[tuple[int, int]]:
        """Empty it, and return what was in."""
        taken, self._ranges = self._ranges, []
        return taken

    def _meeting(self, lo: int, hi: int) -> tuple[int, int]:
        """The ranges that share an ordinal with `lo`..`hi`, as a slice."""
        start = stop = bisect_left(self._ranges, lo, key=_last)
        while stop < len(self._ranges) and self._ranges[stop][0] <= hi:
            stop += 1
        return start, stop


def _last(held: tuple[int, int]) -> int:
    return held[1]
