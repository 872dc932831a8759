"""What a task asks of a host, as people write it: `license=1`, `cpus=8,memory=32G`; and what a worker does at once.

Pure text to values; no I/O. What must not enter: what of it any host has.
"""

import re
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, Final

from longshore.quantities import size
from longshore_common.errors import BadInput
from longshore_common.events import WorkerResizeRequested
from longshore_common.ids import WorkerId
from longshore_common.model import Request

#: As in LONGSHORE_CUSTOM of an agent.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
#: What every host has, and how it is often written.
_BUILT_IN: Final = ("cpus", "memory", "gpus", "disk")
_MEANT: Final = {
    "cpu": "cpus", "core": "cpus", "cores": "cpus", "thread": "cpus", "threads": "cpus", "mem": "memory", "ram": "memory",
    "gpu": "gpus", "storage": "disk", "scratch": "disk",
}  # fmt: skip
#: More than this of anything is a slip of the keyboard.
_MOST: Final = 1e12


def amount(word: object, what: str) -> float:
    """A number that is not negative; `BadInput` otherwise."""
    try:
        number = float(word)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = -1
    if not (isfinite(number) and 0 <= number <= _MOST):
        raise BadInput(f"{word!r} is no amount of {what}: write a number such as 1 or 0.5")
    return number


def custom_name(name: str) -> str:
    """The name itself if a resource of the operator's can have it; `BadInput` says what was meant."""
    if name in _BUILT_IN or name in _MEANT:
        known = _MEANT.get(name, name)
        raise BadInput(f"{name!r} names no resource of the operator's: every host has it, ask for it by {known!r}")
    if not _NAME.fullmatch(name):
        raise BadInput(f"{name!r} can name no resource: use 1-63 of a-z, 0-9, '.', '-' and '_', such as license")
    return name


def custom(words: Iterable[str] | Mapping[str, object]) -> dict[str, float]:
    """Amounts by name, of `NAME=AMOUNT` words or a mapping; `BadInput` names what is wrong."""
    pairs = list(words.items()) if isinstance(words, Mapping) else [_pair(word, "license=1") for word in words]
    found: dict[str, float] = {}
    for name, value in pairs:
        if custom_name(name) in found:
            raise BadInput(f"{name!r} is asked for twice: give one amount")
        found[name] = amount(value, name)
    return found


def _pair(word: str, example: str) -> tuple[str, str]:
    name, sign, value = word.partition("=")
    if not sign or not name.strip():
        raise BadInput(f"{word!r} is no amount of anything: write NAME=AMOUNT, such as {example}")
    return name.strip(), value.strip()


def request(given: str | Mapping[str, object] | Request) -> Request:
    """One alternative: `cpus=8,memory=32G,gpus=1,disk=20G,license=1`, or the same as a mapping; other names are custom.

    `BadInput` names what is wrong.
    """
    if isinstance(given, Request):
        return given
    pairs = _pairs(given)
    if not pairs:
        raise BadInput("an alternative asks for nothing: write what it asks for, such as cpus=8,memory=32G")
    values: dict[str, Any] = {}
    own: dict[str, float] = {}
    for name, value in pairs:
        if name in values or name in own:
            raise BadInput(f"the alternative {given!r} names {name!r} twice: give one amount")
        if name in _BUILT_IN:
            values[name] = _built_in(name, value)
        else:
            resource = custom_name(name)
            own[resource] = amount(value, name)
    return Request(**values, custom=own)


def _pairs(given: str | Mapping[str, object]) -> list[tuple[str, object]]:
    """What is named, in order."""
    if isinstance(given, str):
        return [_pair(word, "cpus=8,memory=32G") for word in filter(None, map(str.strip, given.split(",")))]
    inner = given.get("custom", {}) if isinstance(given, Mapping) else None
    if not isinstance(inner, Mapping):
        raise BadInput(f"{given!r} is no alternative: write such as cpus=8,memory=32G, or an object of these")
    return [*((key, value) for key, value in given.items() if key != "custom"), *inner.items()]


def _built_in(name: str, value: object) -> float | int:
    if name in ("memory", "disk"):
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise BadInput(f"{value!r} is no size of {name}: write bytes, or such as 32G")
        return size(value)
    number = amount(value, name)
    if name == "cpus":
        return number
    if number != int(number):
        raise BadInput(f"{value!r} is no number of {name}: a GPU goes to one task as a whole")
    return int(number)


def concurrency(word: str | int) -> int:
    """`auto` (-1) or a number of slots; `BadInput` otherwise."""
    text = str(word).strip().lower()
    if text in ("auto", "-1"):
        return -1
    if not (text.isascii() and text.isdigit()):
        raise BadInput(
            f"the concurrency is a number of tasks at once, or `auto` if what they request is to decide, not {word!r}"
        )
    return int(text)


def resized(workers: tuple[WorkerId, ...], slots: str | int | None, ahead: str | int | None) -> WorkerResizeRequested:
    """The wish that these workers (none: all) do so much at once; None leaves a value. `BadInput`."""
    attempts, percent = (None, None) if ahead is None else prefetch(ahead)
    return WorkerResizeRequested(
        workers=workers,
        concurrency=None if slots is None else concurrency(slots),
        prefetch=attempts,
        prefetch_percent=percent,
    )


def prefetch(word: str | int) -> tuple[int | None, int | None]:
    """(attempts, percent), one of them None: `auto` is -1, `8` attempts, `50%` of what the worker has; `BadInput`."""
    text = str(word).strip().lower()
    if text in ("auto", "-1"):
        return -1, None
    number = text.removesuffix("%")
    if not (number.isascii() and number.isdigit()) or (number != text and int(number) > 1000):
        raise BadInput(f"the prefetch is a number of attempts, a percentage up to 1000% or `auto`, not {word!r}")
    if number == text or int(number) == 0:
        return int(number), None
    return None, int(number)
