"""The log on NATS JetStream: appending with expectations, and the transport that holds all ports.

What must not enter: what events mean, and any decision but whether a write is in.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from longshore_common import codec, subjects
from longshore_common.adapters.nats_blobs import NatsBlobs
from longshore_common.adapters.nats_deliveries import Deliveries
from longshore_common.adapters.nats_hints import NatsHints
from longshore_common.adapters.nats_read import Reader
from longshore_common.adapters.nats_retained import NatsRetained
from longshore_common.adapters.nats_wire import ApiError, Got, Lost, NoResponders, Wire, api
from longshore_common.clock import SystemClock, iso
from longshore_common.errors import BadInput, Deposed, Refused, Unreachable
from longshore_common.events import LeaderElected, Role
from longshore_common.log import Entry, Recorded, Slice

#: From this many entries on one atomic batch (one fsync, but 3 ms of its own) beats an fsync each of 0.2 ms.
BATCH_FROM: Final = 16
#: The server takes no more in one atomic batch (ADR-50).
BATCH_MOST: Final = 1_000
#: Seconds after which a missing acknowledgement is taken for lost; the repeat carries the same id.
ACK_PATIENCE: Final = 5.0
#: Seconds before a repeat that the server answered with a passing trouble.
PAUSE: Final = 0.05

_WRONG_LAST: Final = (10071, 10164)  # wrong last sequence; the same, unknown to the leader of a cluster
_TOO_LARGE: Final = (10054,)  # message size exceeds the stream's maximum
_DENIED: Final = 10000


class _Trouble(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Ack(msgspec.Struct):
    seq: int = 0
    duplicate: bool = False
    error: _Trouble | None = None


_ack: Final = msgspec.json.Decoder(_Ack).decode


class _Message(msgspec.Struct):
    """An entry on its way; `seq` is 0 until the server said it is in."""

    subject: str
    id: str
    body: bytes
    header: bytes
    seq: int = 0
    trouble: _Trouble | None = None


class NatsLog:
    """`Log` on JetStream."""

    def __init__(self, wire: Wire, source: str) -> None:
        self._wire = wire
        self._source = source
        self._clock = SystemClock()
        self._deliveries: dict[str, Deliveries] = {}
        self._batches = 0
        # where a fence moved to when somebody wrote rubbish to the leader's subject
        self._moved: dict[int, int] = {}

    async def append(self, entry: Entry, *, fence: int = 0, deadline: float = 10) -> int:
        """As `Log.append`."""
        message = self._message(entry, iso(self._clock.now()))
        return await self._settle([message], fence, asyncio.get_running_loop().time() + deadline)

    async def append_all(self, entries: Sequence[Entry], *, fence: int = 0, deadline: float = 10) -> int:
        """As `Log.append_all`: in atomic batches where many, else pipelined."""
        now = iso(self._clock.now())
        messages = [self._message(entry, now) for entry in entries]
        until = asyncio.get_running_loop().time() + deadline
        last = 0
        for start in range(0, len(messages), BATCH_MOST):
            part = messages[start : start + BATCH_MOST]
            if len(part) >= BATCH_FROM:
                last = await self._batch(part, fence, until)
            else:
                last = await self._settle(part, fence, until)
        return last

    def follow(self, after: int, subjects: str = subjects.ALL) -> AsyncIterator[Slice]:
        """As `Log.follow`; `Conflict` if the log ends before `after`."""
        return Reader(self._wire, after, subjects).slices()

    def deliveries(self, worker: str, after: int) -> AsyncIterator[Slice]:
        """As `Log.deliveries`."""
        reading = self._deliveries[worker] = Deliveries(self._wire, worker, after)
        return reading.slices()

    async def handled(self, worker: str, seq: int) -> None:
        """As `Log.handled`."""
        reading = self._deliveries.get(worker)
        if reading is not None:
            reading.handled(seq)

    async def last(self) -> int:
        """As `Log.last`."""
        try:
            info = await api(self._wire, f"STREAM.INFO.{subjects.STREAM}", None, ACK_PATIENCE)
        except (ApiError, Lost, NoResponders, TimeoutError) as err:
            raise Unreachable(f"the log does not answer ({err or type(err).__name__}): is the api running?") from err
        return int(info["state"]["last_seq"])

    # --- one by one and pipelined ---------------------------------------------------------------------------------

    def _message(self, entry: Entry, now: str) -> _Message:
        body, more = codec.encode(entry.event)
        most = min(codec.MAX_MESSAGE, self._wire.max_payload - 4096)
        if len(body) > most:
            raise BadInput(f"one event is {len(body):,} bytes, more than the {most:,} of a message: send it in parts")
        headers = codec.attributes(entry.event, entry.id, self._source, now, entry.traceparent) | more
        header = "NATS/1.0\r\n" + "".join([f"{k}: {v}\r\n" for k, v in headers.items()])
        return _Message(subjects.of(entry.event, entry.name), entry.id, body, header.encode())

    async def _settle(self, messages: list[_Message], fence: int, until: float) -> int:
        """Send until each has its sequence, those that have none again in their order; the last one's sequence."""
        fence = self._moved.get(fence, fence)
        while True:
            await self._wire.ready(until)
            waiting = [m for m in messages if not m.seq]
            await self._send(waiting, fence, until)
            waiting = [m for m in messages if not m.seq]
            if not waiting:
                return messages[-1].seq
            if any(m.trouble is not None and m.trouble.err_code in _WRONG_LAST for m in waiting):
                fence = await self._after_conflict(waiting, fence, until)
                continue
            self._give_up_if_hopeless(waiting, until)
            await asyncio.sleep(PAUSE)

    async def _send(self, messages: list[_Message], fence: int, until: float) -> None:
        """Send all at once and note what the server says of each."""
        expect = _expectation(fence)
        futures = [self._wire.ask(m.subject, m.body, m.header + expect) for m in messages]
        try:
            async with asyncio.timeout_at(min(until, asyncio.get_running_loop().time() + ACK_PATIENCE)):
                for message, future in zip(messages, futures, strict=True):
                    _note(message, await future)
        except TimeoutError:
            pass  # no acknowledgement is no answer: `_settle` repeats
        finally:
            self._wire.forget(futures)

    def _give_up_if_hopeless(self, waiting: list[_Message], until: float) -> None:
        trouble = next((m.trouble for m in waiting if m.trouble is not None), None)
        if trouble is not None and trouble.err_code in _TOO_LARGE:
            raise BadInput(f"the log refuses the event: {trouble.description}; send it in parts")
        if trouble is not None and trouble.err_code == _DENIED:
            raise Refused(trouble.description)
        if asyncio.get_running_loop().time() >= until:
            why = trouble.description if trouble is not None else "no acknowledgement came"
            raise Unreachable(f"the log did not take the event in time ({why}): repeat with the same id")

    # --- atomic batches ---------------------------------------------------------------------------------------------

    async def _batch(self, messages: list[_Message], fence: int, until: float) -> int:
        """All in one commit; where the server refuses that, for instance as some are in already, one after the other."""
        await self._wire.ready(until)
        self._batches += 1
        batch = f"{self._wire.inbox.rsplit('.', 1)[1]}-{self._batches}"
        expect = _expectation(self._moved.get(fence, fence))
        for nth, m in enumerate(messages[:-1], 1):
            mark = f"Nats-Batch-Id: {batch}\r\nNats-Batch-Sequence: {nth}\r\n".encode()
            self._wire.post(m.subject, m.body, header=m.header + mark + (expect if nth == 1 else b"\r\n"))
        last = messages[-1]
        mark = (
            f"Nats-Batch-Id: {batch}\r\nNats-Batch-Sequence: {len(messages)}\r\nNats-Batch-Commit: 1\r\n\r\n".encode()
        )
        future = self._wire.ask(last.subject, last.body, last.header + mark)
        try:
            async with asyncio.timeout_at(min(until, asyncio.get_running_loop().time() + ACK_PATIENCE)):
                _note(last, await future)
        except TimeoutError:
            pass  # as in `_send`
        finally:
            self._wire.forget([future])
        if last.seq:
            return last.seq
        return await self._settle(messages, fence, until)

    # --- the fence --------------------------------------------------------------------------------------------------

    async def _after_conflict(self, waiting: list[_Message], fence: int, until: float) -> int:
        """The fence to go on with, after noting which of `waiting` are in; `Deposed` if another was elected.

        A repeat of our own write is refused like a real race (the server checks expectations before duplicates), so a
        refusal is a conflict only after reading back. And a message on the leader's subject that is no election (a
        reply somebody directed there) moves the fence without deposing anyone.
        """
        moved, deposed = fence, False
        for subject in {subjects.LEAD} | {m.subject for m in waiting}:
            ours = {m.id: m for m in waiting if m.subject == subject}
            async for record in self._since(fence, subject, until):
                if record.id in ours:
                    ours[record.id].seq = record.seq
                elif subject == subjects.LEAD:
                    deposed = deposed or isinstance(record.event, LeaderElected)
                    moved = record.seq
        for m in waiting:
            m.trouble = None
        if deposed and not all(m.seq for m in waiting):
            raise Deposed("another dispatcher was elected: follow it")
        self._moved[fence] = moved
        return moved

    async def _since(self, after: int, subject: str, until: float) -> AsyncIterator[Recorded]:
        """The records of one subject past `after` that are there now."""
        reader = Reader(self._wire, after, subject)
        try:
            async with asyncio.timeout_at(until):
                await reader.open()
                left = reader.pending_at_start
                slices = reader.slices()
                while left > 0:
                    found = await anext(slices)
                    left -= len(found.records)
                    for record in found.records:
                        yield record
        except TimeoutError as err:
            raise Unreachable("the log could not be read back in time: repeat with the same id") from err
        finally:
            reader.close()


def _expectation(fence: int) -> bytes:
    if not fence:
        return b"\r\n"
    return (
        f"Nats-Expected-Last-Subject-Sequence: {fence}\r\n"
        f"Nats-Expected-Last-Subject-Sequence-Subject: {subjects.LEAD}\r\n\r\n"
    ).encode()


def _note(message: _Message, answered: object) -> None:
    match answered:
        case Got(data, _):
            ack = _ack(data)
            message.seq, message.trouble = ack.seq if ack.error is None else 0, ack.error
        case NoResponders():
            message.trouble = _Trouble(503, 0, "there is no log: start the api, which makes it")
        case Refused():
            message.trouble = _Trouble(403, _DENIED, str(answered))
        case _:
            message.trouble = None


class NatsTransport:
    """`Transport` on one NATS connection."""

    def __init__(self, wire: Wire, source: str) -> None:
        self.wire = wire
        self.log = NatsLog(wire, source)
        self.hints = NatsHints(wire)
        self.retained = NatsRetained(wire)
        self.blobs = NatsBlobs(wire)

    async def close(self) -> None:
        """As `Transport.close`, in at most 4 s."""
        await self.wire.stop()


async def connect(
    url: str, *, creds: str | None, role: Role, name: str = "", deadline: float | None = None
) -> NatsTransport:
    """The ports over NATS at `url` (several separated by commas), reconnecting for ever with back-off.

    `creds` is the path of a credentials file, read again at each reconnect. At first it tries for `deadline` seconds,
    None = for ever, then `Unreachable`. `BadInput` if the file or address is unusable, `Refused` if the server says so.
    """
    wire = Wire(url, subjects.inbox(role, name))
    label = f"/longshore/{role}/{name}" if name else f"/longshore/{role}"
    await wire.start(creds, label, deadline)
    return NatsTransport(wire, label)
