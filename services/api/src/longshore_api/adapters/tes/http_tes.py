"""The routes of GA4GH TES 1.1 below /ga4gh/tes/v1, and the one by which agents fetch what inputs hold.

What must not enter: what a task means here (`mapping`), what one looks like (`showing`), SQL (`listing`).
"""

import base64
import binascii
import hashlib
import secrets
from typing import Annotated, Any, Final, NamedTuple

from litestar import Request, Response, Router, get, post
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.params import FromPath, FromQuery, QueryParameter

from longshore_api.adapters.doors import (
    House,
    TheHouse,
    TheVisitor,
    Visitor,
    admitted,
    bearer,
    submitters,
)
from longshore_api.adapters.limits import within_limits
from longshore_api.adapters.tes import listing, mapping, parameters, showing, wire
from longshore_api.adapters.tes.contents import Contents
from longshore_api.core import selection
from longshore_common.errors import BadInput, NotFound, Refused, Unreachable
from longshore_common.events import CancelRequested
from longshore_common.ids import SubmissionId, TaskRange, task_id
from longshore_common.model import TERMINAL

BASE: Final = "/ga4gh/tes/v1"
#: Bytes of a body, contents and all.
LARGEST: Final = 32 << 20
#: Seconds that a list waits for what was submitted before it was asked for; then it shows what there is.
PATIENCE: Final = 3.0
_STORAGE: Final = ("s3://", "https://", "http://", "ftp://", "file:///")
_Text = str | None
_NAME: Final = "Longshore"


async def admit_too(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: a credential as everywhere, or as the password of basic authentication, whoever its user is said to be."""
    connection.scope["user"] = await admitted(connection, bearer(connection) or _password(connection))


def _password(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    kind, _, value = connection.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


class _Asked(NamedTuple):
    """What a list is to show."""

    filters: listing.Filters
    size: int
    after: int | None
    view: showing.View


def of_list(
    name_prefix: FromQuery[_Text] = None,
    wanted: Annotated[_Text, QueryParameter(name="state", description="A state of TES")] = None,
    tag_key: Annotated[list[str] | None, QueryParameter(description="All of which a task must have")] = None,
    tag_value: Annotated[
        list[str] | None, QueryParameter(description="Of the key at the same place; empty: any")
    ] = None,
) -> listing.Filters:
    """Which tasks are wanted."""
    return listing.Filters(name_prefix or "", listing.state(wanted), listing.tags(tag_key, tag_value))


def of_page(
    filters: NamedDependency[listing.Filters],
    page_size: Annotated[int | None, QueryParameter(description="At most 2047; 256 if not given")] = None,
    page_token: Annotated[_Text, QueryParameter(description="next_page_token of the page before")] = None,
    view: Annotated[_Text, QueryParameter(description="MINIMAL (if not given), BASIC or FULL")] = None,
) -> _Asked:
    """Which page, and how much of each task."""
    return _Asked(filters, listing.size(page_size), listing.place(page_token), _view(view))


def _view(text: _Text) -> showing.View:
    match text or "MINIMAL":
        case "MINIMAL":
            return "MINIMAL"
        case "BASIC":
            return "BASIC"
        case "FULL":
            return "FULL"
        case _:
            raise BadInput(f"view={str(text)[:80]!r} is none of MINIMAL, BASIC and FULL")


@get("/service-info", summary="What this service is")
async def service_info() -> dict[str, Any]:
    """GA4GH service-info 1.0, with the parameters that this backend knows."""
    return {
        "id": "longshore.tes",
        "name": _NAME,
        "type": {"group": "org.ga4gh", "artifact": "tes", "version": "1.1.0"},
        "description": "A work queue for scientific batch jobs; see its manual, chapter TES",
        "organization": {"name": _NAME, "url": "https://longshore.invalid"},
        "version": "1",
        "storage": list(_STORAGE),
        "tesResources_backend_parameters": list(parameters.KNOWN),
    }


@get("/tasks/service-info", summary="What this service is, in the words of TES 1.0")
async def old_service_info() -> dict[str, Any]:
    """Clients of before 1.1 ask here, and take no other word than these."""
    return {"name": _NAME, "doc": "TES 1.1 over Longshore", "storage": list(_STORAGE)}


class _CreateOperation(Operation):
    """The body is read by us: whatever its content type says, it is JSON."""

    def __post_init__(self) -> None:
        """Say what is in it."""
        schema = Schema(type="object", required=["executors"])  # type: ignore[arg-type]
        self.request_body = RequestBody(content={"application/json": OpenAPIMediaType(schema=schema)}, required=True)


@post(
    "/tasks",
    status_code=200,
    guards=[submitters],
    request_max_body_size=LARGEST,
    operation_class=_CreateOperation,
    summary="Create a task",
)
async def create(request: Request[Any, Any, Any], house: TheHouse, visitor: TheVisitor) -> dict[str, str]:
    """Its id, as soon as the log has it on disk. `Idempotency-Key`: a repeat is answered with the first one's id."""
    task = wire.read(await request.body())
    key = _key(request.headers.get("Idempotency-Key", ""), visitor)
    made = mapping.created(task, key, _contents(house).place)
    await _contents(house).keep(made.contents)
    if house.pen is None:
        raise Unreachable("this api was started without a log: ask again")
    return {"id": task_id(await house.pen.wish(visitor.user, made.event, f"{visitor.user}-{key}"), 0)}


def _key(given: str, visitor: Visitor) -> str:
    """One that never was, or that of the client."""
    if not given:
        return f"tes-{secrets.token_hex(16)}"
    return f"tes-{hashlib.sha256(f'{visitor.user} {given}'.encode()).hexdigest()}"


def _contents(house: House) -> Contents:
    if house.contents is None:
        raise Unreachable("this api was started without a database of its own: ask another")
    return house.contents


@get("/tasks", summary="Tasks, the newest first")
async def tasks(house: TheHouse, visitor: TheVisitor, asked: NamedDependency[_Asked]) -> dict[str, Any]:
    """A page of the tasks that all filters admit."""
    await _followed(house)
    rows = await listing.page(house.reader, asked.filters, asked.size, asked.after, whole=asked.view != "MINIMAL")
    shown = rows[: asked.size]
    page: dict[str, Any] = {"tasks": await _shown(house, visitor, shown, asked.view)}
    if len(rows) > asked.size:
        page["next_page_token"] = selection.written((shown[-1]["submission"],))
    return page


@get("/tasks/{task:str}", summary="One task")
async def task(
    house: TheHouse,
    visitor: TheVisitor,
    task: FromPath[str],
    view: Annotated[_Text, QueryParameter(description="MINIMAL (if not given), BASIC or FULL")] = None,
) -> dict[str, Any]:
    """As much of it as the view has; what its inputs hold is for its owner and admins."""
    wanted, sid = _view(view), listing.number(task)
    await _known(house, sid)
    row = await listing.one(house.reader, sid, whole=wanted != "MINIMAL")
    return (await _shown(house, visitor, [row], wanted))[0]


@post("/tasks/{task:str}", status_code=200, guards=[submitters], summary="Cancel a task: <id>:cancel")
async def act(house: TheHouse, visitor: TheVisitor, task: FromPath[str]) -> dict[str, str]:
    """Nothing happens to one that has ended, or to one that is being cancelled."""
    named, _, action = task.rpartition(":")
    if action != "cancel":
        raise NotFound(f"{task[:80]!r}: a task can be told to :cancel only")
    sid = listing.number(named)
    await _known(house, sid)
    row = await listing.one(house.reader, sid, whole=False)
    if row["state"] in TERMINAL:
        return {}
    if row["user_name"] != visitor.user and not visitor.may("admin"):
        raise Refused(f"{named} belongs to {row['user_name']}: its owner and admins may cancel it")
    if house.pen is None:
        raise Unreachable("this api was started without a log: ask again")
    own = SubmissionId(row["submission"])
    await house.pen.wish(visitor.user, CancelRequested(tasks=(TaskRange(own, 0, 0),)))
    return {}


async def _shown(house: House, visitor: Visitor, rows: list[Any], view: showing.View) -> list[dict[str, Any]]:
    if view == "MINIMAL" or not rows:
        return [showing.minimal(row) for row in rows]
    before = await listing.earlier(house.reader, [row["submission"] for row in rows])
    if view == "BASIC":
        return [showing.whole(row, before.get(row["submission"], ()), None) for row in rows]
    own = [row for row in rows if visitor.may("admin") or row["user_name"] == visitor.user]
    wanted = [place for row in own for place in showing.contents(row).values()]
    held = await _contents(house).shown(wanted) if wanted else {}
    return [showing.whole(row, before.get(row["submission"], ()), held) for row in rows]


async def _known(house: House, sid: int) -> None:
    """A task is there as soon as its client was told of it; `Unreachable` if that takes too long."""
    if sid <= house.progress.position:
        return
    if sid > await house.last():
        raise NotFound(f"there is no TES task {sid}.0: list what there is")
    if not await house.progress.passed(sid):
        raise Unreachable(f"the read model is at {house.progress.position}, not yet at {sid}: ask again")


async def _followed(house: House) -> None:
    """What was submitted before is in the list, unless the read model is far behind."""
    try:
        await house.progress.passed(await house.last(), PATIENCE)
    except Unreachable:
        return


@get(
    "/contents",
    summary="What an input of a TES task holds, for agents; the token is the credential",
    media_type="application/octet-stream",
    security=[],
    tags=["contents"],
)
async def content(house: TheHouse, token: FromQuery[str]) -> Response[bytes]:
    """Until its task has ended."""
    body = await _contents(house).fetched(token)
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return Response(body, headers={"Repr-Digest": f"sha-256=:{digest}:", "Cache-Control": "no-store"})


router: Final = Router(
    BASE,
    route_handlers=[service_info, old_service_info, create, tasks, task, act],
    guards=[admit_too, within_limits],
    security=[{"token": []}],
    tags=["TES"],
    dependencies={
        "filters": Provide(of_list, sync_to_thread=False),
        "asked": Provide(of_page, sync_to_thread=False),
    },
)
