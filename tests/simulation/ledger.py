"""The truth as the event docstrings tell it, in dicts and without any cleverness: what the core is held against.

It folds the same log, knows each task by itself, and asserts the invariants as it goes.
"""

from collections.abc import Iterator

from longshore_common import events as e
from longshore_common.editing import edited
from longshore_common.ids import TaskRange, split_attempt
from longshore_common.log import Recorded
from longshore_common.model import Change, Edge, Retention, Specs, TaskSpec

Task = tuple[int, int]
ENDED = ("succeeded", "failed", "cancelled")


class Ledger:
    """State per task, current attempt per task, and the books on slots and publications."""

    def __init__(self, slack: float = 0.0, *, admitted: bool = False) -> None:
        """`slack`: seconds by which the clock of who decides may differ from that of the log. `admitted`: agents start
        only what fits, so it is held against what runs; else against what is assigned, by dispatchers that know no run
        times.
        """
        self.slack, self.admitted = slack, admitted
        self.state: dict[Task, str] = {}
        self.spec: dict[Task, TaskSpec] = {}
        self.current: dict[Task, tuple[str, str] | None] = {}  # (attempt, worker)
        self.last_n: dict[Task, int] = {}
        self.granted: dict[Task, str] = {}
        self.held: set[Task] = set()
        self.met: set[int] = set()
        self.submitted: dict[int, e.TasksSubmitted] = {}
        self.parts: dict[tuple[str, str], dict[int, tuple[TaskSpec, ...]]] = {}
        self.facts: dict[str, e.WorkerJoined] = {}
        self.up: set[str] = set()
        self.leader = 0
        self.now = 0.0
        self.place: dict[str, int] = {}  # of the assignment of each attempt, in the log
        self.retention: dict[str, Retention] = {}
        self.ended_at: dict[Task, float] = {}
        self.submitted_as: dict[Task, TaskSpec] = {}
        self.was: dict[Task, list[TaskSpec]] = {}  # all that it ever was, by its edits
        self.given: dict[Task, TaskSpec] = {}  # what its last attempt got
        self.edits: dict[int, tuple[Change, set[Task], dict[Task, int]]] = {}
        self.memory: dict[Task, int] = {}  # what a task was given after it ran out of memory
        self.sent: dict[tuple[str, str], dict[int, tuple[Edge, ...]]] = {}
        self.edges: dict[int, tuple[Edge, ...]] = {}
        self.first: dict[int, int] = {}  # duplicates

    def fold(self, record: Recorded) -> None:
        event = record.event
        self.now = record.at
        match event:
            case e.LeaderElected():
                self.leader = record.seq
            case e.SubmissionPartSent():
                self.parts.setdefault((record.author.name, event.key), {})[event.part] = event.specs
                self.sent.setdefault((record.author.name, event.key), {})[event.part] = event.edges
            case e.TasksSubmitted():
                self.submitted[record.seq] = event
                self._specs(record, event)
            case e.SubmissionDuplicated():
                self.first[event.submission] = event.first
            case e.SubmissionAccepted():
                wish = self.submitted[event.submission]
                waiting = wish.requires or wish.held or self.edges.get(event.submission)
                for index in range(event.size):
                    self.state[(event.submission, index)] = "waiting" if waiting else "queued"
                    if wish.held:
                        self.held.add((event.submission, index))
            case e.RequirementsMet():
                self.met.update(event.submissions)
                for task, where in self.state.items():
                    if task[0] in event.submissions and where == "waiting" and task not in self.held:
                        self.state[task] = "queued"
                self._met_alone(event)
            case e.TasksRequeued():
                for task in event.tasks:
                    assert self.current.get((task.submission, task.index)) is None
                    assert self.last_n[(task.submission, task.index)] == task.n
                    self.state[(task.submission, task.index)] = "queued"
                    if task.memory:
                        assert task.cause == "oom"
                        self.memory[(task.submission, task.index)] = task.memory
            case e.TasksRetried():
                for task in self._tasks(event.tasks):
                    self.held.discard(task)
                    waiting = self.submitted[task[0]].requires and task[0] not in self.met
                    waiting = waiting or self.waits_alone(task[0])
                    self.state[task] = "waiting" if waiting else "queued"
                    named = any(r.submission == task[0] and r.lo <= task[1] <= r.hi for r in event.waiting)
                    assert named == bool(waiting), f"{task} is told to be waiting or not, wrongly"
                    self.granted.pop(task, None)
            case e.TasksEdited():
                self._edited(record, event)
            case e.TasksHeld():
                for task in self._tasks(event.tasks):
                    assert self.state[task] in ("queued", "waiting"), f"{task} is held while {self.state[task]}"
                    self.state[task] = "waiting"
                    self.held.add(task)
            case e.TasksFailed():
                if event.cause == "requirement" and not event.undoes:  # an undo makes them what they were
                    self._fallen(event)
                self._end(event.tasks, "failed")
            case e.TasksCancelled():
                self._end(event.tasks, "cancelled")
            case e.AttemptsAssigned():
                self._assigned(record, event)
            case e.AttemptsSignalled() if event.wanted == "publish":
                self._granted(record, event)
            case e.AttemptsReported():
                self._reported(record, event)
            case e.BatchRetentionSet():
                self.retention[event.batch] = event.retention
            case e.SweepOrdered():
                self._swept(record, event)
            case e.WorkerJoined() | e.WorkerLost() | e.WorkerLeft():
                self._life(record, event)
            case _:
                pass

    def _specs(self, record: Recorded, event: e.TasksSubmitted) -> None:
        if isinstance(event.body, Specs):
            specs: tuple[TaskSpec, ...] = event.body.specs
        elif hasattr(event.body, "spec"):
            specs = (event.body.spec,) * event.body.size
        else:
            parts = self.parts.pop((record.author.name, event.key), {})
            specs = tuple(spec for k in sorted(parts) for spec in parts[k])
        for index, spec in enumerate(specs):
            self.spec[(record.seq, index)] = self.submitted_as[(record.seq, index)] = spec
            self.was[(record.seq, index)] = [spec]
        sent = self.sent.pop((record.author.name, event.key), {})
        own = event.body.edges if isinstance(event.body, Specs) else ()
        self.edges[record.seq] = own or tuple(edge for k in sorted(sent) for edge in sent[k])

    # --- what requires what -------------------------------------------------------------------------------------

    def waits_alone(self, submission: int) -> bool:
        """Whether the tasks of this submission wait each for its own."""
        wish = self.submitted[submission]
        return bool(self.edges.get(submission) or (wish.requires and wish.each_requires))

    def required(self, task: Task) -> Iterator[Task]:
        """What this task requires, as a whole or by itself."""
        wish = self.submitted[task[0]]
        for r in wish.requires:
            source = r.submission
            while source in self.first:
                source = self.first[source]
            if wish.each_requires:
                yield source, r.lo + task[1]
            else:
                yield from ((source, index) for index in range(r.lo, r.hi + 1))
        yield from ((task[0], r) for d, r in self.edges.get(task[0], ()) if d == task[1])

    def _met_alone(self, event: e.RequirementsMet) -> None:
        before = frozenset(self.met)
        for task in self._tasks(event.tasks):
            self.met.add(task[0])
            if self.state[task] != "waiting":
                continue
            assert task not in self.held, f"{task} is held"
            for required in self.required(task):
                old = task[0] in before and required[0] != task[0] and not self.submitted[task[0]].each_requires
                assert old or self.is_met(task, required), f"{task} is queued, but {required} is not done"
            self.state[task] = "queued"

    def is_met(self, task: Task, required: Task) -> bool:
        """Whether the required task is as this one wants it; what nobody accepted never is."""
        where = self.state.get(required, "failed")
        return where == "succeeded" or (self.submitted[task[0]].requires_any_outcome and where in ENDED)

    def _fallen(self, event: e.TasksFailed) -> None:
        """They fail with something that failed before, or with one another; and only where that was wanted."""
        together = set(self._tasks(event.tasks))
        for task in together:
            assert self.submitted[task[0]].on_failed_requirement == "fail"
            lost = {"failed", "cancelled"}
            assert any(r in together or self.state.get(r, "failed") in lost for r in self.required(task)), task

    def _edited(self, record: Recorded, event: e.TasksEdited) -> None:
        """All edits that hold for a task, in the order they were made, make of it what it is."""
        seq = event.undoes or record.seq
        change, holds, memory = self.edits.setdefault(seq, (event.change, set(), {}))
        for task in self._tasks(event.tasks):
            assert self.current.get(task) is None, f"{task} was edited while a worker had it"
            assert self.state[task] != "succeeded"
            adds = event.restored or not event.undoes
            (holds.add if adds else holds.discard)(task)
            if "memory" in change.set:
                source, target = (self.memory, memory) if adds else (memory, self.memory)
                if task in source:
                    target.setdefault(task, source.pop(task))
            spec = self.submitted_as[task]
            for _, (made, tasks, _) in sorted(self.edits.items()):
                spec = edited(spec, made) if task in tasks else spec
            self.spec[task] = spec
            self.was[task].append(spec)

    def _swept(self, record: Recorded, event: e.SweepOrdered) -> None:
        """Only what ended long enough ago, as its last attempt left it."""
        for order in event.orders:
            kept = getattr(self.retention[order.batch], event.what)
            assert kept, f"{event.what} of {order.batch} are kept for ever"
            for start in order.starts:
                task = (order.submission, start.index)
                assert self.state[task] in ("succeeded", "failed", "cancelled"), f"{task} is {self.state[task]}"
                assert event.what != "outputs" or self.state[task] == "succeeded", f"{task} has no outputs"
                assert start.n == max(1, self.last_n.get(task, 0))
                assert record.at - self.ended_at[task] >= kept - self.slack, f"{event.what} of {task} go too early"
                if event.what == "outputs":  # removed for good: what its last attempt wrote, whatever was edited since
                    assert order.spec.output == self.given[task].output, f"outputs of {task} are looked for elsewhere"
                assert order.spec in self.was[task], f"{task} never was what is swept of it"

    def _tasks(self, ranges: tuple[TaskRange, ...]) -> Iterator[Task]:
        for run in ranges:
            for index in range(run.lo, run.hi + 1):
                if (run.submission, index) in self.state:
                    yield run.submission, index

    def _end(self, ranges: tuple[TaskRange, ...], state: str) -> None:
        for task in self._tasks(ranges):
            assert self.state[task] not in ("succeeded", "failed", "cancelled"), f"{task} ended twice"
            assert self.current.get(task) is None, f"{task} ended as {state} while a worker had it"
            self.state[task] = state
            self.ended_at[task] = self.now

    def _assigned(self, record: Recorded, event: e.AttemptsAssigned) -> None:
        worker = record.subject.split(".")[2]
        for order in event.orders:
            for start in order.starts:
                task = (order.submission, start.index)
                assert self.current.get(task) is None, f"{task} was given to two workers"
                assert self.state[task] == "queued", f"{task} was handed out while {self.state[task]}"
                assert start.n == self.last_n.get(task, 0) + 1
                assert order.spec == self.spec[task]
                assert start.memory == self.memory.get(task, 0)
                if order.publish_of:
                    assert self.granted[task] == f"{task[0]}.{task[1]}.{order.publish_of}"
                self.last_n[task] = start.n
                self.given[task] = order.spec
                self.place[f"{task[0]}.{task[1]}.{start.n}"] = record.seq
                self.state[task] = "assigned"
                if worker in self.up:
                    self.current[task] = (f"{task[0]}.{task[1]}.{start.n}", worker)
        self._promises(worker)

    def _promises(self, worker: str) -> None:
        """Nothing of a host is promised twice (invariant 3): beyond what it holds there is no more than once as much in
        advance.
        """
        mine = [task for task, held in self.current.items() if held is not None and held[1] == worker]
        working = [task for task in mine if self.state[task] in ("assigned", "staging", "running")]
        busy = [self.spec[task] for task in working]
        if worker in self.facts:
            facts = self.facts[worker].facts
            times, held = 2, working
            if self.admitted:
                times, held = 1, [task for task in mine if self.state[task] == "running"]
            assert sum(self.spec[task].cpus for task in held) <= times * facts.cpus
            assert sum(self.memory.get(task) or self.spec[task].memory for task in held) <= times * facts.memory
            for spec in busy:
                assert spec.cpus <= facts.cpus
                assert spec.memory <= facts.memory
            if any(spec.container for spec in busy):
                assert facts.engines

    def _granted(self, record: Recorded, event: e.AttemptsSignalled) -> None:
        for attempt in event.attempts:
            sub, index, _ = split_attempt(attempt)
            held = self.current.get((sub, index))
            if held is not None and held[0] == attempt:
                assert (sub, index) not in self.granted, "two attempts of one task were granted publication"
                self.granted[(sub, index)] = attempt

    def _reported(self, record: Recorded, event: e.AttemptsReported) -> None:
        order = ["assigned", "staging", "running", "delivering"]
        for move in event.moved:
            task = self._held(move.attempt, record.author.name)
            if task is not None and order.index(move.state) > order.index(self.state[task]):
                self.state[task] = move.state
        for end in event.ended:
            task = self._held(end.attempt, record.author.name)
            if task is None:
                continue
            self.current[task] = None
            if end.outcome == "succeeded":
                assert self.state[task] != "succeeded"
                self.state[task] = "succeeded"
                self.ended_at[task] = record.at
        if self.admitted:
            self._promises(record.author.name)

    def _held(self, attempt: str, worker: str) -> Task | None:
        sub, index, _ = split_attempt(attempt)
        return (sub, index) if self.current.get((sub, index)) == (attempt, worker) else None

    def _life(self, record: Recorded, event: e.WorkerJoined | e.WorkerLost | e.WorkerLeft) -> None:
        name = record.subject.split(".")[2]
        if not isinstance(event, e.WorkerJoined):
            self.up.discard(name)
            self.current = {t: None if held and held[1] == name else held for t, held in self.current.items()}
            return
        self.up.add(name)
        self.facts[name] = event
        for task, held in self.current.items():
            if held and held[1] == name and held[0] not in event.held and self.place[held[0]] <= event.handled:
                self.current[task] = None
