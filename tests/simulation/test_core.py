"""Users, workers that die, leaders that compete, time: whatever happens, the books agree and every task ends."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from longshore_common import events as e
from longshore_common.ids import TaskRange
from longshore_common.model import (
    Array,
    Change,
    HostFacts,
    Parts,
    Retention,
    Specs,
    Substitution,
    TaskSpec,
    resource_key,
)
from longshore_common.testing.tape import Tape
from longshore_dispatcher.core import snapshot, sweeping
from longshore_dispatcher.core.decide import decide
from longshore_dispatcher.core.evolve import evolve
from longshore_dispatcher.core.explain import explain
from longshore_dispatcher.core.state import State

from . import answers
from .agent import Agent
from .derived import derived
from .ledger import Ledger

TERMINAL = ("succeeded", "failed", "cancelled")
SPECS = [
    TaskSpec(command=("true",)),
    TaskSpec(command=("true",), retries=1),
    TaskSpec(command=("true",), output="file:///out/{index}", inputs=("s3://b/in",)),
    TaskSpec(command=("true",), cpus=1.5),
    TaskSpec(command=("true",), container="alpine", memory=3 << 30),
    TaskSpec(command=("true",), memory=1 << 29, retries=3, resources=("s3://r/a",)),
    TaskSpec(command=("true",), output="file:///out/{index}", checkpoint="state", retries=2),
]
CHANGES = [
    Change(set={"cpus": 1}),
    Change(set={"memory": 1 << 30}),
    Change(set={"output": "file:///other/{index}", "retries": 2}),
    Change(set={"container": "alpine", "memory": None}),
    Change(substitutions=(Substitution(field="command", find="true", replace="false"),)),
]
CAUSES = ["exit", "oom", "host", "stage-in", "stage-out", "disk-full", "evicted"]


class Seat:
    """One dispatcher process: its own fold, its fence, and how far it must have read before it decides."""

    def __init__(self) -> None:
        self.state = State()
        self.fence = 0
        self.own = 0


class Harbour(RuleBasedStateMachine):
    """Two dispatchers, three workers, one user, one log."""

    def __init__(self) -> None:
        super().__init__()
        self.tape = Tape()
        self.ledger = Ledger()
        self.folded = 0
        self.seats = [Seat(), Seat()]
        self.agents = [
            Agent(self.tape, "w1", HostFacts(cpus=2, memory=8 << 30), 1),
            Agent(self.tape, "w2", HostFacts(cpus=4, memory=8 << 30, engines=("docker",)), 2),
            Agent(self.tape, "w3", HostFacts(cpus=1, memory=1 << 30), 1),
        ]
        self.snapshots = [b""]
        self.subs: list[int] = []
        self.keys = 0

    # --- users ----------------------------------------------------------------------------------------------------

    @initialize(lead=st.booleans())
    def somebody_leads(self, lead: bool) -> None:
        self.elect(int(lead))
        self.agents[1].start()

    @rule(
        size=st.integers(1, 6), kind=st.sampled_from(["array", "specs", "parts"]), pick=st.integers(0, 99),
        held=st.booleans(), capped=st.integers(0, 2), priority=st.integers(0, 1), requires=st.booleans(),
        anyhow=st.booleans(), again=st.booleans(),
    )  # fmt: skip
    def submit(self, size, kind, pick, held, capped, priority, requires, anyhow, again):
        self.keys += 0 if again and self.keys else 1
        key = f"k{self.keys}"
        specs = tuple(SPECS[(pick + k) % len(SPECS)] for k in range(size))
        body = {"array": Array(spec=specs[0], size=size), "specs": Specs(specs=specs)}.get(kind)
        if body is None:
            for part, spec in enumerate(specs):
                self.tape.add(e.SubmissionPartSent(key=key, part=part, specs=(spec,)), "ada")
            body = Parts(parts=size, size=size)
        wanted = ()
        if requires and self.subs:
            wanted = (TaskRange(self.subs[pick % len(self.subs)], 0, 0),)
        event = e.TasksSubmitted(
            key=key, batch=f"b{pick % 2}", body=body, held=held and pick % 3 == 0, max_running=capped, priority=priority,
            requires=wanted, requires_any_outcome=anyhow,
        )  # fmt: skip
        self.subs.append(self.tape.add(event, "ada").seq)

    @precondition(lambda self: self.subs)
    @rule(
        pick=st.integers(0, 99), lo=st.integers(0, 3), more=st.integers(0, 3),
        what=st.sampled_from(["cancel", "retry", "stop", "kill", "pause", "continue", "checkpoint", "SIGUSR1"]),
    )  # fmt: skip
    def wish_for_tasks(self, pick, lo, more, what):
        tasks = (TaskRange(self.subs[pick % len(self.subs)], lo, lo + more),)
        match what:
            case "cancel":
                self.tape.add(e.CancelRequested(tasks=tasks), "ada")
            case "retry":
                self.tape.add(e.RetryRequested(tasks=tasks), "ada")
            case _:
                self.tape.add(e.SignalRequested(tasks=tasks, signal=what), "ada")

    @rule(what=st.sampled_from(["pause", "freeze", "resume", "keep"]), batch=st.sampled_from(["b0", "b1"]))
    def wish_for_a_batch(self, what, batch):
        if what == "keep":
            retention = Retention(outputs=50, logs=20, failed=10, inputs=5 * len(self.subs))
            self.tape.add(e.BatchRetentionRequested(batch=batch, retention=retention), "ada")
        elif what == "resume":
            self.tape.add(e.BatchResumeRequested(batch=batch), "ada")
        else:
            self.tape.add(e.BatchPauseRequested(batch=batch, freeze=what == "freeze"), "ada")

    @rule(
        what=st.sampled_from(["pause", "drain", "resume", "resize", "clean", "remotes"]),
        which=st.sampled_from(["w1", "w2", ""]),
        slots=st.integers(0, 3),
    )
    def wish_for_workers(self, what, which, slots):
        named = (which,) if which else ()
        match what:
            case "pause" | "drain":
                self.tape.add(e.WorkerPauseRequested(workers=named, drain=what == "drain"), "ada")
            case "clean":
                self.tape.add(e.WorkerCareRequested(care="clean", workers=named), "ada")
            case "remotes":
                self.tape.add(e.RemotesShared(boxes=(e.Box("w1", "x"), e.Box("w9", "y"))), "ada")
            case "resume":
                self.tape.add(e.WorkerResumeRequested(workers=named), "ada")
            case _:
                self.tape.add(e.WorkerResizeRequested(workers=named, concurrency=slots), "ada")

    @precondition(lambda self: self.subs)
    @rule(
        pick=st.integers(0, 99), lo=st.integers(0, 3), more=st.integers(0, 3), change=st.sampled_from(CHANGES),
        what=st.sampled_from(["edit", "edit batch", "delete", "delete batch", "restore"]),
    )  # fmt: skip
    def wish_for_other_tasks(self, pick, lo, more, change, what):
        tasks = (TaskRange(self.subs[pick % len(self.subs)], lo, lo + more),)
        match what:
            case "edit":
                self.tape.add(e.EditRequested(change=change, tasks=tasks), "ada")
            case "edit batch":
                self.tape.add(e.EditRequested(change=change, batch=f"b{pick % 2}"), "ada")
            case "delete batch":
                self.tape.add(e.DeleteRequested(batch=f"b{pick % 2}"), "ada")
            case _:
                self.tape.add(e.DeleteRequested(tasks=tasks, restore=what == "restore"), "ada")

    @rule(pick=st.integers(0, 99), last=st.booleans())
    def think_better_of_it(self, pick, last):
        wishes = [
            r.seq for r in self.tape.records if r.author.role == "user" and not isinstance(r.event, e.TasksSubmitted)
        ]
        self.tape.add(e.UndoRequested(request=0 if last or not wishes else wishes[-1 - pick % len(wishes)]), "ada")

    @rule(batch=st.sampled_from(["b0", "b1", "*"]), which=st.sampled_from(["w1", "w2"]))
    def wish_for_another_place(self, batch, which):
        self.tape.add(e.WorkerMoveRequested(batch=batch, workers=(which,)), "ada")

    @rule(what=st.sampled_from(["wish", "part"]))
    def send_rubbish(self, what):
        self.tape.rubbish("user", "ada", what)

    # --- workers --------------------------------------------------------------------------------------------------

    @rule(which=st.integers(0, 2), reads=st.integers(1, 3), twice=st.booleans())
    def agent_talks(self, which, reads, twice):
        agent = self.agents[which]
        if not agent.alive:
            agent.start()
        if agent.connected:
            agent.read(reads)
            agent.flush(twice=twice)

    @rule(which=st.integers(0, 2), pick=st.integers(0, 99), cause=st.none() | st.sampled_from(CAUSES))
    def attempt_goes_on(self, which, pick, cause):
        agent = self.agents[which]
        if agent.alive and agent.held:
            attempt = list(agent.held)[pick % len(agent.held)]
            publishing = agent.held[attempt].publish_of or agent.held[attempt].phase == "delivering"
            agent.advance(attempt, None if publishing else cause)

    @rule(which=st.integers(0, 2), what=st.sampled_from(["hindered", "free", "evicted", "holds"]))
    def host_says(self, which, what):
        agent = self.agents[which]
        if not agent.alive:
            return
        match what:
            case "hindered" | "free":
                agent.hinder("its disk is full" if what == "hindered" else "")
            case "evicted":
                agent.evict(self.tape.now + 30)
            case "holds":
                agent.hold(resource_key("s3://r/a"))

    @rule(which=st.integers(0, 2), how=st.sampled_from(["killed", "host gone", "cut off", "back", "left"]))
    def worker_has_an_accident(self, which, how):
        agent = self.agents[which]
        if not agent.alive:
            return
        match how:
            case "killed" | "host gone":
                agent.die(forgetting=how == "host gone")
            case "cut off" | "back":
                agent.connected = how == "back"
            case "left":
                agent.die(forgetting=True)
                self.tape.add(e.WorkerLeft(life=agent.life), agent.name)

    # --- dispatchers ----------------------------------------------------------------------------------------------

    @rule(which=st.integers(0, 1))
    def elect(self, which):
        """Only one who knows the last election can be elected (the append is fenced)."""
        seat = self.seats[which]
        self.catch_up(which)
        seat.fence = self.tape.add(e.LeaderElected(dispatcher=f"d{which}"), "").seq
        seat.own = seat.fence

    @rule(which=st.integers(0, 1), upto=st.integers(0, 100))
    def catch_up(self, which, upto=100):
        seat = self.seats[which]
        behind = self.tape.records[seat.state.seq :]
        for record in behind[: max(1, len(behind) * upto // 100)]:
            evolve(seat.state, record)

    @rule(which=st.integers(0, 1), crash_after=st.integers(0, 30), silent=st.booleans())
    def turn(self, which, crash_after=30, silent=False):
        """A dispatcher that thinks it leads decides on what it knows; the log refuses it if it is not the last elected.

        `crash_after` events of the turn are in when it crashes; 30 = no crash.
        """
        seat = self.seats[which]
        if not seat.fence or seat.state.leader != seat.fence or seat.state.seq < seat.own:
            return
        quiet = [a.name for a in self.agents if not (a.alive and a.connected)] if silent else []
        decisions = decide(seat.state, self.tape.now, quiet)
        closed = {name for name, worker in seat.state.workers.items() if self.closed(worker)}
        assert not closed.intersection(name for event, name in decisions if isinstance(event, e.AttemptsAssigned))
        self.read()
        if seat.fence != self.ledger.leader:
            return  # deposed: none of it is in the log
        for event, name in decisions[: crash_after if crash_after < 30 else None]:
            seat.own = self.tape.add(event, name).seq
            self.read()

    @staticmethod
    def closed(worker):
        return worker.paused or worker.hindered or worker.evicted or worker.state != "up"

    @rule(turns=st.integers(1, 4), pick=st.integers(0, 99))
    def a_while_without_trouble(self, turns, pick):
        """Whoever leads decides, agents read and talk, and an attempt here and there goes on."""
        leader = max((0, 1), key=lambda k: self.seats[k].fence)
        for _ in range(turns):
            self.catch_up(leader)
            self.turn(leader)
            for k in range(3):
                self.agent_talks(k, 3, twice=False)
                self.attempt_goes_on(k, pick, None)

    @rule(which=st.integers(0, 1))
    def keep_a_snapshot(self, which):
        self.snapshots.append(snapshot.to_bytes(self.seats[which].state))

    @rule(which=st.integers(0, 1), pick=st.integers(0, 99))
    def restart(self, which, pick):
        kept = self.snapshots[pick % len(self.snapshots)]
        self.seats[which] = Seat()
        if kept:
            self.seats[which].state = snapshot.from_bytes(kept)

    @rule(seconds=st.sampled_from([0.1, 1, 10, 100]))
    def time_passes(self, seconds):
        self.tape.now += seconds

    # --- what must always hold ------------------------------------------------------------------------------------

    def read(self) -> None:
        for record in self.tape.records[self.folded :]:
            self.ledger.fold(record)
        self.folded = len(self.tape.records)

    @invariant()
    def the_fold_is_the_same_from_a_snapshot_and_its_tail(self):
        for seat in self.seats:
            again = snapshot.from_bytes(snapshot.to_bytes(seat.state))
            assert snapshot.to_bytes(again) == snapshot.to_bytes(seat.state)
            assert derived(again) == derived(seat.state)

    @invariant()
    def the_core_agrees_with_the_ledger_and_every_open_task_has_a_reason(self):
        self.read()
        state = self.seats[0].state
        for record in self.tape.records[state.seq :]:
            evolve(state, record)
        for (sub, index), where in self.ledger.state.items():
            answer = answers.sound(explain(state, f"{sub}.{index}", "task", self.tape.now))
            assert answer.state == where, (sub, index)
        assert all(answers.everything(state, self.tape.now))

    @invariant()
    def outputs_of_one_attempt_only_are_published(self):
        everything: dict[str, set[str]] = {}
        for agent in self.agents:
            for task, attempts in agent.published.items():
                everything.setdefault(task, set()).update(attempts)
        for task, attempts in everything.items():
            sub, index = task.split(".")
            if len(attempts) > 1:
                assert self.retried_after_grant(int(sub), int(index)), f"{task}: {attempts} were published"

    def retried_after_grant(self, sub: int, index: int) -> bool:
        """A user may have a task whose attempt was granted and then cancelled run again."""
        return any(
            r.submission == sub and r.lo <= index <= r.hi
            for record in self.tape.records
            if isinstance(record.event, e.TasksRetried)
            for r in record.event.tasks
        )

    def teardown(self) -> None:
        """The weather clears: everything is up, nothing is paused; now every task must end."""
        self.elect(0)
        for agent in self.agents:
            agent.start()  # a new life: what hindered the last one is over
        for batch in ("b0", "b1"):
            self.tape.add(e.BatchResumeRequested(batch=batch), "ada")
        self.tape.add(e.WorkerResumeRequested(workers=("w1", "w2", "w3")), "ada")
        self.tape.add(e.WorkerResizeRequested(workers=("w1", "w2", "w3"), concurrency=2), "ada")
        self.tape.add(e.WorkerMoveRequested(batch="*", workers=("w1", "w2", "w3")), "ada")
        for sub in self.subs:
            self.tape.add(e.RetryRequested(tasks=(TaskRange(sub, 0, 0),)), "ada")
            self.release_held(sub)
            self.tape.add(e.SignalRequested(tasks=(TaskRange(sub, 0, 0),), signal="continue"), "ada")
        self.drain()

    def release_held(self, sub: int) -> None:
        event = self.tape.records[sub - 1].event
        size = len(event.body.specs) if isinstance(event.body, Specs) else event.body.size
        self.tape.add(e.RetryRequested(tasks=(TaskRange(sub, 0, size - 1),)), "ada")
        self.tape.add(e.SignalRequested(tasks=(TaskRange(sub, 0, size - 1),), signal="continue"), "ada")

    def drain(self) -> None:
        for _ in range(600):
            self.catch_up(0)
            self.read()
            seat = self.seats[0]
            if not seat.state.wishes and all(where in TERMINAL for where in self.ledger.state.values()):
                break
            self.turn(0)
            for agent in self.agents:
                agent.read(100)
                for attempt in list(agent.held):
                    agent.held[attempt].wanted = "run"
                    agent.advance(attempt)
                agent.flush(twice=False)
            self.tape.now += 30
        stuck = {task: where for task, where in self.ledger.state.items() if where not in TERMINAL}
        assert not stuck, [explain(self.seats[0].state, f"{s}.{i}", "task", self.tape.now) for s, i in stuck]
        assert not self.seats[0].state.submissions, "an ended submission stays in memory"
        assert not self.seats[0].state.wishes, "a wish was never answered"
        self.sweep_up()
        self.outputs_of_one_attempt_only_are_published()

    def sweep_up(self) -> None:
        """Long after, nothing is left of what a retention asks for."""
        state = self.seats[0].state
        for _ in range(200):
            self.tape.now += 4000
            self.turn(0)
            for agent in self.agents:
                agent.read(100)
                agent.flush(twice=False)
            self.catch_up(0)
        self.read()
        kept = [entry for heap in state.due.values() for entry in heap if sweeping.is_due(state, entry)]
        assert not kept, "something was never swept"


Harbour.TestCase.settings = settings(
    max_examples=150, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True,
    database=None,
)  # fmt: skip
TestHarbour = Harbour.TestCase
