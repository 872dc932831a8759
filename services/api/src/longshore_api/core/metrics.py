"""What beats say of hosts: samples that can be trusted, and their means over a minute.

A beat is a hint by a worker about itself; what is no sample is none. What must not enter: the clock, SQL, the log.
"""

import math
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from longshore_common.damage import DAMAGED

Sample = dict[str, Any]

#: Bytes of a beat at most, and parts of a sample at each of its levels.
LARGEST: Final = 32 * 1024
WIDEST: Final = 128
DEEPEST: Final = 4
#: Characters of a text in a sample.
_LONGEST: Final = 400
#: Seconds of a minute.
MINUTE: Final = 60


class _Beat(msgspec.Struct):
    host: dict[str, Any] | None = None


_decode: Final = msgspec.json.Decoder(_Beat).decode


def sample(body: bytes) -> Sample | None:
    """What a beat says of its host, None if it says nothing that can be used."""
    if len(body) > LARGEST:
        return None
    try:
        host = _decode(body).host
    except DAMAGED:
        return None
    found = _checked(host, DEEPEST)
    return found if isinstance(found, dict) and found else None


def _checked(value: Any, depth: int) -> Any:
    """The value without what is too much, too deep or no number that PostgreSQL and a browser can read; None for that."""
    match value:
        case bool() | None:
            return value
        case int() | float():
            return value if math.isfinite(value) and abs(value) < 2**63 else None
        case str():
            return value[:_LONGEST].replace("\0", "\ufffd")
        case list() if depth:
            return [_checked(item, depth - 1) for item in value[:WIDEST]]
        case dict() if depth:
            pairs = list(value.items())[:WIDEST]
            return {str(key)[:_LONGEST].replace("\0", "\ufffd"): _checked(item, depth - 1) for key, item in pairs}
        case _:
            return None


def mean(samples: Iterable[Sample]) -> Sample:
    """Numbers as their means, by name and place; of all else the last."""
    found: Sample = _mean(list(samples))
    return found


def _mean(values: list[Any]) -> Any:
    last = values[-1]
    alike = [value for value in values if type(value) is type(last) or (_number(value) and _number(last))]
    match last:
        case bool() | None | str():
            return last
        case int() | float():
            return round(math.fsum(alike) / len(alike), 3)
        case list():
            return [_mean([value[k] for value in alike if k < len(value)]) for k in range(len(last))]
        case dict():
            return {key: _mean([value[key] for value in alike if key in value]) for key in last}
        case _:
            return None


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class Minutes:
    """Samples gathered by worker and minute until the minute is over."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], list[Sample]] = {}

    def add(self, worker: str, at: float, one: Sample) -> None:
        """A sample heard at this instant (Unix seconds)."""
        self._open.setdefault((worker, int(at) // MINUTE * MINUTE), []).append(one)

    def over(self, at: float) -> list[tuple[str, int, Sample]]:
        """(worker, begin of the minute, means) of all minutes that are over; they are forgotten here."""
        now = int(at) // MINUTE * MINUTE
        ended = [key for key in self._open if key[1] < now]
        return [(worker, minute, mean(self._open.pop((worker, minute)))) for worker, minute in ended]
