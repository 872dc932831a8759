"""Routes about secrets: which there are, who holds them; boxes that are sealed already come in, nothing comes out.

What must not enter: opening a box, which nobody here can.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from litestar import Router, delete, get, put
from litestar.exceptions import ServiceUnavailableException
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from longshore_api.adapters.doors import CaughtUp, House, TheHouse, TheVisitor, submitters
from longshore_api.adapters.present import when
from longshore_api.core.confidences import SECRET
from longshore_common import confidential
from longshore_common.errors import BadInput
from longshore_common.events import Box, SecretShared


class Secret(Struct, kw_only=True):
    """A secret, whose value nobody here knows: the workers that were `given` it, and those that `hold` it and can open it."""

    owner: str
    name: str
    given: list[str]
    hold: list[str]
    since: str | None


class Secrets(Struct):
    """Secrets by owner and name."""

    items: list[Secret]
    next: str | None
    position: int


class Sealed(Struct, forbid_unknown_fields=True):
    """The secret, sealed for each of these workers with its own public key."""

    boxes: list[Box]


class Wished(Struct):
    """The sequence of the wish in the log; what becomes of it: GET /requests/{seq}."""

    seq: int


@get("/secrets", summary="One's own secrets and who holds them; an admin sees all", tags=["secrets"])
async def secrets(house: TheHouse, visitor: TheVisitor, caught_up: CaughtUp) -> Secrets:
    """Never the values, which are known to the workers that hold them, and to their owner."""
    rows = [row for row in await house.reader.governing(SECRET) if row["value"] == "true"]
    facts = {row["name"]: row["facts"] for row in await house.reader.fetch("SELECT name, facts FROM worker")}
    found = _gathered(rows, {name: _held(text) for name, text in facts.items()})
    if not visitor.may("admin"):
        found = [one for one in found if one.owner == visitor.user]
    return Secrets(found, None, caught_up)


@put("/secrets/{name:str}", summary="Give workers a secret", tags=["secrets"], status_code=202, guards=[submitters])
async def set_secret(house: TheHouse, visitor: TheVisitor, name: FromPath[str], data: JSONBody[Sealed]) -> Wished:
    """What is in the boxes is a sheet as `longshore secret set` seals it, which names its owner; no other is used."""
    if why := confidential.fault(name):
        raise BadInput(why)
    if not data.boxes:
        raise BadInput("it is sealed for no worker: send a box for at least one, or DELETE the secret")
    return await _wished(house, visitor.user, SecretShared(name=name, boxes=tuple(data.boxes)))


@delete("/secrets/{name:str}", summary="Have all workers forget a secret", tags=["secrets"], status_code=202,
        guards=[submitters])  # fmt: skip
async def delete_secret(house: TheHouse, visitor: TheVisitor, name: FromPath[str]) -> Wished:
    """What runs keeps it; tasks that name it wait."""
    if why := confidential.fault(name):
        raise BadInput(why)
    return await _wished(house, visitor.user, SecretShared(name=name))


async def _wished(house: House, user: str, event: SecretShared) -> Wished:
    if house.pen is None:
        raise ServiceUnavailableException("this api does not write")
    return Wished(await house.pen.wish(user, event))


def _gathered(rows: Iterable[Any], held: dict[str, frozenset[str]]) -> list[Secret]:
    found: dict[str, Secret] = {}
    latest: dict[str, float] = {}
    for row in rows:
        key, _, worker = row["name"].rpartition("@")
        owner, _, name = key.partition("/")
        one = found.setdefault(key, Secret(owner=owner, name=name, given=[], hold=[], since=None))
        one.given.append(worker)
        if key in held.get(worker, ()):
            one.hold.append(worker)
        latest[key] = max(latest.get(key, 0.0), row["at"])
        one.since = when(latest[key])
    return [found[key] for key in sorted(found)]


def _held(facts: str) -> frozenset[str]:
    return frozenset(msgspec.json.decode(facts).get("secrets", ()))


router = Router("/", route_handlers=[secrets, set_secret, delete_secret])
