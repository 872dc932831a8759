"""One file over HTTP: all at once or by parallel ranges, going on where it broke off, begun anew if the file changed.

What must not enter: which files, error words of the protocol, other storage.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from longshore_data.meter import Meter
from longshore_data.parallel import each
from longshore_data.store import StoreError
from longshore_data.stores.http_client import Facts, HttpClient, facts, refusal
from longshore_data.stores.patience import Changed, Passing, Patience, insist
from longshore_data.stores.sinks import Sink
from longshore_data.uri import Location

if TYPE_CHECKING:
    from aiohttp import ClientResponse, StreamReader

#: Bytes, and seconds, for which bytes are gathered before they go to the disk.
GATHER: Final = 1 << 20
GATHER_FOR: Final = 0.5


class Width(NamedTuple):
    """How a large file is split: `lanes` connections above `above` bytes, ranges of `part` bytes."""

    lanes: int = 4
    above: int = 64 << 20
    part: int = 16 << 20


class _Piece:
    """A range that is still to come: the next byte, and the one after its last (-1: where the body ends)."""

    def __init__(self, at: int, end: int) -> None:
        self.at, self.end = at, end


class Download:
    """One file into one sink. `width.lanes` 1: bytes arrive in their order."""

    def __init__(self, client: HttpClient, place: Location, sink: Sink, width: Width) -> None:
        self._client, self._place, self._sink, self._width = client, place, sink, width
        self._doing = f"fetching {place}"
        self._lanes = width.lanes
        self._asks_range = True
        self._first: Facts | None = None
        self._pieces: list[_Piece] = []
        self.done = 0

    async def run(self, patience: Patience, meter: Meter, doing: str) -> Facts:
        """All of it, however many tries that takes; what the server said of it, `size` being the bytes that came."""
        self._doing = doing

        async def once() -> Facts:
            try:
                return await self._once(meter)
            except Passing as err:
                self._lanes = 1 if isinstance(err, Changed) else max(1, self._lanes // 2)
                if isinstance(err, Changed) or not self._resumable():
                    await self._restart(meter)
                raise

        return await insist(once, patience, lambda: self.done)

    async def _once(self, meter: Meter) -> Facts:
        first = self._first
        if first is None:
            first = await self._begin(meter)
        else:
            await each([p for p in self._pieces if p.at < p.end], lambda p: self._get(p, meter), self._lanes)
        if not await self._sink.holds(first.digests):
            raise Changed(f"{self._doing}: what came has another digest than the server states")
        return first._replace(size=self.done)

    async def _begin(self, meter: Meter) -> Facts:
        """The first request asks for a range too, the whole: only so it is known whether the server honours ranges."""
        headers = {"Range": "bytes=0-"} if self._asks_range else {}
        async with self._client.ask("GET", self._place, headers, self._doing) as answer:
            seen = facts(answer)
            if answer.status == 416 and seen.size == 0:
                return seen
            if answer.status == 416 or (seen.partial and (seen.start, seen.end) != (0, seen.size)):
                self._asks_range = False
            elif answer.status >= 300 or answer.status == 204:
                raise await refusal(answer, self._doing)
            else:
                self._first = seen
                self._split(seen)
                await self._pour_all(answer, meter)
                return seen
        if "Range" not in headers:
            raise StoreError(
                f"{self._doing}: the server answered {answer.status} for part of the file where all was asked"
            )
        return await self._begin(meter)

    def _split(self, seen: Facts) -> None:
        starts: Sequence[int] = [0]
        part = self._width.part
        if self._resumable() and self._lanes > 1 and seen.size > max(part, self._width.above):
            starts = range(0, seen.size, part)
        ends = [*starts[1:], seen.size]
        self._pieces = [_Piece(start, end) for start, end in zip(starts, ends, strict=True)]

    async def _pour_all(self, answer: "ClientResponse", meter: Meter) -> None:
        """The first piece from the body that is open already, the others by requests of their own."""
        head = self._pieces[0]

        async def one(piece: _Piece) -> None:
            await (self._pour(answer, piece, meter) if piece is head else self._get(piece, meter))

        await each(self._pieces, one, self._lanes)

    async def _get(self, piece: _Piece, meter: Meter) -> None:
        """A range, or what is missing of it."""
        assert self._first is not None
        headers = {"Range": f"bytes={piece.at}-{piece.end - 1}", "If-Range": self._first.validator}
        async with self._client.ask("GET", self._place, headers, self._doing) as answer:
            seen = facts(answer)
            if answer.status in (200, 412, 416) or (seen.partial and not self._first.same(seen)):
                raise Changed(f"{self._doing}: the file changed meanwhile")
            if answer.status != 206:
                raise await refusal(answer, self._doing)
            if seen.start != piece.at:
                raise Changed(f"{self._doing}: the server sent from byte {seen.start} where {piece.at} was asked for")
            await self._pour(answer, piece, meter)

    async def _pour(self, answer: "ClientResponse", piece: _Piece, meter: Meter) -> None:
        while piece.end < 0 or piece.at < piece.end:
            data = await _gather(answer.content, piece.end - piece.at if piece.end >= 0 else GATHER)
            if not data:
                break
            await self._sink.write(data, piece.at)
            piece.at += len(data)
            self.done += len(data)
            await meter.moved(len(data))
        if piece.at < piece.end:
            raise Passing(f"{self._doing}: the server sent {piece.at} bytes where {piece.end} were due")

    def _resumable(self) -> bool:
        return self._first is not None and self._first.partial and self._first.size > 0 and bool(self._first.validator)

    async def _restart(self, meter: Meter) -> None:
        self._sink.restart()
        await meter.moved(-self.done)
        self._first, self._pieces, self.done = None, [], 0


async def _gather(body: "StreamReader", due: int) -> bytes:
    """The next bytes of a body, 1 MiB or all that are due, or what half a second brings; none at its end only."""
    from aiohttp import ClientError

    chunks: list[bytes] = []
    missing = min(GATHER, due)
    loop = asyncio.get_running_loop()
    until = math.inf
    try:
        while missing and loop.time() < until and (chunk := await body.read(missing)):
            chunks.append(chunk)
            until = min(until, loop.time() + GATHER_FOR)
            missing -= len(chunk)
    except (ClientError, TimeoutError, ConnectionError):
        if not chunks:
            raise  # else the next read says it again
    return b"".join(chunks) if len(chunks) != 1 else chunks[0]
