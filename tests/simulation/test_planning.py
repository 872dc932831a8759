"""Whatever tasks ask for and workers offer: nothing is promised twice, caps hold, priority goes first, all is deterministic.

The planner is held against sums made from the events alone.
"""

from collections import Counter

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from longshore_common import events as e
from longshore_common.model import Array, HostFacts, Request, Share, TaskSpec, Usage
from longshore_common.testing.tape import Tape
from longshore_dispatcher.core import snapshot
from longshore_dispatcher.core.decide import decide
from longshore_dispatcher.core.evolve import evolve
from longshore_dispatcher.core.state import State

from .derived import derived

GB = 1 << 30
many = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)

requests = st.builds(
    Request, cpus=st.sampled_from([0, 0.5, 1, 2, 4]), memory=st.sampled_from([0, GB, 3 * GB]),
    gpus=st.sampled_from([0, 0, 0, 1]), disk=st.sampled_from([0, 0, GB]),
    custom=st.sampled_from([{}, {}, {"license": 1}, {"license": 0.5}]),
)  # fmt: skip
tasks = st.tuples(
    requests, st.lists(requests, max_size=2), st.integers(1, 9), st.sampled_from(["ada", "ben"]),
    st.sampled_from(["x", "y"]), st.sampled_from([0, 0, 1]), st.sampled_from([0, 0, 5]),
)  # fmt: skip
hosts = st.tuples(
    st.integers(1, 6), st.sampled_from([2, 8]), st.integers(0, 2), st.sampled_from([{}, {"license": 2}]),
    st.sampled_from([-1, -1, 0, 2, 5]), st.sampled_from([0, 0, -1, 1]), st.sampled_from(["*", "*", "x"]),
)  # fmt: skip
caps = st.dictionaries(
    st.sampled_from([("user", "ada"), ("batch", "x")]), st.integers(1, 4), max_size=2
)  # fmt: skip
steps = st.lists(
    st.tuples(st.sampled_from(["end", "end", "end", "resize", "time"]), st.integers(0, 99), st.integers(-1, 4)),
    max_size=25,
)  # fmt: skip


#: What workers hold, by turns, and which secret a user names in every third size of submission.
HELD = (("ada/A", "ben/B"), (), ("ada/A",), ("ben/B",))
OWN = {"ada": "A", "ben": "B"}


def asked(spec: TaskSpec) -> dict[str, float]:
    found = {"cpus": spec.cpus, "memory": spec.memory, "gpus": spec.gpus, "disk": spec.disk, **spec.custom}
    return {name: amount for name, amount in found.items() if amount}


class Yard:
    """Workers whose agents start what fits, in the order they got it, and nothing else."""

    def __init__(self) -> None:
        self.tape, self.state = Tape(), State()
        self.facts: dict[str, e.WorkerJoined] = {}
        self.slots: dict[str, int] = {}
        self.waiting: dict[str, list[tuple[str, TaskSpec]]] = {}
        self.running: dict[str, dict[str, TaskSpec]] = {}
        self.specs: dict[int, TaskSpec] = {}
        self.whose: dict[int, tuple[str, str]] = {}
        self.most: dict[tuple[str, str], int] = {}

    def add(self, event, name=""):
        record = self.tape.add(event, name)
        evolve(self.state, record)
        return record.seq

    def join(self, name, host):
        cpus, memory, gpus, custom, slots, prefetch, batch = host
        held = HELD[int(name[1:]) % len(HELD)]
        facts = HostFacts(cpus=cpus, memory=memory * GB, gpus=gpus, disk=2 * GB, custom=custom, secrets=held)
        event = e.WorkerJoined(life=1, facts=facts, concurrency=slots, prefetch=prefetch, batch=batch)
        self.facts[name], self.slots[name] = event, slots
        self.waiting[name], self.running[name] = [], {}
        self.add(event, name)

    def submit(self, what):
        first, others, size, user, batch, priority, limit = what
        spec = TaskSpec(
            command=("t",), cpus=first.cpus, memory=first.memory, gpus=first.gpus, disk=first.disk, custom=first.custom,
            alternatives=tuple(others), run_timeout=limit, secrets=() if size % 3 else (OWN[user],),
        )  # fmt: skip
        body = Array(spec=spec, size=size)
        seq = self.add(e.TasksSubmitted(key=f"k{self.state.seq}", batch=batch, body=body, priority=priority), user)
        self.add(e.SubmissionAccepted(submission=seq, size=size))
        self.specs[seq], self.whose[seq] = spec, (user, batch)

    def free(self, name):
        facts = self.facts[name].facts
        left = {"cpus": facts.cpus, "memory": facts.memory, "gpus": facts.gpus, "disk": facts.disk, **facts.custom}
        for spec in self.running[name].values():
            need = asked(spec)
            if not need and self.slots[name] < 0:
                need = {"cpus": 1}
            for what, amount in need.items():
                left[what] = left.get(what, 0) - amount
        return left

    def holds(self, name, spec):
        return all(any(key.endswith(f"/{own}") for key in self.facts[name].facts.secrets) for own in spec.secrets)

    def fits(self, name, spec):
        if 0 <= self.slots[name] <= len(self.running[name]):
            return False
        need = asked(spec) or ({"cpus": 1} if self.slots[name] < 0 else {})
        left = self.free(name)
        return all(amount <= left.get(what, 0) + 1e-9 for what, amount in need.items())

    def turn(self, *, strict):
        """One decision, checked and folded; `strict`: what was assigned starts at once, all of it."""
        decisions = decide(self.state, self.tape.now)
        again = snapshot.from_bytes(snapshot.to_bytes(self.state))
        assert decide(again, self.tape.now) == decisions, "a dispatcher that was restarted would decide otherwise"
        assert decide(self.state, self.tape.now) == decisions, "asked again, it answers otherwise"
        for event, name in decisions:
            if isinstance(event, e.AttemptsAssigned):
                for order in event.orders:
                    self.taken(name, order)
            self.add(event, name)
        for name in self.facts:
            self.start(name, strict=strict and self.facts[name].prefetch == 0)
        return decisions

    def taken(self, name, order):
        spec = self.specs[order.submission]
        assert self.facts[name].batch in ("*", self.whose[order.submission][1])
        wanted = [spec, *spec.alternatives]
        assert asked(order.spec) in [asked(one) for one in wanted]
        assert order.spec.alternatives == ()
        assert self.holds(name, order.spec), f"{name} lacks {order.spec.secrets}"
        self.waiting[name] += [(f"{order.submission}.{s.index}.{s.n}", order.spec) for s in order.starts]

    def start(self, name, *, strict):
        begun = []
        for attempt, spec in list(self.waiting[name]):
            if self.fits(name, spec):
                self.waiting[name].remove((attempt, spec))
                self.running[name][attempt] = spec
                begun.append(e.Move(attempt, "running", self.tape.now))
            else:
                assert not strict, f"{attempt} was promised {asked(spec)} of {name}, which has {self.free(name)} left"
        if begun:
            self.add(e.AttemptsReported(life=1, n=1, moved=tuple(begun)), name)

    def end(self, pick):
        running = [(name, attempt) for name, held in sorted(self.running.items()) for attempt in held]
        if running:
            name, attempt = running[pick % len(running)]
            del self.running[name][attempt]
            usage = Usage(self.tape.now - 2, self.tape.now - 2, self.tape.now, self.tape.now)
            self.add(e.AttemptsReported(life=1, n=1, ended=(e.Ended(attempt, "succeeded", 0, usage=usage),)), name)

    def check(self):
        held = [int(a.split(".")[0]) for name in self.facts for a in [*self.running[name], *dict(self.waiting[name])]]
        for (kind, name), most in self.most.items():
            count = sum(self.whose[sub][kind == "batch"] == name for sub in held)
            assert count <= most, f"{count} tasks of {kind} {name} are on workers, {most} may"
        again = snapshot.from_bytes(snapshot.to_bytes(self.state))
        assert derived(again) == derived(self.state)

    def settle(self, *, strict):
        for _ in range(60):
            if not self.turn(strict=strict):
                return
            self.check()
        raise AssertionError("it never comes to rest")


@many
@given(st.lists(hosts, min_size=1, max_size=5), st.lists(tasks, min_size=1, max_size=8), caps, steps)
@example(  # what a worker holds stands in line as it was given, also after a restart
    [*[(1, 2, 0, {}, -1, 0, "*")] * 4, (3, 2, 0, {}, -1, -1, "*")],
    [
        *[(Request(), [], 1, "ada", "x", 0, 0)] * 3, (Request(), [], 3, "ben", "x", 0, 0),
        *[(Request(cpus=0.5), [], 1, "ada", "x", 0, 0)] * 2, (Request(), [], 1, "ben", "x", 0, 0),
        (Request(), [], 1, "ada", "x", 0, 0),
    ],
    {}, [("end", 0, 0), ("end", 0, 0)],
)  # fmt: skip
@example(  # who of two gives way to one that counts more does not hang on the order of a set
    [(2, 2, 0, {}, -1, -1, "*")] * 2,
    [*[(Request(), [], 1, "ada", "x", 0, 0)] * 7, (Request(cpus=0.5, disk=GB), [], 5, "ada", "x", 1, 0)],
    {}, [("time", 0, 0)],
)  # fmt: skip
def test_nothing_is_promised_twice_and_no_cap_is_passed(some, work, most, then):
    yard = Yard()
    for k, host in enumerate(some):
        yard.join(f"w{k}", host)
    for (kind, name), cap in most.items():
        yard.most[(kind, name)] = cap
        yard.add(e.ShareSet(kind=kind, name=name, share=Share(max_running=cap)))
    for what in work:
        yard.submit(what)
    yard.settle(strict=True)
    for what, pick, slots in then:
        name = f"w{pick % len(some)}"
        if what == "end":
            yard.end(pick)
        elif what == "time":
            yard.tape.now += 20
        else:
            yard.slots[name] = slots
            yard.add(e.WorkerResized(concurrency=slots, prefetch=yard.facts[name].prefetch), name)
        yard.settle(strict=False)


@many
@given(st.lists(hosts, min_size=1, max_size=4), st.lists(tasks, min_size=1, max_size=8))
@example(  # of workers that are as good, whatever else they differ in, the first by name comes first
    [(1, 8, 1, {"license": 2}, -1, 0, "x"), (1, 8, 1, {"license": 2}, -1, 0, "x")],
    [*[(Request(), [], 1, "ada", "x", 0, 0)] * 2, (Request(memory=3 * GB), [], 5, "ada", "x", 0, 0)],
)
@example(  # CPUs that are promised ahead hinder nobody who asks for memory only
    [(1, 2, 0, {}, -1, 1, "*")],
    [(Request(memory=GB), [], 4, "ada", "x", 0, 0), (Request(cpus=0.5), [], 4, "ada", "x", 0, 0)],
)
def test_everything_that_any_worker_could_run_ends(some, work):
    yard = Yard()
    for k, host in enumerate(some):
        yard.join(f"w{k}", host)
    for what in work:
        yard.submit(what)
    for _ in range(200):
        yard.settle(strict=False)
        if not any(yard.running.values()):
            break
        yard.tape.now += 2
        yard.end(0)
    left = [sub for sub in yard.state.submissions.values()]
    for sub in left:
        wanted = [yard.specs[sub.id], *yard.specs[sub.id].alternatives]
        for name, joined in yard.facts.items():
            if joined.concurrency and joined.batch in ("*", sub.batch) and yard.holds(name, yard.specs[sub.id]):
                assert not any(yard.fits(name, one) for one in wanted), f"{sub.id} could run on {name} and does not"


@many
@given(st.lists(tasks, min_size=2, max_size=8), st.integers(1, 6))
def test_nothing_starts_before_what_has_a_higher_priority_and_fits(work, cpus):
    yard = Yard()
    for what in work:
        yard.submit(what)
    yard.join("w0", (cpus, 8, 1, {"license": 2}, -1, 0, "*"))
    yard.turn(strict=True)
    lowest = min((yard.state.submissions[int(a.split(".")[0])].priority for a in yard.running["w0"]), default=9)
    for sub in yard.state.submissions.values():
        if sub.priority > lowest and sub.lots[0].fresh.count:
            wanted = [yard.specs[sub.id], *yard.specs[sub.id].alternatives]
            assert not any(yard.fits("w0", one) for one in wanted)


@many
@given(st.floats(0.2, 5), st.integers(1, 4), st.integers(2, 6))
def test_shares_converge_to_weights(weight, seconds, cpus):
    yard = Yard()
    yard.add(e.ShareSet(kind="user", name="ada", share=Share(weight=weight)))
    yard.join("w0", (cpus, 8, 0, {}, -1, 0, "*"))
    for user in ("ada", "ben"):
        yard.submit((Request(cpus=1), [], 9000, user, user, 0, 0))
    done: Counter[str] = Counter()
    for _ in range(150):
        yard.settle(strict=True)
        yard.tape.now += seconds
        for attempt in yard.running["w0"]:
            done[yard.whose[int(attempt.split(".")[0])][0]] += 1
        ended = tuple(
            e.Ended(a, "succeeded", 0, usage=Usage(None, yard.tape.now - seconds, yard.tape.now))
            for a in yard.running["w0"]
        )
        yard.running["w0"].clear()
        yard.add(e.AttemptsReported(life=1, n=1, ended=ended), "w0")
    got = done["ada"] / done.total()
    assert abs(got - weight / (1 + weight)) < 0.05, (got, weight)
