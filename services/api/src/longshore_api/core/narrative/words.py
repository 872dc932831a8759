"""Words that several sentences share: numbers with units, causes, changes of specs, shares, policies.

What must not enter: events.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from longshore_common.ids import TaskRange
from longshore_common.model import Array, Change, Parts, Policy, Retention, Share, Specs

#: Things named one by one in a sentence; more are counted.
NAMED: Final = 8
#: Values longer than this are cut.
_LONGEST: Final = 80
_BYTES: Final = frozenset({"memory", "disk"})
_SECONDS: Final = frozenset({"run_timeout", "download_timeout", "upload_timeout", "grace", "backoff"})


def sized(size: float) -> str:
    """`1.5 GB`"""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def because(cause: str | None, reason: str) -> str:
    """` (oom, it needed more)`, "" without either."""
    told = ", ".join(p for p in (cause or "", reason) if p)
    return f" ({told})" if told else ""


def count(n: int, what: str) -> str:
    """`1 task`, `2 tasks`"""
    return f"{n} {what}{'' if n == 1 else 's'}"


def listing(things: Sequence[object]) -> str:
    """The first few, and how many more."""
    shown = ", ".join(str(t) for t in things[:NAMED])
    return shown + (f" and {len(things) - NAMED} more" if len(things) > NAMED else "")


def when(at: float) -> str:
    """ISO 8601, or the number where no calendar has the instant."""
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"{at:g}"


def kept(retention: Retention) -> str:
    """`outputs 30 days, logs for ever, …`"""
    times = {name: getattr(retention, name) for name in ("outputs", "logs", "failed", "inputs")}
    return ", ".join(f"{name} {f'{t / 86_400:.3g} days' if t else 'for ever'}" for name, t in times.items())


def size_of(body: Array | Specs | Parts) -> int:
    """How many tasks a submission brings."""
    return len(body.specs) if isinstance(body, Specs) else body.size


def slots(concurrency: int, prefetch: int, percent: int = 0) -> str:
    """`2 slots and automatic prefetch`"""
    ahead = "automatic prefetch" if prefetch < 0 else f"prefetch {prefetch}"
    if percent:
        ahead = f"prefetch {percent} %"
    return f"{'automatic concurrency' if concurrency < 0 else count(concurrency, 'slot')} and {ahead}"


def named(tasks: Sequence[TaskRange], batch: str | None) -> str:
    """Whom a wish is about: `3.0-9`, `all of batch b`."""
    parts = [f"all of batch {batch}"] if batch else []
    return " and ".join([*parts, *([listing(tasks)] if tasks else [])]) or "nothing"


def change(made: Change) -> str:
    """`memory set to 8 GB; in command "a" became "b"`"""
    parts = [f"{name} {_set(name, value)}" for name, value in made.set.items()]
    parts += [
        f'in {s.field} "{_cut(s.find)}" ' + (f'became "{_cut(s.replace)}"' if s.replace else "was removed")
        for s in made.substitutions
    ]
    return "; ".join(parts) or "nothing changed"


def _set(name: str, value: Any) -> str:
    if value is None:
        return "set back to its default"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in _BYTES and number:
        return f"set to {sized(value)}"
    if name in _SECONDS and number:
        return f"set to {value:g} s"
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        value = " ".join(value)
    return f"set to {_cut(value if isinstance(value, str) else msgspec.json.encode(value).decode())}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def share(given: Share) -> str:
    """`weight 2, at most 3 tasks at once`"""
    return f"weight {given.weight:g}" + (
        f", at most {count(given.max_running, 'task')} at once" if given.max_running else ", no cap"
    )


def policy(given: Policy) -> str:
    """What differs from the default."""
    usual = msgspec.structs.asdict(Policy())
    parts = [
        f"{name.replace('_', ' ')} {_plain(value)}"
        for name, value in msgspec.structs.asdict(given).items()
        if value != usual[name]
    ]
    return ", ".join(parts) or "all as usual"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(
            f"{key}={item:g}" if isinstance(item, int | float) else f"{key}={item}" for key, item in value.items()
        )
    return f"{value:g}" if isinstance(value, int | float) else _cut(str(value))
