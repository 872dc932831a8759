"""When to look again: a stream that says that something moved, and nothing else. What must not enter: what moved."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from litestar import Request, get
from litestar.params import QueryParameter
from litestar.response import Stream

from longshore_api.adapters import doors
from longshore_api.adapters.doors import House, TheHouse
from longshore_api.adapters.ui.entry import desk
from longshore_api.adapters.ui.rendering import HEADERS

#: Seconds between two words at least; and after which one is said although nothing moved: for pages that show beats, and
#: so that a broken connection is noticed.
_APART: Final = 0.3
_BEATS: Final = 2.0
_STILL: Final = 15.0
#: Seconds after which a browser that lost us comes back.
_RETRY: Final = 1_000

Beats = Annotated[bool, QueryParameter(description="Hosts are shown, of which the log says nothing")]


@get("/live", include_in_schema=False)
async def live(request: Request[Any, Any, Any], house: TheHouse, *, beats: Beats = False) -> Stream:
    """As long as the page is open and its session is good."""
    headers = {**HEADERS, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    credential = request.state.session.credential
    return Stream(
        _words(request, house, credential, _BEATS if beats else _STILL), media_type="text/event-stream", headers=headers
    )


async def _words(
    request: Request[Any, Any, Any], house: House, credential: str, patience: float
) -> AsyncIterator[bytes]:
    position = house.progress.position
    yield f"retry: {_RETRY}\nevent: moved\ndata: {position}\n\n".encode()
    closing = desk(request).closing
    while not closing.is_set():
        if doors.keyring(request).standing(credential) is None:
            yield b"event: out\ndata: sign in\n\n"
            return
        last, position = position, await house.progress.moved(position, patience)
        moved = position != last or patience == _BEATS
        yield f"event: {'moved' if moved else 'still'}\ndata: {position}\n\n".encode()
        await asyncio.sleep(_APART)
