"""Virtual time: jobs arrive, hosts come and go, attempts run for as long as their trace says; a policy says what runs where.

The engine is the truth: it starts what was assigned when the host has room for it, as agents do, refuses what no room could
be made for, and knows when each task waited, ran and ended. What must not enter: what is done by which rule (policies).
"""

from collections.abc import Iterable
from heapq import heappop, heappush
from typing import NamedTuple, Protocol

from longshore_agent.core.admission import Admission
from longshore_common.ids import AttemptId

from .trace import Amounts, Host, Job, Trace

#: Seconds from a host to the policy and back again: a report, an order.
LATENCY = 0.005
#: What is counted.
WHAT = ("slots", "cpus", "memory", "gpus")
#: Seconds of silence after which a host that failed is known to be lost.
LOST_AFTER = 15.0


class Task:
    """One task of a trace and what became of it."""

    __slots__ = (
        "at",
        "ended",
        "host",
        "job",
        "name",
        "need",
        "number",
        "priority",
        "runs",
        "seconds",
        "started",
        "tries",
        "user",
    )

    def __init__(self, job: int, number: int, what: Job) -> None:
        self.job, self.number, self.at, self.seconds = job, number, what.at, what.times[number]
        self.need: Amounts = what.need
        self.user, self.priority = what.user, what.priority
        self.host = ""
        self.name = AttemptId(f"{job}.{number}")
        self.started = self.ended = -1.0
        self.tries = 0
        self.runs: list[tuple[float, float, str]] = []  # (from, until, host), also of attempts that were lost


class Place(NamedTuple):
    """Run this task there."""

    task: Task
    host: str


class Recall(NamedTuple):
    """Take this task back from there if it does not run yet."""

    task: Task
    host: str


class Policy(Protocol):
    """What decides. Every call is at an instant; `turn` answers with what shall be done now."""

    def submitted(self, now: float, job: int, tasks: list[Task]) -> None: ...
    def joined(self, now: float, host: Host) -> None: ...
    def lost(self, now: float, host: str, tasks: list[Task]) -> None: ...
    def started(self, now: float, task: Task) -> None: ...
    def ended(self, now: float, task: Task) -> None: ...
    def returned(self, now: float, task: Task) -> None: ...
    def turn(self, now: float) -> Iterable[Place | Recall]: ...
    def wake(self, now: float) -> float | None: ...


class Running:
    """A host that is up: what it was given and does not run yet, and what it runs, admitted by the real core of agents."""

    def __init__(self, host: Host, until: float) -> None:
        self.host, self.until = host, until
        self.waiting: list[Task] = []
        self.busy: dict[Task, float] = {}
        self.admission = Admission()
        self.admission.offer = dict(zip(WHAT, host.has, strict=True))

    def start(self, now: float) -> list[Task]:
        """What may start of what waits, in the order in which it came; who cannot has a claim, see `Admission`."""
        begun = [task for task in self.waiting if self.admission.admit(task.name, self._asks(task))]
        if begun:
            self.busy.update(dict.fromkeys(begun, now))
            self.waiting = [task for task in self.waiting if task not in self.busy]
        return begun

    def _asks(self, task: Task) -> dict[str, int]:
        if not any(task.need[1:]) and not self.host.slots:
            return {"cpus": 1000}
        return {what: amount for what, amount in zip(WHAT, task.need, strict=True) if amount}

    def free(self) -> list[int]:
        """What is left of everything."""
        return [has - self.admission.taken(what) for what, has in zip(WHAT, self.host.has, strict=True)]

    def release(self, task: Task) -> float:
        """It runs no more; since when it ran."""
        self.admission.give_back(task.name)
        return self.busy.pop(task)

    def give_back(self, task: Task) -> bool:
        """It does not run and shall not; False if it does."""
        if task not in self.waiting:
            return False
        self.waiting.remove(task)
        if self.admission.claim == task.name:
            self.admission.drop_claim()
        return True


class Engine:
    """One run of one trace under one policy; `run` once."""

    def __init__(self, trace: Trace, policy: Policy) -> None:
        self.trace, self.policy, self.now = trace, policy, 0.0
        self.tasks: list[list[Task]] = [
            [Task(j, k, job) for k in range(len(job.times))] for j, job in enumerate(trace.jobs)
        ]
        self.up: dict[str, Running] = {}
        self.open = trace.size
        self.turns = 0
        self._events: list[tuple[float, int, str, object]] = []
        self._count = 0
        self._woken = -1.0

    def run(self, limit: float = float("inf")) -> list[Task]:
        """All tasks, ended. `AssertionError` if the policy over-promises, or leaves tasks for ever."""
        for j, job in enumerate(self.trace.jobs):
            self._at(job.at, "submit", j)
        for host in self.trace.hosts:
            for since, until in host.spans:
                self._at(since, "join", (host, until))
        while self.open:
            assert self._events, f"{self.open} tasks of {self.trace.name} are left for ever"
            self._instant()
            assert self.now <= limit, f"{self.open} tasks of {self.trace.name} still wait at {self.now:.0f} s"
        return [task for tasks in self.tasks for task in tasks]

    def _at(self, when: float, kind: str, what: object) -> None:
        self._count += 1
        heappush(self._events, (when, self._count, kind, what))

    def _instant(self) -> None:
        self.now = self._events[0][0]
        told = False
        while self._events and self._events[0][0] <= self.now:
            _, _, kind, what = heappop(self._events)
            told = getattr(self, f"_{kind}")(what) or told
        if told:
            self._turn()

    def _turn(self) -> None:
        self.turns += 1
        for action in self.policy.turn(self.now):
            self._at(self.now + LATENCY, "place" if isinstance(action, Place) else "recall", action)
        wake = self.policy.wake(self.now)
        if wake is not None and not self.now < self._woken <= wake:
            self._woken = max(wake, self.now + LATENCY)
            self._at(self._woken, "wake", None)

    # --- what happens; each says whether the policy has something new to decide on -----------------------------------

    def _wake(self, _what: None) -> bool:
        return True

    def _submit(self, job: int) -> bool:
        self.policy.submitted(self.now, job, self.tasks[job])
        return True

    def _join(self, what: tuple[Host, float]) -> bool:
        host, until = what
        self.up[host.name] = Running(host, until)
        if until < float("inf"):
            self._at(until, "fail", host.name)
        self.policy.joined(self.now, host)
        return True

    def _fail(self, name: str) -> bool:
        running = self.up.pop(name)
        for task, since in running.busy.items():
            task.runs.append((since, self.now, name))
        self._at(self.now + LOST_AFTER, "lost", (name, [*running.waiting, *running.busy]))
        return False

    def _lost(self, what: tuple[str, list[Task]]) -> bool:
        name, tasks = what
        assert name not in self.up, f"{name} is back before it was missed: give its trace longer gaps"
        mine = [task for task in tasks if task.host == name and task.ended < 0]
        for task in mine:
            task.host, task.started = "", -1.0
        self.policy.lost(self.now, name, mine)
        return True

    def _place(self, place: Place) -> bool:
        running = self.up.get(place.host)
        task = place.task
        assert not task.host, f"task {task.job}.{task.number} was given to {place.host} while {task.host} has it"
        assert all(n <= h for n, h in zip(task.need, self._host(place.host).has, strict=True)), "it can never fit there"
        task.host = place.host
        task.tries += 1
        if running is None:  # it failed, and is not missed yet: the order is lost with it
            self._at(self.now + LOST_AFTER, "lost", (place.host, [task]))
            return False
        running.waiting.append(task)
        self._start(running)
        return False

    def _host(self, name: str) -> Host:
        return next(host for host in self.trace.hosts if host.name == name)

    def _recall(self, recall: Recall) -> bool:
        running = self.up.get(recall.host)
        if running is not None and running.give_back(recall.task):
            recall.task.host = ""
            self._at(self.now + LATENCY, "returned", recall.task)
            self._start(running)
        return False

    def _start(self, running: Running) -> None:
        for task in running.start(self.now):
            task.started = self.now
            self._at(self.now + LATENCY, "started", task)
            if self.now + task.seconds <= running.until:
                self._at(self.now + task.seconds, "end", (task, running))

    def _end(self, what: tuple[Task, Running]) -> bool:
        task, running = what
        since = running.release(task)
        task.runs.append((since, self.now, task.host))
        task.ended = self.now
        self.open -= 1
        self._at(self.now + LATENCY, "ended", task)
        self._start(running)
        return False

    def _started(self, task: Task) -> bool:
        if task.host in self.up and task.ended < 0:
            self.policy.started(self.now, task)
        return False

    def _ended(self, task: Task) -> bool:
        self.policy.ended(self.now, task)
        return True

    def _returned(self, task: Task) -> bool:
        self.policy.returned(self.now, task)
        return True
