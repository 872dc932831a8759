"""The core alone, with a log that is only counted: workers, submissions and reports for `bench/decide.py`."""

import heapq
import random
import time
from dataclasses import dataclass, field

from longshore_common import events as e
from longshore_common import subjects
from longshore_common.events import AUTHOR, Event
from longshore_common.log import Recorded
from longshore_common.model import Array, HostFacts, Request, TaskSpec, Usage, resource_key
from longshore_common.subjects import Author
from longshore_dispatcher.core.decide import Decision, decide
from longshore_dispatcher.core.evolve import evolve
from longshore_dispatcher.core.state import State

GB = 1 << 30
RESOURCES = tuple(f"s3://ref/{k}" for k in range(10))


def needs(count: int) -> list[TaskSpec]:
    """So many different requests: CPUs, memory, GPUs, custom things, alternatives, resources."""
    found = []
    for k in range(count):
        more: dict[str, object] = {}
        if k % 5 == 1:
            more["alternatives"] = (Request(cpus=1, memory=(1 + k % 7) * GB),)
        if k % 10 == 3:
            more["gpus"] = 1
        if k % 10 == 7:
            more["custom"] = {"license": 1}
        if k % 5 == 0:
            more["resources"] = (RESOURCES[k // 5 % 10],)
        found.append(TaskSpec(command=("task", str(k)), cpus=(k % 8 + 1) / 2, memory=(k + 1) * GB // 8, **more))
    return found


def hosts(count: int) -> list[HostFacts]:
    """Hosts of many sizes; no two have quite the same memory, one of ten has GPUs, one of ten licenses."""
    found = []
    for k in range(count):
        cpus = (16, 32, 48, 64, 128)[k % 5]
        found.append(
            HostFacts(
                cpus=cpus, memory=cpus * 4 * GB - k * 4096, gpus=4 if k % 10 == 4 else 0, disk=1 << 40,
                engines=("docker",), custom={"license": 8} if k % 10 == 9 else {},
            )
        )  # fmt: skip
    return found


@dataclass
class World:
    """One dispatcher's state, its clock, and seconds spent deciding and folding."""

    state: State = field(default_factory=State)
    now: float = 1_000_000.0
    seq: int = 0
    deciding: float = 0.0
    folding: float = 0.0
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    ends: list[tuple[float, int, str, str]] = field(default_factory=list)

    def add(self, event: Event, name: str = "") -> None:
        """Append and fold."""
        self.seq += 1
        role = AUTHOR[type(event)]
        author = Author(role, name if role in ("user", "worker") else "")
        record = Recorded(self.seq, self.now, author, subjects.of(event, name), event)
        began = time.thread_time()
        evolve(self.state, record)
        self.folding += time.thread_time() - began

    def workers(
        self, count: int, *, held: bool = True, concurrency: int = -1, facts: list[HostFacts] | None = None
    ) -> None:
        """So many join."""
        for k, host in enumerate(facts or hosts(count)):
            self.add(e.WorkerJoined(life=1, facts=host, concurrency=concurrency), f"w{k}")
            if held and k % 3 == 0:
                self.add(e.ResourcesHeld(life=1, held=(resource_key(RESOURCES[k % 10]),)), f"w{k}")

    def submit(self, size: int, spec: TaskSpec, user: str, batch: str) -> int:
        """An accepted array."""
        self.add(e.TasksSubmitted(key=f"k{self.seq}", batch=batch, body=Array(spec=spec, size=size)), user)
        submission = self.seq
        self.add(e.SubmissionAccepted(submission=submission, size=size))
        return submission

    def turn(self) -> list[Decision]:
        """Decide, and fold what was decided."""
        began = time.thread_time()
        decisions = decide(self.state, self.now)
        self.deciding += time.thread_time() - began
        for event, name in decisions:
            self.add(event, name)
        return decisions

    def begin(self, decisions: list[Decision], mean: float) -> int:
        """What was assigned begins now and takes `mean` seconds on average; how many that are."""
        count = 0
        for event, name in decisions:
            if isinstance(event, e.AttemptsAssigned):
                for order in event.orders:
                    for start in order.starts:
                        count += 1
                        at = self.now + self.dice.expovariate(1 / mean)
                        heapq.heappush(
                            self.ends,
                            (at, self.seq * 4000 + count, name, f"{order.submission}.{start.index}.{start.n}"),
                        )
        return count

    def report(self, most: int, mean: float) -> int:
        """The next attempts end, on whichever workers they are; one report per worker. How many ended."""
        by_worker: dict[str, list[str]] = {}
        while self.ends and most > 0:
            at, _, name, attempt = heapq.heappop(self.ends)
            self.now = max(self.now, at)
            by_worker.setdefault(name, []).append(attempt)
            most -= 1
        for name, attempts in by_worker.items():
            moved = tuple(e.Move(a, "running", self.now - mean) for a in attempts)
            usage = Usage(self.now - mean, self.now - mean, self.now, self.now)
            ended = tuple(e.Ended(a, "succeeded", 0, usage=usage) for a in attempts)
            self.add(e.AttemptsReported(life=1, n=1, moved=moved, ended=ended), name)
        return sum(map(len, by_worker.values()))
