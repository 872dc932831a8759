"""The agent at work: follows its subject, turns, beats, answers who asks for output, and starts and stops cleanly.

What must not enter: building what it is made of (`service.run` does).
"""

import asyncio
import contextlib
import json
from collections.abc import Coroutine, Iterable
from typing import NamedTuple

from msgspec import structs

from longshore_agent.adapters import host, outputs
from longshore_agent.adapters.journal import Addressed, Given, Heard
from longshore_agent.adapters.output_store import FolderStore
from longshore_agent.core import verdict
from longshore_agent.core.attempts import Act, Attempt
from longshore_agent.core.contract import SHARED
from longshore_agent.service.bare import AHEAD, BareLane
from longshore_agent.service.confidences import Confidences
from longshore_agent.service.contained import ContainedLane
from longshore_agent.service.desk import Desk
from longshore_agent.service.errands import Errands
from longshore_agent.service.holding import Holding
from longshore_agent.service.quotas import Quotas
from longshore_agent.service.remotes import SharedRemotes
from longshore_agent.service.reporting import Reporter
from longshore_agent.service.sweeps import Sweeps
from longshore_agent.service.transfers import Transfers
from longshore_agent.service.watch import Watch
from longshore_common import logs, subjects
from longshore_common.errors import LongshoreError, Refused
from longshore_common.events import AttemptsReused, RemotesGiven, SecretGiven
from longshore_common.log import Malformed, Slice, Transport
from longshore_common.model import HostFacts, Output

log = logs.get_logger()
BEAT = 2.0  # seconds between signs of life
_LIMIT = 1 << 20  # bytes of output in one answer


class Beside(NamedTuple):
    """What works beside the attempts, for the host itself."""

    watch: Watch
    errands: Errands
    sweeps: Sweeps
    holding: Holding


class Agent:
    """All parts together. `run` works until it is cancelled."""

    def __init__(
        self,
        desk: Desk,
        transport: Transport,
        reporter: Reporter,
        lanes: tuple[BareLane, ContainedLane, Transfers],
        beside: Beside,
    ) -> None:
        self.desk, self.transport, self.reporter = desk, transport, reporter
        self.bare, self.contained, self.transfers = lanes
        self.worker = desk.host.worker
        self.watch, self.errands, self.sweeps, self.holding = beside
        self.facts = HostFacts()
        self.batch = "*"
        self.remotes: SharedRemotes | None = None
        self.secrets: Confidences | None = None
        self._to_sync = asyncio.Event()
        desk.turn = self.turn
        desk.wake_reports, desk.said = reporter.wake, reporter.said
        desk.deliver = self.transfers.deliver
        self.bare.on_acts = self.watch.act = self.act
        self.watch.rejoin = self.join
        reporter.acknowledge = self.bare.acknowledge

    async def run(self) -> None:
        """Take up what was left, join, and work until cancelled; then leave everything for the next life."""
        await self.contained.resume()
        self.transfers.resume()
        await self.watch.look()
        keeping = asyncio.ensure_future(self.bare.keep())
        try:
            await asyncio.wait_for(self.bare.up.wait(), 10)
        except TimeoutError:
            log.error(
                "no-spawner", socket=str(self.bare.socket), fix="start `longshore-agent spawner` with this socket"
            )
        self.join()
        await self.transport.hints.answer(subjects.ask_output(self.worker), self.answer_output)
        works: list[Coroutine[None, None, None]] = [self._follow(), self._sync(), self._beat(), self.reporter.run()]
        await self.transport.hints.answer(subjects.ask_progress(self.worker), self.answer_progress)
        works += [self.watch.run(), self.errands.run(), self.sweeps.run(), Quotas(self.desk, self.act).run()]
        works += [self.remotes.run()] if self.remotes is not None else []
        works += [self.secrets.run()] if self.secrets is not None else []
        tasks = [keeping, *map(asyncio.ensure_future, works)]
        log.info("agent-working", worker=self.worker, life=self.reporter.life, held=len(self.desk.attempts.held))
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.holding.close()
            await self.transfers.close()
            await self.contained.close()

    def join(self) -> None:
        """Say that we are at work, and what is in the way of it."""
        self.reporter.join(self.facts, self.desk.attempts.batch or self.batch)
        self.watch.joined()
        self.holding.joined()

    async def use(self, remotes: SharedRemotes) -> None:
        """These remotes are schemes here, from now on and whenever they change."""

        def offered(schemes: tuple[str, ...]) -> None:
            self.facts = structs.replace(self.facts, schemes=schemes)
            self.join()

        self.remotes = remotes
        self.facts = structs.replace(self.facts, schemes=await remotes.load())
        remotes.changed = offered

    def confide(self, secrets: Confidences) -> None:
        """Tasks can name what is held in these, from now on and whenever that changes."""

        def held(names: tuple[str, ...]) -> None:
            self.facts = structs.replace(self.facts, secrets=names)
            self.join()

        self.secrets = secrets
        self.facts = structs.replace(self.facts, secrets=secrets.load())
        secrets.changed = held
        self.desk.secrets, self.desk.credentials = secrets.values, secrets.storage

    async def stop_all(self) -> None:
        """End all attempts and say that this worker leaves; at most 5 s."""
        self.bare.stop_all()
        await self.contained.stop_all()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while self.desk.attempts.bare:  # noqa: ASYNC110  a rare and short wait needs no event of its own
                    await asyncio.sleep(0.02)
        self.reporter.leave("it was stopped for good")

    # --- what to do next ---

    def turn(self) -> None:
        """Start everything that can start now."""
        attempts = self.desk.attempts
        if attempts.ready and self.bare.up.is_set() and not self.desk.full:
            self._refuse()
            chosen = self._noted(attempts.next_to_launch(max(AHEAD, 8 * attempts.width)))
            bare = [a for a in chosen if not a.contained]
            contained = [a for a in chosen if a.contained]
            if bare:
                self.bare.launch(bare)
            if contained:
                self.contained.launch(contained)
        if self.bare.up.is_set():
            self.bare.limit()
        self.transfers.turn()
        self.errands.turn()
        self.sweeps.turn()
        if len(attempts.pending):
            self.reporter.wake()

    def _refuse(self) -> None:
        """What asks for more than this host has in all will never start here."""
        attempts = self.desk.attempts
        for name, why in list(attempts.unfit.items()) if attempts.unfit else ():
            attempt = attempts.held[name]
            if attempt.phase in ("accepted", "ready"):
                self.desk.end(attempt, verdict.failed(attempt, "host", why, self.desk.clock.now()))

    def _noted(self, chosen: list[Attempt]) -> list[Attempt]:
        """Those of them that may be launched: what devices they were given is in the journal."""
        equipped = [a for a in chosen if a.devices is not SHARED]
        if not equipped:
            return chosen
        if self.desk.note(Given(tuple(a.id for a in equipped), tuple(a.devices for a in equipped))):
            return chosen
        for attempt in reversed(chosen):
            self.desk.attempts.withdrawn(attempt)
        return []

    def act(self, acts: Iterable[Act]) -> None:
        """Do what signals ask for."""
        for act in acts:
            if act.deed == "cancel":
                self.transfers.cancel(act.attempt)
            elif act.attempt.contained:
                self.contained.act(act)
            else:
                self.bare.act(act)

    # --- the worker subject ---

    async def _follow(self) -> None:
        """Journal and obey what is addressed to us, for ever."""
        while True:
            try:
                async for part in self.transport.log.deliveries(self.worker, self.desk.attempts.heard):
                    while not self._take_in(part):  # noqa: ASYNC110  disk full: free space sends no event
                        await asyncio.sleep(1)
            except LongshoreError as err:
                log.warning("deliveries-interrupted", reason=str(err))
            await asyncio.sleep(0.5)

    def _take_in(self, part: Slice) -> bool:
        attempts = self.desk.attempts
        fresh = [r for r in part.records if r.seq > attempts.heard]
        for record in fresh:
            if isinstance(record.event, Malformed):
                log.error("unreadable-order", seq=record.seq, reason=record.event.reason)
        readable = [(r.seq, r.event) for r in fresh if isinstance(r.event, Addressed)]
        now = self.desk.clock.now()
        if readable:
            seqs, events = zip(*readable, strict=True)
            if not self._kept(events) or not self.desk.note(Heard(seqs, events, now)):
                return False
        for seq, event in readable:
            self._obey(seq, event, now)
        if part.records:
            attempts.heard = max(attempts.heard, part.records[-1].seq)
            self._to_sync.set()
        if attempts.lost:
            attempts.lost = False
            self.join()
        self.turn()
        return True

    def _obey(self, seq: int, event: Addressed, now: float) -> None:
        self.act(self.desk.attempts.hear(seq, event, now))
        if isinstance(event, AttemptsReused):
            self.transfers.reusing.answer(event)

    def _kept(self, events: Iterable[Addressed]) -> bool:
        """Whether what is kept beside the journal is on disk; before the journal says that it was heard."""
        try:
            for event in events:
                if isinstance(event, RemotesGiven) and self.remotes is not None:
                    self.remotes.take(event)
                elif isinstance(event, SecretGiven) and self.secrets is not None:
                    self.secrets.take(event)
        except OSError as err:
            log.error("box-not-kept", reason=str(err))
            return False
        return True

    async def _sync(self) -> None:
        """Acknowledge what has reached the disk; many messages share one sync."""
        while True:
            await self._to_sync.wait()
            self._to_sync.clear()
            heard = self.desk.attempts.heard
            try:
                await asyncio.to_thread(self.desk.journal.sync)
                await self.transport.log.handled(self.worker, heard)
            except (OSError, LongshoreError) as err:
                log.warning("not-acknowledged", seq=heard, reason=str(err))
                self._to_sync.set()
                await asyncio.sleep(1)

    # --- beside the log ---

    async def _beat(self) -> None:
        """A sign of life on a path of its own."""
        while True:
            attempts = self.desk.attempts
            running = attempts.bare + attempts.containers
            body: dict[str, object] = {"life": self.reporter.life, "load": host.load()}
            body |= {"running": running, "held": len(attempts.held), "host": self.watch.read()}
            await self.transport.hints.send(subjects.beat(self.worker), json.dumps(body).encode())
            if self.desk.full:
                self.turn_after_full()
            await asyncio.sleep(BEAT)

    def turn_after_full(self) -> None:
        """The disk was full: see whether it takes a record again."""
        if self.desk.note():
            self.turn()

    async def answer_progress(self, body: bytes) -> bytes:
        """How far transfers are: see `Progress.answer`."""
        return self.transfers.progress.answer(body)

    async def answer_output(self, body: bytes) -> bytes:
        """Bytes of an attempt's output from an offset on: one line of JSON, then the bytes."""
        try:
            ask = json.loads(body)
            name, stream = str(ask["attempt"]), str(ask["stream"])
            offset, limit = max(0, int(ask.get("offset", 0))), min(_LIMIT, max(0, int(ask.get("limit", _LIMIT))))
        except (ValueError, KeyError, TypeError) as err:
            return json.dumps(
                {"offset": 0, "size": 0, "ended": False, "error": f"unreadable question: {err!r}"}
            ).encode()
        if ask.get("stored"):
            return await self._answer_stored(str(ask["stored"]), offset, limit)
        attempt = self.desk.attempts.held.get(name)  # type: ignore[call-overload]
        if attempt is not None and stream in ("stdout", "stderr"):
            place = self.desk.place(attempt)
            path = place.stdout if stream == "stdout" else place.stderr
            data, size = outputs.read_at(path, offset, limit) if attempt.place else (b"", 0)
            return _answer(data, offset, size, ended=attempt.result is not None)
        stdout, stderr = self.desk.recent.get(name, (None, None))
        return _from_tail(stdout if stream == "stdout" else stderr, offset, limit)

    async def _answer_stored(self, address: str, offset: int, limit: int) -> bytes:
        """Output that this worker stored where only its own credentials reach."""
        store = self.transfers.store
        try:
            if not isinstance(store, FolderStore):
                raise Refused("this worker has no LONGSHORE_OUTPUT_STORE (any more)")
            return _answer(await store.read(address, offset, limit), offset, 0, ended=True)
        except (LongshoreError, OSError, EOFError) as err:
            return json.dumps({"offset": offset, "size": 0, "ended": True, "error": str(err)}).encode()


def _from_tail(output: Output | None, offset: int, limit: int) -> bytes:
    """What a report kept of an attempt that is over; nothing if it kept none of these bytes."""
    if output is None:
        return _answer(b"", offset, 0, ended=True)
    tail = outputs.from_text(output)
    begin = offset - (output.size - len(tail))
    data = tail[begin : begin + limit] if begin >= 0 else b""
    return _answer(data, offset, output.size, ended=True)


def _answer(data: bytes, offset: int, size: int, *, ended: bool) -> bytes:
    return json.dumps({"offset": offset, "size": size, "ended": ended}).encode() + b"\n" + data
