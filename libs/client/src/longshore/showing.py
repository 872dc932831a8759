"""How notebooks show what the SDK hands out: small tables of HTML, without scripts, that follow the notebook's colours.

Whatever is shown may have been written by strangers: all of it is escaped. What must not enter: I/O, which records there are.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any, Final, TypeVar

import msgspec

from longshore.quantities import shown_duration, shown_size

T = TypeVar("T")

#: Rows of a list that are shown; all are there.
MOST_ROWS: Final = 100
#: Characters of a cell.
_WIDEST: Final = 200
_SIZES: Final = frozenset({"peak_memory", "memory", "freed", "done_bytes"})
_SECONDS: Final = frozenset({"cpu_seconds", "eta"})
_WORDS: Final = frozenset({"command"})
#: Of a list of these fields, as far as the records have them, only those; of others all that say something.
_CHOSEN: Final = (
    "id", "name", "state", "status", "batch", "user", "hostname", "worker", "n", "attempt", "size", "states", "running",
    "assigned", "concurrency", "exit_code", "cause", "reason", "command", "seq", "at", "author", "type", "text",
    "submitted_at", "started_at", "ended_at", "peak_memory",
)  # fmt: skip
_COLOURS: Final = {
    "succeeded": "#2e8540", "failed": "#c3352b", "lost": "#c3352b", "cancelled": "#8a6d1b", "running": "#2767b0",
    "up": "#2e8540", "quarantined": "#c3352b",
}  # fmt: skip


class Rows(list[T]):
    """A list of records that notebooks show as a table."""

    def as_dicts(self) -> list[dict[str, Any]]:
        """Each record as a dict of its fields, such as `pandas.DataFrame` takes them; instants stay `datetime`."""
        return [msgspec.structs.asdict(one) if isinstance(one, msgspec.Struct) else dict(value=one) for one in self]

    def _repr_html_(self) -> str:
        return table(self)


def record(one: msgspec.Struct) -> str:
    """A record: a line for each field that says something."""
    rows = [
        f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{cell(name, value)}</td></tr>"
        for name, value in _fields(one).items()
        if value not in (None, "", (), {}, False)
    ]
    return f"<table><caption style='text-align:left'>{escape(type(one).__name__)}</caption>{''.join(rows)}</table>"


def table(items: Sequence[object]) -> str:
    """Records of one kind: a row for each, a column for what any of them says."""
    shown = [_fields(one) for one in items[:MOST_ROWS] if isinstance(one, msgspec.Struct)]
    if not shown:
        return f"<p>{len(items)} items</p>" if items else "<p>nothing</p>"
    names = [n for n in _ordered(shown[0]) if any(one.get(n) not in (None, "", (), {}) for one in shown)]
    head = "".join(f"<th style='text-align:left'>{escape(name)}</th>" for name in names)
    body = "".join(_row(names, one) for one in shown)
    more = len(items) - len(shown)
    rest = f"<p>… and {more:,} more</p>" if more else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}"


def bar(done: int, size: int, states: Mapping[str, int]) -> str:
    """How far so many tasks are."""
    said = cell("states", dict(states))
    return f"<p><progress value='{done}' max='{max(size, 1)}'></progress> {done:,} of {size:,} ended: {said}</p>"


def cell(name: str, value: object) -> str:
    """A value as escaped HTML; `name` is its field's, which tells what its numbers count."""
    if name == "state" and isinstance(value, str):
        return f"<span style='color:{_COLOURS.get(value, 'inherit')}'>●</span> {escape(value)}"
    text = _text(name, value)
    return escape(text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…")


def _text(name: str, value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.isoformat(sep=" ", timespec="seconds")
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return _number(name, value)
        case Mapping():
            return ", ".join(
                f"{_text('', v)} {k}" if name == "states" else f"{k}={_text('', v)}" for k, v in value.items()
            )
        case tuple() | list():
            return shlex.join(map(str, value)) if name in _WORDS else " ".join(_text("", one) for one in value)
        case msgspec.Struct():
            return _text("", {k: v for k, v in _fields(value).items() if v not in (None, "", (), {})})
        case _:
            return str(value)


def _number(name: str, value: float) -> str:
    if name in _SIZES:
        return shown_size(value)
    return shown_duration(value) if name in _SECONDS else str(value)


def _row(names: Iterable[str], one: Mapping[str, object]) -> str:
    cells = "".join(f"<td style='text-align:left'>{cell(name, one.get(name))}</td>" for name in names)
    return f"<tr>{cells}</tr>"


def _fields(one: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__struct_fields__}


def _ordered(fields: Mapping[str, object]) -> list[str]:
    chosen = [name for name in _CHOSEN if name in fields]
    return chosen if len(chosen) >= 3 else list(fields)
