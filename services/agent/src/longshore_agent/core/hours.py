"""When a host is whose: what tasks may use of it by the hour of the week, as its owner wrote it in LONGSHORE_HOURS.

    Mon-Fri 08:00-18:00 cpus=4 memory=16G; Sat,Sun 22:00-06:00 slots=2; cpus=all

The first rule whose days and hours hold counts; none: everything is allowed. A range over midnight belongs to the day on
which it begins. What must not enter: the clock and the time zone (local weekday and minute are arguments).
"""

import re
from typing import Final, NamedTuple

from longshore_common.errors import BadInput

from .sizes import size

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS: Final = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")
_EVERY: Final = frozenset(range(7))
_WHOLE: Final = 24 * 60


class Caps(NamedTuple):
    """What all tasks together may use; None = all there is. Memory in bytes."""

    cpus: float | None = None
    memory: int | None = None
    slots: int | None = None

    @property
    def none(self) -> bool:
        """Nothing may start at all."""
        return 0 in (self.cpus, self.memory, self.slots)


#: Everything is allowed.
ALL: Final = Caps()


class Rule(NamedTuple):
    """On these weekdays (Monday = 0), from minute `begin` of the day up to minute `end`, maybe of the next: these caps."""

    days: frozenset[int]
    begin: int
    end: int
    caps: Caps
    text: str

    def holds(self, weekday: int, minute: int) -> bool:
        """Whether it counts at this minute of this day."""
        if self.begin < self.end:
            return weekday in self.days and self.begin <= minute < self.end
        late = weekday in self.days and minute >= self.begin
        return late or ((weekday - 1) % 7 in self.days and minute < self.end)


def parse(text: str) -> tuple[Rule, ...]:
    """The rules in their order; empty: none. `BadInput` shows the rule that cannot be read and what it may look like."""
    return tuple(_rule(part.strip()) for part in text.split(";") if part.strip())


def at(rules: tuple[Rule, ...], weekday: int, minute: int) -> tuple[Caps, str]:
    """(what counts at this minute of this weekday, the rule that says so)."""
    for rule in rules:
        if rule.holds(weekday, minute):
            return (ALL if rule.caps == ALL else rule.caps), rule.text
    return ALL, ""


def _rule(text: str) -> Rule:
    days, begin, end = _EVERY, 0, _WHOLE
    caps: dict[str, float | int | None] = {}
    for word in text.split():
        if "=" in word:
            name, _, value = word.partition("=")
            caps[name] = _cap(name, value, text)
        elif match := _HOURS.fullmatch(word):
            begin, end = _minutes(match, text)
        else:
            days = _days(word, text)
    if not caps:
        raise _wrong(text, "it caps nothing: add cpus=, memory= or slots=")
    return Rule(days, begin, end, Caps(**caps), text)  # type: ignore[arg-type]


def _cap(name: str, value: str, text: str) -> float | int | None:
    if name not in Caps._fields:
        raise _wrong(text, f"{name!r} is none of cpus, memory, slots")
    if value == "all":
        return None
    if name == "memory":
        return size(value, "memory in LONGSHORE_HOURS")
    try:
        number = float(value)
    except ValueError as err:
        raise _wrong(text, f"{value!r} is no number") from err
    if not 0 <= number < float("inf"):
        raise _wrong(text, f"{value!r} is no number of {name}")
    return int(number) if name == "slots" else number


def _minutes(match: re.Match[str], text: str) -> tuple[int, int]:
    first, begin, last, end = map(int, match.groups())
    if begin > 59 or end > 59 or first > 23 or last * 60 + end > _WHOLE:
        raise _wrong(text, f"{match.group()} is no range of hours from 00:00 to 24:00")
    if (first, begin) == (last, end):
        raise _wrong(text, f"{match.group()} is empty; leave the hours out for the whole day")
    return first * 60 + begin, last * 60 + end


def _days(word: str, text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in word.split(","):
        first, dash, last = part.partition("-")
        try:
            begin = _DAYS.index(first.lower())
            end = _DAYS.index(last.lower()) if dash else begin
        except ValueError as err:
            raise _wrong(
                text, f"{part!r} is neither days (Mon, Sat-Sun), hours (08:00-18:00) nor a cap (cpus=4)"
            ) from err
        days |= {(begin + k) % 7 for k in range((end - begin) % 7 + 1)}
    return frozenset(days)


def _wrong(text: str, why: str) -> BadInput:
    return BadInput(
        f"LONGSHORE_HOURS: in {text!r} {why}; write rules as 'Mon-Fri 08:00-18:00 cpus=4 memory=16G; cpus=all'"
    )
