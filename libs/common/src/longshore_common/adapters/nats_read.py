"""Reading the log in order: one ordered push consumer, made again from the last sequence after every break.

Push, because a callback per message carries several times what fetching does. What must not enter: writing.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from longshore_common import logs, subjects
from longshore_common.adapters.nats_wire import ApiError, Lost, NoResponders, Subscribed, Wire, api
from longshore_common.adapters.records import read
from longshore_common.errors import Conflict, Refused, Trimmed, Unreachable
from longshore_common.log import Recorded, Slice

log = logs.get_logger()

#: Most records, and most bytes of bodies, of one slice.
SLICE_RECORDS: Final = 1_000
SLICE_BYTES: Final = 8 * 1024 * 1024
#: Seconds between the server's signs of life when nothing is written; two missed mean that the consumer is gone.
HEARTBEAT: Final = 2
#: Seconds an answer of the JetStream API may take before it is asked again.
API_PATIENCE: Final = 5
_DEFLATED: Final = {"Content-Encoding": "deflate"}

#: A message as it came: subject, reply, body, header block.
Raw = tuple[bytes, bytes, bytes, bytes]


def recorded(seq: int, nanoseconds: int, raw: Raw) -> Recorded:
    """The message in its place; `Malformed` stands for an event that cannot be read."""
    subject = raw[0].decode(errors="replace")
    header = raw[3]
    author, event = read(subject, raw[2], _DEFLATED if b"\r\nContent-Encoding: deflate\r\n" in header else None)
    return Recorded(
        seq,
        nanoseconds / 1e9,
        author,
        subject,
        event,
        header_value(header, b"\r\nce-id: "),
        header_value(header, b"\r\ntraceparent: ") if b"\r\ntraceparent: " in header else "",
        raw[2],
    )


def header_value(header: bytes, key: bytes) -> str:
    """The value of `\\r\\n<name>: ` in a raw header block, empty if there is none."""
    start = header.find(key)
    if start < 0:
        return ""
    start += len(key)
    return header[start : header.find(b"\r\n", start)].decode(errors="replace")


def position(reply: bytes) -> tuple[int, int, int, int]:
    """(stream sequence, consumer sequence, nanoseconds, pending) of a consumer's message, read off its reply subject.

    $JS.ACK.<stream>.<consumer>.<delivered>.<seq>.<consumer seq>.<time>.<pending>, longer with domains (ADR-15).
    """
    f = reply.split(b".")
    if len(f) == 9:
        return int(f[5]), int(f[6]), int(f[7]), int(f[8])
    return int(f[7]), int(f[8]), int(f[9]), int(f[10])


class Reader:
    """One ordered reading of the stream past `after`; survives whatever happens to connection and server."""

    def __init__(self, wire: Wire, after: int, filtered: str) -> None:
        self._wire = wire
        self._last = after
        self._filter = filtered
        self._raw: deque[Raw] = deque()
        self._made = 0
        self._name = ""
        self._inbox: Subscribed | None = None
        self._expected = 1
        self._arrived = self._arrived_before = 0
        self._broken = True
        self._failed: Refused | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.pending_at_start = 0

    async def slices(self) -> AsyncIterator[Slice]:
        """As `Log.follow`."""
        self._wire.on_up.add(self._break)
        self._listen_for_silence()
        try:
            while not self._wire.is_closed:
                if self._broken:
                    await self.open()
                found = self._take()
                if found is not None:
                    yield found
                    if self._raw:  # let the socket be read, also by those who never wait
                        await asyncio.sleep(0)
                else:
                    await self._arrival()
        finally:
            self.close()

    async def open(self) -> None:
        """Make the consumer that begins after the last message taken."""
        while not self._wire.is_closed:
            self._discard()
            self._made += 1
            self._name = f"{self._wire.inbox.rsplit('.', 1)[1]}-{id(self):x}-{self._made}"
            deliver = f"{self._wire.inbox}.f.{self._name}"
            self._inbox = self._wire.watch(deliver, self._sink, denied=self._deny)
            try:
                await self._wire.ready(None)
                await self._check_end()
                made = await api(self._wire, self._create_subject(), self._config(deliver), API_PATIENCE)
            except (ApiError, Lost, NoResponders, TimeoutError) as err:
                log.debug("follow again", reason=repr(err))
                await asyncio.sleep(0.1)
                continue
            except Unreachable:
                return  # closed: the reading ends
            self.pending_at_start = made.get("num_pending", 0)
            self._broken = False
            return

    def close(self) -> None:
        """Forget the consumer."""
        self._wire.on_up.discard(self._break)
        if self._timer is not None:
            self._timer.cancel()
        self._discard()

    async def _check_end(self) -> None:
        """A log that ends before what was already read is another log, one that begins later would skip events."""
        info = await api(self._wire, f"STREAM.INFO.{subjects.STREAM}", None, API_PATIENCE)
        last = info["state"]["last_seq"]
        if last < self._last:
            raise Conflict(f"the log ends at {last} but was read up to {self._last}: it was replaced by an older one")
        first = info["state"]["first_seq"]
        if first > self._last + 1 and self._filter == subjects.ALL:
            raise Trimmed(f"the log begins at {first}, and was read up to {self._last}: what is between was trimmed")

    def _create_subject(self) -> str:
        subject = f"CONSUMER.CREATE.{subjects.STREAM}.{self._name}"
        return subject if self._filter == subjects.ALL else f"{subject}.{self._filter}"

    def _config(self, deliver: str) -> dict[str, object]:
        config: dict[str, object] = {
            "name": self._name,
            "deliver_subject": deliver,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._last + 1,
            "ack_policy": "none",
            "max_deliver": 1,
            "flow_control": True,
            "idle_heartbeat": HEARTBEAT * 1_000_000_000,
            "inactive_threshold": 30_000_000_000,
            "num_replicas": 1,
            "mem_storage": True,
        }
        if self._filter != subjects.ALL:
            config["filter_subject"] = self._filter
        return {"stream_name": subjects.STREAM, "config": config}

    def _discard(self) -> None:
        if self._inbox is not None:
            self._wire.unwatch(self._inbox)
            self._inbox = None
            if self._wire.up:
                self._wire.post(f"$JS.API.CONSUMER.DELETE.{subjects.STREAM}.{self._name}", b"")
        self._raw.clear()
        self._expected = 1

    # --- what the read loop and the clock call -------------------------------------------------------------------

    def _sink(self, subject: bytes, reply: bytes, data: bytes, header: bytes) -> None:
        self._raw.append((subject, reply, data, header))
        self._arrived += 1
        if self._waiter is not None:
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._waiter = None

    def _break(self) -> None:
        self._broken = True
        self._wake()

    def _deny(self, refused: Refused) -> None:
        self._failed = refused
        self._wake()

    def _listen_for_silence(self) -> None:
        """Two heartbeats without any message: the consumer is gone, for instance with a restarted server's memory."""
        if self._arrived == self._arrived_before and not self._raw and not self._broken:
            self._break()
        self._arrived_before = self._arrived
        self._timer = asyncio.get_running_loop().call_later(2.5 * HEARTBEAT, self._listen_for_silence)

    async def _arrival(self) -> None:
        if self._failed is not None:
            raise self._failed
        if self._raw or self._broken:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    # --- what the follower takes ---------------------------------------------------------------------------------

    def _take(self) -> Slice | None:
        """Up to a slice of what has arrived, None if that is nothing; notes a gap, to be read again."""
        records: list[Recorded] = []
        pending = size = 0
        raw = self._raw
        while raw and len(records) < SLICE_RECORDS and size < SLICE_BYTES:
            message = raw.popleft()
            reply = message[1]
            if not reply.startswith(b"$JS.ACK."):
                if not self._control(message):
                    self._broken = True
                    break
                continue
            seq, nth, nanoseconds, pending = position(reply)
            if nth != self._expected:
                self._broken = True
                break
            self._expected += 1
            self._last = seq
            size += len(message[2])
            records.append(recorded(seq, nanoseconds, message))
        return Slice(records, pending) if records else None

    def _control(self, message: Raw) -> bool:
        """Answer flow control; False if a heartbeat tells of messages that never came."""
        _, reply, _, header = message
        if header.startswith(b"NATS/1.0 100 Flow"):
            self._wire.post(reply.decode(), b"")
            return True
        stalled = header_value(header, b"\r\nNats-Consumer-Stalled: ")
        if stalled:
            self._wire.post(stalled, b"")
        told = header_value(header, b"\r\nNats-Last-Consumer: ")
        return not told or int(told) == self._expected - 1
