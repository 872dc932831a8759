"""Who may start: what attempts ask for is never taken twice, and every one of them starts in the end."""

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from longshore_agent.core.attempts import Attempts
from longshore_agent.core.devices import Ledger
from longshore_agent.core.hours import Caps
from longshore_agent.core.limits import Limits
from longshore_agent.core.starting import WINDOW
from longshore_common import events as e
from longshore_common.model import TaskSpec

OFFER = {"cpus": 4000, "memory": 8, "gpus": 2, "disk": 10, "custom license": 2000}


def limits(offer=OFFER):
    made = Limits()
    made.ledger = Ledger("ab")
    made.cpus, made.memory, made.offer = offer["cpus"] // 1000, offer["memory"], offer
    return made


def core(slots=-1, offer=OFFER):
    attempts = Attempts(slots)
    attempts.equip(limits(offer))
    return attempts


def assign(attempts, submission, count=1, memory=0, **fields):
    spec = TaskSpec(command=("true",), **fields)
    starts = tuple(e.Start(k, 1, k, memory=memory) for k in range(count))
    order = e.Order(submission=submission, spec=spec, batch="b", user="u", starts=starts)
    return attempts.hear(attempts.heard + 1, e.AttemptsAssigned(orders=(order,)), 1.0)


def launch(attempts, ahead=0):
    return [a.id for a in attempts.next_to_launch(ahead)]


def finish(attempts, *names):
    for name in names:
        attempts.end(attempts.held[name], e.Ended(name, "succeeded", 0))


def test_with_automatic_slots_what_they_ask_for_decides_and_who_asks_for_nothing_counts_as_a_cpu():
    attempts = core()
    assign(attempts, 1, count=3, cpus=1.5)
    assign(attempts, 2, count=9)
    assert launch(attempts) == ["1.0.1", "1.1.1", "2.0.1"]
    finish(attempts, "1.0.1")
    assert launch(attempts) == ["1.2.1"]
    finish(attempts, "1.1.1", "1.2.1")
    assert launch(attempts) == ["2.1.1", "2.2.1", "2.3.1"]


def test_what_asks_for_memory_only_takes_no_cpu_of_an_automatic_host():
    attempts = core()
    assign(attempts, 1, count=4, cpus=1)
    assign(attempts, 2, count=9, memory=0, disk=1)
    assert len(launch(attempts)) == 13


def test_with_slots_both_bind():
    attempts = core(slots=3)
    assign(attempts, 1, count=2, cpus=3)
    assign(attempts, 2, count=5)
    assert launch(attempts) == ["1.0.1", "2.0.1", "2.1.1"]
    finish(attempts, "1.0.1")
    assert launch(attempts) == ["1.1.1"]


def test_every_kind_of_amount_binds():
    for fields in ({"memory": 3}, {"gpus": 1}, {"disk": 5}, {"custom": {"license": 0.75}}, {"cpus": 1.5}):
        attempts = core(slots=9)
        spec = TaskSpec(command=("true",), **fields)
        order = e.Order(submission=1, spec=spec, batch="b", user="u", starts=tuple(e.Start(k, 1, k) for k in range(5)))
        attempts.hear(1, e.AttemptsAssigned(orders=(order,)), 1.0)
        assert launch(attempts, ahead=30) == ["1.0.1", "1.1.1"], fields


def test_memory_given_after_running_out_of_it_counts():
    attempts = core()
    assign(attempts, 1, count=2, memory=5, cpus=1)
    assert launch(attempts) == ["1.0.1"]


def test_what_the_host_never_has_is_named_and_keeps_nobody_waiting():
    attempts = core()
    assign(attempts, 1, custom={"license": 3})
    assign(attempts, 2, cpus=4)
    assert launch(attempts) == ["2.0.1"]
    assert attempts.unfit == {"1.0.1": "it asks for 3 of license, this host has 2 in all"}
    finish(attempts, "1.0.1")
    assert attempts.unfit == {}


def test_small_ones_pass_a_large_one_only_as_far_as_it_still_fits_when_what_runs_has_ended():
    attempts = core()
    assign(attempts, 1, cpus=3)
    assign(attempts, 2, cpus=3)
    assign(attempts, 3, count=9, cpus=0.5)
    assert launch(attempts) == ["1.0.1", "3.0.1", "3.1.1"]
    finish(attempts, "3.0.1")
    assert launch(attempts) == ["3.2.1"], "what ended has made room for another of its size"
    finish(attempts, "1.0.1")
    assert launch(attempts) == ["2.0.1"]


def test_a_large_one_starts_when_what_ran_before_it_has_ended_however_many_small_ones_come():
    attempts = core()
    assign(attempts, 1, count=4, cpus=1)
    launch(attempts)
    assign(attempts, 2, cpus=4)
    for k in range(4):
        assign(attempts, 10 + k, count=20, cpus=0.5)
        assert launch(attempts) == [], "four of four are claimed"
        finish(attempts, f"1.{k}.1")
    assert launch(attempts) == ["2.0.1"]


def test_those_that_ask_for_something_else_pass_freely():
    attempts = core()
    assign(attempts, 1, cpus=3)
    assign(attempts, 2, cpus=4)
    assign(attempts, 3, count=2, gpus=1)
    assert launch(attempts) == ["1.0.1", "3.0.1", "3.1.1"]


def test_the_claim_of_one_that_was_given_back_goes_to_the_next():
    attempts = core()
    assign(attempts, 1, cpus=3)
    assign(attempts, 2, cpus=4)
    assign(attempts, 3, cpus=1)
    assert launch(attempts) == ["1.0.1"]
    attempts.hear(attempts.heard + 1, e.AttemptsRecalled(attempts=("2.0.1",)), 1.0)
    assert launch(attempts) == ["3.0.1"]


def test_a_paused_one_has_no_claim():
    attempts = core()
    assign(attempts, 1, cpus=3)
    assign(attempts, 2, cpus=4)
    assign(attempts, 3, cpus=1)
    assert launch(attempts) == ["1.0.1"]
    attempts.hear(attempts.heard + 1, e.AttemptsSignalled(attempts=("2.0.1",), wanted="pause"), 1.0)
    assert launch(attempts) == ["3.0.1"]


def test_disk_is_taken_until_outputs_have_left_it():
    attempts = core()
    assign(attempts, 1, count=2, disk=6, output="file:///o", cpus=1)
    assert launch(attempts) == ["1.0.1"]
    attempts.exited(attempts.held["1.0.1"], e.Ended("1.0.1", "succeeded", 0))
    assert launch(attempts) == []
    again = attempts.rebuilt()
    again.equip(limits())
    assert launch(again) == []
    finish(again, "1.0.1")
    assert launch(again) == ["1.1.1"]


def test_plain_tasks_wait_in_the_spawner_of_an_automatic_host_until_one_comes_that_asks():
    attempts = core()
    assign(attempts, 1, count=9)
    assert len(launch(attempts, ahead=3)) == 7
    assert attempts.beside() == 4
    acts = assign(attempts, 2, cpus=1)
    assert [(a.deed, a.attempt.id) for a in acts] == [("withdraw", f"1.{k}.1") for k in range(7)]
    assert attempts.beside() == 4, "those that wait there do not start meanwhile"
    for k in (4, 5, 6):
        attempts.withdrawn(attempts.held[f"1.{k}.1"])
    finish(attempts, "1.0.1")
    assert launch(attempts, ahead=3) == ["1.6.1"]
    finish(attempts, "1.1.1", "1.2.1", "1.3.1")
    assert launch(attempts, ahead=3) == ["1.5.1", "1.4.1", "1.7.1"]


def test_nothing_is_added_in_the_spawner_before_what_waits_there_has_come_back():
    attempts = core()
    assign(attempts, 1, count=7)
    launch(attempts, ahead=3)
    assign(attempts, 2, gpus=1)
    assert launch(attempts, ahead=3) == [], "the spawner would start one that waits there instead"
    for k in (6, 5, 4):
        attempts.withdrawn(attempts.held[f"1.{k}.1"])
    assert launch(attempts, ahead=3) == ["2.0.1"]
    assert attempts.beside() >= 5


def test_a_task_that_waits_for_what_it_asked_for_lets_nobody_be_handed_over_ahead():
    attempts = core(slots=2)
    assign(attempts, 1, count=2, cpus=3)
    assign(attempts, 2, count=9)
    assert launch(attempts, ahead=30) == ["1.0.1", "2.0.1"]
    finish(attempts, "1.0.1")
    assert launch(attempts, ahead=2) == ["1.1.1", "2.1.1", "2.2.1"]


def test_within_the_owners_hours_requests_count_against_what_is_allowed():
    attempts = core()
    attempts.limits.caps = Caps(cpus=2)
    assign(attempts, 1, count=3, cpus=1)
    assign(attempts, 2, cpus=3)
    assert launch(attempts) == ["1.0.1", "1.1.1"]
    assert attempts.unfit == {}, "it fits at another hour"
    attempts.limits.caps = Limits().caps
    assert launch(attempts) == ["1.2.1"]
    finish(attempts, "1.0.1", "1.1.1")
    assert launch(attempts) == ["2.0.1"]


def test_a_look_costs_the_same_however_many_wait():
    attempts = core()
    assign(attempts, 1, cpus=4)
    assign(attempts, 2, count=WINDOW, cpus=4)
    assign(attempts, 3, gpus=1)
    assert launch(attempts) == ["1.0.1"]


def test_resizing_to_automatic_and_back_kills_nothing_and_counts_what_runs():
    attempts = core(slots=6)
    assign(attempts, 1, count=6)
    assert len(launch(attempts)) == 6
    attempts.hear(attempts.heard + 1, e.WorkerResized(concurrency=-1, prefetch_percent=50), 1.0)
    assert (attempts.slots, attempts.prefetch, attempts.prefetch_percent) == (-1, -1, 50)
    assign(attempts, 2, cpus=1)
    assert launch(attempts) == []
    finish(attempts, "1.0.1", "1.1.1")
    assert launch(attempts) == []
    finish(attempts, "1.2.1")
    assert launch(attempts) == ["2.0.1"]
    attempts.hear(attempts.heard + 1, e.WorkerResized(concurrency=5), 1.0)
    assign(attempts, 3, count=2)
    assert launch(attempts) == ["3.0.1"]


ASKS = st.fixed_dictionaries(
    {},
    optional={
        "cpus": st.sampled_from([0.5, 1, 2, 3, 4]), "memory": st.integers(1, 8), "gpus": st.integers(1, 2),
        "disk": st.sampled_from([3, 10]), "custom": st.sampled_from([{"license": 1.0}, {"license": 2.0}]),
    },
)  # fmt: skip


class Host(RuleBasedStateMachine):
    """An agent's core and a spawner, each hearing of the other later: orders, ends, sizes and restarts in any order.

    Nothing starts beside what runs already unless all it asks for is there; everything ends once it may.
    """

    def __init__(self):
        super().__init__()
        self.core = core(slots=2)
        self.submissions = 0
        self.sent, self.heard = deque(), deque()  # to the spawner, and to the agent
        self.queued, self.running, self.most = [], {}, 2
        self.contained = set()
        self.told = 2
        self.auto = {}  # who was handed over while requests alone decided
        self.over = set()
        self.assigned = set()

    # --- the agent ---

    def turn(self, ahead=3):
        chosen = self.core.next_to_launch(ahead)
        bare = [a for a in chosen if not a.contained]
        if bare:
            self.limit()
            self.sent.extend(("s", a.id) for a in bare)
        self.auto |= {a.id: self.core.slots < 0 for a in chosen}
        for attempt in chosen:
            if attempt.contained:
                self.begin(attempt.id)
                self.contained.add(attempt.id)
                self.core.started(attempt, 1.0)
        self.limit()

    def limit(self):
        if self.core.beside() != self.told:
            self.told = self.core.beside()
            self.sent.append(("l", self.told))

    def act(self, acts):
        self.sent.extend(("d", a.attempt.id) for a in acts if a.deed == "withdraw")

    # --- the spawner ---

    def refill(self):
        while self.queued and len(self.running) < self.most:
            name = self.queued.pop(0)
            self.begin(name)
            self.running[name] = True
            self.heard.append(("S", name))

    def begin(self, name):
        """It starts: is there what it asks for?"""
        there = [*self.running, *self.contained, name]
        asks = {n: self.asked(n, auto=self.auto[name]) for n in there}
        for what, amount in asks[name].items():
            taken = sum(ask.get(what, 0) for ask in asks.values())
            assert taken <= OFFER[what], f"{name} starts with {amount} of {what}: {taken} of {OFFER[what]} taken"

    def asked(self, name, *, auto):
        ask = dict(self.core.asking.get(name, {}))
        return ask or ({"cpus": 1000} if auto and name in self.core.held else {})

    # --- what happens ---

    @rule(count=st.integers(1, 4), asks=ASKS, container=st.booleans())
    def assign(self, count, asks, container):
        self.submissions += 1
        fields = {k: v for k, v in asks.items() if k != "memory"} | ({"container": "c"} if container else {})
        spec = TaskSpec(command=("true",), memory=asks.get("memory", 0), **fields)
        starts = tuple(e.Start(k, 1, k) for k in range(count))
        order = e.Order(submission=self.submissions, spec=spec, batch="b", user="u", starts=starts)
        self.act(self.core.hear(self.core.heard + 1, e.AttemptsAssigned(orders=(order,)), 1.0))
        self.assigned |= {f"{self.submissions}.{k}.1" for k in range(count)}
        for attempt in self.core.next_to_stage(9):
            self.core.staging(attempt, 1.0)
            self.core.staged(attempt, 0)
        self.turn()

    @rule(slots=st.sampled_from([-1, -1, 0, 1, 2, 4]))
    def resize(self, slots):
        self.act(self.core.hear(self.core.heard + 1, e.WorkerResized(concurrency=slots), 1.0))
        self.turn()

    @rule(throttle=st.sampled_from([None, 1, 3]))
    def throttle(self, throttle):
        self.core.limits.throttle = throttle
        self.turn()

    @precondition(lambda self: self.core.held)
    @rule(data=st.data(), wanted=st.sampled_from(["pause", "run", "kill", "recall"]))
    def want(self, data, wanted):
        name = data.draw(st.sampled_from(sorted(self.core.held)))
        event = e.AttemptsSignalled(attempts=(name,), wanted=wanted)
        if wanted == "recall":
            event = e.AttemptsRecalled(attempts=(name,))
        acts = self.core.hear(self.core.heard + 1, event, 1.0)
        self.act(acts)
        for act in acts:
            if act.deed == "terminate":
                self.terminate(act.attempt.id)
        self.turn()

    def terminate(self, name):
        if name in self.contained:
            self.contained.discard(name)
            self.end(name)
        else:
            self.sent.append(("x", name))

    @rule(count=st.integers(1, 9))
    def spawner_hears(self, count):
        for _ in range(min(count, len(self.sent))):
            match self.sent.popleft():
                case ("s", name):
                    self.queued.append(name)
                case ("l", most):
                    self.most = most
                case ("d", name) | ("x", name) if name in self.queued:
                    self.queued.remove(name)
                    self.heard.append(("D", name))
                case ("x", name) if name in self.running:
                    self.exit(name)
            self.refill()

    @precondition(lambda self: self.running or self.contained)
    @rule(data=st.data())
    def something_ends(self, data):
        name = data.draw(st.sampled_from(sorted([*self.running, *self.contained])))
        if name in self.contained:
            self.contained.discard(name)
            self.end(name)
            self.turn()
        else:
            self.exit(name)
            self.refill()

    def exit(self, name):
        del self.running[name]
        self.heard.append(("E", name))

    @rule(count=st.integers(1, 9))
    def agent_hears(self, count):
        for _ in range(min(count, len(self.heard))):
            kind, name = self.heard.popleft()
            attempt = self.core.held.get(name)
            if attempt is None:
                continue
            if kind == "S":
                self.act(self.core.started(attempt, 1.0))
            elif kind == "D":
                self.core.withdrawn(attempt)
            else:
                self.end(name)
        self.turn()

    def end(self, name):
        if name in self.core.held:
            self.core.end(self.core.held[name], e.Ended(name, "succeeded", 0))

    @rule()
    def restart(self):
        """What was not sent is lost, what the spawner said is said again."""
        self.sent.clear()
        self.core = self.core.rebuilt()
        self.core.equip(limits())
        ended = {name for kind, name in self.heard if kind == "E"}
        self.heard = deque(x for x in self.heard if x[0] == "E")
        for attempt in [a for a in self.core.held.values() if a.phase in ("launched", "running")]:
            if attempt.contained:
                continue
            if attempt.id in self.running:
                self.core.started(attempt, 1.0)
            elif attempt.id not in {*self.queued, *ended} and attempt.phase == "launched":
                self.core.withdrawn(attempt)
        self.told = -1
        self.limit()
        self.act(self.core.overdue_acts())
        for attempt in self.core.held.values():
            if attempt.phase in ("launched", "running") and attempt.unwanted():
                self.sent.append(("x", attempt.id))
        self.turn()

    @invariant()
    def counts_are_true(self):
        self.core.check()

    def teardown(self):
        """The weather clears: everything may run, and everything must end."""
        self.core.limits.throttle = None
        self.resize(-1 if self.submissions % 2 else 2)
        self.act(
            self.core.hear(self.core.heard + 1, e.AttemptsSignalled(attempts=tuple(self.core.held), wanted="run"), 1.0)
        )
        for _ in range(2000):
            if not self.core.held:
                break
            self.turn()
            self.spawner_hears(99)
            for name in [*self.running]:
                self.exit(name)
                self.refill()
                break
            for name in [*self.contained][:1]:
                self.contained.discard(name)
                self.end(name)
            self.agent_hears(99)
        assert not self.core.held, f"never ended: {[(a.id, a.phase, a.wanted) for a in self.core.held.values()]}"


TestHost = Host.TestCase
TestHost.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
