"""What is addressed to one worker, by its durable consumer: in order, none twice, none left out.

A worker may only ask that one consumer for more, ask how it stands, and acknowledge; so what a broken connection
swallowed comes back by redelivery alone, possibly after newer messages. What must not enter: reading by other means.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from longshore_common import logs, subjects
from longshore_common.adapters.nats_read import API_PATIENCE, SLICE_RECORDS, Raw, header_value, position, recorded
from longshore_common.adapters.nats_wire import ApiError, Lost, NoResponders, Wire, api
from longshore_common.errors import Refused, Unreachable
from longshore_common.log import Recorded, Slice

log = logs.get_logger()

#: Messages asked for at a time; more are asked for when half have come.
PULL: Final = 512
#: Seconds a request stays open on the server, and between its signs of life.
EXPIRES, HEARTBEAT = 30, 10
#: Seconds between looks at the consumer while something is missing, or the consumer itself is.
RETRY: Final = 0.2


class Deliveries:
    """One reading of a worker's deliveries past `after`; made again, it begins where `after` says."""

    def __init__(self, wire: Wire, worker: str, after: int) -> None:
        self._wire = wire
        self._consumer = subjects.consumer(worker)
        self._after = self._last = after
        self._raw: deque[Raw] = deque()
        #: Read but not yet handled: sequence -> where to acknowledge. Ascending, as dicts keep their order.
        self._unhandled: dict[int, str] = {}
        #: Arrived while an earlier one may be missing.
        self._held: dict[int, Raw] = {}
        self._whole = False
        self._nth = 0
        self._asked = 0
        self._arrived = self._arrived_before = 0
        self._failed: Refused | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def slices(self) -> AsyncIterator[Slice]:
        """As `Log.deliveries`."""
        inbox = f"{self._wire.inbox}.d.{id(self):x}"
        subscribed = self._wire.watch(inbox, self._sink, denied=self._deny)
        self._wire.on_up.add(self._begin_again)
        self._listen_for_silence()
        try:
            while not self._wire.is_closed:
                self._pull(inbox)
                found = self._take()
                if not self._whole:
                    await self._complete()
                    found = self._release(found)
                if found.records:
                    yield found
                    if self._raw:
                        await asyncio.sleep(0)
                else:
                    await self._arrival()
        finally:
            self._wire.on_up.discard(self._begin_again)
            self._wire.unwatch(subscribed)
            if self._timer is not None:
                self._timer.cancel()

    def handled(self, seq: int) -> None:
        """As `Log.handled`: one acknowledgement covers all before it; lost ones are made up for by the next."""
        self._after = max(self._after, seq)
        reply = ""
        for known in [s for s in self._unhandled if s <= seq]:
            reply = self._unhandled.pop(known)
        if reply:
            self._wire.post(reply, b"")

    # --- asking -----------------------------------------------------------------------------------------------------

    def _pull(self, inbox: str) -> None:
        if self._asked > PULL // 2 or not self._wire.up:
            return
        self._asked += PULL
        request = f'{{"batch":{PULL},"expires":{EXPIRES * 1_000_000_000},"idle_heartbeat":{HEARTBEAT * 1_000_000_000}}}'
        self._wire.post(f"$JS.API.CONSUMER.MSG.NEXT.{subjects.STREAM}.{self._consumer}", request.encode(), inbox)

    def _begin_again(self) -> None:
        """After a reconnect nothing that was asked will be answered."""
        self._asked = 0
        self._wake()

    # --- what the read loop and the clock call -------------------------------------------------------------------

    def _sink(self, subject: bytes, reply: bytes, data: bytes, header: bytes) -> None:
        self._arrived += 1
        self._raw.append((subject, reply, data, header))
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._waiter = None

    def _deny(self, refused: Refused) -> None:
        self._failed = refused
        self._wake()

    def _listen_for_silence(self) -> None:
        if self._arrived == self._arrived_before:
            self._begin_again()
        self._arrived_before = self._arrived
        self._timer = asyncio.get_running_loop().call_later(3 * HEARTBEAT, self._listen_for_silence)

    async def _arrival(self) -> None:
        if self._failed is not None:
            raise self._failed
        if self._raw or (self._wire.up and not self._asked):
            return
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    # --- what the worker takes -----------------------------------------------------------------------------------

    def _take(self) -> Slice:
        """What has arrived in unbroken order; from the first break in the consumer's count on all is held."""
        records: list[Recorded] = []
        pending = 0
        while self._raw and len(records) < SLICE_RECORDS:
            raw = self._raw.popleft()
            if not raw[1].startswith(b"$JS.ACK."):
                self._status(raw[3])
                continue
            self._asked = max(0, self._asked - 1)
            seq, nth, nanoseconds, pending = position(raw[1])
            if nth != self._nth + 1:
                self._whole = False
            self._nth = nth
            if seq <= self._last:
                self._again(seq, raw[1].decode())
            elif self._whole:
                records.append(self._read(seq, nanoseconds, raw))
            else:
                self._held[seq] = raw
        return Slice(records, pending)

    def _read(self, seq: int, nanoseconds: int, raw: Raw) -> Recorded:
        self._last = seq
        self._unhandled[seq] = raw[1].decode()
        return recorded(seq, nanoseconds, raw)

    def _again(self, seq: int, reply: str) -> None:
        """A message that was read before: say so at once if it is handled, else when it is."""
        if seq <= self._after:
            self._wire.post(reply, b"")
        elif seq in self._unhandled:
            self._unhandled[seq] = reply

    def _status(self, header: bytes) -> None:
        """The server ended a request, with so many messages unsent, or just gave a sign of life."""
        if header.startswith(b"NATS/1.0 100"):
            return
        left = header_value(header, b"\r\nNats-Pending-Messages: ")
        self._asked = max(0, self._asked - int(left)) if left else 0
        if not header.startswith((b"NATS/1.0 408", b"NATS/1.0 404")):
            # no consumer, no leader, shutting down: look at it again, without haste
            log.debug("deliveries interrupted", status=header[9:60].decode(errors="replace"))
            self._whole = False
            self._asked = PULL
            asyncio.get_running_loop().call_later(RETRY, self._begin_again)

    # --- when something may be missing -----------------------------------------------------------------------------

    async def _complete(self) -> None:
        """See whether all that the server counts as delivered and unacknowledged has arrived here.

        It has if we hold as many such messages as it counts. If everything it delivered is in the journal already (the
        acknowledgement was lost, or the agent died before it), say so.
        """
        try:
            info = await api(self._wire, f"CONSUMER.INFO.{subjects.STREAM}.{self._consumer}", None, API_PATIENCE)
        except (ApiError, Lost, NoResponders, TimeoutError) as err:
            log.debug("deliveries wait for their consumer", reason=repr(err))
            with contextlib.suppress(Unreachable):  # closed: the reading ends
                await self._wire.ready(None)
            await asyncio.sleep(RETRY)
            return
        delivered, floor = info["delivered"], info["ack_floor"]
        if info["num_ack_pending"] and delivered["stream_seq"] <= self._after:
            self._wire.post(
                f"$JS.ACK.{subjects.STREAM}.{self._consumer}.1.{delivered['stream_seq']}.{delivered['consumer_seq']}.0.0",
                b"",
            )
            self._whole = True
        else:
            low, high = floor["stream_seq"], delivered["stream_seq"]
            have = sum(low < s <= high for s in self._unhandled) + sum(low < s <= high for s in self._held)
            self._whole = have >= info["num_ack_pending"]
        if self._whole:
            self._nth = max(self._nth, delivered["consumer_seq"]) if not self._raw else self._nth
        else:
            await asyncio.sleep(RETRY)

    def _release(self, found: Slice) -> Slice:
        """`found` and, once nothing is missing any more, what was held, in the log's order."""
        if not self._whole or not self._held:
            return found
        held, self._held = self._held, {}
        for seq in sorted(held):
            _, _, nanoseconds, pending = position(held[seq][1])
            found.records.append(self._read(seq, nanoseconds, held[seq]))
            found = Slice(found.records, pending)
        return found
