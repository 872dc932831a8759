"""What a reader means by `--at`: a sequence of the log, or an instant; and which tasks the question is about.

What must not enter: how the state of before is found again, the clock (now is an argument).
"""

import re
from datetime import datetime
from typing import Final, NamedTuple

from longshore_api.core.selection import Window
from longshore_common.errors import BadInput

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO: Final = re.compile(r"-?\s*((?:\d+(?:\.\d+)?\s*[smhdw]\s*)+)(?:ago)?")
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_LARGEST: Final = 1 << 62


class Moment(NamedTuple):
    """A place in the log: its sequence, or else the instant (Unix seconds) before which the last event counts."""

    seq: int | None
    instant: float = 0.0


class Scope(NamedTuple):
    """Whose state is asked for: of these windows, this submission, batch or user; nothing given = everything."""

    windows: tuple[Window, ...] = ()
    batch: str | None = None
    user: str | None = None
    workers: bool = False
    """Workers are asked for too, whose rows take all that was ever said of them."""
    batches: bool = False
    """Batches are asked for too, which takes counting all their submissions."""


def moment(text: str, now: float) -> Moment:
    """`1204`, `2026-11-21T07:00:00+00:00`, `2h ago`, `-1d12h`; `BadInput` shows how to write it."""
    word = text.strip()
    if word.isascii() and word.isdigit() and len(word) < 19:
        return Moment(int(word))
    if (ago := _AGO.fullmatch(word.lower())) and (word.startswith("-") or word.lower().endswith("ago")):
        back = sum(float(n) * _UNITS[unit] for n, unit in _PART.findall(ago.group(1)))
        return Moment(None, now - back)
    try:
        instant = datetime.fromisoformat(word).timestamp()
    except (ValueError, OverflowError, OSError) as err:
        raise BadInput(
            f"at={text!r} is no place in the log: write a sequence (1204), an instant (2026-11-21T07:00:00+00:00) "
            "or how long ago (2h ago, -30m)"
        ) from err
    return Moment(None, min(instant, float(_LARGEST)))


def span(text: str) -> float:
    """`30d`, `1d12h` as seconds; `BadInput` shows how to write it."""
    word = text.strip().lower()
    match = _AGO.fullmatch(word)
    if match is None or word.startswith("-") or word.endswith("ago"):
        raise BadInput(f"{text!r} is no time: write 30d, 12h or 1d12h")
    return sum(float(n) * _UNITS[unit] for n, unit in _PART.findall(match.group(1)))
