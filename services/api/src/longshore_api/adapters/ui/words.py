"""How values read on a page: sizes, durations, instants, commands, states. What must not enter: HTML, rows."""

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from longshore_api.core.rows import OPEN_STATES, TASK_STATES

#: States in the order in which a bar shows them: what is done first.
BAR: Final = ("succeeded", "failed", "cancelled", "delivering", "running", "staging", "assigned", "queued", "waiting")
#: What one sees of a command in a list.
_LONGEST: Final = 160


def size(value: float | None) -> str:
    """`1.5 GB`, decimal; "" for nothing known."""
    if value is None:
        return ""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(value) < 999.5 or unit == "TB":
            return f"{value:.0f} {unit}" if unit == "B" or abs(value) >= 99.5 else f"{value:.3g} {unit}"
        value /= 1000
    return ""


def binary(value: float | None) -> str:
    """`1.5 GiB`, as sizes are asked for; "" for none."""
    if not value:
        return ""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1023.5 or unit == "TiB":
            return f"{value:.4g} {unit}"
        value /= 1024
    return ""


def span(seconds: float | None) -> str:
    """`340 ms`, `3.2 s`, `12 min`, `2 h 5 min`, `3 d 4 h`; "" for none."""
    if seconds is None:
        return ""
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes < 10 and rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours and days < 14 else f"{days} d"


def number(value: float | None) -> str:
    """`1,234,567`"""
    return "" if value is None else f"{value:,.0f}"


def rate(value: float | None) -> str:
    """A number of things in a minute: `0.4`, `12`, `1,770`."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.2g}"


def plural(count: float, one: str, many: str = "") -> str:
    """`1 task`, `1,200 tasks`"""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def instant(text: str | None) -> float | None:
    """Unix seconds of an instant in ISO 8601."""
    return datetime.fromisoformat(text).timestamp() if text else None


def elapsed(begin: str | None, end: str | None) -> float | None:
    """Seconds from one instant to another; None unless both are known."""
    return None if not begin or not end else (instant(end) or 0) - (instant(begin) or 0)


def command(words: Sequence[str], *, whole: bool = False) -> str:
    """As one would type it; in a list only its beginning."""
    text = shlex.join(words)
    return text if whole or len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def share(part: float, whole: float) -> float:
    """Percent, 0 of nothing."""
    return 100 * part / whole if whole else 0.0


def segments(states: Mapping[str, int], total: int = 0) -> list[dict[str, Any]]:
    """A bar of states: each with its begin and width in percent, in the order of `BAR`."""
    whole = total or sum(states.values())
    found, at = [], 0.0
    for state in BAR:
        if count := states.get(state, 0):
            width = share(count, whole)
            found.append({"state": state, "count": count, "at": round(at, 3), "width": round(width, 3)})
            at += width
    return found


def ended(states: Mapping[str, int]) -> int:
    """How many are over."""
    return sum(count for state, count in states.items() if state not in OPEN_STATES)


def left(states: Mapping[str, int]) -> int:
    """How many are not over."""
    return sum(count for state, count in states.items() if state in OPEN_STATES)


def told(states: Mapping[str, int]) -> str:
    """`120 succeeded, 3 running`"""
    return ", ".join(f"{number(states[s])} {s}" for s in TASK_STATES if states.get(s)) or "no tasks"
