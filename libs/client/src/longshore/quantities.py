"""Sizes, durations, array ranges and pairs as people write them. Pure text to numbers; no I/O.

Sizes are binary as in Docker and Slurm: 4G = 4 GiB = 4·1024³ bytes. Durations are seconds.
"""

import re
from datetime import timedelta
from math import isfinite
from typing import Final, NamedTuple

from longshore_common.errors import BadInput

_SIZE: Final = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?)\s*([kmgtp]?)(?:i?b)?", re.IGNORECASE)
_PIECES: Final = re.compile(r"(?:([0-9.]+)d)?(?:([0-9.]+)h)?(?:([0-9.]+)m)?(?:([0-9.]+)s)?(?:([0-9.]+)ms)?")
_CLOCK: Final = re.compile(r"(?:([0-9]+)-)?(?:([0-9]+):)?([0-9]{1,2}):([0-9]{2}(?:\.[0-9]+)?)")
_ARRAY: Final = re.compile(r"([0-9][0-9_]*)(?:-([0-9][0-9_]*))?(?::([0-9][0-9_]*))?(?:%([0-9][0-9_]*))?")
_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

#: Most tasks in one submission; the log numbers them in one event.
MAX_TASKS: Final = 100_000_000


class ArrayRange(NamedTuple):
    """`size` tasks labelled start, start + step, …; at most `limit` of them on workers at once, 0 = no limit."""

    start: int
    step: int
    size: int
    limit: int


def size(text: str | int) -> int:
    """Bytes of `4G`, `512M`, `1.5GiB`, `1_000`; `BadInput` for anything else."""
    if isinstance(text, int):
        if text < 0:
            raise BadInput(f"a size is not negative: {text}")
        return text
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise BadInput(f"{text!r} is no size: write bytes, or a number with K, M, G or T, such as 4G")
    factor = 1024 ** " kmgtp".index(found[2].lower() or " ")
    return int(float(found[1]) * factor) if "." in found[1] else int(found[1]) * factor


def duration(text: str | float | timedelta) -> float:
    """Seconds of `90`, `1h30m`, `2d`, `500ms`, `30:00`, `12:00:00`, `2-03:00:00`; `BadInput` for anything else."""
    if isinstance(text, timedelta):
        text = text.total_seconds()
    if isinstance(text, int | float):
        if not isfinite(text) or text < 0:
            raise BadInput(f"a duration is not negative and ends: {text}")
        return float(text)
    return _duration(text.strip().lower())


def _duration(word: str) -> float:
    wrong = BadInput(f"{word!r} is no duration: write seconds, or such as 90s, 1h30m, 2d, 12:00:00 or 2-03:00:00")
    try:
        if found := _CLOCK.fullmatch(word):
            days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
            return days * 86400 + hours * 3600 + minutes * 60 + seconds
        if word and (found := _PIECES.fullmatch(word)):
            days, hours, minutes, seconds, thousandths = (float(part or 0) for part in found.groups())
            return days * 86400 + hours * 3600 + minutes * 60 + seconds + thousandths / 1000
        plain = float(word.replace("_", ""))
    except ValueError:
        raise wrong from None
    if not isfinite(plain) or plain < 0:
        raise wrong
    return plain


def array(text: str) -> ArrayRange:
    """`0-999`, `1-9:2` (every second), `0-99%10` (ten at once), `7` (that one); underscores may part the digits."""
    found = _ARRAY.fullmatch(text.strip())
    if not found:
        raise BadInput(
            f"{text!r} is no array: write FIRST-LAST[:STEP][%LIMIT], such as 0-999 or 0-99:2%10; "
            "for a list of single values use --each-line"
        )
    start, last, step, limit = (None if part is None else int(part) for part in found.groups())
    assert start is not None  # the first group is not optional
    last = start if last is None else last
    step = 1 if step is None else step
    if last < start:
        raise BadInput(f"the array {text!r} is empty: {last} is before {start}")
    if step < 1 or limit == 0:
        raise BadInput(f"the step and the limit of an array are 1 or more, not {text!r}")
    count = (last - start) // step + 1
    if count > MAX_TASKS:
        raise BadInput(f"an array of {count} is too large: at most {MAX_TASKS} tasks are one submission")
    return ArrayRange(start, step, count, limit or 0)


def pairs(words: tuple[str, ...] | list[str]) -> dict[str, str]:
    """A dict of `K=V` words, the later of two equal names wins; `BadInput` names what is no pair."""
    found: dict[str, str] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or not _ENV_NAME.fullmatch(name):
            raise BadInput(f"{word!r} is no variable: write NAME=VALUE, the name of letters, digits and '_'")
        found[name] = value
    return found


def shown_size(number: float) -> str:
    """1536 -> 1.5K, for people; never in JSON."""
    for unit in ("", "K", "M", "G", "T"):
        if number < 1024 or unit == "T":
            break
        number /= 1024
    return f"{number:.0f}{unit}" if number >= 10 or not unit else f"{number:.1f}{unit}"


def shown_duration(seconds: float) -> str:
    """5400 -> 1h30m, for people; never in JSON."""
    if seconds < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"
    minutes, hours, days = int(seconds // 60) % 60, int(seconds // 3600) % 24, int(seconds // 86400)
    if days:
        return f"{days}d{hours}h"
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{int(seconds) % 60:02}s"


def about(seconds: float) -> str:
    """A duration as one says it: `3.2 s`, `34 s`, `12 min`, `2.5 h`, `3 days`."""
    if seconds < 99.5:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"
