"""Output in our manners: stdout is data, stderr is talk; tables on a terminal, tab-separated lines elsewhere."""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from longshore_common.errors import BadInput

#: No cell of a table is wider than this; JSON has it all.
_WIDEST = 60


def data(line: str) -> None:
    """One line of data, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def raw_lines(lines: Iterable[bytes]) -> None:
    """JSON objects, one per line, as they came."""
    sys.stdout.flush()
    out = sys.stdout.buffer
    for line in lines:
        out.write(line + b"\n")
    out.flush()


def raw_bytes(pieces: Iterable[bytes]) -> None:
    """Bytes of a task's output, untouched, each piece at once."""
    sys.stdout.flush()
    out = sys.stdout.buffer
    for piece in pieces:
        out.write(piece)
        out.flush()


def agreed(question: str) -> bool:
    """Whether whoever sits there says yes; `BadInput` if nobody does."""
    if not sys.stdin.isatty():
        raise BadInput(f"{question} Give --yes: nobody is there to ask")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def note(text: str) -> None:
    """Talk: one line on stderr."""
    sys.stderr.write(f"longshore: {text}\n")
    sys.stderr.flush()


def progress(text: str) -> None:
    """A line that the next one replaces; only on a terminal. Empty text removes it."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Aligned with a head on a terminal; elsewhere tab-separated, without a head, tabs and newlines escaped."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not sys.stdout.isatty():
        for row in cells:
            sys.stdout.write("\t".join(row) + "\n")
        return
    width = max(os.get_terminal_size(sys.stdout.fileno()).columns, 40)
    wide = [min(_WIDEST, max(len(row[k]) for row in [list(heads), *cells])) for k in range(len(heads))]
    for row in [list(heads), *cells]:
        line = "  ".join(_cut(cell, wide[k]).ljust(wide[k]) for k, cell in enumerate(row))
        sys.stdout.write(line[:width].rstrip() + "\n")


def pairs(record: dict[str, Any]) -> None:
    """A record for people: one `name  value` line per field that has one."""
    wide = max(map(len, record), default=0)
    for name, value in record.items():
        if value not in (None, "", [], {}):
            sys.stdout.write(f"{name.ljust(wide)}  {_cell(value)}\n")


def counts(states: dict[str, int]) -> str:
    """`512 succeeded, 3 failed`"""
    return ", ".join(f"{count} {state}" for state, count in states.items() if count)


def command_line(words: Sequence[str]) -> str:
    """An argv as one could type it."""
    import shlex

    return shlex.join(words)


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.3f}".rstrip("0").rstrip(".")
        case dict():
            return " ".join(f"{key}={_cell(item)}" for key, item in value.items()) or "-"
        case list() | tuple():
            return " ".join(map(_cell, value)) or "-"
        case _:
            return str(value).translate({9: "\\t", 10: "\\n", 13: "\\r"}) or "-"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
