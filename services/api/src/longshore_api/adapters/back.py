"""`?at=`: which reader answers a question, of now or of then, and the headers that say where in the log the answer stands.

What must not enter: how the past is made again.
"""

from typing import Annotated, Any, Final, NamedTuple

from litestar import Request
from litestar.datastructures import MutableScopeHeaders
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from longshore_api.adapters.doors import CaughtUp, TheHouse
from longshore_api.adapters.reader import Reader
from longshore_api.core import past, selection
from longshore_common.clock import iso
from longshore_common.errors import Refused
from longshore_common.ids import split_task

#: Sequence of the last event that counts, and its instant.
SEQUENCE, INSTANT = "Longshore-At", "Longshore-At-Time"

At = Annotated[
    str | None,
    QueryParameter(description="As it was: a sequence (1204), an instant (ISO 8601), or how long ago (2h ago, -30m)"),
]
_STANDING: Final = "standing"


class View(NamedTuple):
    """Who answers, and the sequence up to which events count; `past` if that is not now."""

    reader: Reader
    position: int
    past: bool = False


Seen = NamedDependency[View]


async def seen(request: Request[Any, Any, Any], house: TheHouse, caught_up: CaughtUp, at: At = None) -> View:
    """The read model, or the lists as they were at `at`."""
    if not at:
        return View(house.reader, caught_up)
    if house.pasts is None:
        raise Refused("this api does not look back: it was started without a database of its own")
    moment = past.moment(at, house.pasts.now)
    standing = await house.pasts.standing(moment, caught_up)
    request.state[_STANDING] = standing
    return View(await house.pasts.reader(standing, _scope(request)), standing.seq, past=True)


def _scope(request: Request[Any, Any, Any]) -> past.Scope:
    """Whose past is wanted, as the path and the filters of every list say it."""
    path, query = request.path_params, request.query_params
    if "task" in path:
        sid, index = split_task(path["task"])
        return past.Scope((selection.Window(sid, index, index),))
    if "submission" in path:
        return past.Scope(selection.windows(str(path["submission"])))
    if "workers" in request.url.path.split("/"):
        return past.Scope(workers=True)
    if "batches" in request.url.path.split("/"):
        return past.Scope(batch=path.get("name"), batches=True)
    windows = selection.windows(query["ids"]) if query.get("ids") else ()
    if not windows and query.get("submission"):
        windows = selection.windows(query["submission"])
    return past.Scope(windows, query.get("batch") or None, query.get("user") or None)


async def placed(message: Any, scope: Any) -> None:
    """The headers of an answer about the past."""
    standing = scope.get("state", {}).get(_STANDING) if message["type"] == "http.response.start" else None
    if standing is not None:
        told = MutableScopeHeaders(message)
        told.add(SEQUENCE, str(standing.seq))
        told.add(INSTANT, iso(standing.at))
