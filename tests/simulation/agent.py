"""An agent as the protocol asks for it, with a journal that survives and a host that need not."""

from longshore_common import events as e
from longshore_common.log import Recorded
from longshore_common.model import HostFacts, Usage
from longshore_common.testing.tape import Tape


class Held:
    """An attempt on the host."""

    def __init__(self, output: bool, publish_of: int) -> None:
        self.phase = "assigned"
        self.output = output
        self.publish_of = publish_of
        self.wanted = "run"


class Agent:
    """Reads its subject at its own pace; what it says waits in the outbox until it can be appended."""

    def __init__(self, tape: Tape, name: str, facts: HostFacts, slots: int) -> None:
        self.tape, self.name, self.facts, self.slots = tape, name, facts, slots
        self.alive = self.connected = False
        self.life = self.handled = self.n = 0
        self.held: dict[str, Held] = {}
        self.outbox: list[e.Event] = []
        self.published: dict[str, set[str]] = {}
        self.cared: list[int] = []
        self.boxes: list[str] = []

    def start(self) -> None:
        """Join with what the journal says it still has."""
        self.alive = self.connected = True
        self.life += 1
        self._join()

    def _join(self) -> None:
        self.tape.add(
            e.WorkerJoined(
                life=self.life, facts=self.facts, concurrency=self.slots, held=tuple(self.held), handled=self.handled
            ),
            self.name,
        )

    def die(self, *, forgetting: bool) -> None:
        """The agent is killed; what it ran goes on, or is gone with its host."""
        self.alive = False
        if forgetting:
            self.held.clear()

    def read(self, most: int) -> None:
        """Take the next few messages of its subject."""
        mine = [
            r for r in self.tape.records if r.seq > self.handled and r.subject.startswith(f"log.dispatch.{self.name}.")
        ]
        for record in mine[:most]:
            self.handled = record.seq
            self._take(record)

    def _take(self, record: Recorded) -> None:
        event = record.event
        match event:
            case e.AttemptsAssigned():
                for order in event.orders:
                    for start in order.starts:
                        attempt = f"{order.submission}.{start.index}.{start.n}"
                        self.held[attempt] = Held(order.spec.output is not None, order.publish_of)
            case e.AttemptsRecalled():
                for attempt in event.attempts:
                    if attempt in self.held and self.held[attempt].phase in ("assigned", "staging"):
                        self.end(attempt, "recalled")
            case e.AttemptsSignalled():
                for attempt in event.attempts:
                    if attempt in self.held and event.signal is None:
                        self._want(attempt, event.wanted)
            case e.WorkerLost():
                self._join()
            case e.WorkerResized():
                self.slots = event.concurrency
            case e.WorkerCareOrdered():
                self.cared.append(event.request)
                self.outbox.append(e.WorkerCared(life=self.life, care=event.care, request=event.request, freed=1))
            case e.SweepOrdered():
                left = (("s3://b/x", "503"),) if record.seq % 5 == 0 else ()
                self.outbox.append(e.SweepDone(life=self.life, order=record.seq, removed=1, left=left))
            case e.RemotesGiven():
                self.boxes.append(event.box)
            case _:
                pass

    def _want(self, attempt: str, wanted: str) -> None:
        held = self.held[attempt]
        if wanted in ("stop", "kill"):
            self.end(attempt, "cancelled")
        elif wanted == "checkpoint":
            self.end(attempt, "failed", "evicted")
        elif wanted == "publish":
            self._publish(attempt, attempt)
        else:
            held.wanted = wanted

    def _publish(self, attempt: str, source: str) -> None:
        task = source.rsplit(".", 1)[0]
        self.published.setdefault(task, set()).add(source)
        self.end(attempt, "succeeded")

    def end(self, attempt: str, outcome: str, cause: str | None = None) -> None:
        del self.held[attempt]
        usage = Usage(self.tape.now, self.tape.now, self.tape.now + 0.3, self.tape.now + 0.3, peak_memory=self.n << 22)
        self.say(ended=(e.Ended(attempt, outcome, cause=cause, usage=usage),))  # type: ignore[arg-type]

    def advance(self, attempt: str, cause: str | None = None) -> None:
        """One attempt goes on by one phase; with a cause it fails instead."""
        held = self.held[attempt]
        if held.wanted == "pause":
            return
        if cause is not None and held.phase != "assigned":
            self.end(attempt, "failed", cause)
        elif held.publish_of:
            self._publish(attempt, f"{attempt.rsplit('.', 1)[0]}.{held.publish_of}")
        elif held.phase == "assigned":
            self._move(attempt, "staging")
        elif held.phase == "staging":
            if sum(h.phase == "running" for h in self.held.values()) < self.slots:
                self._move(attempt, "running")
        elif held.output and held.phase == "running":
            self._move(attempt, "delivering")
            self.say(delivered=(e.Delivered(attempt),))
        elif not held.output:
            self.end(attempt, "succeeded")

    def hinder(self, reason: str) -> None:
        """The host takes no more work for this reason; an empty one: it does."""
        self.outbox.append(e.WorkerHindered(life=self.life, reason=reason))

    def evict(self, at: float) -> None:
        """The host will be taken away: what runs is stopped with checkpoints."""
        self.outbox.append(e.WorkerEvicted(life=self.life, at=at, reason="Preempt"))
        for attempt in [a for a, held in self.held.items() if held.phase == "running"]:
            self.end(attempt, "failed", "evicted")

    def hold(self, *keys: str) -> None:
        """The resources it keeps from here on."""
        self.outbox.append(e.ResourcesHeld(life=self.life, held=keys))

    def _move(self, attempt: str, phase: str) -> None:
        self.held[attempt].phase = phase
        self.say(moved=(e.Move(attempt, phase, self.tape.now),))  # type: ignore[arg-type]

    def say(self, **what: object) -> None:
        self.n += 1
        self.outbox.append(e.AttemptsReported(life=self.life, n=self.n, **what))  # type: ignore[arg-type]

    def flush(self, *, twice: bool) -> None:
        """Append what waits; perhaps the last one again, as after a lost acknowledgement."""
        for event in self.outbox:
            self.tape.add(event, self.name)
        if twice and self.outbox:
            self.tape.add(self.outbox[-1], self.name)
        self.outbox.clear()
