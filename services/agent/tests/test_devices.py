"""GPUs and hardware threads of attempts: never two owners, fair to large ones, given back, and known after a restart."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from longshore_agent.core.attempts import Attempts
from longshore_agent.core.contract import SHARED, Devices
from longshore_agent.core.devices import Ledger
from longshore_agent.core.hours import Caps
from longshore_agent.core.limits import Limits
from longshore_common import events as e
from longshore_common.model import TaskSpec

GIB = 1 << 30


def core(slots=8, gpus="abcd", nodes=(), cpus=8, memory=32 * GIB):
    attempts, limits = Attempts(slots), Limits()
    limits.ledger = Ledger(gpus, nodes)
    limits.cpus, limits.memory = cpus, memory
    limits.offer = {"cpus": cpus * 1000, "memory": memory, "gpus": len(limits.ledger.gpus)}
    attempts.equip(limits)
    return attempts


def assign(attempts, submission, count=1, **fields):
    spec = TaskSpec(command=("true",), **fields)
    starts = tuple(e.Start(k, 1, k) for k in range(count))
    order = e.Order(submission=submission, spec=spec, batch="b", user="u", starts=starts)
    attempts.hear(attempts.heard + 1, e.AttemptsAssigned(orders=(order,)), 1.0)


def launch(attempts, ahead=0):
    return {a.id: a.devices for a in attempts.next_to_launch(ahead)}


def finish(attempts, name):
    attempts.end(attempts.held[name], e.Ended(name, "succeeded", 0))


def test_each_attempt_has_gpus_of_its_own_and_waits_if_there_are_none():
    attempts = core()
    assign(attempts, 7, count=3, gpus=2)
    assert launch(attempts) == {"7.0.1": Devices((), ("a", "b")), "7.1.1": Devices((), ("c", "d"))}
    assert launch(attempts) == {}
    finish(attempts, "7.0.1")
    assert launch(attempts) == {"7.2.1": Devices((), ("a", "b"))}


def test_what_wants_no_gpu_passes_and_a_small_wish_passes_as_far_as_it_keeps_no_large_one_waiting():
    attempts = core()
    assign(attempts, 7, gpus=2)
    assign(attempts, 8, gpus=3)
    assign(attempts, 9, count=2, gpus=1)
    assign(attempts, 10)
    assert list(launch(attempts)) == ["7.0.1", "9.0.1", "10.0.1"]
    finish(attempts, "7.0.1")
    assert list(launch(attempts)) == ["8.0.1"]
    finish(attempts, "9.0.1")
    assert list(launch(attempts)) == ["9.1.1"]


def test_nobody_waits_in_the_spawner_with_a_gpu_in_hand():
    attempts = core(slots=1)
    assign(attempts, 7, count=3, gpus=1)
    assert list(launch(attempts, ahead=30)) == ["7.0.1"]


def test_a_withdrawn_attempt_gives_its_gpus_back():
    attempts = core()
    assign(attempts, 7, gpus=4)
    launch(attempts)
    attempts.withdrawn(attempts.held["7.0.1"])
    assert attempts.held["7.0.1"].devices is SHARED
    assert launch(attempts) == {"7.0.1": Devices((), ("a", "b", "c", "d"))}


def test_gpus_are_free_while_outputs_are_delivered():
    attempts = core()
    assign(attempts, 7, gpus=4, output="file:///o")
    launch(attempts)
    attempts.exited(attempts.held["7.0.1"], e.Ended("7.0.1", "succeeded", 0))
    assign(attempts, 8, gpus=4)
    assert list(launch(attempts)) == ["8.0.1"]


def test_a_restarted_agent_knows_what_is_taken():
    attempts = core()
    assign(attempts, 7, count=2, gpus=2)
    launch(attempts)
    finish(attempts, "7.1.1")
    limits = Limits()
    limits.ledger = Ledger("abcd")
    again = attempts.rebuilt()
    again.equip(limits)
    assign(again, 8, gpus=2)
    assert launch(again) == {"8.0.1": Devices((), ("c", "d"))}


def test_pinned_attempts_stay_within_one_node_and_leave_room_for_large_ones():
    attempts = core(gpus=(), nodes=((0, 1, 2, 3), (4, 5, 6, 7)))
    assign(attempts, 7, cpus=1)
    assign(attempts, 8, cpus=2)
    assign(attempts, 9, cpus=3)
    assign(attempts, 10, cpus=2)
    cpus = {name: devices.cpus for name, devices in launch(attempts).items()}
    assert cpus == {"7.0.1": (0,), "8.0.1": (1, 2), "9.0.1": (4, 5, 6), "10.0.1": ()}


def test_a_task_that_names_no_cpus_is_pinned_to_its_slots_share():
    attempts = core(slots=2, gpus=(), nodes=((0, 1, 2, 3), (4, 5, 6, 7)))
    assign(attempts, 7, count=2)
    assert [d.cpus for d in launch(attempts).values()] == [(0, 1, 2, 3), (4, 5, 6, 7)]


def test_caps_on_cpus_and_memory_hold_back_starts_and_let_smaller_ones_pass():
    attempts = core()
    attempts.limits.caps = Caps(cpus=4, memory=8 * GIB)
    assign(attempts, 7, cpus=3)
    assign(attempts, 8, cpus=2)
    assign(attempts, 9, cpus=1)
    assign(attempts, 10, cpus=0.5)
    assert list(launch(attempts, ahead=30)) == ["7.0.1", "9.0.1"]
    attempts.limits.caps = Limits().caps
    assert list(launch(attempts)) == ["8.0.1", "10.0.1"]


def test_caps_count_the_memory_of_an_attempt_that_was_given_more():
    attempts = core()
    attempts.limits.caps = Caps(memory=8 * GIB)
    spec = TaskSpec(command=("true",), memory=1 * GIB)
    order = e.Order(
        submission=7,
        spec=spec,
        batch="b",
        user="u",
        starts=(e.Start(0, 2, memory=7 * GIB), e.Start(1, 2, memory=2 * GIB)),
    )
    attempts.hear(1, e.AttemptsAssigned(orders=(order,)), 1.0)
    assert list(launch(attempts)) == ["7.0.2"]


def test_a_cap_that_begins_takes_back_what_waits_in_the_spawner_and_kills_nothing():
    attempts = core(slots=2)
    assign(attempts, 7, count=4)
    launch(attempts, ahead=1)
    attempts.started(attempts.held["7.0.1"], 1.0)
    attempts.limits.caps = Caps(slots=1)
    acts = attempts.take_back()
    assert [(a.deed, a.attempt.id) for a in acts] == [("withdraw", "7.1.1"), ("withdraw", "7.2.1")]
    for act in reversed(acts):
        attempts.withdrawn(act.attempt)
    assert launch(attempts, ahead=9) == {}
    finish(attempts, "7.0.1")
    assert list(launch(attempts, ahead=9)) == ["7.1.1"]


class Ownership(RuleBasedStateMachine):
    """Starts, ends, withdrawals and restarts in any order: no id ever has two owners, none is lost."""

    def __init__(self):
        super().__init__()
        self.attempts = core(slots=4, gpus="abc", nodes=((0, 1, 2), (3, 4)))
        self.submissions = 0

    @rule(gpus=st.integers(0, 3), cpus=st.integers(0, 3), container=st.booleans())
    def assign(self, gpus, cpus, container):
        self.submissions += 1
        assign(self.attempts, self.submissions, gpus=gpus, cpus=cpus, container="c" if container else None)
        for attempt in self.attempts.next_to_stage(9):
            self.attempts.staging(attempt, 1.0)
            self.attempts.staged(attempt, 0)

    @rule()
    def launch(self):
        for attempt in self.attempts.next_to_launch(2):
            assert len(attempt.devices.gpus) == attempt.order.spec.gpus

    @rule(data=st.data(), end=st.booleans())
    def leave(self, data, end):
        handed = sorted(a.id for a in self.attempts.held.values() if a.phase in ("launched", "running"))
        if handed:
            name = data.draw(st.sampled_from(handed))
            if end:
                finish(self.attempts, name)
            else:
                self.attempts.withdrawn(self.attempts.held[name])

    @rule()
    def restart(self):
        limits = Limits()
        limits.ledger = Ledger("abc", ((0, 1, 2), (3, 4)))
        limits.cpus, limits.memory = 8, 32 * GIB
        self.attempts = self.attempts.rebuilt()
        self.attempts.equip(limits)

    @invariant()
    def one_owner_each(self):
        self.attempts.check()
        handed = [a for a in self.attempts.held.values() if a.phase in ("launched", "running")]
        gpus = [g for a in handed for g in a.devices.gpus]
        cpus = [c for a in handed for c in a.devices.cpus]
        assert len(gpus) == len(set(gpus))
        assert len(cpus) == len(set(cpus))
        for attempt in handed:
            assert set(attempt.devices.cpus) <= {0, 1, 2} or set(attempt.devices.cpus) <= {3, 4}
        assert all(a.devices is SHARED for a in self.attempts.held.values() if a not in handed)

    def teardown(self):
        for _ in range(1000):
            if not self.attempts.held:
                break
            self.launch()
            for name in [a.id for a in self.attempts.held.values() if a.phase == "launched"]:
                finish(self.attempts, name)
        assert not self.attempts.held, "somebody waits for ever"


TestOwnership = Ownership.TestCase
