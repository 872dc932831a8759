"""Runs of ordinals, both ends included, ascending and disjoint; and how PostgreSQL writes them, as a multirange.

What must not enter: what the ordinals mean.
"""

import re
from collections.abc import Iterable
from typing import Final

Run = tuple[int, int]

_PIECE: Final = re.compile(r"\[(\d+),(\d+)\)")


def parsed(text: str) -> tuple[Run, ...]:
    """`{[0,5),[7,9)}` -> ((0, 4), (7, 8))"""
    return tuple((int(lo), int(end) - 1) for lo, end in _PIECE.findall(text))


def written(runs: Iterable[Run]) -> str:
    """((0, 4), (7, 8)) -> `{[0,5),[7,9)}`"""
    return "{" + ",".join(f"[{lo},{hi + 1})" for lo, hi in runs) + "}"


def within(runs: Iterable[Run], lo: int, hi: int) -> list[Run]:
    """What of `lo` to `hi` is in the runs, ascending."""
    return [(max(a, lo), min(b, hi)) for a, b in runs if a <= hi and lo <= b]


def without(runs: Iterable[Run], lo: int, hi: int) -> list[Run]:
    """What of `lo` to `hi` is not in the ascending runs."""
    left, at = [], lo
    for a, b in within(runs, lo, hi):
        if at < a:
            left.append((at, a - 1))
        at = b + 1
    return [*left, (at, hi)] if at <= hi else left


def joined(runs: Iterable[Run]) -> tuple[Run, ...]:
    """Ascending, disjoint, none touching the next."""
    found: list[Run] = []
    for lo, hi in sorted(runs):
        if found and lo <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(hi, found[-1][1]))
        else:
            found.append((lo, hi))
    return tuple(found)
