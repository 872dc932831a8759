"""The edits of one submission: which tasks each holds for, and what they make of a spec, in the order they were made.

Undone, an edit holds for nothing, and stays in its place in case that is undone. What must not enter: the state.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from longshore_common import editing
from longshore_common.errors import BadInput
from longshore_common.model import Change, TaskSpec
from longshore_dispatcher.core.ranges import Ranges, Run

#: Edits of one submission; each task handed out asks all of them.
MOST = 1000


class Edit(Struct, array_like=True, gc=False):
    """The edit of the event at `seq`, and the tasks it holds for.

    `memory`: bytes that tasks had been given after they ran out, for which the edit says otherwise.
    """

    seq: int
    request: int
    change: Change
    runs: Ranges
    memory: dict[int, int] = {}


class Origin(Struct, array_like=True, gc=False):
    """What an edited submission was before: its lots by ordinal, shared resources, and whether it delivers and fetches."""

    lot_starts: list[int]
    lot_of: list[int]
    resources: tuple[str, ...]
    delivers: bool
    fetches: bool


class Piece(NamedTuple):
    """The edits that hold for an ordinal, and from where to where the same ones do."""

    edits: tuple[Edit, ...]
    lo: int
    hi: int


def piece(edits: Sequence[Edit], index: int, size: int) -> Piece:
    """The piece of a submission in which this task is."""
    lo, hi = 0, size - 1
    holding = []
    for edit in edits:
        a, b, holds = _around(edit.runs, index, size)
        lo, hi = max(lo, a), min(hi, b)
        if holds:
            holding.append(edit)
    return Piece(tuple(holding), lo, hi)


def _around(ranges: Ranges, index: int, size: int) -> tuple[int, int, bool]:
    """The run or the gap that holds this ordinal, and which of the two it is."""
    runs = ranges.runs
    at = bisect_left(runs, -index, key=_descending)
    if at < len(runs) and runs[at][1] >= index:
        return *runs[at], True
    low = runs[at][1] + 1 if at < len(runs) else 0
    return low, runs[at - 1][0] - 1 if at else size - 1, False


def _descending(run: Run) -> int:
    return -run[0]


def amended(spec: TaskSpec, edits: Sequence[Edit]) -> TaskSpec:
    """The spec after these edits; one whose values do not fit is passed over."""
    for edit in edits:
        try:
            spec = editing.edited(spec, edit.change)
        except BadInput:
            continue
    return spec


def spec_at(spec: TaskSpec, edits: Sequence[Edit], index: int) -> TaskSpec:
    """What a task submitted as `spec` is with those of the edits that hold for it."""
    return amended(spec, [edit for edit in edits if edit.runs.has(index)]) if edits else spec
