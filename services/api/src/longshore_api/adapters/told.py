"""Server-sent events: how a stream is written, kept alive and ended. What must not enter: what is told.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final

from litestar.response import Stream

from longshore_api.adapters.doors import House, Visitor

#: Seconds after which something is written in any case, so that whoever is gone is noticed.
ALIVE: Final = 15.0
#: Milliseconds after which a reader whose stream ended comes again.
RETRY: Final = 500
#: Says where in the stream somebody is who comes again.
LAST: Final = "last-event-id"


def event(data: bytes, ident: object = None, kind: str = "") -> bytes:
    """One event; `data` is one line."""
    head = f"id: {ident}\n" if ident is not None else ""
    name = f"event: {kind}\n" if kind else ""
    return b"%b%bdata: %b\n\n" % (head.encode(), name.encode(), data)


def place(ident: object) -> bytes:
    """No event, but a place to come again to."""
    return f"id: {ident}\n\n".encode()


def stream(chunks: AsyncIterator[bytes]) -> Stream:
    """The answer."""
    return Stream(
        chunks, media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )  # fmt: skip


def still(house: House, visitor: Visitor) -> Callable[[], bool]:
    """Whether who opened the stream may still read: a revoked credential ends it within a second."""
    keyring: Any = house.keyring
    if keyring is None:
        return lambda: True
    return lambda: keyring.standing(visitor.credential) is not None


async def ticking(source: AsyncIterator[bytes], may: Callable[[], bool], every: float = 1.0) -> AsyncIterator[bytes]:
    """What comes, `b""` when nothing came for `every` seconds; ends with the right to read."""
    coming: asyncio.Future[bytes] | None = None
    try:
        while may():
            coming = coming or asyncio.ensure_future(anext(source))
            done, _ = await asyncio.wait({coming}, timeout=every)
            if not done:
                yield b""
                continue
            finished, coming = coming, None
            try:
                chunk = finished.result()
            except StopAsyncIteration:
                return
            yield chunk
    finally:
        if coming is not None:
            coming.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await coming
