"""Wishes of visitors into the log, each once however often it is sent, and what was answered if somebody waits for it.

What must not enter: which wish a route means, SQL.
"""

import secrets
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Annotated, Any, Final, NamedTuple, TypeVar

import msgspec
from litestar import Request, Response
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, QueryParameter

from longshore_api.adapters import bodies, http_requests, views
from longshore_api.adapters.doors import House, TheHouse, TheVisitor, Visitor
from longshore_api.adapters.idempotency import Once, checked, event_id
from longshore_api.adapters.pen import Pen
from longshore_api.adapters.permits import permitted
from longshore_common import subjects
from longshore_common.damage import DAMAGED
from longshore_common.errors import LongshoreError, Unreachable, Unreadable
from longshore_common.events import Event
from longshore_common.log import Hints

T = TypeVar("T")

#: Seconds a dispatcher has to answer a question.
PATIENCE: Final = 5.0

Wait = Annotated[float, QueryParameter(ge=0, le=10, description="Seconds to wait for what becomes of it")]
_Header = Annotated[
    str | None,
    HeaderParameter(name="Idempotency-Key", description="A repeat with the same key gets the same answer, for a week"),
]


class How(NamedTuple):
    """On whose behalf, with which key, and how long an answer is waited for."""

    house: House
    visitor: Visitor
    key: str
    digest: bytes
    wait: float

    @property
    def once(self) -> Once | None:
        """To be recognised by, if it has a key."""
        return Once(self.visitor.user, self.key, self.digest) if self.key else None


TheHow = NamedDependency[How]


async def how(
    request: Request[Any, Any, Any],
    house: TheHouse,
    visitor: TheVisitor,
    idempotency_key: _Header = None,
    wait: Wait = 0.0,
) -> How:
    """How this request is to be carried out."""
    if not idempotency_key:
        return How(house, visitor, "", b"", wait)
    asked = f"{request.method} {request.url.path}?{request.url.query}".encode()
    digest = blake2b(asked + b"\n" + await request.body(), digest_size=16).digest()
    return How(house, visitor, checked(idempotency_key), digest, wait)


def pen(house: House) -> Pen:
    """What is written with; `Unreachable` for an api that only reads."""
    if house.pen is None:
        raise Unreachable("this api writes nothing: it was started without a log")
    return house.pen


async def wished(how: How, events: Sequence[Event], *, tasks: int | None = None) -> Response[bodies.Receipt]:
    """These wishes, in this order; 202, or 200 with the answer to the last if it came while it was waited for."""
    house, visitor = how.house, how.visitor
    for event in events:
        await permitted(house, visitor, event)
    seqs = await _once(how, events)
    receipt = bodies.Receipt(seqs[-1], seqs, tasks)
    if how.wait:
        receipt.answer = await _answer(house, seqs[-1], how.wait)
    return Response(receipt, status_code=202 if receipt.answer is None else 200)


async def _once(how: How, events: Iterable[Event]) -> list[int]:
    house, user = how.house, how.visitor.user
    if (once := how.once) and house.keys and (known := await house.keys.answer(once)):
        return msgspec.json.decode(known, type=list[int])
    key = how.key or secrets.token_hex(16)
    seqs = [await pen(house).wish(user, event, event_id(user, key, n)) for n, event in enumerate(events)]
    if once and house.keys:
        await house.keys.keep(once, msgspec.json.encode(seqs))
    return seqs


async def _answer(house: House, seq: int, wait: float) -> views.Answer | None:
    """None if there is none yet, or if it cannot be read now: the wish is in the log in any case."""
    try:
        found = await http_requests.answered(house, seq, wait)
    except LongshoreError:
        return None
    return None if found.answer == "none" else found


async def previewed(how: How, event: Event) -> bodies.Preview:
    """What the wish would do, as any dispatcher says; `Unreachable` if none is there."""
    return await asked(how, {"kind": "preview", "body": {"wish": event}}, bodies.Preview)


async def asked(how: How, question: dict[str, Any], kind: type[T]) -> T:
    """A dispatcher's answer of this kind."""
    said = await raw(how.house.hints, question, how.visitor.user)
    try:
        return msgspec.json.decode(said, type=kind)
    except DAMAGED as err:
        raise Unreadable(f"the dispatcher answered {said[:200]!r} ({err})") from err


async def raw(hints: Hints | None, question: dict[str, Any], user: str) -> bytes:
    """The bytes of a dispatcher's answer."""
    if hints is None:
        raise Unreachable("this api asks no dispatcher: it was started without a connection")
    try:
        body = msgspec.json.encode({**question, "user": user})
        return await hints.ask(subjects.ASK_DISPATCH, body, deadline=PATIENCE)
    except Unreachable as err:
        raise Unreachable(
            "no dispatcher answers, so nothing is handed out and nobody can say why: start it and ask again; "
            "what is submitted meanwhile is kept"
        ) from err
