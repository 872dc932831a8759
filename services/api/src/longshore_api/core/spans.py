"""Untouched tasks as ranges: a million tasks nobody has assigned yet are one span.

A list of spans is sorted, without overlap. What must not enter: single tasks that have an attempt; those are rows.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace


class Span(Struct, frozen=True):
    """The tasks `lo` to `hi`, both included, never assigned so far, and what they share; `at`: when they ended, or None."""

    lo: int
    hi: int
    state: str
    cause: str | None = None
    reason: str = ""
    at: float | None = None

    def __len__(self) -> int:
        return self.hi - self.lo + 1


def _last(span: Span) -> int:
    return span.hi


def take(spans: list[Span], lo: int, hi: int) -> list[Span]:
    """Cut `lo`..`hi` out of `spans` and return the pieces that were there, ascending."""
    start = stop = bisect_left(spans, lo, key=_last)
    taken: list[Span] = []
    left: list[Span] = []
    while stop < len(spans) and spans[stop].lo <= hi:
        span = spans[stop]
        if span.lo < lo:
            left.append(replace(span, hi=lo - 1))
        if span.hi > hi:
            left.append(replace(span, lo=hi + 1))
        taken.append(replace(span, lo=max(lo, span.lo), hi=min(hi, span.hi)))
        stop += 1
    spans[start:stop] = left
    return taken


def put(spans: list[Span], span: Span) -> None:
    """Insert a span whose place is free, joined with its neighbours where they share everything."""
    at = bisect_left(spans, span.lo, key=_last)
    stop = at
    if stop < len(spans) and replace(spans[stop], lo=span.lo, hi=span.hi) == span and spans[stop].lo == span.hi + 1:
        span, stop = replace(span, hi=spans[stop].hi), stop + 1
    if at and replace(spans[at - 1], lo=span.lo, hi=span.hi) == span and spans[at - 1].hi == span.lo - 1:
        span, at = replace(span, lo=spans[at - 1].lo), at - 1
    spans[at:stop] = [span]


def rewrite(spans: list[Span], runs: Sequence[tuple[int, int]], become: Callable[[Span], Span]) -> None:
    """Whatever is there of these ascending, disjoint `runs` becomes something else, in one walk over what they touch."""
    if not runs:
        return
    start = bisect_left(spans, runs[0][0], key=_last)
    stop = bisect_left(spans, runs[-1][1], key=_last) + 1
    start = max(0, start - 1)  # neighbours may be joined with
    made: list[Span] = []
    at = 0
    for span in spans[start : stop + 1]:
        lo = span.lo
        while at < len(runs) and runs[at][1] < lo:
            at += 1
        while at < len(runs) and runs[at][0] <= span.hi:
            first, last = max(runs[at][0], lo), min(runs[at][1], span.hi)
            if first > lo:
                _join(made, _piece(span, lo, first - 1))
            _join(made, become(_piece(span, first, last)))
            lo = last + 1
            if runs[at][1] > span.hi:
                break
            at += 1
        if lo <= span.hi:
            _join(made, _piece(span, lo, span.hi))
    spans[start : stop + 1] = made


def _piece(span: Span, lo: int, hi: int) -> Span:
    return span if (lo, hi) == (span.lo, span.hi) else Span(lo, hi, span.state, span.cause, span.reason, span.at)


def _join(made: list[Span], span: Span) -> None:
    if made and made[-1].hi == span.lo - 1 and replace(made[-1], lo=span.lo, hi=span.hi) == span:
        made[-1] = replace(made[-1], hi=span.hi)
    else:
        made.append(span)


def covers(spans: Sequence[Span], lo: int, hi: int) -> bool:
    """Whether every task of `lo`..`hi` is untouched and in one span."""
    at = bisect_left(spans, lo, key=_last)
    return at < len(spans) and spans[at].lo <= lo and hi <= spans[at].hi
