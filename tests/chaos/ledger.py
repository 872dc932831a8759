"""A recount of the log, written from the docstrings of `events` alone and sharing no code with any service's fold.

One dict per task, no ranges, no speed. Besides the states it counts what must never happen, in `broken`.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import nats
from nats.js.api import ConsumerConfig, DeliverPolicy

from longshore_common import events as e
from longshore_common.codec import decode
from longshore_common.errors import Unreadable
from longshore_common.ids import TaskRange, split_attempt
from longshore_common.model import Array, Parts, Specs
from longshore_common.subjects import STREAM, inbox

Key = tuple[int, int]


@dataclass
class Task:
    """What the log says of one task; `n` is its last attempt, `open` tells whether that attempt is current."""

    state: str = "queued"
    n: int = 0
    worker: str = ""
    open: bool = False
    exit_code: int | None = None
    cause: str | None = None
    successes: int = 0
    granted: set[int] = field(default_factory=set)


@dataclass
class Ledger:
    """Tasks by (submission, index), the leaders in order, what was never to happen, and who ran what when."""

    tasks: dict[Key, Task] = field(default_factory=dict)
    batches: dict[int, str] = field(default_factory=dict)
    leaders: list[tuple[int, str]] = field(default_factory=list)
    joins: list[e.WorkerJoined] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    malformed: list[str] = field(default_factory=list)
    requeues: dict[tuple[int, int, int], str | None] = field(default_factory=dict)
    refusals: dict[int, str] = field(default_factory=dict)
    assigned: dict[tuple[int, int, int], int] = field(default_factory=dict)
    runs: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    _parts: dict[tuple[str, str], dict[int, int]] = field(default_factory=lambda: defaultdict(dict))

    def counts(self, submission: int) -> dict[str, int]:
        """How many tasks of a submission are in which state."""
        counted: dict[str, int] = defaultdict(int)
        for (owner, _), task in self.tasks.items():
            if owner == submission:
                counted[task.state] += 1
        return dict(counted)

    def most_at_once(self, worker: str) -> int:
        """The largest number of processes that ran on a worker at one instant, by the reported starts and ends."""
        steps = sorted([(at, 1) for at, _ in self.runs[worker]] + [(at, -1) for _, at in self.runs[worker]])
        most = now = 0
        for _, step in steps:
            now += step
            most = max(most, now)
        return most

    def fold(self, seq: int, subject: str, body: bytes, headers: dict[str, str] | None) -> None:
        """One message of the log."""
        try:
            author, event = decode(subject, body, headers)
        except Unreadable as err:
            self.malformed.append(str(err))
            return
        worker = subject.split(".")[2]
        match event:
            case e.TasksSubmitted():
                self._submitted(seq, author.name, event)
            case e.SubmissionPartSent():
                self._parts[author.name, event.key][event.part] = len(event.specs)
            case e.LeaderElected():
                self.leaders.append((seq, event.dispatcher))
            case e.SubmissionRejected() | e.SubmissionDuplicated() | e.RequirementsMet():
                self._answered(event)
            case e.TasksRequeued() | e.TasksRetried() | e.TasksFailed() | e.TasksCancelled():
                self._verdict(event)
            case e.AttemptsAssigned():
                self._assign(seq, worker, event)
            case e.AttemptsSignalled(wanted="publish"):
                self._granted(event)
            case e.RequestRefused():
                self.refusals[event.request] = event.reason
            case e.WorkerLost() | e.WorkerLeft():
                self._lose(worker, set(), seq)
            case e.WorkerJoined():
                self.joins.append(event)
                self._lose(worker, set(event.held), event.handled)
            case e.AttemptsReported():
                self._report(worker, event)
            case _:
                pass  # no state of a task depends on it

    def _submitted(self, seq: int, user: str, event: e.TasksSubmitted) -> None:
        match event.body:
            case Array(size=size):
                pass
            case Specs(specs=specs):
                size = len(specs)
            case Parts(parts=parts):
                sent = self._parts[user, event.key]
                size = sum(sent.get(part, 0) for part in range(parts))
        state = "waiting" if event.requires or event.held else "queued"
        self.batches[seq] = event.batch
        for index in range(min(size, 100_000)):
            self.tasks[seq, index] = Task(state)

    def _answered(self, event: e.SubmissionRejected | e.SubmissionDuplicated | e.RequirementsMet) -> None:
        for key in list(self.tasks):
            match event:
                case e.SubmissionRejected(submission=submission) if key[0] == submission:
                    self.tasks[key].state, self.tasks[key].cause = "failed", "rejected"
                case e.SubmissionDuplicated(submission=submission) if key[0] == submission:
                    del self.tasks[key]
                case e.RequirementsMet(submissions=submissions) if key[0] in submissions:
                    if self.tasks[key].state == "waiting":
                        self.tasks[key].state = "queued"
                case _:
                    pass

    def _of(self, ranges: tuple[TaskRange, ...]) -> list[Task]:
        return [self.tasks[r.submission, k] for r in ranges for k in range(r.lo, r.hi + 1)]

    def _verdict(self, event: e.TasksRequeued | e.TasksRetried | e.TasksFailed | e.TasksCancelled) -> None:
        match event:
            case e.TasksRequeued():
                for one in event.tasks:
                    task = self.tasks[one.submission, one.index]
                    if task.state == "succeeded":
                        self.broken.append(f"{one.submission}.{one.index} was requeued after its success")
                    task.state, task.open = "queued", False
                    self.requeues[one.submission, one.index, one.n] = one.cause
            case e.TasksRetried():
                for task in self._of(event.tasks):
                    task.state, task.open, task.successes = "queued", False, 0
            case e.TasksFailed():
                for task in self._of(event.tasks):
                    task.state, task.open, task.cause = "failed", False, event.cause
            case e.TasksCancelled():
                for task in self._of(event.tasks):
                    task.state, task.open = "cancelled", False

    def _assign(self, seq: int, worker: str, event: e.AttemptsAssigned) -> None:
        for order in event.orders:
            for start in order.starts:
                task = self.tasks[order.submission, start.index]
                name = f"{order.submission}.{start.index}.{start.n}"
                if (order.submission, start.index, start.n) in self.assigned:
                    self.broken.append(f"{name} was assigned twice")
                if task.open:
                    self.broken.append(f"{name} was assigned while attempt {task.n} was current")
                if task.state == "succeeded":
                    self.broken.append(f"{name} was assigned after the task's success")
                if start.n != task.n + 1:
                    self.broken.append(f"{name} was assigned after attempt {task.n}")
                self.assigned[order.submission, start.index, start.n] = seq
                task.state, task.n, task.worker, task.open = "assigned", start.n, worker, True

    def _granted(self, event: e.AttemptsSignalled) -> None:
        for attempt in event.attempts:
            submission, index, n = split_attempt(attempt)
            task = self.tasks[submission, index]
            if task.granted - {n}:
                self.broken.append(f"{attempt} may publish, and so may {sorted(task.granted)}")
            task.granted.add(n)

    def _lose(self, worker: str, held: set[str], handled: int) -> None:
        """Attempts assigned to a worker up to `handled` that it does not hold are over; verdicts follow."""
        for (submission, index), task in self.tasks.items():
            on_it = task.open and task.worker == worker
            if on_it and self.assigned[submission, index, task.n] <= handled:
                task.open = f"{submission}.{index}.{task.n}" in held

    def _report(self, worker: str, event: e.AttemptsReported) -> None:
        for move in event.moved:
            if task := self._current(worker, move.attempt):
                task.state = move.state
        for delivered in event.delivered:
            if task := self._current(worker, delivered.attempt):
                task.state = "delivering"
        for end in event.ended:
            if end.usage.started_at and end.usage.ended_at:
                self.runs[worker].append((end.usage.started_at, end.usage.ended_at))
            if task := self._current(worker, end.attempt):
                task.open, task.exit_code = False, end.exit_code
                if end.outcome == "succeeded":
                    task.state, task.successes = "succeeded", task.successes + 1
                    if task.successes > 1:
                        self.broken.append(f"{end.attempt} succeeded, the task had before")

    def _current(self, worker: str, attempt: str) -> Task | None:
        submission, index, n = split_attempt(attempt)
        task = self.tasks.get((submission, index))
        return task if task and task.open and task.n == n and task.worker == worker else None


async def recount(url: str, creds: str) -> Ledger:
    """The ledger of the whole log as it is now, read with the api's credentials by a plain NATS client."""
    ledger = Ledger()
    client = await nats.connect(url, user_credentials=creds, inbox_prefix=inbox("api", "").encode())
    try:
        stream = client.jetstream()
        last = (await stream.stream_info(STREAM)).state.last_seq
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
        follow = await stream.subscribe("log.>", stream=STREAM, ordered_consumer=True, config=config)
        seq = 0
        while seq < last:
            message = await follow.next_msg(timeout=10)
            seq = message.metadata.sequence.stream
            ledger.fold(seq, message.subject, message.data, message.headers)
    finally:
        await client.close()
    return ledger


def differences(ledger: Ledger, submission: int, projected: dict[str, dict[str, Any]]) -> list[str]:
    """Where the read model's tasks of a submission differ from the recount; empty if nowhere."""
    found = []
    counted = {f"{s}.{k}": task for (s, k), task in ledger.tasks.items() if s == submission}
    for name in counted.keys() | projected.keys():
        mine, theirs = counted.get(name), projected.get(name)
        if mine is None or theirs is None:
            found.append(f"{name}: recounted {mine}, projected {theirs}")
            continue
        expected = (mine.state, mine.n or None, mine.worker or None, mine.exit_code)
        shown = (theirs["state"], theirs["attempt"] or None, theirs["worker"], theirs["exit_code"])
        if expected != shown:
            found.append(f"{name}: recounted {expected}, projected {shown}")
    return found
