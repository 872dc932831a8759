"""Routes about submissions, batches and workers, and enrolment."""

from datetime import datetime
from typing import Annotated, Any, Final

from litestar import Router, get, post
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, JSONBody, QueryParameter

from longshore_api.adapters import present, views
from longshore_api.adapters.back import Seen, View
from longshore_api.adapters.doors import CaughtUp, Cursor, Limit, TheHouse, address, admins, bearer, keyring
from longshore_api.adapters.heard import Heard
from longshore_api.adapters.reader import Row
from longshore_api.core import selection
from longshore_common.errors import BadInput

Since = Annotated[str | None, QueryParameter(description="From this instant on, ISO 8601 or Unix seconds")]


@get("/submissions/{submission:int}", summary="A submission and its counts", tags=["submissions"])
async def submission(seen: Seen, submission: FromPath[int]) -> views.Submission:
    """How many of its tasks are in each state; states without tasks are left out."""
    return present.submission(await seen.reader.submission(submission))


@get("/batches", summary="Batches, the newest first", tags=["batches"])
async def batches(seen: Seen, limit: Limit = 1000, cursor: Cursor = None) -> views.Batches:
    """A page of batches with their counts."""
    rows = await seen.reader.batches(limit, _placed(cursor))
    shown = rows[:limit]
    following = selection.written((repr(shown[-1]["placed"]), shown[-1]["name"])) if len(rows) > limit else None
    return views.Batches([present.batch(r) for r in shown], following, seen.position)


@get("/batches/{name:str}", summary="One batch", tags=["batches"])
async def batch(seen: Seen, name: FromPath[str]) -> views.Batch:
    """A batch with its counts."""
    return present.batch(await seen.reader.batch(name))


@get("/workers", summary="Workers by name", tags=["workers"])
async def workers(house: TheHouse, seen: Seen, limit: Limit = 1000, cursor: Cursor = None) -> views.Workers:
    """A page of workers with their load and when they were last heard of."""
    rows = await seen.reader.workers(limit, ".".join(selection.read(cursor)) if cursor else "")
    shown = rows[:limit]
    following = selection.written((shown[-1]["name"],)) if len(rows) > limit else None
    heard = house.heard
    items = [_shown(heard, seen, r) for r in shown]
    return views.Workers(items, following, seen.position)


def _shown(heard: Heard, seen: View, row: Row) -> views.Worker:
    """A worker; what was heard of it is of now only."""
    if seen.past:
        return present.worker(row, None)
    return present.worker(row, heard.at(row["name"]), heard.said(row["name"]))


@get("/workers/{name:str}", summary="One worker", tags=["workers"])
async def worker(house: TheHouse, seen: Seen, name: FromPath[str]) -> views.Worker:
    """A worker with its load."""
    return _shown(house.heard, seen, await seen.reader.worker(name))


@get("/workers/{name:str}/metrics", summary="What its host does: now, and by the minute", tags=["workers"])
async def worker_metrics(
    house: TheHouse, caught_up: CaughtUp, name: FromPath[str], since: Since = None, limit: Limit = 1000
) -> views.Metrics:
    """The last sample that this process heard, and means of minutes, oldest first; a week is kept."""
    await house.reader.worker(name)
    rows = await house.reader.metrics(name, _instant(since), limit)
    return views.Metrics(house.heard.said(name), [present.minute(r) for r in rows])


async def hosts(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard of what hosts do who show a join secret."""
    shown, house = bearer(connection), connection.app.state.house
    if not house.issuer.admits(shown) and not await keyring(connection).admits_host(shown, address(connection)):
        raise NotAuthorizedException("show a join secret of this stack: Authorization: Bearer <join secret>")


@post("/workers/enrol", status_code=200, summary="Become a worker", tags=["workers"], guards=[hosts])
async def enrol(house: TheHouse, data: JSONBody[views.Enrolment]) -> views.Credentials:
    """Credentials for the host's own subjects, for a join secret; a repeat with the same key gets the same worker."""
    return await house.issuer.enrol(data)


@post("/projection/rebuild", status_code=202, summary="Project the log again", tags=["projection"], guards=[admins])
async def rebuild(house: TheHouse) -> views.Rebuilding:
    """Reads show less than there is until the projection is at `last` again."""
    last = await house.last()
    await house.rebuild()
    return views.Rebuilding(0, last)


def _instant(text: str | None) -> float:
    """Unix seconds of an instant as ISO 8601 or Unix seconds; 0 without one."""
    if not text:
        return 0
    try:
        at = float(text) if text.replace(".", "", 1).isdigit() else datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError) as err:
        raise BadInput(f"since={text!r} is no instant: write 2026-11-21T07:00:00+00:00, or Unix seconds") from err
    return min(at, 2.0**62)


def _placed(cursor: str | None) -> tuple[float, str] | None:
    if not cursor:
        return None
    words = selection.read(cursor)
    try:
        return float(".".join(words[:2])), ".".join(words[2:])
    except ValueError as err:
        raise BadInput(f"{cursor!r} is not a cursor of a list of batches: pass `next` unchanged") from err


guarded: Final = Router(
    "/",
    route_handlers=[
        submission,
        batches,
        batch,
        workers,
        worker,
        worker_metrics,
        rebuild,
    ],
)
