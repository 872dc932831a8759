"""The feed of all events, filtered, from any place in the log. What must not enter: sentences (see `core.narrative`)."""

from typing import Any, Final

from litestar import Request, Response, get

from longshore_api.adapters import http_history
from longshore_api.adapters.doors import CaughtUp, TheHouse
from longshore_api.adapters.reader import Chronicle
from longshore_api.adapters.ui.filters import Query
from longshore_api.adapters.ui.rendering import page
from longshore_api.core import selection

_PAGE: Final = 60
WANTED: Final = ("author", "type", "since", "until", "cursor")
#: What most people mean by events: without the hand-outs and reports of single attempts.
_BULK: Final = frozenset({"attempts-reported", "attempts-assigned", "resources-held"})
NEWS: Final = ",".join(sorted(http_history.KINDS - _BULK))


@get("/events", include_in_schema=False)
async def events(request: Request[Any, Any, Any], house: TheHouse, caught_up: CaughtUp) -> Response[bytes]:
    """The newest first; each leads to the lists as they were then."""
    query = Query.of("/events", request.query_params, (*WANTED, "every"))
    kinds = query.get("type") or ("" if query.get("every") else NEWS)
    since = await http_history.place_of(house, caught_up, query.get("since"))
    until = await http_history.place_of(house, caught_up, query.get("until"))
    wanted = Chronicle(
        since or 0, until, *http_history.author_of(query.get("author")), http_history.kinds_of(kinds), newest=True
    )
    cursor = query.get("cursor")
    rows = await house.reader.history(wanted, _PAGE, http_history.sequence(cursor) if cursor else None)
    told = await http_history.told(house.reader, rows, _PAGE, http_history.whole)
    older = selection.written((rows[0]["seq"],)) if len(rows) == _PAGE else None
    values = {
        "query": Query("/events", {k: v for k, v in query.words.items() if k != "cursor"}),
        "lines": told.items[::-1],
        "kinds": sorted(http_history.KINDS),
        "next": query(cursor=older) if older else None,
        "first": query(cursor=None) if cursor else None,
    }
    return page(request, "events.html", values)
