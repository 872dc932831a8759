"""Words that name tasks: `1204.17`, `1204.0-99`, `1204` (all of a submission), `last`, `last.3`, and commas between.

Pure parsing; what `last` is and how large a submission is are asked through the arguments of `resolve`.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from longshore_common.errors import BadInput
from longshore_common.ids import SubmissionId, TaskRange

_SELECTOR: Final = re.compile(r"(last|[1-9][0-9]*)(?:\.([0-9]+)(?:-([0-9]+))?)?", re.ASCII)


class Selector(NamedTuple):
    """Ordinals `lo` to `hi` of a submission (None: the last one submitted); all of it if `lo` is None."""

    submission: int | None
    lo: int | None = None
    hi: int | None = None


class Sized(NamedTuple):
    """A submission and how many tasks it has."""

    id: int
    size: int


def parse(words: str | Iterable[str]) -> tuple[Selector, ...]:
    """Every selector in these words; `BadInput` shows the one that is none."""
    found = []
    for word in [words] if isinstance(words, str) else words:
        for piece in word.split(","):
            found.append(_one(piece.strip()))
    return tuple(found)


def looks_like_one(word: str) -> bool:
    """Whether `parse` would take this word, so that anything else may be a name."""
    return all(_SELECTOR.fullmatch(piece.strip()) for piece in word.split(","))


def _one(piece: str) -> Selector:
    found = _SELECTOR.fullmatch(piece)
    if not found:
        raise BadInput(f"{piece!r} names no task: write 1204.17, 1204.0-99, 1204 for a whole submission, or last")
    submission = None if found[1] == "last" else int(found[1])
    if found[2] is None:
        return Selector(submission)
    lo, hi = int(found[2]), int(found[3] or found[2])
    if hi < lo:
        raise BadInput(f"the range {piece!r} is empty: {hi} is before {lo}")
    return Selector(submission, lo, hi)


def resolve(
    selectors: Iterable[Selector], last: Callable[[], Sized], size_of: Callable[[int], int]
) -> tuple[TaskRange, ...]:
    """The task ranges meant; `last` and `size_of` are asked only where a selector needs them."""
    ranges = []
    for selector in selectors:
        known = last() if selector.submission is None else None
        submission = known.id if known else selector.submission
        assert submission is not None  # one of the two is there
        if selector.lo is not None and selector.hi is not None:
            ranges.append(TaskRange(SubmissionId(submission), selector.lo, selector.hi))
            continue
        size = known.size if known else size_of(submission)
        ranges.append(TaskRange(SubmissionId(submission), 0, max(size - 1, 0)))
    return tuple(ranges)


def size_of_all(ranges: Iterable[TaskRange]) -> int:
    """How many tasks these ranges hold."""
    return sum(len(r) for r in ranges)
