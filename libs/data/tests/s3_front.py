"""A man in the middle before a real HTTP server: passes requests on, and spoils those that a test tells it to."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass
class Asked:
    """One request as it came: method, target, headers by lower-case name."""

    method: str
    target: str
    headers: dict[str, str]

    @property
    def span(self) -> tuple[int, int] | None:
        if (text := self.headers.get("range", "")).startswith("bytes="):
            start, _, end = text.removeprefix("bytes=").partition("-")
            return int(start), int(end) + 1
        return None


@dataclass
class Spoil:
    """What goes wrong with one request; bytes are those of the body."""

    status: int = 0  # answer this at once, do not ask the server
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)  # replace these in the answer
    cut: int = -1  # break off after so many bytes of the answer's body
    cut_sent: int = -1  # break off after so many bytes of the request's body
    flip: int = -1  # change this byte of the answer's body
    flip_sent: int = -1  # change this byte of the request's body
    hang: int = -1  # say no more after so many bytes of the answer's body
    hang_sent: int = -1  # read no more after so many bytes of the request's body


class Front:
    """Listens on a port of its own. `spoil` decides for each request, by default that nothing is wrong."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self.asked: list[Asked] = []
        self.body_bytes = 0  # of answers, passed on
        self.spoil: Callable[[Asked], Spoil | None] = lambda _: None
        self.before: Callable[[Asked], Awaitable[None]] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Front":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def first(self, n: int, what: Spoil, which: Callable[[Asked], bool] = lambda _: True) -> None:
        """Spoil the first `n` requests of a kind."""
        left = n

        def decide(asked: Asked) -> Spoil | None:
            nonlocal left
            if not which(asked) or not left:
                return None
            left -= 1
            return what

        self.spoil = decide

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._serve(reader, writer):
                pass
        writer.close()
        self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        line, headers = parsed(head)
        method, target, _ = line.split(" ", 2)
        asked = Asked(method, target, headers)
        self.asked.append(asked)
        if self.before is not None:
            await self.before(asked)
        spoil = self.spoil(asked) or Spoil()
        size = int(headers.get("content-length", "0"))
        if spoil.status:
            return await self._refuse(reader, writer, spoil, -1 if method == "HEAD" else size)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        try:
            up_writer.write(head)
            if headers.get("expect"):
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if not await passed(reader, up_writer, size, (spoil.cut_sent, spoil.flip_sent, spoil.hang_sent)):
                return False
            answer = await up_reader.readuntil(b"\r\n\r\n")
            while answer.startswith(b"HTTP/1.1 100"):
                answer = await up_reader.readuntil(b"\r\n\r\n")
            _, said = parsed(answer)
            size = 0 if method == "HEAD" else int(said.get("content-length", "-1"))
            writer.write(changed(answer, spoil.headers))
            if size < 0:  # chunked: one answer per connection
                await passed(up_reader, writer, 1 << 62, (-1, -1, -1))
                return False
            self.body_bytes += size
            return await passed(up_reader, writer, size, (spoil.cut, spoil.flip, spoil.hang)) and not spoil.headers
        finally:
            up_writer.close()

    async def _refuse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, spoil: Spoil, size: int
    ) -> bool:
        await reader.readexactly(max(0, size))
        body = f"<?xml version='1.0'?><Error><Code>{spoil.code}</Code><Message>said the test</Message></Error>".encode()
        extra = "".join(f"{k}: {v}\r\n" for k, v in spoil.headers.items())
        writer.write(
            f"HTTP/1.1 {spoil.status} No\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode()
            + (body if size >= 0 else b"")
        )
        await writer.drain()
        return True


def parsed(head: bytes) -> tuple[str, dict[str, str]]:
    """The first line, and the headers by lower-case name."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    return first, {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}


def changed(head: bytes, headers: dict[str, str]) -> bytes:
    """An answer's head with other values; an empty value: without that header."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    names = {name.lower() for name in headers}
    kept = [line for line in lines if line.partition(":")[0].lower() not in names]
    return "\r\n".join([first, *kept, *(f"{k}: {v}" for k, v in headers.items() if v), "", ""]).encode("latin-1")


async def passed(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int, spoil: tuple[int, int, int]
) -> bool:
    """Pass on `size` bytes; False if it was broken off."""
    cut, flip, hang = spoil
    done = 0
    while done < size:
        data = bytearray(await reader.read(min(65536, size - done)))
        if not data:
            return False
        if done <= flip < done + len(data):
            data[flip - done] ^= 1
        stop = min((n for n in (cut, hang) if n >= 0), default=1 << 62)
        writer.write(bytes(data[: max(0, stop - done)]))
        await writer.drain()
        done += len(data)
        if 0 <= cut <= done:
            return False
        if 0 <= hang <= done:
            await asyncio.Event().wait()
    await writer.drain()
    return True
