"""What a worker's settings say of how much it does at once: slots, prefetch, and resources that its operator named.

What must not enter: asking the host how many processors it has.
"""

import re
from math import isfinite
from typing import Final, NamedTuple

from longshore_common.errors import BadInput

#: Slots or prefetch that follow what tasks ask for.
AUTO: Final = -1
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")


class Prefetch(NamedTuple):
    """Attempts beyond what runs: a number, -1 = automatic, unless it is `percent` > 0 of the slots or the host."""

    number: int = AUTO
    percent: int = 0


def slots(text: str | int, cpus: int) -> int:
    """LONGSHORE_CONCURRENCY: `auto` (-1), a number, 0 or nothing = one slot per cpu. `BadInput` otherwise."""
    word = str(text).strip().lower()
    if word in ("auto", "-1"):
        return AUTO
    if not word.isdecimal() and word:
        raise BadInput(
            f"LONGSHORE_CONCURRENCY={text!r}: give a number of slots, or `auto` if what tasks request decides"
        )
    return int(word or 0) or cpus


def prefetch(text: str | int) -> Prefetch:
    """LONGSHORE_PREFETCH: `auto`, a number of attempts, or a percentage such as `50%`. `BadInput` otherwise."""
    word = str(text).strip().lower()
    if word in ("", "auto", "-1"):
        return Prefetch()
    number = word.removesuffix("%")
    if not number.isdecimal() or (number != word and not 0 <= int(number) <= 1000):
        raise BadInput(f"LONGSHORE_PREFETCH={text!r}: give a number of attempts, a percentage up to 1000%, or `auto`")
    if number != word and int(number):
        return Prefetch(AUTO, int(number))
    return Prefetch(int(number))


def custom(text: str) -> dict[str, float]:
    """LONGSHORE_CUSTOM: amounts of resources by name, such as `license=2,fpga=1`. `BadInput` otherwise."""
    found: dict[str, float] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, word = part.partition("=")
        try:
            amount = float(word)
        except ValueError:
            amount = -1
        if not _NAME.fullmatch(name) or not (isfinite(amount) and 0 <= amount < 1e12):
            raise BadInput(
                f"LONGSHORE_CUSTOM: {part!r} is no resource: write name=amount, such as license=2,fpga=1 "
                "(names of a-z, 0-9, '.', '-' and '_')"
            )
        if name in found:
            raise BadInput(f"LONGSHORE_CUSTOM names {name!r} twice: give one amount")
        found[name] = amount
    return found
