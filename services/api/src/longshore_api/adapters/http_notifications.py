"""Routes about what users want to be told of: rules, the last of what was told, and a test.

What must not enter: looking at batches, sending (see `notify`).
"""

import secrets
from typing import Any, Final

import msgspec
from litestar import Router, delete, get, post
from litestar.exceptions import ServiceUnavailableException
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from longshore_api.adapters.doors import CaughtUp, House, TheHouse, TheVisitor, submitters
from longshore_api.adapters.notify import Notifier, Outbox
from longshore_api.adapters.pen import Pen
from longshore_api.adapters.present import when
from longshore_api.core import notices
from longshore_api.core.notices import Rule
from longshore_api.core.users import Visitor
from longshore_common.errors import BadInput, NotFound, Refused
from longshore_common.events import NotificationRemoved, NotificationSet
from longshore_common.model import Notification

#: Rules that one user may have.
MOST: Final = 100
#: Notices of a rule that are shown, the newest.
_SHOWN: Final = 10
#: More tasks than any batch has.
_TASKS: Final = 1_000_000_000
#: Seconds of a budget: thirty thousand years of one task.
_SECONDS: Final = 10**12


class Told(Struct, kw_only=True):
    """A notice: whether it was `sent`, or why not; `again`: when it is tried next, null = never."""

    id: str
    way: str
    occasion: str
    batch: str
    made_at: str | None
    sent_at: str | None
    again: str | None
    tries: int
    error: str


class Shown(Struct, kw_only=True):
    """A rule; `told`: the newest notices by it, where it is asked for alone."""

    id: str
    user: str
    rule: Notification
    since: str | None
    told: list[Told] = []


class Rules(Struct):
    """Rules by id."""

    items: list[Shown]
    next: str | None
    position: int


class Made(Struct):
    """A new rule. `key`: what its webhook verifies signatures with, shown this once; "" without a webhook."""

    id: str
    key: str
    seq: int


class Removed(Struct):
    """Where in the log it is written."""

    seq: int


class Tested(Struct):
    """The notices of a test; what became of them is in `told` of the rule."""

    notices: list[str]


@get("/notifications", summary="What one wants to be told of; an admin sees all", tags=["notifications"])
async def rules(house: TheHouse, visitor: TheVisitor, caught_up: CaughtUp) -> Rules:
    """Rules that hold."""
    found = [_shown(one) for one in await _held(house) if visitor.may("admin") or one.user == visitor.user]
    return Rules(sorted(found, key=lambda one: one.id), None, caught_up)


@get("/notifications/{rule:str}", summary="A rule, and what was told by it", tags=["notifications"])
async def one_rule(house: TheHouse, visitor: TheVisitor, caught_up: CaughtUp, rule: FromPath[str]) -> Shown:
    """The newest notices first."""
    shown = _shown(await _own(house, visitor, rule))
    rows = await house.reader.fetch(
        "SELECT * FROM notice WHERE rule = $1 ORDER BY made_at DESC, id LIMIT $2", rule, _SHOWN
    )
    shown.told = [_told(row) for row in rows]
    return shown


@post("/notifications", summary="Be told of something from now on", tags=["notifications"], guards=[submitters])
async def add_rule(house: TheHouse, visitor: TheVisitor, data: JSONBody[Notification]) -> Made:
    """Of batches that have tasks of one's own: all whose name matches the glob."""
    notifier, pen = _parts(house)
    _check(notifier, data)
    if len([one for one in await _held(house) if one.user == visitor.user]) >= MOST:
        raise Refused(f"you have {MOST} rules already: remove some")
    ident = f"n{secrets.token_hex(6)}"
    key = notifier.ways.webhooks.key(ident) if data.webhook else ""
    return Made(ident, key, await pen.fact(NotificationSet(id=ident, user=visitor.user, rule=data)))


@delete(
    "/notifications/{rule:str}", summary="Be told no more", tags=["notifications"], status_code=200, guards=[submitters]
)
async def remove_rule(house: TheHouse, visitor: TheVisitor, rule: FromPath[str]) -> Removed:
    """What waits to be sent by it is not sent."""
    _, pen = _parts(house)
    own = await _own(house, visitor, rule)
    return Removed(await pen.fact(NotificationRemoved(id=own.id, user=visitor.user)))


@post("/notifications/{rule:str}/test", summary="Send a test", tags=["notifications"], status_code=202,
      guards=[submitters])  # fmt: skip
async def test_rule(house: TheHouse, visitor: TheVisitor, caught_up: CaughtUp, rule: FromPath[str]) -> Tested:
    """By each way of the rule, now."""
    notifier, _ = _parts(house)
    own = await _own(house, visitor, rule)
    made = list(notices.notices(own, "test", secrets.token_hex(8), {"at": when(notifier.now()), "batch": ""}))
    await Outbox(house.reader).put(made, notifier.now())
    return Tested([one.id for one in made])


def _check(notifier: Notifier, rule: Notification) -> None:
    """Whether it can be told; `BadInput` and `Refused` name the field and the fix."""
    if not rule.occasions:
        raise BadInput("occasions: name at least one of finished, failing, stuck and budget")
    if ("budget" in rule.occasions) != (rule.budget > 0):
        raise BadInput(
            "budget: seconds that the tasks of a batch may run, all together, beside budget among the occasions"
        )
    if not (rule.webhook or rule.mail):
        raise BadInput("webhook, mail: say where you want to be told, by one of them or both")
    _check_amounts(rule)
    if rule.webhook:
        notifier.ways.webhooks.gate.check(rule.webhook)
    if rule.mail:
        notifier.ways.mails.check(rule.mail)


def _check_amounts(rule: Notification) -> None:
    if not 1 <= rule.failing <= _TASKS:
        raise BadInput(f"failing: a number of failed tasks, 1 to {_TASKS}")
    if not 0 <= rule.budget <= _SECONDS:
        raise BadInput(f"budget: seconds, up to {_SECONDS}")
    if not 1 <= rule.stuck <= notices.NEWS:
        raise BadInput("stuck: seconds, 1 to 604800 (a week)")
    if not rule.batch or len(rule.batch) > 255:
        raise BadInput("batch: the name of a batch, or a glob such as 'genomes-*'")


def _parts(house: House) -> tuple[Notifier, Pen]:
    if house.notifier is None or house.pen is None:
        raise ServiceUnavailableException("this api tells nobody anything")
    return house.notifier, house.pen


async def _held(house: House) -> list[Rule]:
    return notices.rules(row["value"] for row in await house.reader.governing(notices.RULE))


async def _own(house: House, visitor: Visitor, ident: str) -> Rule:
    """The rule, if it is the visitor's or that is an admin."""
    for one in await _held(house):
        if one.id == ident and (visitor.may("admin") or one.user == visitor.user):
            return one
    raise NotFound(f"you have no notification {ident[:40]!r}: see `longshore notify list`")


def _shown(one: Rule) -> Shown:
    return Shown(id=one.id, user=one.user, rule=one.rule, since=when(one.at))


def _told(row: Any) -> Told:
    said = msgspec.json.decode(row["body"])
    return Told(
        id=row["id"], way=row["way"], occasion=said["occasion"], batch=said.get("batch", ""), made_at=when(row["made_at"]),
        sent_at=when(row["sent_at"]), again=when(row["due_at"]), tries=row["tries"], error=row["error"],
    )  # fmt: skip


router = Router("/", route_handlers=[rules, one_rule, add_rule, remove_rule, test_rule])
