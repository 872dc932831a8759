"""Writes: a user's wishes as events, over one connection to the log that is opened at the first one.

What must not enter: reads, decisions about tasks.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import chain
from typing import Any, Final, TypeVar

import msgspec

from longshore import chance
from longshore.bookmark import Bookmark
from longshore.choosing import by_http
from longshore.records import Demand, Explanation, Submitted
from longshore.spool import Spool
from longshore_common import events as e
from longshore_common import model as m
from longshore_common import subjects
from longshore_common.damage import DAMAGED
from longshore_common.demand import BatchDemand
from longshore_common.errors import BadInput, LongshoreError, Refused, Unreachable, Unreadable
from longshore_common.log import Entry, Transport
from longshore_common.parts import Part, parts, size_of
from longshore_common.profile import Profile
from longshore_common.ties import Tied

A = TypeVar("A")

#: Seconds to wait for the log by default.
DEADLINE: Final = 10.0
#: Parts on their way at once; the log's fsync then overlaps with encoding the next.
_IN_FLIGHT: Final = 4
#: Seconds between tries to send what is spooled: the first, and the most after doubling.
FIRST_TRY: Final = 0.5
LAST_TRY: Final = 15.0


class Writer:
    """A user's pen. Not shared between event loops; `close` what you made. Connecting has `patience` seconds, or `deadline`.

    With `spooling` all it writes is on this disk first, and is sent from there: at once, or when the log is back.
    """

    def __init__(  # noqa: PLR0913 -- each has a default
        self,
        profile: Profile,
        bookmark: Bookmark,
        *,
        transport: Transport | None = None,
        deadline: float = DEADLINE,
        patience: float | None = None,
        spooling: bool = False,
    ) -> None:
        self.profile = profile
        self.spooling = spooling
        self.bookmark = bookmark
        self.deadline = deadline
        self._patience = deadline if patience is None else patience
        self.spool = Spool(bookmark.directory / "spool") if bookmark.directory else None
        self._transport = transport
        self._given = transport is not None
        self._opening = asyncio.Lock()
        self._flushing = asyncio.Lock()
        self._draining: asyncio.Task[None] | None = None
        self._sent_as: dict[str, int] = {}

    async def transport(self) -> Transport:
        """The connection, opened now if it was not; `Unreachable` with the fix if the log does not answer in time."""
        async with self._opening:
            if self._transport is None:
                self._transport = await self._connected()
            return self._transport

    async def _connected(self) -> Transport:
        if by_http(self.profile):
            from longshore.over_http import HttpTransport  # here, because others need no HTTP to write

            return HttpTransport(self.profile, self.bookmark)
        from longshore_common.adapters import nats_log  # here, because reading and spooling need none of it

        door = self.profile
        try:
            return await nats_log.connect(
                door.nats_url, creds=door.nats_creds, role="user", name=door.user, deadline=self._patience
            )
        except Unreachable as err:
            raise Unreachable(
                f"the log at {door.nats_url} does not answer: see `longshore status`, "
                "start the stack with `longshore up`, or submit with --spool"
            ) from err

    async def close(self) -> None:
        """Flush and let the connection go; one that was given stays its owner's. What is spooled stays on this disk."""
        if self._draining is not None:
            self._draining.cancel()
            await asyncio.wait([self._draining])
        if self._transport is not None and not self._given:
            transport, self._transport = self._transport, None
            await transport.close()

    async def wish(self, event: e.Event, *, key: str | None = None) -> int:
        """Append one event of this user and return its sequence once it is on disk; the same key never counts twice.

        0 while it is only on this disk, which it may be with `spooling`.
        """
        entry = self._entry(event, key or chance.new_key())
        return await self._keep(entry) if self.spooling else await self._append(entry)

    def _entry(self, event: e.Event, key: str, suffix: str = "") -> Entry:
        return Entry(event, self.profile.user, key + suffix, chance.traceparent(key))

    async def _append(self, entry: Entry) -> int:
        transport = await self.transport()
        seq = await transport.log.append(entry, deadline=self.deadline)
        self.bookmark.saw(seq)
        return seq

    # --- submissions ------------------------------------------------------------------------------------------------

    async def submit(self, event: e.TasksSubmitted, *, spool: bool = False) -> Submitted:
        """One submission in one event. With `spool` it is on this disk first, and stays there if the log is away."""
        size = size_of(event.body)
        entry = self._entry(event, event.key)
        if not (spool or self.spooling):
            return self._receipt(await self._append(entry), size, event.key)
        if seq := await self._keep(entry):
            return self._receipt(seq, size, event.key)
        return Submitted(size=size, key=event.key)

    async def _keep(self, entry: Entry) -> int:
        """Have it on this disk, and send it if the log is there: its sequence, 0 if it is not sent yet."""
        self._spool().put(entry)
        if self._draining is not None and not self._draining.done():
            return 0  # the log is away; it is sent in its turn
        try:
            sent = await self.flush()
            # another process may have sent it meanwhile: the same id is answered with the first one's sequence
            return sent.get(entry.id) or await self._append(entry)
        except Unreachable:
            if self.spooling:
                self._draining = asyncio.create_task(self._drain())
            return 0

    async def _drain(self) -> None:
        """Send what is spooled once the log is back. What the log refuses stays, and is told by the next `flush`."""
        pause = FIRST_TRY
        while len(self._spool()):
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_TRY)
            try:
                await self.flush()
            except Unreachable:
                continue
            except LongshoreError:
                return

    async def id_of(self, receipt: Submitted, *, wait: bool = True) -> int:
        """The submission's id; of one that was spooled once this writer has sent it, which is waited for if it tries to.

        `Unreachable` if it is still on this disk.
        """
        if receipt.id is not None:
            return receipt.id
        if wait and self._draining is not None:
            await asyncio.wait([self._draining])
        if (seq := self._sent_as.get(receipt.key)) is not None:
            return seq
        raise Unreachable("the submission is still in the local spool and has no id: call flush() when the log is back")

    async def submit_parts(self, wish: e.TasksSubmitted, tasks: Iterable[m.TaskSpec | Tied]) -> Submitted:
        """Different tasks, however many, in a stream; `wish` has all but the body. All of them count, or none."""
        runs = parts(tasks)
        first = next(runs, None)
        if first is None:
            raise BadInput("there are no tasks in it: a submission has at least one")
        second = next(runs, None)
        if second is None:
            return await self.submit(msgspec.structs.replace(wish, body=m.Specs(specs=first.specs, edges=first.edges)))
        body = await self._send_parts(wish.key, chain((first, second), runs))
        return await self.submit(msgspec.structs.replace(wish, body=body))

    async def _send_parts(self, key: str, runs: Iterable[Part]) -> m.Parts:
        log = None if self.spooling else (await self.transport()).log
        flying: set[asyncio.Task[int]] = set()
        count = size = edges = 0
        try:
            for run in runs:
                part = e.SubmissionPartSent(key=key, part=count, specs=run.specs, edges=run.edges)
                entry = self._entry(part, key, f".{count}")
                count, size, edges = count + 1, size + len(run.specs), edges + len(run.edges)
                if log is None:
                    self._spool().put(entry)
                    continue
                flying.add(asyncio.ensure_future(log.append(entry, deadline=self.deadline)))
                if len(flying) >= _IN_FLIGHT:
                    landed, flying = await asyncio.wait(flying, return_when=asyncio.FIRST_COMPLETED)
                    for one in landed:
                        one.result()
            await asyncio.gather(*flying)
        finally:
            for one in flying:
                one.cancel()
        return m.Parts(parts=count, size=size, edges=edges)

    def _receipt(self, seq: int, size: int, key: str) -> Submitted:
        self.bookmark.submitted(seq, size)
        return Submitted(id=seq, size=size, key=key)

    def _spool(self) -> Spool:
        if self.spool is None:
            raise Refused("there is no place for a spool: give the client a state directory")
        return self.spool

    async def flush(self) -> dict[str, int]:
        """Send what is spooled, oldest first; the sequence of each key. `Unreachable` keeps the rest where it is."""
        sent: dict[str, int] = {}
        async with self._flushing:
            for entry, file in self._spool().entries():
                sent[entry.id] = seq = await self._append(entry)
                if isinstance(entry.event, e.TasksSubmitted):
                    self._sent_as[entry.event.key] = seq
                    self.bookmark.submitted(seq, size_of(entry.event.body))
                self._spool().sent(file)
        return sent

    # --- questions that only a dispatcher answers ---------------------------------------------------------------------

    async def explain(self, kind: str, name: str) -> Explanation:
        """Why a task, submission, batch or worker (`kind`) is as it is; `Unreachable` if no dispatcher is there."""
        return await self.ask({"id": name, "kind": kind}, Explanation)

    async def demand(self, batch: str = "") -> tuple[BatchDemand, ...]:
        """What waits, in which shapes and since when, of one batch or of all; `Unreachable` if no dispatcher is there."""
        return (await self.ask({"id": batch, "kind": "demand"}, Demand)).batches

    async def ask(self, question: dict[str, Any], answer: type[A]) -> A:
        """What any dispatcher answers to `question`; `Unreachable`, with what to do, if none is there."""
        transport = await self.transport()
        body = msgspec.json.encode({**question, "user": self.profile.user})
        try:
            said = await transport.hints.ask(subjects.ASK_DISPATCH, body, deadline=min(self.deadline, 5))
        except Unreachable as err:
            raise Unreachable(
                "no dispatcher answers, so nothing is handed out and nobody can say why: start it"
                " (longshore up, or longshore-dispatcher run) and ask again; what is submitted meanwhile is kept"
            ) from err
        try:
            return msgspec.json.decode(said, type=answer)
        except DAMAGED as err:
            raise Unreadable(f"the dispatcher answered {said[:200]!r} ({err})") from err

    async def progress(self) -> AsyncIterator[tuple[str, bytes]]:
        """The hints on how far this user's submissions are."""
        transport = await self.transport()
        async for subject, body in transport.hints.listen(subjects.done(self.profile.user, ">")):
            yield subject, body
