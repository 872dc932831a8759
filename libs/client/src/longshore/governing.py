"""What governs all: shares of batches and users, and the operator's policy; read, changed word by word, asked for.

What must not enter: the command line, how a share or a policy takes effect.
"""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from math import isfinite
from typing import Any, Final, Literal, get_args, get_type_hints

import msgspec

from longshore.amounts import amount
from longshore.quantities import duration
from longshore.reader import Reader
from longshore.specs import batch_name
from longshore.writer import Writer
from longshore_common.errors import BadInput, Refused
from longshore_common.events import Event, PolicyRequested, ShareRequested
from longshore_common.model import Cause, Policy, Share

#: Seconds for which an answer is waited for.
PATIENCE: Final = 5.0
Kind = Literal["batch", "user"]
_KINDS: Final = get_type_hints(Policy)


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch or user gets beside others, since when, and by which wish."""

    kind: Kind
    name: str
    weight: float = 1
    max_running: int = 0
    since: datetime | None = None
    request: int = 0


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's policy, since when it holds, and the wish behind it; 0: nobody ever set one."""

    policy: Policy
    since: datetime | None = None
    request: int = 0


class _Page(msgspec.Struct, frozen=True):
    items: tuple[Shared, ...]


def shares(reader: Reader) -> tuple[Shared, ...]:
    """Batches and users whose share is not the usual one."""
    return msgspec.json.decode(reader.get("/shares").body, type=_Page).items


def ruling(reader: Reader) -> Ruling:
    """The policy as it is."""
    return msgspec.json.decode(reader.get("/policy").body, type=Ruling)


def share(kind: Kind, name: str, weight: float | None, max_running: int | None) -> ShareRequested:
    """The wish; `BadInput` says what is wrong."""
    if kind not in get_args(Kind):
        raise BadInput(f"a share is of a batch or of a user, not of a {kind!r}")
    if weight is None and max_running is None:
        raise BadInput("say what to change: --weight W, --max-running N, or both")
    if weight is not None and not (isfinite(weight) and 0.001 <= weight <= 1000):
        raise BadInput(f"the weight {weight:g} is not usable: give 0.001 to 1000; 1 is the usual one, 2 twice as much")
    if max_running is not None and max_running < 0:
        raise BadInput(f"the limit {max_running} is not usable: give 0 (no limit) or more")
    if not name or len(name) > 255:
        raise BadInput(f"{name[:80]!r} names no {kind}")
    return ShareRequested(
        kind=kind, name=batch_name(name) if kind == "batch" else name, weight=weight, max_running=max_running
    )


def usual(kind: Kind, name: str) -> ShareRequested:
    """The wish that it gets what any other does."""
    return share(kind, name, Share().weight, Share().max_running)


def changed(policy: Policy, words: Iterable[str] | Mapping[str, object]) -> Policy:
    """The policy with `KEY=VALUE` words applied; `trouble.CAUSE=N` sets one cause. `BadInput` names the keys there are."""
    pairs = list(words.items()) if isinstance(words, Mapping) else [_pair(word) for word in words]
    if not pairs:
        raise BadInput(f"say what to set: KEY=VALUE, the keys are {', '.join(keys())}")
    values: dict[str, Any] = msgspec.structs.asdict(policy)
    values["trouble"] = dict(policy.trouble)
    for key, value in pairs:
        name, _, cause = key.partition(".")
        if cause or name == "trouble":
            values["trouble"] |= _trouble(name, cause, value)
        elif key in _KINDS:
            values[key] = _whole(value, key) if _KINDS[key] is int else duration(_as_time(value))
        else:
            raise _unknown(key)
    return Policy(**values)


def forgotten(policy: Policy, names: Iterable[str]) -> Policy:
    """The policy with these keys as they come; none named: all of it."""
    values, usual_ones = msgspec.structs.asdict(policy), msgspec.structs.asdict(Policy())
    values["trouble"] = dict(policy.trouble)
    named = list(names)
    for key in named:
        name, _, cause = key.partition(".")
        if cause and name == "trouble":
            values["trouble"].pop(cause, None)
        elif key in usual_ones:
            values[key] = usual_ones[key]
        else:
            raise _unknown(key)
    return Policy(**values) if named else Policy()


def keys() -> list[str]:
    """What can be set."""
    return [name if name != "trouble" else "trouble.CAUSE" for name in Policy.__struct_fields__]


def is_time(key: str) -> bool:
    """Whether this value of the policy is seconds."""
    return _KINDS[key] is float


def _unknown(key: str) -> BadInput:
    return BadInput(f"the policy has no {key!r}; it has {', '.join(keys())}")


def _pair(word: str) -> tuple[str, object]:
    key, sign, value = word.partition("=")
    if not sign:
        raise BadInput(
            f"{word!r} sets nothing: write KEY=VALUE, such as half_life=7d; the keys are {', '.join(keys())}"
        )
    return key.strip(), value.strip()


def _trouble(name: str, cause: str, value: object) -> dict[str, int]:
    if name != "trouble":
        raise _unknown(f"{name}.{cause}")
    if not cause and isinstance(value, Mapping):
        return {key: n for inner, some in value.items() for key, n in _trouble(name, str(inner), some).items()}
    causes = ("*", *get_args(Cause))
    if cause not in causes:
        raise BadInput(f"trouble is set by cause, such as trouble.worker-lost=10; the causes are {', '.join(causes)}")
    return {cause: _whole(value, f"trouble.{cause}")}


def _whole(value: object, key: str) -> int:
    number = amount(value, key)
    if number != int(number):
        raise BadInput(f"{key} is a whole number, not {value!r}")
    return int(number)


def _as_time(value: object) -> str | float:
    return value if isinstance(value, str | int | float) else str(value)


class Governing:
    """The SDK's part for this: reads by HTTP, wishes into the log.

    Each wish returns its sequence once it is answered, so that the next one builds on it, or after `PATIENCE` seconds
    without a dispatcher; `Refused` with the dispatcher's reason.
    """

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader, self._writer = reader, writer

    async def _wish(self, event: Event) -> int:
        seq = await self._writer.wish(event)
        answer = await asyncio.to_thread(self._reader.answer, seq, wait=PATIENCE)
        if answer.answer == "refused":
            raise Refused(f"refused: {answer.reason}")
        return seq

    async def shares(self) -> tuple[Shared, ...]:
        """Batches and users whose share is not the usual one."""
        return await asyncio.to_thread(shares, self._reader)

    async def set_share(
        self, kind: Kind, name: str, *, weight: float | None = None, max_running: int | None = None
    ) -> int:
        """What a batch or user shall get beside others; None leaves a value."""
        return await self._wish(share(kind, name, weight, max_running))

    async def policy(self) -> Ruling:
        """The operator's policy."""
        return await asyncio.to_thread(ruling, self._reader)

    async def set_policy(self, **changes: object) -> int:
        """Change these values of the policy, such as `half_life="7d"` or `trouble={"worker-lost": 10}`."""
        now = await self.policy()
        return await self._wish(PolicyRequested(policy=changed(now.policy, changes)))

    async def reset_policy(self, *names: str) -> int:
        """These values of the policy, or all of it, as they come."""
        now = await self.policy()
        return await self._wish(PolicyRequested(policy=forgotten(now.policy, names)))
