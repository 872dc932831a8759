"""Many runs put into or taken out of `Ranges` at once, in one walk over both; one by one, each would move half of a list.

What must not enter: what the ordinals mean.
"""

from collections.abc import Iterable, Sequence

from longshore_dispatcher.core.ranges import Ranges, Run

#: From so many runs on, one walk over all is cheaper than a search for each.
MANY = 24


def falling(runs: Iterable[Run]) -> list[Run]:
    """Runs in the order that `Ranges` keep, joined where they touch or overlap."""
    joined: list[Run] = []
    for lo, hi in sorted(runs, reverse=True):
        if joined and hi >= joined[-1][0] - 1:
            joined[-1] = (lo, max(hi, joined[-1][1]))
        else:
            joined.append((lo, hi))
    return joined


def gathered(indices: Iterable[int]) -> Ranges:
    """These ordinals, which ascend."""
    runs: list[Run] = []
    count, lo, hi = 0, -2, -2
    for index in indices:
        count += 1
        if index == hi + 1:
            hi = index
            continue
        if lo >= 0:
            runs.append((lo, hi))
        lo = hi = index
    if lo >= 0:
        runs.append((lo, hi))
    runs.reverse()
    return Ranges(runs, count)


def put(ranges: Ranges, runs: Sequence[Run]) -> None:
    """Put all these in; what is in already stays."""
    if len(runs) < MANY:
        for run in runs:
            ranges.add(*run)
        return
    ranges.runs = falling((*ranges.runs, *runs))
    ranges.count = sum(hi - lo + 1 for lo, hi in ranges.runs)


def take(ranges: Ranges, runs: Sequence[Run]) -> list[Run]:
    """Take all these out; returns what was in, highest run first if there are many."""
    if len(runs) < MANY:
        return [run for lo, hi in runs for run in ranges.cut(lo, hi)]
    inside, outside = _parted(ranges.runs, falling(runs))
    ranges.runs = outside
    ranges.count -= sum(hi - lo + 1 for lo, hi in inside)
    return inside


def _parted(runs: list[Run], by: list[Run]) -> tuple[list[Run], list[Run]]:
    """What of the falling `runs` is in the falling `by`, and what is not."""
    inside: list[Run] = []
    outside: list[Run] = []
    at, last = 0, len(by)
    for lo, hi in runs:
        top = hi
        while at < last and by[at][0] > hi:
            at += 1
        while at < last and by[at][1] >= lo:
            low, high = max(by[at][0], lo), min(by[at][1], top)
            if high < top:
                outside.append((high + 1, top))
            inside.append((low, high))
            top = low - 1
            if by[at][0] < lo:
                break
            at += 1
        if top >= lo:
            outside.append((lo, top))
    return inside, outside
