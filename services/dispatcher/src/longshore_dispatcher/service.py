"""The dispatcher at work: it follows the log, leads or stands by, and appends what the core decides.

One loop, three rules: fold all that comes; decide only as the elected leader and only after one's own last decisions
came back; append with the fence. What must not enter: rules about tasks (core), NATS (adapters of common), typer.
"""

import asyncio
import contextlib
import gc
import os
import signal
from typing import ClassVar, Final

import msgspec
import structlog

from longshore_common import events as e
from longshore_common import subjects
from longshore_common.clock import Clock, SystemClock
from longshore_common.damage import DAMAGED
from longshore_common.errors import Conflict, Deposed, LongshoreError, Refused, Trimmed, Unreachable, Unreadable
from longshore_common.log import Entry, Recorded, Slice, Transport
from longshore_dispatcher.adapters import demanding, snapshots
from longshore_dispatcher.core import questions, snapshot
from longshore_dispatcher.core.decide import Decision, decide, next_instant
from longshore_dispatcher.core.evolve import evolve
from longshore_dispatcher.core.liveness import Heard, Lead
from longshore_dispatcher.core.state import State
from longshore_dispatcher.core.telling import progress

#: Seconds between looks at the clock when nothing happens, and between tries when the log is away.
TICK: Final = 1.0
RETRY: Final = 0.5
#: Garbage is looked for after so many new objects: an event may be thousands, none of them garbage (a third of their cost).
GARBAGE: Final = (20_000, 20, 50)
#: Seconds an append may take before it is tried again with the same ids.
PATIENCE: Final = 10.0


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a dispatcher is told. Seconds: a worker silent for `lost_after` is lost, a leader for `lead_after` replaced.

    A snapshot is taken every `snapshot_events` events, or every `snapshot_seconds` if there were any. A leader elects itself
    anew after `renew_after`, so that the log can be trimmed behind its election.
    """

    ENV: ClassVar[dict[str, str]] = {"nats_url": "NATS_URL", "nats_creds": "NATS_CREDS"}

    nats_url: str = "nats://127.0.0.1:4222"
    nats_creds: str = ""
    name: str = "dispatcher"
    lost_after: float = 15
    lead_after: float = 2
    beat_every: float = 0.5
    snapshot_events: int = 50_000
    snapshot_seconds: float = 60
    renew_after: float = 6 * 3600


class LeadBeat(msgspec.Struct):
    """What the leader lets its standbys hear."""

    name: str
    fence: int
    resigned: bool = False


class Dispatcher:
    """One dispatcher process; `run` until told to stop. The transport is the caller's to close."""

    def __init__(self, transport: Transport, settings: Settings, clock: Clock | None = None) -> None:
        self._transport = transport
        self._settings = settings
        self._clock = clock or SystemClock()
        self._log = structlog.get_logger()
        self.state = State()
        self._heard = Heard(settings.lost_after)
        self._lead = Lead(settings.name, settings.lead_after, settings.renew_after)
        self._caught_up = asyncio.Event()
        self._wake = asyncio.Event()
        self._awaited: set[str] = set()
        self._turn = 0
        self._looked = 0.0
        self._saved = (0, 0.0)
        self._saving: asyncio.Task[None] | None = None
        self._standing = False

    @property
    def leading(self) -> bool:
        """Whether this one decides."""
        return self._lead.leads(self.state)

    async def run(self, stop: asyncio.Event) -> None:
        """Follow, and lead when nobody does, until `stop` is set; then resign and leave a snapshot."""
        await self._restore(stop)
        if stop.is_set():
            return
        await self._transport.hints.answer(subjects.ASK_DISPATCH, self._explain, shared=True)
        work = (self._follow, self._turns, self._hear_workers, self._hear_leader, self._beat, self._tell_demand)
        tasks = [asyncio.create_task(coroutine()) for coroutine in work]
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
        finally:
            for task in (*tasks, stopping):
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
        await self._resign()

    # --- start and end ----------------------------------------------------------------------------------------------

    async def _restore(self, stop: asyncio.Event) -> None:
        """Wait for the log, then begin from the last snapshot if it belongs to this log."""
        while not stop.is_set():
            try:
                last = await self._transport.log.last()
                data = await snapshots.load(self._transport.blobs)
                break
            except Unreadable as err:
                self._log.warning("snapshot-unusable", reason=str(err))
                data = None
                break
            except Unreachable as err:
                self._log.warning("log-away", reason=str(err))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), RETRY)
        else:
            return
        if data is not None:
            self._adopt(data, last)
        self._last = last
        self._saved = (self.state.seq, self._clock.steady())
        if self.state.seq >= last:
            self._catch_up()

    def _adopt(self, data: bytes, last: int) -> None:
        gc.disable()  # nothing of what comes into being here is garbage; looking for it would take most of the time
        try:
            state = snapshot.from_bytes(data)
        except Unreadable as err:
            self._log.warning("snapshot-unusable", reason=str(err))
            return
        finally:
            gc.freeze()
            gc.enable()
        if state.seq > last:
            self._log.warning("snapshot-of-another-log", seq=state.seq, last=last)
            return
        self.state = state
        self._log.info("restored", seq=state.seq, submissions=len(state.submissions), closed=len(state.closed))

    async def _resign(self) -> None:
        if self._saving is not None:
            await asyncio.gather(self._saving, return_exceptions=True)
        if not self.leading:
            return
        try:
            async with asyncio.timeout(PATIENCE):
                await self._save()
                await self._say(resigned=True)
        except (LongshoreError, TimeoutError) as err:
            self._log.warning("stopped-without-snapshot", reason=str(err))

    # --- following --------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            try:
                async for batch in self._transport.log.follow(self.state.seq):
                    self._fold(batch)
                    if self._caught_up.is_set():
                        await self._tell()
                        self._keep()
                        self._wake.set()
                return
            except Trimmed as err:
                raise Refused(
                    f"{err}. No usable snapshot covers it: bring the bucket `{subjects.SNAPSHOTS}` back from a backup, or "
                    "fold the archive again: longshore-dispatcher restore --archive URI"
                ) from err
            except Unreachable as err:
                self._log.warning("log-away", reason=str(err))
                await asyncio.sleep(RETRY)

    def _fold(self, batch: Slice) -> None:
        state, now = self.state, self._clock.steady()
        for record in batch.records:
            if record.author.role == "worker":
                self._heard.worker(record.author.name, now)
            try:
                evolve(state, record)
            except Exception:  # one event must not stop all work; every fold leaves out the same
                self._log.exception("event-not-folded", seq=record.seq, subject=record.subject)
            if isinstance(record.event, e.TasksSubmitted) and self.leading:
                self._mention(record)
        if self._awaited:
            self._awaited.difference_update(record.id for record in batch.records)
        if self._lead.fence and state.leader > self._lead.fence and not self._standing:
            self._step_down("another was elected")
        if not self._caught_up.is_set() and state.seq >= self._last:
            self._catch_up()

    def _mention(self, record: Recorded) -> None:
        """Where the log of the services and a trace of the submitter meet: the one line per submission."""
        trace = record.traceparent.split("-")[1] if record.traceparent.count("-") == 3 else ""
        ids = {"submission": record.seq, "user": record.author.name, "trace": trace}
        self._log.info("submitted", **{name: value for name, value in ids.items() if value})

    def _catch_up(self) -> None:
        self.state.news.clear()
        self._lead.started(self._clock.steady())
        self._caught_up.set()
        self._wake.set()
        self._log.info("caught-up", seq=self.state.seq)

    async def _tell(self) -> None:
        """Hints for those who wait, one per submission that changed."""
        news, self.state.news = self.state.news, {}
        if not self.leading:
            return
        for submission in news:
            found = progress(self.state, submission)
            if found is not None:
                user, told = found
                await self._transport.hints.send(subjects.done(user, submission), msgspec.json.encode(told))

    # --- leading ----------------------------------------------------------------------------------------------------

    async def _turns(self) -> None:
        await self._caught_up.wait()
        while True:
            await self._pause()
            now = self._looked = self._clock.now()
            steady = self._clock.steady()
            stale = not self._awaited and self._lead.stale(self.state, steady)
            if stale or self._lead.should_stand(self.state, steady):
                await self._stand(now)
            elif self.leading and not self._awaited:
                silent = self._heard.silent(self.state, self._clock.steady())
                decisions = decide(self.state, now, silent, self._settings.lost_after)
                if decisions:
                    await self._append(decisions)

    async def _pause(self) -> None:
        """Until something came in, or something becomes due."""
        if not self._wake.is_set():
            instant = next_instant(self.state)
            # what was due at the last look and is not done has no place yet: only an event can bring one
            ahead = TICK if instant is None or instant <= self._looked else instant - self._clock.now()
            wait = min(TICK, max(ahead, 0.001))
            handle = asyncio.get_running_loop().call_later(wait, self._wake.set)
            await self._wake.wait()
            handle.cancel()
        self._wake.clear()

    async def _stand(self, now: float) -> None:
        self._turn += 1
        # of this process at this place in the log: one of the same name must not take its election for this one's
        ident = f"{self._settings.name}-{os.getpid()}-{self.state.seq}-{int(now * 1000)}-{self._turn}"
        elected = Entry(e.LeaderElected(dispatcher=self._settings.name), "", ident)
        led, self._standing = self.leading, True
        try:
            fence = await self._transport.log.append(elected, fence=self.state.leader, deadline=PATIENCE)
        except Conflict:
            self._lead.deposed(self._clock.steady())
        except LongshoreError as err:
            self._log.warning("election-failed", reason=str(err))
        else:
            self._awaited = set() if self.state.seq >= fence else {ident}
            self._lead.elected(fence, self._clock.steady())
            if not led:
                self._heard.elected(self._clock.steady())
            self._log.info("leading", seq=fence)
            await self._say(resigned=False)
            self._wake.set()
        finally:
            self._standing = False

    async def _append(self, decisions: list[Decision]) -> None:
        """Append one turn's decisions; when it returns they are in, or we lead no more."""
        self._turn += 1
        fence = self._lead.fence
        entries = [Entry(event, name, f"d{fence}.{self._turn}.{k}") for k, (event, name) in enumerate(decisions)]
        self._awaited = {entry.id for entry in entries}
        while self._lead.fence == fence:
            try:
                await self._transport.log.append_all(entries, fence=fence, deadline=PATIENCE)
                return
            except Deposed as err:
                self._step_down(str(err))
            except Unreachable as err:  # they may be in: the same ids again
                self._log.warning("append-repeated", reason=str(err))
                await asyncio.sleep(RETRY)
            except LongshoreError as err:
                self._log.error("append-refused", reason=str(err), events=len(entries))
                self._awaited = set()
                await asyncio.sleep(RETRY)
                return

    def _step_down(self, reason: str) -> None:
        if self._lead.fence:
            self._log.warning("deposed", reason=reason)
        self._lead.deposed(self._clock.steady())
        self._awaited = set()

    # --- beats ------------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._settings.beat_every)
            if self.leading:
                await self._say(resigned=False)

    async def _tell_demand(self) -> None:
        """What waits, to whoever hires for it."""
        await self._caught_up.wait()
        teller, pause = demanding.Teller(self._transport.retained, self._clock, self._settings.name), 0.0
        while True:
            await asyncio.sleep(max(pause, demanding.PAUSE))
            pause = await teller.tell(self.state, self._lead.fence) if self.leading else 0.0

    async def _say(self, *, resigned: bool) -> None:
        beat = LeadBeat(self._settings.name, self._lead.fence, resigned)
        await self._transport.hints.send(subjects.LEAD_BEAT, msgspec.json.encode(beat))

    async def _hear_leader(self) -> None:
        decode = msgspec.json.Decoder(LeadBeat).decode
        async for _, body in self._transport.hints.listen(subjects.LEAD_BEAT):
            with contextlib.suppress(*DAMAGED):  # a hint that says nothing is as good as none
                beat = decode(body)
                if beat.fence != self._lead.fence and beat.fence >= self.state.leader:
                    self._lead.heard(self._clock.steady(), resigned=beat.resigned)
                    if beat.resigned:
                        self._wake.set()

    async def _hear_workers(self) -> None:
        async for subject, _ in self._transport.hints.listen(subjects.BEATS):
            self._heard.worker(subject.rsplit(".", 1)[1], self._clock.steady())

    # --- snapshots and questions ------------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Take a snapshot if it is time; it is stored beside the work."""
        events, now = self.state.seq - self._saved[0], self._clock.steady()
        settings = self._settings
        due = events >= settings.snapshot_events or (events and now - self._saved[1] >= settings.snapshot_seconds)
        if due and self.leading and (self._saving is None or self._saving.done()):
            self._saving = asyncio.create_task(self._save())

    async def _save(self) -> None:
        seq, began = self.state.seq, self._clock.steady()
        data = snapshot.to_bytes(self.state)
        self._saved = (seq, began)
        try:
            size = await snapshots.save(self._transport.blobs, data, seq)
        except LongshoreError as err:
            self._log.warning("snapshot-not-stored", reason=str(err))
        else:
            self._log.info("snapshot", seq=seq, bytes=size, seconds=round(self._clock.steady() - began, 3))

    async def _explain(self, body: bytes) -> bytes:
        return questions.answer(self.state, body, self._clock.now())


async def serve(transport: Transport, settings: Settings) -> None:
    """Run on this transport until SIGTERM or SIGINT; then stop cleanly and close it."""
    gc.set_threshold(*GARBAGE)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await Dispatcher(transport, settings).run(stop)
    finally:
        await transport.close()
