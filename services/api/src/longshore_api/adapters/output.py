"""The bytes an attempt wrote, wherever they are: in its report, in the object store, or still on its worker.

What must not enter: which attempt is meant, HTTP words.
"""

import base64
import gzip
import zlib
from typing import Final, NamedTuple

import msgspec

from longshore_common import subjects
from longshore_common.damage import DAMAGED
from longshore_common.errors import NotFound, Refused, Unreachable, Unreadable
from longshore_common.ids import AttemptId
from longshore_common.log import Transport
from longshore_common.model import Output

#: Raw bytes of every stored piece but the last.
PIECE: Final = 8 << 20
#: Most bytes of one answer.
LARGEST: Final = PIECE
#: Seconds a worker may take to answer.
_PATIENCE: Final = 5.0
_STORED: Final = "nats:"


class Part(NamedTuple):
    """Bytes from the wanted offset, and whether nothing will come after them."""

    data: bytes
    ended: bool


class Span(NamedTuple):
    """What is wanted of a stream: at most `limit` bytes from `offset`."""

    offset: int
    limit: int


class _Header(msgspec.Struct):
    offset: int
    size: int
    ended: bool = False
    error: str = ""


class Outputs:
    """Reads output over one transport; keeps the piece read last, because readers come for the next bytes of it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._kept: tuple[str, bytes] = ("", b"")

    async def stored(self, output: Output | None, span: Span, worker: str) -> Part:
        """Of an attempt that has reported; `NotFound` if its stored output is gone. `worker` had the attempt."""
        if output is None or span.offset >= output.size:
            return Part(b"", ended=True)
        if not output.stored:
            data = base64.b64decode(output.tail) if output.encoded else output.tail.encode()
            data = data[span.offset : span.offset + span.limit]
            return Part(data, span.offset + len(data) >= output.size)
        if not output.stored.startswith(_STORED):
            return await self._by_worker(output, span, worker)
        piece = await self._piece(output.stored, span.offset // PIECE)
        data = piece[span.offset % PIECE :][: span.limit]
        if not data:
            raise NotFound(f"{output.stored} holds fewer than the {output.size} bytes reported")
        return Part(data, span.offset + len(data) >= output.size)

    async def _by_worker(self, output: Output, span: Span, worker: str) -> Part:
        """Of a store for which only the workers have credentials."""
        wish = {"attempt": "", "stream": "", "offset": span.offset, "limit": span.limit, "stored": output.stored}
        elsewhere = f"this output is stored at {output.stored}: read it there with credentials of your own"
        try:
            header, data = await self._asked(worker, wish)
        except Unreachable as err:
            raise Unreachable(f"{worker} does not answer; {elsewhere}") from err
        if header.error or not data:
            raise Refused(f"{worker} cannot read it ({header.error or 'nothing is there'}); {elsewhere}")
        return Part(data, span.offset + len(data) >= output.size)

    async def _asked(self, worker: str, wish: dict[str, object]) -> "tuple[_Header, bytes]":
        """(header, bytes) that the worker answers; `Unreachable`, or `Unreadable`."""
        body = msgspec.json.encode(wish)
        answer = await self._transport.hints.ask(subjects.ask_output(worker), body, deadline=_PATIENCE)
        head, _, data = answer.partition(b"\n")
        try:
            return msgspec.json.decode(head, type=_Header), data
        except DAMAGED as err:
            raise Unreadable(f"{worker} answered something else than output: {head[:200]!r}") from err

    async def _piece(self, stored: str, k: int) -> bytes:
        """Piece `k` of `nats:<bucket>/<name>#<pieces>`, named `<name>.<k>.gz`; without pieces one object of gzip members."""
        place, _, pieces = stored.removeprefix(_STORED).partition("#")
        bucket, _, name = place.partition("/")
        name = f"{name}.{k}.gz" if pieces else name
        if self._kept[0] == f"{bucket}/{name}":
            return self._kept[1]
        data = await self._transport.blobs.get(bucket, name)
        if data is None:
            raise NotFound(f"the stored output {bucket}/{name} is gone: it was deleted, or never stored")
        try:
            raw = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as err:
            raise Unreadable(f"the stored output {bucket}/{name} is damaged: {err}") from err
        if not pieces:
            raw = raw[k * PIECE : (k + 1) * PIECE]
        self._kept = (f"{bucket}/{name}", raw) if pieces else ("", b"")
        return raw

    async def live(self, worker: str, attempt: AttemptId, stream: str, span: Span) -> Part:
        """Of an attempt that is on its worker; nothing while the worker does not answer: ask again."""
        wish = {"attempt": attempt, "stream": stream, "offset": span.offset, "limit": span.limit}
        try:
            header, data = await self._asked(worker, wish)
        except Unreachable:
            return Part(b"", ended=False)
        return Part(data[: span.limit], header.ended and header.offset + len(data) >= header.size)
