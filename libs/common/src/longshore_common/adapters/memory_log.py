"""The ports of `log` in memory: the same promises, one process, deterministic.

Connect several roles to one `Hub`. Events pass through the codec, so that what cannot be stored cannot be stored here
either. What must not enter: faults (`testing.faulty_log`) and permissions (a real server tests those).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final

from longshore_common import codec, subjects
from longshore_common.adapters.records import read
from longshore_common.clock import Clock, SystemClock
from longshore_common.errors import BadInput, Conflict, Deposed, Trimmed, Unreachable
from longshore_common.events import Role
from longshore_common.log import Answer, Entry, Kept, Malformed, Recorded, Slice

#: Most records of one slice.
SLICE_RECORDS: Final = 1_000


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject matches a pattern with the wildcards `*` (one token) and `>` (one or more at the end)."""
    if pattern == subject:
        return True
    wanted, found = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted, found = wanted[:-1], found[: len(wanted) - 1] if len(found) >= len(wanted) else []
        return len(wanted) == len(found) and all(w in ("*", f) for w, f in zip(wanted, found, strict=True))
    return len(wanted) == len(found) and all(w in ("*", f) for w, f in zip(wanted, found, strict=True))


class Bell:
    """Wakes all who wait for something to change."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    def ring(self) -> None:
        """Wake them."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.get_loop().call_soon(_done, waiter)

    async def heard(self) -> None:
        """Return at the next ring."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter


def _done(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class Hub:
    """What a server holds: the log, the buckets, and who listens. Ids are remembered for ever."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self.records: list[Recorded] = []
        self.ids: dict[str, int] = {}
        self.lead = 0
        self.trimmed = 0
        """The events up to here are gone for whoever begins to read."""
        self.handled: dict[str, int] = {}
        self.buckets: dict[str, dict[str, bytes]] = {}
        self.retained: dict[str, bytes] = {}
        self.bell = Bell()
        self.listeners: list[tuple[str, Callable[[str, bytes], None]]] = []
        self.answers: list[tuple[str, Answer]] = []

    def connect(self, role: Role = "dispatch", name: str = "") -> "MemoryTransport":
        """Another connection to the same log."""
        return MemoryTransport(hub=self, role=role, name=name)

    def record(self, subject: str, body: bytes, event_id: str = "", traceparent: str = "") -> int:
        """Append bytes as they are, as a writer with any client could; the sequence."""
        author, event = read(subject, body)
        self._add(Recorded(0, 0, author, subject, event, event_id, traceparent, body))
        if subject == subjects.LEAD and not isinstance(event, Malformed):
            self.lead = len(self.records)
        return len(self.records)

    def append(self, entry: Entry, fence: int) -> int:
        """As `Log.append`, at once."""
        known = self.ids.get(entry.id)
        if known:
            return known
        subject = subjects.of(entry.event, entry.name)
        body, headers = codec.encode(entry.event)
        if len(body) > codec.MAX_MESSAGE:
            raise BadInput(f"one event is {len(body):,} bytes, more than the {codec.MAX_MESSAGE:,} of a message")
        if fence and self.lead > fence:
            raise Deposed("another dispatcher was elected: follow it")
        author, event = read(subject, body, headers)
        self._add(Recorded(0, 0, author, subject, event, entry.id, entry.traceparent, body))
        if subject == subjects.LEAD:
            self.lead = len(self.records)
        self.ids[entry.id] = len(self.records)
        return len(self.records)

    def visible(self, position: int, most: int) -> list[Recorded]:
        """What a follower that has read up to `position` can read now."""
        return self.records[position : position + most]

    def _add(self, record: Recorded) -> None:
        self.records.append(record._replace(seq=len(self.records) + 1, at=self.clock.now()))
        self.bell.ring()


class MemoryTransport:
    """`Transport` in memory; without a `hub` it has one of its own, whose buckets are made at first use."""

    def __init__(
        self, clock: Clock | None = None, *, hub: Hub | None = None, role: Role = "dispatch", name: str = ""
    ) -> None:
        self.hub = hub or Hub(clock)
        self.role, self.name = role, name
        self.closed = False
        self.log = MemoryLog(self)
        self.hints = MemoryHints(self)
        self.retained = MemoryRetained(self)
        self.blobs = MemoryBlobs(self)

    async def close(self) -> None:
        """As `Transport.close`."""
        self.closed = True
        self.hints.stop()
        self.hub.bell.ring()

    def check(self) -> None:
        """`Unreachable` once closed."""
        if self.closed:
            raise Unreachable("the connection was closed")


class MemoryLog:
    """`Log` on a list."""

    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport
        self._hub = transport.hub

    async def append(self, entry: Entry, *, fence: int = 0, deadline: float = 10) -> int:
        """As `Log.append`."""
        return await self.append_all([entry], fence=fence, deadline=deadline)

    async def append_all(self, entries: Sequence[Entry], *, fence: int = 0, deadline: float = 10) -> int:
        """As `Log.append_all`."""
        self._transport.check()
        await asyncio.sleep(0)
        seq = 0
        for entry in entries:
            seq = self._hub.append(entry, fence)
        return seq

    def follow(self, after: int, subjects: str = subjects.ALL) -> AsyncIterator[Slice]:
        """As `Log.follow`; `Conflict` if the log ends before `after`."""
        return self._read(after, subjects)

    def deliveries(self, worker: str, after: int) -> AsyncIterator[Slice]:
        """As `Log.deliveries`."""
        return self._read(after, subjects.dispatched_to(worker))

    async def handled(self, worker: str, seq: int) -> None:
        """As `Log.handled`."""
        self._transport.check()
        self._hub.handled[worker] = max(self._hub.handled.get(worker, 0), seq)

    async def last(self) -> int:
        """As `Log.last`."""
        self._transport.check()
        return len(self._hub.records)

    async def _read(self, position: int, pattern: str) -> AsyncIterator[Slice]:
        everything = pattern == subjects.ALL
        last = len(self._hub.records)
        if position > last:
            raise Conflict(f"the log ends at {last} but was read up to {position}: it was replaced by an older one")
        if position < self._hub.trimmed and everything:
            raise Trimmed(f"the log begins at {self._hub.trimmed + 1}, and was read up to {position}")
        while not self._transport.closed:
            found = self._hub.visible(position, SLICE_RECORDS)
            if not found:
                await self._hub.bell.heard()
                continue
            position = found[-1].seq
            mine = found if everything else [r for r in found if matches(pattern, r.subject)]
            if mine:
                behind = self._hub.records[position:]
                pending = len(behind) if everything else sum(matches(pattern, r.subject) for r in behind)
                yield Slice(mine, pending)
            await asyncio.sleep(0)


class MemoryHints:
    """`Hints` by calls."""

    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport
        self._hub = transport.hub
        self._bell = Bell()
        self._answering: list[tuple[str, Answer]] = []

    async def send(self, subject: str, body: bytes) -> None:
        """As `Hints.send`."""
        for pattern, take in list(self._hub.listeners):
            if matches(pattern, subject):
                take(subject, body)

    async def listen(self, subject: str) -> AsyncIterator[tuple[str, bytes]]:
        """As `Hints.listen`."""
        heard: deque[tuple[str, bytes]] = deque()

        def take(subject: str, body: bytes) -> None:
            heard.append((subject, body))
            self._bell.ring()

        listener = (subject, take)
        self._hub.listeners.append(listener)
        try:
            while not self._transport.closed:
                while heard:
                    yield heard.popleft()
                await self._bell.heard()
        finally:
            self._hub.listeners.remove(listener)

    async def ask(self, subject: str, body: bytes, *, deadline: float) -> bytes:
        """As `Hints.ask`."""
        self._transport.check()
        answer = next((a for pattern, a in self._hub.answers if matches(pattern, subject)), None)
        if answer is None:
            raise Unreachable(f"nobody answers on {subject}: is the service running?")
        try:
            async with asyncio.timeout(deadline):
                return await answer(body)
        except Exception as err:  # a failing answer is silence to the asker
            raise Unreachable(f"no answer on {subject} within {deadline:g} s: ask again") from err

    async def answer(self, subject: str, answer: Answer, *, shared: bool = False) -> None:
        """As `Hints.answer`."""
        self._answering.append((subject, answer))
        self._hub.answers.append((subject, answer))

    def stop(self) -> None:
        """Nobody listens or answers here any more."""
        self._hub.answers = [a for a in self._hub.answers if a not in self._answering]
        self._bell.ring()


class MemoryRetained:
    """`Retained` on a dict."""

    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport
        self._hub = transport.hub

    async def keep(self, values: Mapping[str, bytes], *, deadline: float = 10) -> None:
        """As `Retained.keep`."""
        self._transport.check()
        for subject, body in values.items():
            if body:
                self._hub.retained[subject] = bytes(body)
            else:
                self._hub.retained.pop(subject, None)
            await self._transport.hints.send(subject, body)

    async def subjects(self, *, deadline: float = 10) -> set[str]:
        """As `Retained.subjects`."""
        self._transport.check()
        return set(self._hub.retained)

    async def watch(self) -> AsyncIterator[Kept]:
        """As `Retained.watch`."""
        listening = self._transport.hints.listen(subjects.DEMANDS)
        following = asyncio.ensure_future(anext(listening))
        try:
            await asyncio.sleep(0)
            yield Kept(whole=True, values=dict(self._hub.retained))
            while not self._transport.closed:
                try:
                    subject, body = await following
                except StopAsyncIteration:
                    return
                following = asyncio.ensure_future(anext(listening))
                yield Kept(whole=False, values={subject: body})
        finally:
            following.cancel()


class MemoryBlobs:
    """`Blobs` on dicts; a bucket is made at first use."""

    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport
        self._hub = transport.hub

    async def put(self, bucket: str, name: str, data: bytes) -> None:
        """As `Blobs.put`."""
        self._transport.check()
        self._hub.buckets.setdefault(bucket, {})[name] = bytes(data)

    async def get(self, bucket: str, name: str) -> bytes | None:
        """As `Blobs.get`."""
        self._transport.check()
        return self._hub.buckets.get(bucket, {}).get(name)

    async def delete(self, bucket: str, name: str) -> None:
        """As `Blobs.delete`."""
        self._transport.check()
        self._hub.buckets.get(bucket, {}).pop(name, None)
