"""`backend_parameters` of TES: what a task can ask of this backend beyond the standard. What must not enter: the rest of TES.

Names are case-insensitive. What is unknown is left out and said, or refused if the client wants it strict.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from longshore_api.core.tes import ONCE
from longshore_common.errors import BadInput

_CLOCK: Final = re.compile(r"(?:(\d{1,4})-)?(\d{1,4}):(\d{2})(?::(\d{2}))?")
_SPAN: Final = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_LONGEST: Final = 10 * 365 * 86_400


class Asked(NamedTuple):
    """`task`: fields of a `TaskSpec`; `submission`: fields of a `TasksSubmitted`; `shown`: what is kept, as it was said."""

    task: dict[str, Any]
    submission: dict[str, Any]
    shown: dict[str, str]


def _number(name: str, text: str, least: int, most: int) -> int:
    try:
        value = int(text)
    except ValueError as err:
        raise BadInput(f"resources.backend_parameters.{name}: {text[:80]!r} is no whole number") from err
    if not least <= value <= most:
        raise BadInput(f"resources.backend_parameters.{name}: {value} is not between {least} and {most}")
    return value


def _batch(text: str) -> str:
    if not text or len(text) > 255 or any(c in text for c in "\0\n\r"):
        raise BadInput("resources.backend_parameters.batch: name a batch, of at most 255 characters in one line")
    return text


def _seconds(text: str) -> float:
    """Seconds of `3600`, `90m`, `1h30m`, `2d`, `12:00:00` or `2-03:00:00`."""
    if text.isascii() and text.isdigit() and len(text) < 12:
        seconds = int(text)
    elif clock := _CLOCK.fullmatch(text):
        days, hours, minutes, rest = (int(part or 0) for part in clock.groups())
        seconds = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    elif text and len(text) < 40 and (span := _SPAN.fullmatch(text)):
        days, hours, minutes, rest = (int(part or 0) for part in span.groups())
        seconds = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    else:
        seconds = 0
    if not 0 < seconds <= _LONGEST:
        raise BadInput(
            f"resources.backend_parameters.walltime: {text[:80]!r} is no time: write 3600, 1h30m or 2-03:00:00"
        )
    return float(seconds)


def _preemption(text: str) -> dict[str, Any]:
    if text not in ("requeue", "stop"):
        raise BadInput(f"resources.backend_parameters.preemption: {text[:80]!r} is neither requeue nor stop")
    return {"retry_on": dict(ONCE)} if text == "stop" else {}


_TASK: Final[dict[str, Callable[[str], dict[str, Any]]]] = {
    "gpu": lambda text: {"gpus": _number("gpu", text, 0, 1_000)},
    "preemption": _preemption,
    "retry": lambda text: {"retries": _number("retry", text, 0, 1_000_000)},
    "walltime": lambda text: {"run_timeout": _seconds(text)},
}
_SUBMISSION: Final[dict[str, Callable[[str], dict[str, Any]]]] = {
    "batch": lambda text: {"batch": _batch(text)},
    "priority": lambda text: {"priority": _number("priority", text, -(1 << 31), 1 << 31)},
}
#: What service-info lists.
KNOWN: Final = tuple(sorted({**_TASK, **_SUBMISSION}))


def asked(given: Mapping[str, object], *, strict: bool) -> tuple[Asked, list[str]]:
    """What the parameters mean, and a warning about each that means nothing here. `BadInput` names what is wrong."""
    result, warnings = Asked({}, {}, {}), []
    for key, value in given.items():
        name, text = key.lower(), _text(value)
        if name in _TASK:
            result.task.update(_TASK[name](text))
        elif name in _SUBMISSION:
            result.submission.update(_SUBMISSION[name](text))
        elif strict:
            known = ", ".join(KNOWN)
            raise BadInput(
                f"resources.backend_parameters: {key[:80]!r} is not supported, and strict was asked: {known} are"
            )
        else:
            warnings.append(f"backend_parameters: {key[:80]!r} is not supported and was left out")
            continue
        result.shown[key] = text
    return result, warnings


def _text(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return str(value or "").lower()
    return str(value).strip()
