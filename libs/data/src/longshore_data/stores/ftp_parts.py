"""One file from an FTP server, going on where it broke off, begun anew if the file changed.

What must not enter: where the bytes go, which files.
"""

import asyncio
import math
from contextlib import suppress
from typing import Final

from longshore_data.meter import Meter
from longshore_data.stores.ftp_client import Connections, Talk, refused
from longshore_data.stores.patience import Changed, Passing, Patience, insist
from longshore_data.stores.sinks import Sink
from longshore_data.uri import Location

#: Bytes, and seconds, for which bytes are gathered before they go to the disk.
GATHER: Final = 1 << 20
GATHER_FOR: Final = 0.5
#: Seconds for the server to confirm a transfer of which every byte is here.
CONFIRM_WITHIN: Final = 10.0
#: "I do not know that command", in several dialects.
UNKNOWN: Final = ("500", "501", "502", "504")


class Download:
    """One file into one sink."""

    def __init__(self, connections: Connections, place: Location, sink: Sink) -> None:
        self._connections, self._place, self._sink = connections, place, sink
        self._doing, self._silence = "", 0.0
        self._seen: tuple[int, str] | None = None
        self.done = 0

    async def run(self, patience: Patience, meter: Meter, doing: str) -> int:
        """All of it, however many tries that takes; its size in bytes."""
        self._doing, self._silence = doing, patience.silence

        async def once() -> int:
            try:
                async with self._connections.use(self._place, doing) as talk:
                    await self._once(talk, meter)
                    return self.done
            except Passing as err:
                if isinstance(err, Changed) or self._seen is None or -1 in self._seen or "" in self._seen:
                    await self._restart(meter)
                raise

        return await insist(once, patience, lambda: self.done)

    async def _once(self, talk: Talk, meter: Meter) -> None:
        path = talk.path(self._place.key)
        seen = await facts(talk, path)
        if self.done and seen != self._seen:
            raise Changed(f"{self._doing}: the file changed meanwhile")
        self._seen = seen
        size = seen[0]
        if not 0 <= size <= self.done or not self.done:
            await self._pour(talk, path, size, meter)
        if size >= 0 and self.done != size:
            kind = Changed if self.done > size else Passing
            raise kind(f"{self._doing}: the server sent {self.done} bytes where {size} were due")

    async def _pour(self, talk: Talk, path: str, size: int, meter: Meter) -> None:
        reader, writer = await self._open(talk, path)
        try:
            while data := await self._gather(reader):
                await self._sink.write(data, self.done)
                self.done += len(data)
                await meter.moved(len(data))
        finally:
            writer.close()
        if self.done != size:
            await talk.over()
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(CONFIRM_WITHIN):
                await talk.over()
                return
        talk.close()

    async def _open(self, talk: Talk, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await talk.data(f"RETR {path}", self.done)
        except Exception as err:
            if self.done and refused(err, *UNKNOWN):
                raise Changed(f"{self._doing}: the server cannot go on in the middle of a file") from err
            raise

    async def _gather(self, reader: asyncio.StreamReader) -> bytes:
        """The next bytes, 1 MiB or what half a second brings; none at the end only."""
        chunks: list[bytes] = []
        missing = GATHER
        loop = asyncio.get_running_loop()
        until = math.inf
        try:
            while missing > 0 and loop.time() < until:
                async with asyncio.timeout(self._silence):
                    chunk = await reader.read(missing)
                if not chunk:
                    break
                chunks.append(chunk)
                until = min(until, loop.time() + GATHER_FOR)
                missing -= len(chunk)
        except (TimeoutError, OSError):
            if not chunks:
                raise
        return b"".join(chunks)

    async def _restart(self, meter: Meter) -> None:
        self._sink.restart()
        await meter.moved(-self.done)
        self._seen, self.done = None, 0


async def facts(talk: Talk, path: str) -> tuple[int, str]:
    """Size in bytes (-1: the server does not say) and time of change (empty: the same) of a file; 550 raises."""
    await talk.say("TYPE I")
    return int(await _told(talk, f"SIZE {path}") or -1), (await _told(talk, f"MDTM {path}"))[:14]


async def _told(talk: Talk, command: str) -> str:
    try:
        return await talk.say(command, "213")
    except Exception as err:
        if refused(err, *UNKNOWN):
            return ""
        raise
