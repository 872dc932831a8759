"""The real core of the dispatcher as a policy: every fact becomes an event that it folds, every decision comes back so."""

from collections.abc import Iterable
from time import process_time

from longshore_common import events as e
from longshore_common import subjects
from longshore_common.events import AUTHOR
from longshore_common.ids import AttemptId, attempt_id, split_attempt
from longshore_common.log import Recorded
from longshore_common.model import Array, HostFacts, Share, TaskSpec, Usage
from longshore_common.subjects import Author
from longshore_dispatcher.core.decide import decide, next_instant
from longshore_dispatcher.core.evolve import evolve
from longshore_dispatcher.core.state import State

from .engine import LOST_AFTER, Place, Recall, Task
from .trace import Host, Trace

#: Turns after which decisions must have come to an end.
MOST_TURNS = 50
#: Seconds after which the dispatcher looks again although nothing happened, if something waits; doubled up to the longest
#: as long as nothing does. The service looks every second, which would be most of a simulation's time.
TICK, LONGEST_TICK = 1.0, 64.0
#: The beginning of a trace as Unix seconds.
EPOCH = 1_000_000.0


class Longshore:
    """`decide` and `evolve` with a log in between. `seconds`: CPU time spent in them, `decided`: turns."""

    name = "Longshore"

    def __init__(self, trace: Trace) -> None:
        self.state = State()
        self.trace = trace
        self.now = 0.0
        self.seconds, self.decided = 0.0, 0
        self._jobs: dict[int, list[Task]] = {}
        self._ids: dict[int, int] = {}
        self._lives: dict[str, int] = {}
        self._silent: list[str] = []
        self._n, self._tick = 0, TICK
        self._append(e.LeaderElected(dispatcher="d"))
        for user, weight in trace.weights.items():
            self._append(e.ShareSet(kind="user", name=user, share=Share(weight=weight)))

    def submitted(self, now: float, job: int, tasks: list[Task]) -> None:
        """A submission."""
        what = self.trace.jobs[job]
        spec = TaskSpec(command=("true",), cpus=what.cpus, memory=what.memory, gpus=what.gpus)
        event = e.TasksSubmitted(
            key=str(job), batch=what.batch, body=Array(spec=spec, size=len(tasks)), priority=what.priority
        )
        seq = self._append(event, what.user, now)
        self._jobs[seq], self._ids[job] = tasks, seq

    def joined(self, now: float, host: Host) -> None:
        """A worker with as many slots as its host is said to have, else what requests leave."""
        life = self._lives[host.name] = self._lives.get(host.name, 0) + 1
        facts = HostFacts(cpus=host.cpus, memory=host.memory, gpus=host.gpus)
        self._append(
            e.WorkerJoined(life=life, facts=facts, concurrency=host.slots or -1, handled=self.state.seq), host.name, now
        )

    def lost(self, now: float, host: str, tasks: list[Task]) -> None:
        """A worker is silent."""
        self.now = now
        if self.state.workers[host].state == "up":
            self._silent.append(host)

    def started(self, now: float, task: Task) -> None:
        """An attempt runs."""
        self._report(now, task, moved=(e.Move(self._attempt(task), "running", EPOCH + task.started),))

    def ended(self, now: float, task: Task) -> None:
        """An attempt succeeded."""
        since, until, _ = task.runs[-1]
        usage = Usage(EPOCH + since, EPOCH + since, EPOCH + until, EPOCH + until)
        self._report(now, task, ended=(e.Ended(self._attempt(task), "succeeded", exit_code=0, usage=usage),))

    def returned(self, now: float, task: Task) -> None:
        """An attempt was given back."""
        host, task.host = task.host, ""
        self._report(now, task, ended=(e.Ended(self._attempt(task), "recalled"),))
        task.host = host

    def turn(self, now: float) -> Iterable[Place | Recall]:
        """Turns until nothing more is decided."""
        self.now = now
        began = process_time()
        actions: list[Place | Recall] = []
        for _ in range(MOST_TURNS):
            silent, self._silent = self._silent, []
            decisions = decide(self.state, EPOCH + now, silent, LOST_AFTER)
            self.decided += 1
            if not decisions:
                break
            for event, name in decisions:
                self._append(event, name, now)
                actions += self._actions(event, name)
        else:
            raise AssertionError(f"after {MOST_TURNS} turns it still decides {decisions[:3]}")
        self.state.news.clear()
        self.seconds += process_time() - began
        return actions

    def wake(self, now: float) -> float | None:
        """When it must look again by itself."""
        instant = next_instant(self.state)
        waits = self.state.queue.lines or self.state.roster.ahead
        tick, self._tick = self._tick, min(2 * self._tick, LONGEST_TICK)
        if instant is None or instant - EPOCH <= now:
            return now + tick if waits else None
        return min(instant - EPOCH, now + tick)

    def _actions(self, event: e.Event, name: str) -> Iterable[Place | Recall]:
        match event:
            case e.AttemptsAssigned():
                for order in event.orders:
                    for start in order.starts:
                        yield Place(self._jobs[order.submission][start.index], name)
            case e.AttemptsRecalled():
                for attempt in event.attempts:
                    submission, index, _ = split_attempt(attempt)
                    yield Recall(self._jobs[submission][index], name)
            case e.SubmissionRejected() | e.TasksFailed() | e.TasksCancelled():
                raise AssertionError(f"the trace cannot be run: {event}")
            case _:
                pass

    def _attempt(self, task: Task) -> AttemptId:
        return attempt_id(self._ids[task.job], task.number, task.tries)

    def _report(self, now: float, task: Task, **what: object) -> None:
        self._n += 1
        host = task.host or self._where(task)
        self._append(e.AttemptsReported(life=self._lives[host], n=self._n, **what), host, now)  # type: ignore[arg-type]

    def _where(self, task: Task) -> str:
        return self.state.submissions[self._ids[task.job]].tasks[task.number].worker

    def _append(self, event: e.Event, name: str = "", now: float = 0.0) -> int:
        self.now, self._tick = now, TICK
        began = process_time()
        role = AUTHOR[type(event)]
        subject = subjects.of(event, name)
        author = Author(role, name if role in ("user", "worker") else "")
        evolve(self.state, Recorded(self.state.seq + 1, EPOCH + now, author, subject, event))
        self.seconds += process_time() - began
        return self.state.seq
