"""The log over the api alone, for those who cannot reach NATS: wishes and questions by POST, hints as a stream of events.

The same port as over NATS, so that all that writes is the same. What must not enter: which wish is meant, reads.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from http.client import HTTPConnection, HTTPException
from typing import Any, Final, NoReturn

import msgspec

from longshore.bookmark import Bookmark
from longshore.reader import Reader
from longshore_common import codec, subjects
from longshore_common.damage import DAMAGED
from longshore_common.errors import BadInput, LongshoreError, Refused, Unreachable, Unreadable
from longshore_common.log import Answer, Entry, Kept, Slice
from longshore_common.profile import Profile

#: Seconds between attempts while the api does not answer.
AGAIN: Final = 0.2
#: Seconds for which a refused connection is tried again.
REFUSED_FOR: Final = 1.0
#: Seconds without a sign of life after which a stream is opened anew; the api gives one every 15.
SILENCE: Final = 40.0
#: Longest key as it is; a longer one is digested.
_LONGEST: Final = 128


class _Appended(msgspec.Struct, frozen=True):
    seq: int


def append(reader: Reader, entry: Entry, deadline: float) -> int:
    """Append and return the sequence, as `Log.append`: repeated with the same key until `deadline` seconds have passed.

    Where nobody listens it is tried for `REFUSED_FOR` only: an api that starts anew is not away.
    """
    body, headers = codec.encode(entry.event)
    if len(body) > codec.MAX_MESSAGE:
        raise BadInput(f"one event is {len(body):,} bytes, more than the {codec.MAX_MESSAGE:,} of a message: split it")
    key = entry.id if len(entry.id) <= _LONGEST else blake2b(entry.id.encode(), digest_size=16).hexdigest()
    headers |= {"Idempotency-Key": key}
    if entry.traceparent:
        headers["traceparent"] = entry.traceparent
    began = time.monotonic()
    while True:
        try:
            answer = reader.request("POST", "/wishes", body, headers)
            return msgspec.json.decode(answer.body, type=_Appended).seq
        except Unreachable as err:
            patience = min(REFUSED_FOR, deadline) if isinstance(err.__cause__, ConnectionRefusedError) else deadline
            if time.monotonic() + AGAIN > began + patience:
                raise Unreachable(f"{err}, or submit with --spool") from err
            time.sleep(AGAIN)
        except DAMAGED as err:
            raise Unreadable(f"the api answered what is no receipt ({err})") from err


class HttpTransport:
    """`Transport` of a user over HTTP."""

    def __init__(self, profile: Profile, bookmark: Bookmark) -> None:
        self._reader = Reader(profile, bookmark)
        self.log = HttpLog(self._reader)
        self.hints = HttpHints(self._reader)
        self.retained = _Nothing()
        self.blobs = _Nothing()

    async def close(self) -> None:
        """As `Transport.close`."""
        self.hints.close()
        self._reader.close()


def _not_here(what: str) -> NoReturn:
    raise Refused(f"{what} is not for those who go by HTTP alone: use the api's routes")


class HttpLog:
    """`Log` as far as users write it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def append(self, entry: Entry, *, fence: int = 0, deadline: float = 10) -> int:
        """As `Log.append`."""
        return await asyncio.to_thread(append, self._reader, entry, deadline)

    async def append_all(self, entries: Sequence[Entry], *, fence: int = 0, deadline: float = 10) -> int:
        """As `Log.append_all`."""
        seq = 0
        for entry in entries:
            seq = await self.append(entry, deadline=deadline)
        return seq

    def follow(self, after: int, subjects: str = subjects.ALL) -> AsyncIterator[Slice]:
        """Not over HTTP."""
        _not_here("the log")

    def deliveries(self, worker: str, after: int) -> AsyncIterator[Slice]:
        """Not over HTTP."""
        _not_here("work")

    async def handled(self, worker: str, seq: int) -> None:
        """Not over HTTP."""
        _not_here("work")

    async def last(self) -> int:
        """Not over HTTP."""
        _not_here("the log")


class HttpHints:
    """`Hints` as far as users ask and listen: questions to dispatchers, and how far their own submissions are."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._streams: set[_Stream] = set()

    async def ask(self, subject: str, body: bytes, *, deadline: float) -> bytes:
        """As `Hints.ask`; the api fills in who asks."""
        if subject != subjects.ASK_DISPATCH:
            _not_here(subject)
        question: dict[str, Any] = msgspec.json.decode(body)
        question.pop("user", None)
        answer = await asyncio.to_thread(self._reader.request, "POST", "/ask", msgspec.json.encode(question))
        return answer.body

    async def listen(self, subject: str) -> AsyncIterator[tuple[str, bytes]]:
        """As `Hints.listen`, of one's own `done.…` only; opened anew whenever it breaks."""
        if not subject.startswith("done."):
            _not_here(subject)
        stream = _Stream(self._reader)
        self._streams.add(stream)
        try:
            stream.start()
            while True:
                yield subject, await stream.heard.get()
        finally:
            stream.close()
            self._streams.discard(stream)

    async def send(self, subject: str, body: bytes) -> None:
        """Not over HTTP."""
        _not_here("sending hints")

    async def answer(self, subject: str, answer: Answer, *, shared: bool = False) -> None:
        """Not over HTTP."""
        _not_here("answering")

    def close(self) -> None:
        """Let the streams go."""
        for stream in list(self._streams):
            stream.close()


class _Stream:
    """A thread that reads a stream of events, since the standard library's HTTP waits in threads."""

    def __init__(self, reader: Reader) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._closed = threading.Event()
        self._connection: HTTPConnection | None = None
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def start(self) -> None:
        """Read from now on."""
        self._thread.start()

    def _run(self) -> None:
        while not self._closed.is_set():
            with suppress(LongshoreError, HTTPException, OSError, ValueError, AttributeError):
                for data in self._read():
                    self._loop.call_soon_threadsafe(self.heard.put_nowait, data)
            self._closed.wait(AGAIN)

    def _read(self) -> Iterator[bytes]:
        self._connection, response = self._reader.stream("/progress", deadline=SILENCE)
        try:
            while not self._closed.is_set() and (line := response.readline()):
                if line.startswith(b"data: "):
                    yield line[6:].rstrip(b"\r\n")
        finally:
            self._connection.close()

    def close(self) -> None:
        """Stop reading."""
        self._closed.set()
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(2)


class _Nothing:
    """Ports that a user has no use for."""

    async def keep(self, values: Mapping[str, bytes], *, deadline: float = 10) -> None:
        """Not over HTTP."""
        _not_here("what is retained")

    async def subjects(self, *, deadline: float = 10) -> set[str]:
        """Not over HTTP."""
        _not_here("what is retained")

    def watch(self) -> AsyncIterator[Kept]:
        """Not over HTTP."""
        _not_here("what is retained")

    async def put(self, bucket: str, name: str, data: bytes) -> None:
        """Not over HTTP."""
        _not_here("a bucket")

    async def get(self, bucket: str, name: str) -> bytes | None:
        """Not over HTTP."""
        _not_here("a bucket")

    async def delete(self, bucket: str, name: str) -> None:
        """Not over HTTP."""
        _not_here("a bucket")
