"""Which tasks a reader asks for, and where a page begins: parsed from text once, at the border.

A selection is a set of windows (ranges of ordinals per submission) and filters; a cursor is the last task of a page.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from longshore_api.core.rows import TASK_STATES
from longshore_common.errors import BadInput

#: Tasks or ranges one request may name.
MOST_WINDOWS: Final = 10_000
MOST_ITEMS: Final = 1_000
_ID: Final = re.compile(r"(\d{1,18})(?:\.(\d{1,18})(?:-(\d{1,18}))?)?")
#: The end of a window that is all of its submission.
EVERY: Final = (1 << 62) - 1


class Window(NamedTuple):
    """The tasks `lo` to `hi` of one submission, both included."""

    submission: int
    lo: int
    hi: int


class Place(Struct, frozen=True):
    """A task: where the page before ended."""

    submission: int
    index: int


class Selection(Struct, frozen=True, kw_only=True):
    """Filters, all of which hold; None or empty = any. `windows` are disjoint and sorted."""

    batch: str | None = None
    name: str | None = None
    worker: str | None = None
    user: str | None = None
    submission: int | None = None
    states: tuple[str, ...] = ()
    windows: tuple[Window, ...] | None = None


def windows(ids: str) -> tuple[Window, ...]:
    """`1204.0-99,1205.3,1206` as disjoint windows; a submission alone is all of it. `BadInput` names the odd one."""
    found = []
    for word in filter(None, (w.strip() for w in ids.split(","))):
        match = _ID.fullmatch(word)
        if match is None:
            raise BadInput(f"{word!r} is not a task id: write 1204.17, 1204.0-99 or 1204, separated by commas")
        submission, lo, hi = match.groups()
        found.append(Window(int(submission), int(lo or 0), int(hi or lo or EVERY)))
    if len(found) > MOST_WINDOWS:
        raise BadInput(f"{len(found)} ids are too many for one request: name at most {MOST_WINDOWS}, or use ranges")
    return _disjoint(found)


def _disjoint(found: list[Window]) -> tuple[Window, ...]:
    result: list[Window] = []
    for window in sorted(found):
        last = result[-1] if result else None
        if last and last.submission == window.submission and window.lo <= last.hi + 1:
            result[-1] = last._replace(hi=max(last.hi, window.hi))
        else:
            result.append(window)
    return tuple(result)


def states(text: str) -> tuple[str, ...]:
    """`failed,cancelled` as states; `BadInput` names those there are."""
    named = tuple(filter(None, (w.strip() for w in text.split(","))))
    if odd := [s for s in named if s not in TASK_STATES]:
        raise BadInput(f"{odd[0]!r} is not a state of a task: use {', '.join(TASK_STATES)}")
    return tuple(s for s in TASK_STATES if s in named)


def written(place: Sequence[int | str]) -> str:
    """An opaque cursor."""
    return base64.urlsafe_b64encode(".".join(map(str, place)).encode()).decode().rstrip("=")


def read(cursor: str) -> list[str]:
    """What a cursor was written from; `BadInput` if it is none of ours."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError) as err:
        raise BadInput(f"{cursor!r} is not a cursor: pass `next` of the page before, unchanged") from err
    return text.split(".")


def place(cursor: str) -> Place:
    """The last task of the page before; `BadInput` if the cursor is not of a list of tasks."""
    words = read(cursor)
    if len(words) != 2 or not all(w.isascii() and w.isdigit() and len(w) < 19 for w in words):
        raise BadInput(f"{cursor!r} is not a cursor of a list of tasks: pass `next` of the page before, unchanged")
    return Place(int(words[0]), int(words[1]))
