"""Times, sizes, arrays and lists of hosts as Slurm writes them. Pure text to values and back; no I/O.

Formats: sbatch(1), "time" and "mem"; hostlists as of `scontrol show hostnames`.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from longshore_common.errors import BadInput

_MEGABYTE: Final = 1024 * 1024
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTP]?)B?", re.IGNORECASE)
_TIME: Final = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
_ENDLESS: Final = frozenset({"unlimited", "infinite", "-1", "0"})
_SPAN: Final = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?")
#: Most elements of an array that is no plain range; those are named one by one.
MOST_LISTED: Final = 100_000


class Indices(NamedTuple):
    """The elements of an array: `size` from `start` by `step`, or those `listed`; at most `limit` at once, 0 = any."""

    start: int
    step: int
    size: int
    limit: int
    listed: tuple[int, ...] = ()

    @property
    def highest(self) -> int:
        """The greatest element."""
        return max(self.listed) if self.listed else self.start + self.step * (self.size - 1)

    @property
    def lowest(self) -> int:
        """The smallest element."""
        return min(self.listed) if self.listed else self.start


def seconds(text: str) -> float:
    """`90` (minutes), `10:30`, `1:00:00`, `2-12`, `2-12:30`, `2-12:30:00` in seconds; 0 for no limit."""
    word = text.strip().lower()
    if word in _ENDLESS:
        return 0.0
    found = _TIME.fullmatch(word)
    if not found:
        raise BadInput(
            f"Invalid time limit specification: {text!r}: write minutes, hours:minutes:seconds or days-hours"
        )
    days, *rest = (None if piece is None else int(piece) for piece in found.groups())
    numbers = [piece for piece in rest if piece is not None]
    if days is not None:
        hours, minutes, secs = (*numbers, 0, 0)[:3]
        return float(days * 86400 + hours * 3600 + minutes * 60 + secs)
    match numbers:
        case [minutes]:
            return minutes * 60.0
        case [minutes, secs]:
            return minutes * 60.0 + secs
        case _:
            hours, minutes, secs = numbers
            return hours * 3600.0 + minutes * 60 + secs


def shown_time(total: float) -> str:
    """5400 -> 1:30:00, as squeue shows what was used: [days-][hours:]minutes:seconds."""
    days, left = divmod(max(int(total), 0), 86400)
    hours, left = divmod(left, 3600)
    minutes, secs = divmod(left, 60)
    if days:
        return f"{days}-{hours:02}:{minutes:02}:{secs:02}"
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"


def shown_elapsed(total: float) -> str:
    """5400 -> 01:30:00, as sacct shows it."""
    days, left = divmod(max(int(total), 0), 86400)
    hours, left = divmod(left, 3600)
    clock = f"{hours:02}:{left // 60:02}:{left % 60:02}"
    return f"{days}-{clock}" if days else clock


def memory(text: str) -> int:
    """Bytes of `256` (megabytes), `4G`, `512M`; all of a node (`0`) is no request."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise BadInput(f"Invalid memory specification: {text!r}: write megabytes, or a number with K, M, G or T")
    number, unit = float(found[1]), (found[2] or "M").upper()
    return int(number * 1024 ** " KMGTP".index(unit))


def shown_memory(size: int) -> str:
    """Bytes as Slurm shows them: 256M, 4G, 0."""
    if size and size % 1024**3 == 0:
        return f"{size // 1024**3}G"
    return f"{-(-size // _MEGABYTE)}M" if size else "0"


def indices(text: str) -> Indices:
    """`0-99`, `1-9:2%4`, `1,3,10-20`; `BadInput` if it names nothing or too much."""
    spans, percent, limit = text.strip().partition("%")
    if percent and not limit.isdigit():
        raise BadInput(f"Invalid job array specification: {text!r}: the limit behind % is a number")
    ranges = [_range(piece.strip(), text) for piece in spans.split(",")]
    most = int(limit or 0)
    if len(ranges) == 1:
        only = ranges[0]
        return Indices(only.start, only.step, len(only), most)
    if sum(map(len, ranges)) > MOST_LISTED:
        raise BadInput(f"a list of array elements names at most {MOST_LISTED:,}: give one range")
    listed = tuple(sorted({number for one in ranges for number in one}))
    return Indices(listed[0], 1, len(listed), most, listed)


def _range(piece: str, text: str) -> range:
    found = _SPAN.fullmatch(piece)
    if not found:
        raise BadInput(f"Invalid job array specification: {text!r}: write such as 0-99, 1-9:2%4 or 1,3,10-20")
    first, last, step = int(found[1]), int(found[2] or found[1]), int(found[3] or 1)
    if last < first or step < 1:
        raise BadInput(f"Invalid job array specification: {text!r}: {piece} is empty")
    return range(first, last + 1, step)


def hosts(text: str) -> Iterator[str]:
    """`n[1-3,7],login` as n1 n2 n3 n7 login; numbers keep their width."""
    for piece in _outside_brackets(text):
        yield from _unfolded(piece)


def _outside_brackets(text: str) -> Iterator[str]:
    depth, piece = 0, ""
    for sign in text:
        depth += (sign == "[") - (sign == "]")
        if sign == "," and not depth:
            yield piece
            piece = ""
        else:
            piece += sign
    if piece:
        yield piece


def _unfolded(piece: str) -> Iterable[str]:
    head, bracket, rest = piece.partition("[")
    if not bracket:
        return [piece]
    inside, _, tail = rest.partition("]")
    found = []
    for span in inside.split(","):
        first, dash, last = span.partition("-")
        numbers = range(int(first), int(last) + 1) if dash else [int(first)]
        found += [f"{head}{number:0{len(first)}}{after}" for number in numbers for after in _unfolded(tail)]
    return found
