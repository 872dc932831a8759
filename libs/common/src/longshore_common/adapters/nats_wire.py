"""One connection to NATS: sends, asks, hands incoming messages over unparsed, and reconnects for ever.

The only room that reaches below nats-py's public face, and why: its own path from socket to reader (header parsing, a
queue and a task per subscription) carries 50,000 messages a second, a callback per raw message several times that, and
its `publish` validates and flushes per message. What must not enter: events, streams, consumers.
"""

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from longshore_common import logs
from longshore_common.adapters import nats_keys
from longshore_common.errors import BadInput, LongshoreError, Refused, Unreachable


@contextlib.contextmanager
def _without_aiohttp() -> Iterator[None]:
    """`nats` imports aiohttp for WebSockets if it is installed: 0.2 s that every command would pay. We speak TCP."""
    if "aiohttp" in sys.modules:
        yield
        return
    sys.modules["aiohttp"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["aiohttp"]


with _without_aiohttp():
    from nats.aio.client import Client, Server
    from nats.aio.subscription import Subscription
    from nats.errors import Error as NatsError

    from longshore_common.adapters.nats_parser import FastParser

log = logs.get_logger()

#: Seconds between attempts to connect: the first, and the most after doubling.
BACK_OFF: Final = (0.05, 2.0)
#: Seconds; a silent connection is given up after two of them.
PING_EVERY: Final = 10
_DENIED: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"')


class Lost(Exception):
    """The connection broke before an answer came: what was sent may or may not have arrived."""


class NoResponders(Exception):
    """Nobody listens on the subject."""


class Got(NamedTuple):
    """An answer: its body and its raw header block, empty if it had none."""

    data: bytes
    header: bytes


#: What a request ends with; errors as values, so that a batch of requests leaves no exception unseen.
Answered = Got | Lost | NoResponders | Refused
#: (subject, reply, data, header) of an incoming message, called from the read loop: it must only note it.
Sink = Callable[[bytes, bytes, bytes, bytes], None]


class Subscribed(NamedTuple):
    """A subscription; `unsubscribe` takes it."""

    sid: int
    subject: str
    denied: Callable[[Refused], None]


class Wire(Client):
    """The connection. `inbox` is the prefix below which this credential may listen."""

    def __init__(self, url: str, inbox: str) -> None:
        super().__init__()
        self._ps = FastParser(self, self._deliver)
        self.url = url
        self.inbox = f"{inbox}.{self._nuid.next().decode()}"
        self.on_up: set[Callable[[], None]] = set()
        self._up = asyncio.Event()
        self._starting = True
        self._sinks: dict[int, tuple[Sink, Subscribed]] = {}
        self._asked: dict[bytes, tuple[asyncio.Future[Answered], str]] = {}
        self._count = 0
        self._flush_due = False

    async def start(self, creds: str | None, name: str, deadline: float | None) -> None:
        """Connect, trying for `deadline` seconds or for ever; see `nats_log.connect` for the errors."""
        if creds is not None:
            _check_creds(creds)
        try:
            async with asyncio.timeout(deadline):
                await self.connect(
                    servers=self.url.split(","),
                    name=name,
                    user_credentials=creds,
                    inbox_prefix=self.inbox,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_down,
                    reconnected_cb=self._on_reconnected,
                    reconnect_to_server_handler=_next_server,
                    reconnect_time_wait=0.2,  # type: ignore[arg-type]  # any number of seconds
                    max_reconnect_attempts=-1,
                    ping_interval=PING_EVERY,
                    connect_timeout=5,
                )
                self._starting = False
                self.watch(f"{self.inbox}.a.*", self._on_answer)
                self._up.set()
        except TimeoutError as err:
            await self._close(Client.CLOSED, do_cbs=False)
            raise Unreachable(f"no NATS server answers at {self.url}: start it, or correct NATS_URL") from err
        except LongshoreError:
            await self._close(Client.CLOSED, do_cbs=False)
            raise
        except (ValueError, NatsError) as err:
            raise BadInput(f"{self.url!r} is no NATS address; it looks like nats://host:4222") from err

    # --- sending --------------------------------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Whether the server would hear us now, as far as we know."""
        return self._up.is_set() and self.is_connected

    async def ready(self, until: float | None) -> None:
        """Return once connected; `Unreachable` after instant `until` of the loop's clock (None = never), or if closed."""
        if self.up:
            return
        if self.is_closed and not self._starting:
            raise Unreachable("the connection to NATS was closed")
        try:
            async with asyncio.timeout_at(until):
                await self._up.wait()
        except TimeoutError as err:
            raise Unreachable(f"no NATS server answers at {self.url}: start it, then repeat") from err
        if self.is_closed:
            raise Unreachable("the connection to NATS was closed")

    def post(self, subject: str, payload: bytes, reply: str = "", header: bytes = b"") -> None:
        """Send at the end of this turn of the loop; lost if not connected."""
        if not self.up:
            return
        if header:
            size = len(header)
            command = f"HPUB {subject} {reply} {size} {size + len(payload)}\r\n".encode()
            self._pending += (command, header, payload, b"\r\n")
        else:
            self._pending += (f"PUB {subject} {reply} {len(payload)}\r\n".encode(), payload, b"\r\n")
        self._pending_data_size += len(payload)
        self._flush_soon()

    def ask(self, subject: str, payload: bytes, header: bytes = b"") -> asyncio.Future[Answered]:
        """Send with a reply subject of our own; the future ends with the answer, `Lost`, `NoResponders` or `Refused`."""
        future: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        if not self.up:
            future.set_result(Lost())
            return future
        self._count += 1
        reply = f"{self.inbox}.a.{self._count}"
        self._asked[reply.encode()] = (future, subject)
        self.post(subject, payload, reply, header)
        return future

    async def ask_within(self, subject: str, payload: bytes, seconds: float, header: bytes = b"") -> Got:
        """The answer; `Lost`, `NoResponders`, `Refused`, or `TimeoutError` after `seconds`."""
        future = self.ask(subject, payload, header)
        try:
            async with asyncio.timeout(seconds):
                answered = await future
        finally:
            self.forget([future])
        if isinstance(answered, Got):
            return answered
        raise answered

    def forget(self, futures: list[asyncio.Future[Answered]]) -> None:
        """Nobody waits any more for those of these answers that did not come."""
        gone = {id(f) for f in futures if f.cancelled() or not f.done()}
        if gone:
            for key in [k for k, (f, _) in self._asked.items() if id(f) in gone]:
                del self._asked[key]

    def _flush_soon(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_soon(self._flush_now)

    def _flush_now(self) -> None:
        """All that was sent in one turn of the loop in one write; nats-py's flusher would need two more turns."""
        self._flush_due = False
        if self._pending and self.is_connected and self._transport:
            with contextlib.suppress(
                OSError, RuntimeError
            ):  # uvloop says RuntimeError; the read loop sees it and reconnects
                self._transport.writelines(self._pending)
            self._pending = []
            self._pending_data_size = 0

    async def drained(self) -> None:
        """Wait while the socket is full."""
        if self._transport and self.up:
            with contextlib.suppress(OSError, RuntimeError):
                await self._transport.drain()  # type: ignore[no-untyped-call]

    # --- receiving ------------------------------------------------------------------------------------------------

    def watch(
        self, subject: str, sink: Sink, queue: str = "", denied: Callable[[Refused], None] = lambda _: None
    ) -> Subscribed:
        """Call `sink` for each message on `subject`, also after reconnects; `denied` if the server refuses it."""
        self._sid += 1
        subscribed = Subscribed(self._sid, subject, denied)
        # known to nats-py only so that it is repeated after a reconnect; a future instead of a task: none is needed
        self._subs[self._sid] = Subscription(self, self._sid, subject, queue=queue, future=asyncio.Future())
        self._sinks[self._sid] = (sink, subscribed)
        if self.is_connected:
            self._pending.append(f"SUB {subject} {queue} {self._sid}\r\n".encode())
            self._flush_soon()
        return subscribed

    def unwatch(self, subscribed: Subscribed) -> None:
        """Stop; messages under way are dropped."""
        self._subs.pop(subscribed.sid, None)
        if self._sinks.pop(subscribed.sid, None) and self.is_connected:
            self._pending.append(f"UNSUB {subscribed.sid}\r\n".encode())
            self._flush_soon()

    def _deliver(self, sid: int, subject: bytes, reply: bytes, data: bytes, header: bytes) -> None:
        entry = self._sinks.get(sid)
        if entry is not None:
            entry[0](subject, reply, data, header)

    def _on_answer(self, subject: bytes, _reply: bytes, data: bytes, header: bytes) -> None:
        future, _ = self._asked.pop(subject, (None, ""))
        if future is not None and not future.done():
            silent = header.startswith(b"NATS/1.0 503")
            future.set_result(NoResponders() if silent else Got(data, header))

    # --- up and down ----------------------------------------------------------------------------------------------

    def _drop(self) -> None:
        """Nothing that was asked will be answered."""
        self._up.clear()
        asked, self._asked = self._asked, {}
        for future, _ in asked.values():
            if not future.done():
                future.set_result(Lost())

    async def _process_op_err(self, e: Exception) -> None:
        if self.is_connected:
            self._drop()
            self._pending, self._pending_data_size = [], 0  # half-sent commands belong to the old connection
        await super()._process_op_err(e)

    async def _process_err(self, err_msg: str) -> None:
        """Only a permission error leaves the connection usable; any other is answered by connecting again.

        nats-py closes for good, so that an expired credential or a server's shutdown would end a service.
        """
        denied = _DENIED.search(err_msg)
        if denied is None:
            log.warning("nats refused the connection", reason=err_msg)
            await self._process_op_err(Unreachable(err_msg))
            return
        what, subject = denied.groups()
        refused = Refused(f"these credentials do not allow {what} to {subject}")
        if what == "publish":
            for key in [k for k, (_, s) in self._asked.items() if s.lower() == subject]:
                future, _ = self._asked.pop(key)
                if not future.done():
                    future.set_result(refused)
        else:
            for _, subscribed in list(self._sinks.values()):
                if subscribed.subject.lower() == subject:
                    subscribed.denied(refused)
        log.warning("nats denied", subject=subject, what=what)

    async def _attempt_reconnect(self) -> None:
        # nats-py ends its attempts at the first exception it did not foresee
        while not self.is_closed:
            try:
                await super()._attempt_reconnect()
            except Exception as err:
                log.warning("nats reconnect failed", reason=repr(err))
                await asyncio.sleep(BACK_OFF[1])
            else:
                return

    async def _on_reconnected(self) -> None:
        log.info("nats reconnected", url=self.url)
        self._up.set()
        for call in list(self.on_up):
            call()

    async def _on_down(self) -> None:
        self._drop()
        log.warning("nats connection lost", url=self.url)

    async def _on_error(self, err: Exception) -> None:
        text = str(err).lower()
        if self._starting and ("authorization" in text or "authentication" in text):
            raise Refused(f"NATS at {self.url} refused these credentials: enrol again, or correct NATS_CREDS")
        log.debug("nats error", reason=repr(err))

    async def stop(self, seconds: float = 2) -> None:
        """Flush what was sent, at most `seconds`, and close."""
        self._flush_now()
        if self.is_connected:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(seconds):
                    await self.flush()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(seconds):
                await self._close(Client.CLOSED, do_cbs=False)
        self._drop()
        self._up.set()  # wakes who waits for a connection; `ready` then sees that it is closed
        for call in list(self.on_up):
            call()


def _next_server(pool: list[Server], _info: dict[str, Any]) -> tuple[Server, float]:
    """The server least tried, after a pause that doubles from attempt to attempt."""
    server = min(pool, key=lambda s: s.reconnects)
    low, high = BACK_OFF
    return server, min(high, low * 2 ** min(server.reconnects, 10))


def _check_creds(path: str) -> None:
    try:
        text = Path(path).read_text()
    except OSError as err:
        raise BadInput(f"the credentials file {path} cannot be read: {err.strerror}") from err
    if "BEGIN NATS USER JWT" not in text or "BEGIN USER NKEY SEED" not in text:
        raise BadInput(f"{path} is no NATS credentials file: it needs a user JWT and an nkey seed")
    nats_keys.public_key(text.split("BEGIN USER NKEY SEED-----")[1].split("-----")[0])


class ApiError(Exception):
    """JetStream's refusal of a request: HTTP-like code, its own number, and text."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__(f"{description} ({err_code})")
        self.code, self.err_code, self.description = code, err_code, description


async def api(wire: Wire, subject: str, request: dict[str, Any] | bytes | None, seconds: float) -> dict[str, Any]:
    """JetStream's answer on `$JS.API.<subject>`; `ApiError` if it refuses, else as `ask_within`."""
    body = request if isinstance(request, bytes) else json.dumps(request).encode() if request else b""
    answer: dict[str, Any] = json.loads((await wire.ask_within(f"$JS.API.{subject}", body, seconds)).data)
    error = answer.get("error")
    if error:
        raise ApiError(error.get("code", 0), error.get("err_code", 0), error.get("description", ""))
    return answer
