"""Tables as Slurm prints them: `%.18i`, `field:20`, `field%20`, parsable. Pure text; what must not enter: what fields mean."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

_LETTER: Final = re.compile(r"%(\.?)(\d*)([A-Za-z])")
_WIDTH: Final = 20


class Column(NamedTuple):
    """A field by the program's name, its width (0 = as wide as it is), its side, and what stands before and after it."""

    name: str
    width: int = 0
    right: bool = False
    before: str = ""
    after: str = ""


def of_letters(text: str) -> tuple[Column, ...]:
    """`%.18i %.9P|%t`: letters with widths; what stands between is kept."""
    found: list[Column] = []
    at = 0
    for match in _LETTER.finditer(text):
        found.append(Column(match[3], int(match[2] or 0), bool(match[1]), before=text[at : match.start()]))
        at = match.end()
    if found and at < len(text):
        found[-1] = found[-1]._replace(after=text[at:])
    return tuple(found)


def of_names(text: str) -> tuple[Column, ...]:
    """`JobID:10,State:.8,Reason`: names with widths, twenty if none is given."""
    found = []
    for piece in filter(None, (word.strip() for word in text.split(","))):
        name, _, size = piece.partition(":")
        digits = re.match(r"(\.?)(\d*)(.*)", size)
        assert digits is not None  # every part of it may be empty
        found.append(Column(name, int(digits[2] or _WIDTH), bool(digits[1]), after=digits[3]))
    return tuple(found)


def of_percents(text: str, usual: int) -> tuple[Column, ...]:
    """`jobid,state%20,name%-30`: names with widths; they stand right, a negative width left."""
    found = []
    for piece in filter(None, (word.strip() for word in text.split(","))):
        name, percent, size = piece.partition("%")
        wide = int(size) if percent and size.lstrip("-").isdigit() else usual
        found.append(Column(name, abs(wide), right=wide > 0, after=" "))
    return tuple(found)


def line(columns: Sequence[Column], values: Iterable[str]) -> str:
    """One row."""
    cells = []
    for column, value in zip(columns, values, strict=True):
        text = value[: column.width] if column.width else value
        padded = text.rjust(column.width) if column.right else text.ljust(column.width)
        cells.append(column.before + padded + column.after)
    return "".join(cells).rstrip(" ") or ""


def parted(rows: Iterable[Sequence[str]], sign: str, *, closed: bool) -> Iterator[str]:
    """Rows for programs: a sign between the values, or behind each."""
    for row in rows:
        yield sign.join(row) + (sign if closed else "")
