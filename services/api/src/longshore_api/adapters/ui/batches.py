"""Pages of batches: all of them with progress, pace and time to go, and one with why and what happened.

What must not enter: actions (see `acting`).
"""

from typing import Any, Final

from litestar import Request, Response, get
from litestar.params import FromPath

from longshore_api.adapters import http_history, present
from longshore_api.adapters.back import Seen
from longshore_api.adapters.doors import TheHouse, TheVisitor
from longshore_api.adapters.reader import Row
from longshore_api.adapters.ui import questions, words
from longshore_api.adapters.ui.entry import TheDesk
from longshore_api.adapters.ui.filters import Query
from longshore_api.adapters.ui.rendering import page
from longshore_api.adapters.ui.samples import Samples
from longshore_api.core import narrative, selection
from longshore_common.errors import BadInput

_PAGE: Final = 50
_LINES: Final = 40
_SUBMISSIONS: Final = 20
WANTED: Final = ("show", "q", "at")


def shown(row: Row, samples: Samples, now: float) -> dict[str, Any]:
    """A batch with how far it is and when it will be over."""
    batch = present.batch(row)
    over, left = words.ended(batch.states), words.left(batch.states)
    moving = left - batch.states.get("waiting", 0)  # those that wait may do so for somebody's hand
    pace = samples.pace_of(batch.name) if moving else None
    basis = "at the pace of the last minutes"
    if not pace and moving and over and row["started_at"] is not None and now > row["started_at"] and not row["paused"]:
        pace, basis = over / (now - row["started_at"]), "at its pace so far"
    return {
        "batch": batch,
        "states": batch.states,
        "bar": words.segments(batch.states, batch.size),
        "over": over,
        "left": left,
        "share": words.share(over, batch.size),
        "pace": pace,
        "eta": max(1.0, left / pace) if pace and moving and not row["paused"] else None,
        "basis": basis,
        "failed": batch.states.get("failed", 0),
    }


@get("/batches", include_in_schema=False)
async def batches(request: Request[Any, Any, Any], seen: Seen, desk: TheDesk) -> Response[bytes]:
    """Those of today first."""
    query = Query.of("/batches", request.query_params, (*WANTED, "cursor"))
    after = _placed(query.get("cursor"))
    rows = await questions.batches(seen.reader, query.get("show"), query.get("q"), _PAGE, after)
    found = rows[:_PAGE]
    following = selection.written((repr(found[-1]["placed"]), found[-1]["name"])) if len(rows) > _PAGE else None
    values = {
        "query": query,
        "batches": [shown(row, desk.samples, desk.clock.now()) for row in found],
        "next": query(cursor=following) if following else None,
        "past": seen if seen.past else None,
    }
    return page(request, "batches.html", values)


def _placed(cursor: str) -> tuple[float, str] | None:
    if not cursor:
        return None
    parts = selection.read(cursor)
    try:
        return float(".".join(parts[:2])), ".".join(parts[2:])
    except ValueError as err:
        raise BadInput(f"{cursor!r} is no page of batches: begin with the first one") from err


@get("/batches/{name:str}", include_in_schema=False)
async def batch(
    request: Request[Any, Any, Any], house: TheHouse, seen: Seen, desk: TheDesk, name: FromPath[str]
) -> Response[bytes]:
    """One batch."""
    row = await seen.reader.batch(name)
    found = shown(row, desk.samples, desk.clock.now())
    visitor: TheVisitor = request.scope["user"]
    rows = await house.reader.history_of_last("batch", [name], _LINES)
    lines = await http_history.told(
        house.reader, rows, _LINES, lambda row, event: [narrative.of_batch(event, row["seq"])]
    )
    values = {
        **found,
        "why": None if seen.past else await desk.why("batch", name, visitor.user),
        "submissions": [present.submission(r) for r in await questions.submissions(seen.reader, name, _SUBMISSIONS)],
        "lines": lines.items[::-1],
        "query": Query.of(f"/batches/{name}", request.query_params, ("at",)),
        "past": seen if seen.past else None,
        "mine": visitor.may("admin") or set(found["batch"].users) <= {visitor.user},
    }
    return page(request, "batch.html", values)
