"""A host with an agent: the real core and the real journal's fold over virtual processes and virtual transfers.

Journal and processes outlive the agent, unless the host comes back empty. What must not enter: the dispatcher.
"""

import asyncio
import json
from contextvars import copy_context

from longshore_agent.adapters import journal as j
from longshore_agent.core.admission import offered
from longshore_agent.service import memory
from longshore_common import events as e
from longshore_common import subjects
from longshore_common.errors import LongshoreError, Unreachable
from longshore_common.log import Entry
from longshore_common.model import HostFacts, Usage

from .loop import NODE

BEAT = 2.0
CAUSES = ("exit", "exit", "oom", "host", "stage-in", "stage-out", "disk-full", "launch", "image")


class Process:
    """What runs on the host, agent or not; `result` once it is over."""

    def __init__(self, seconds: float, started_at: float) -> None:
        self.left, self.started_at = seconds, started_at
        self.since, self.frozen = started_at, False
        self.result: tuple[str, str | None] | None = None
        self.timer: asyncio.TimerHandle | None = None


class Host:
    """What outlives the agent: journal and processes."""

    def __init__(self, name: str, facts: HostFacts, slots: int, world) -> None:
        self.name, self.facts, self.slots, self.world = name, facts, slots, world
        self.life = self.heard = 0
        self.agent: Agent | None = None
        self.context = copy_context()
        self.context.run(NODE.set, self)
        self.wipe()

    def wipe(self) -> None:
        """The host comes back with an empty disk."""
        for process in getattr(self, "processes", {}).values():
            if process.timer is not None:
                process.timer.cancel()
        self.journal: list[j.AnyRecord] = [j.State(self.life, self.heard, self.slots, -1, False, False, (), ())]
        self.processes: dict[str, Process] = {}

    def begin(self, attempt) -> None:
        """A process starts."""
        dice = self.world.weather.dice
        process = self.processes[attempt.id] = Process(
            dice.choice((0.05, 1, 5, 30)) * dice.random(), self.world.loop.time()
        )
        self._go(attempt.id, process)

    def _go(self, name: str, process: Process) -> None:
        process.since, process.frozen = self.world.loop.time(), False
        process.timer = self.context.run(self.world.loop.call_later, process.left, self._over, name)

    def _over(self, name: str) -> None:
        weather = self.world.weather
        process = self.processes[name]
        if process.result is None:
            failed = weather.chance(weather.failures)
            process.result = ("failed", weather.dice.choice(CAUSES[:4])) if failed else ("succeeded", None)
        if self.agent is not None:
            self.agent.exited(name)

    def stop(self, name: str, result: tuple[str, str | None]) -> None:
        """The process is told to end."""
        process = self.processes.get(name)
        if process is not None and process.result is None:
            process.result = result
            process.timer.cancel()
            self.context.run(self.world.loop.call_later, 0.01, self._over, name)

    def freeze(self, name: str, *, frozen: bool) -> None:
        """The process stands still, or goes on."""
        process = self.processes.get(name)
        if process is None or process.result is not None or process.frozen == frozen:
            return
        if frozen:
            process.timer.cancel()
            process.left -= self.world.loop.time() - process.since
            process.frozen = True
        else:
            self._go(name, process)


class Agent:
    """One life of the agent of a host."""

    def __init__(self, host: Host, wire, clock) -> None:
        self.host, self.wire, self.clock, self.weather = host, wire, clock, wire.weather
        kept = memory.recalled(host.journal, host.slots)
        self.life = host.life = kept.life + 1
        self.note(j.Lived(self.life))
        self.n = self.joins = 0
        self.attempts = kept.attempts
        limits = self.attempts.limits
        limits.cpus, limits.memory, limits.offer = host.facts.cpus, host.facts.memory, offered(host.facts)
        self.outbox = [self._entry(report) for report in kept.reports]
        self.wake = asyncio.Event()
        self.alive = True

    async def run(self) -> None:
        """Take up what was left, join, and work until killed."""
        self.host.agent = self
        self._resume()
        self.join()
        self.turn()
        await asyncio.gather(self._follow(), self._report(), self._beat())

    def die(self) -> None:
        """Nothing of this life acts any more."""
        self.alive = False
        if self.host.agent is self:
            self.host.agent = None

    def note(self, record: j.AnyRecord) -> None:
        """Into the journal, before it is acted on."""
        self.host.journal.append(record)

    def _resume(self) -> None:
        for attempt in list(self.attempts.held.values()):
            process = self.host.processes.get(attempt.id)
            if attempt.phase in ("launched", "running"):
                if process is None:
                    self._act(self.attempts.withdrawn(attempt))
                    continue
                self._act(self.attempts.started(attempt, self.clock.now()))
                if process.result is not None:
                    self.exited(attempt.id)
            elif attempt.phase == "delivering":
                self._later(self._delivered, attempt)
            elif attempt.phase == "publishing":
                self._later(self._published, attempt)
        self._act(self.attempts.overdue_acts())

    def join(self) -> None:
        """Say that we are at work, after all that was to be said before."""
        self._collect()
        self.joins += 1
        attempts, host = self.attempts, self.host
        event = e.WorkerJoined(
            life=self.life, facts=host.facts, concurrency=attempts.slots, prefetch=attempts.prefetch,
            held=tuple(attempts.held), handled=attempts.heard,
        )  # fmt: skip
        self.outbox.append(Entry(event, host.name, f"{host.name}-{self.life}-joined-{self.joins}"))
        self.wake.set()

    # --- works --------------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            try:
                async for part in self.wire.log.deliveries(self.host.name, self.attempts.heard):
                    self._hear([r for r in part.records if r.seq > self.attempts.heard])
                    if self.attempts.lost:
                        self.attempts.lost = False
                        self.join()
                    self.turn()
            except LongshoreError:
                await asyncio.sleep(0.5)

    def _hear(self, records) -> None:
        now = self.clock.now()
        readable = [(r.seq, r.event) for r in records if isinstance(r.event, j.Addressed)]
        if readable:
            self.note(j.Heard(*map(tuple, zip(*readable, strict=True)), now))
        for seq, event in readable:
            self._act(self.attempts.hear(seq, event, now))
        if records:
            self.host.heard = self.attempts.heard = max(self.attempts.heard, records[-1].seq)
        for record in records:
            self._care(record)

    def _care(self, record) -> None:
        match record.event:
            case e.WorkerCareOrdered() as event:
                self._tell(e.WorkerCared(life=self.life, care=event.care, request=event.request), f"cared-{record.seq}")
                self._errand_done(record.seq)
            case e.SweepOrdered():
                self._tell(e.SweepDone(life=self.life, order=record.seq, removed=1), f"swept-{record.seq}")
                self._errand_done(record.seq)
            case _:
                pass

    def _errand_done(self, seq: int) -> None:
        self.attempts.errands.pop(seq, None)
        self.note(j.Errand(seq))

    def _tell(self, event: e.Event, name: str) -> None:
        self.outbox.append(Entry(event, self.host.name, f"{self.host.name}-{name}"))
        self.wake.set()

    async def _beat(self) -> None:
        while True:
            body = json.dumps({"life": self.life}).encode()
            await self.wire.hints.send(subjects.beat(self.host.name), body)
            await asyncio.sleep(BEAT)

    async def _report(self) -> None:
        outbox = self.outbox
        while True:
            self._collect()
            if not outbox:
                await self.wake.wait()
                self.wake.clear()
                continue
            entries = outbox[:16]
            try:
                await self.wire.log.append_all(entries)
            except Unreachable:
                await asyncio.sleep(0.25)
            else:
                del outbox[: len(entries)]
                self._sent(entries)

    def _collect(self) -> None:
        while (report := self.attempts.pending.take(self.life, self.n + 1)) is not None:
            self.n += 1
            self.note(j.Reported(report))
            for end in report.ended:
                self.host.processes.pop(end.attempt, None)
            self.outbox.append(self._entry(report))

    def _sent(self, entries) -> None:
        last = [x.event for x in entries if isinstance(x.event, e.AttemptsReported)][-1:]
        for report in last:
            self.note(j.Sent(report.life, report.n))

    def _entry(self, report: e.AttemptsReported) -> Entry:
        return Entry(report, self.host.name, f"{self.host.name}-{report.life}-{report.n}")

    # --- attempts -----------------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Start everything that can start now."""
        attempts = self.attempts
        for attempt in attempts.next_to_stage(4):
            self._phase("staging", attempt)
            attempts.staging(attempt, self.clock.now())
            self._later(self._staged, attempt)
        for attempt in attempts.next_to_launch(0):
            self._phase("launched", attempt)
            self._soon(0.002, self._begin, attempt)
        for attempt in attempts.next_to_publish():
            self._phase("publishing", attempt)
            self._later(self._published, attempt)
        attempts.check()
        self.wake.set()

    def _phase(self, phase, attempt) -> None:
        self.note(j.Phased(phase, (attempt.id,), self.clock.now()))

    def _later(self, what, attempt) -> None:
        self._soon(self.weather.dice.choice((0.01, 0.5, 5)) * self.weather.dice.random(), what, attempt)

    def _soon(self, seconds, what, attempt) -> None:
        def go() -> None:
            if self.alive and self.attempts.held.get(attempt.id) is attempt:
                what(attempt)
                self.turn()

        self.host.world.loop.call_later(seconds, go)

    def _begin(self, attempt) -> None:
        if attempt.phase == "launched":
            self.host.begin(attempt)
            self._act(self.attempts.started(attempt, self.clock.now()))

    def _staged(self, attempt) -> None:
        if attempt.phase != "staging":
            return
        if self.weather.chance(self.weather.failures / 3):
            self.attempts.end(attempt, self._ended(attempt, "failed", self.weather.dice.choice(("stage-in", "image"))))
        else:
            self._phase("ready", attempt)
            self.attempts.staged(attempt, 1)

    def exited(self, name: str) -> None:
        """A process is over."""
        attempt = self.attempts.held.get(name)
        process = self.host.processes.get(name)
        if attempt is None or process is None or process.result is None or attempt.phase != "running":
            return
        outcome, cause = process.result
        result = self._ended(attempt, outcome, cause)
        if outcome == "succeeded" and attempt.order.spec.output is not None:
            self.attempts.exited(attempt, result)
            self.note(j.Exited(result))
            self.attempts.delivering(attempt, self.clock.now())
            self._later(self._delivered, attempt)
        else:
            self.attempts.end(attempt, result)
        self.turn()

    def _delivered(self, attempt) -> None:
        if attempt.phase != "delivering":
            return
        if self.weather.chance(self.weather.failures / 3):
            self.attempts.end(attempt, self._ended(attempt, "failed", "stage-out"))
        else:
            self.attempts.delivered(attempt, (), 1)

    def _published(self, attempt) -> None:
        if attempt.phase != "publishing":
            return
        task = attempt.id.rpartition(".")[0]
        source = f"{task}.{attempt.order.publish_of}" if attempt.order.publish_of else attempt.id
        self.host.world.published.setdefault(task, []).append(source)
        self.attempts.end(attempt, self._ended(attempt, "succeeded"))

    def _act(self, acts) -> None:
        for act in acts:
            name, attempt = act.attempt.id, act.attempt
            match act.deed:
                case "withdraw":
                    if name not in self.host.processes:
                        self._act(self.attempts.withdrawn(attempt))
                case "terminate":
                    if name not in self.host.processes:
                        self._act(self.attempts.withdrawn(attempt))
                    evicted = attempt.wanted == "checkpoint"
                    self.host.stop(name, ("failed", "evicted") if evicted else ("cancelled", "operator"))
                case "freeze" | "thaw":
                    self.host.freeze(name, frozen=act.deed == "freeze")
                case _:
                    pass

    def _ended(self, attempt, outcome: str, cause: str | None = None) -> e.Ended:
        process, now = self.host.processes.get(attempt.id), self.clock.now()
        since = now - (self.host.world.loop.time() - process.started_at) if process is not None else None
        usage = Usage(attempt.staging_at, since, now if since else None, now)
        return e.Ended(attempt.id, outcome, exit_code=0 if outcome == "succeeded" else None, cause=cause, usage=usage)
