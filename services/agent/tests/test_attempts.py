"""The agent's core: phases, slots, recalls and signals, as stories and as a machine that does everything at any time."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from longshore_agent.core.attempts import Attempts
from longshore_agent.core.reports import MOST, Pending
from longshore_agent.core.verdict import Exit, judged, signal_number
from longshore_common import events as e
from longshore_common.model import TaskSpec

DONE = Exit(0, 1.0, 2.0)


def order(submission=7, count=3, first=0, **fields):
    spec = TaskSpec(command=("true",), **fields)
    starts = tuple(e.Start(first + k, 1, k) for k in range(count))
    return e.Order(submission=submission, spec=spec, batch="b", user="u", starts=starts)


def signalled(wanted, *names, signal=None):
    return e.AttemptsSignalled(attempts=names, wanted=wanted, signal=signal)


class Bench:
    """Attempts and the sequence of what the dispatcher says."""

    def __init__(self, slots=2):
        self.core = Attempts(slots)
        self.seq = 0

    def hear(self, event):
        self.seq += 1
        return [(a.deed, a.attempt.id) for a in self.core.hear(self.seq, event, 1.0)]

    def assign(self, **fields):
        self.hear(e.AttemptsAssigned(orders=(order(**fields),)))

    def recall(self, *names):
        return self.hear(e.AttemptsRecalled(attempts=names))

    def want(self, wanted, *names, signal=None):
        return self.hear(signalled(wanted, *names, signal=signal))

    def launch(self, ahead=0):
        return [a.id for a in self.core.next_to_launch(ahead)]

    def start(self, name):
        self.core.started(self.core.held[name], 1.0)

    def finish(self, name):
        attempt = self.core.held[name]
        self.core.end(attempt, judged(attempt, DONE, None, None))

    def ends(self):
        report = self.core.pending.take(1, 1)
        return {x.attempt: x.outcome for x in report.ended} if report else {}


def test_slots_limit_what_runs_and_a_few_more_wait_at_the_spawner():
    bench = Bench(slots=2)
    bench.assign(count=9)
    assert bench.launch() == ["7.0.1", "7.1.1"]
    assert bench.launch() == []
    assert bench.launch(ahead=3) == ["7.2.1", "7.3.1", "7.4.1"]
    bench.finish("7.0.1")
    assert bench.launch() == []
    bench.core.check()


def test_containers_wait_for_a_slot_of_their_own_in_turn():
    bench = Bench(slots=2)
    bench.assign(count=1)
    bench.assign(submission=8, count=2, container="c")
    for attempt in bench.core.next_to_stage(9):
        bench.core.staging(attempt, 1.0)
        bench.core.staged(attempt, 0)
    assert bench.launch(ahead=30) == ["7.0.1", "8.0.1"]
    bench.finish("7.0.1")
    assert bench.launch(ahead=30) == ["8.1.1"]


def test_what_has_inputs_is_staged_before_it_may_run():
    bench = Bench()
    bench.assign(count=2, inputs=("file:///x",))
    assert bench.launch() == []
    (one,) = bench.core.next_to_stage(1)
    bench.core.staging(one, 1.0)
    assert bench.launch() == []
    bench.core.staged(one, 5)
    assert bench.launch() == ["7.0.1"]
    assert one.staged_bytes == 5


def test_a_recall_gives_back_only_what_does_not_run():
    bench = Bench(slots=1)
    bench.assign(count=3)
    bench.launch(ahead=1)
    bench.start("7.0.1")
    assert bench.recall("7.0.1", "7.1.1", "7.2.1", "7.9.1") == [("withdraw", "7.1.1"), ("cancel", "7.2.1")]
    assert bench.ends() == {"7.2.1": "recalled"}
    bench.core.withdrawn(bench.core.held["7.1.1"])
    assert bench.ends() == {"7.1.1": "recalled"}
    assert list(bench.core.held) == ["7.0.1"]


def test_a_recall_that_comes_too_late_changes_nothing():
    bench = Bench(slots=1)
    bench.assign(count=1)
    bench.launch()
    bench.recall("7.0.1")
    bench.start("7.0.1")
    bench.finish("7.0.1")
    assert bench.ends() == {"7.0.1": "succeeded"}


def test_a_kill_before_the_start_cancels_at_once_and_a_later_one_reaches_the_process():
    bench = Bench(slots=1)
    bench.assign(count=2)
    bench.launch()
    bench.start("7.0.1")
    assert bench.want("kill", "7.0.1", "7.1.1") == [("terminate", "7.0.1"), ("cancel", "7.1.1")]
    bench.finish("7.0.1")
    assert bench.ends() == {"7.0.1": "cancelled", "7.1.1": "cancelled"}


def test_a_kill_while_it_waits_in_the_spawner_ends_it_cancelled_when_dropped():
    bench = Bench(slots=1)
    bench.assign(count=1)
    bench.launch()
    assert bench.want("stop", "7.0.1") == [("terminate", "7.0.1")]
    bench.core.withdrawn(bench.core.held["7.0.1"])
    assert bench.ends() == {"7.0.1": "cancelled"}
    bench.core.check()


def test_a_kill_is_never_made_milder_and_may_be_repeated():
    bench = Bench(slots=1)
    bench.assign(count=1)
    bench.launch()
    bench.start("7.0.1")
    for wanted in ("kill", "stop", "kill"):
        assert [a.grace for a in bench.core.hear(bench.seq + 1, signalled(wanted, "7.0.1"), 1.0)] == [0]
        bench.seq += 1
    assert bench.want("checkpoint", "7.0.1") == []
    assert bench.want("run", "7.0.1") == []
    bench.finish("7.0.1")
    assert bench.ends() == {"7.0.1": "cancelled"}


def test_an_eviction_gives_back_what_waits_and_leaves_what_runs_no_longer_than_there_is_time():
    bench = Bench(slots=2)
    bench.assign(count=4, grace=600)
    bench.launch(ahead=1)
    bench.start("7.0.1")
    bench.start("7.1.1")
    bench.want("pause", "7.1.1")
    acts = bench.core.evict(100.0, 40.0)
    assert [(a.deed, a.attempt.id) for a in acts] == [
        ("terminate", "7.0.1"), ("terminate", "7.1.1"), ("withdraw", "7.2.1"), ("cancel", "7.3.1")
    ]  # fmt: skip
    assert [a.grace for a in acts[:2]] == [55.0, 55.0]
    assert bench.core.evict(100.0, 41.0) == []
    assert bench.launch(ahead=9) == []
    late = bench.core.started(bench.core.held["7.2.1"], 98.0)  # the withdrawal came too late
    assert [(a.deed, a.attempt.id, a.grace) for a in late] == [("terminate", "7.2.1", 1.0)]
    for name in list(bench.core.held):
        bench.finish(name)
    assert bench.ends() == {"7.0.1": "failed", "7.1.1": "failed", "7.2.1": "failed", "7.3.1": "recalled"}


def test_a_kill_during_staging_or_delivery_cancels_the_transfer():
    bench = Bench()
    bench.assign(count=1, inputs=("file:///x",), output="file:///o")
    (one,) = bench.core.next_to_stage(1)
    bench.core.staging(one, 1.0)
    assert bench.want("kill", "7.0.1") == [("cancel", "7.0.1")]
    bench.core.staged(one, 5)
    assert bench.launch() == []
    bench.assign(submission=8, count=1, output="file:///o")
    bench.launch()
    two = bench.core.held["8.0.1"]
    bench.core.exited(two, judged(two, DONE, None, None))
    assert bench.want("kill", "8.0.1") == [("cancel", "8.0.1")]
    assert bench.ends() == {"7.0.1": "cancelled", "8.0.1": "cancelled"}


def test_a_paused_attempt_does_not_start_and_lets_others_pass():
    bench = Bench(slots=1)
    bench.assign(count=2)
    bench.want("pause", "7.0.1")
    assert bench.launch() == ["7.1.1"]
    bench.finish("7.1.1")
    assert bench.launch() == []
    bench.want("run", "7.0.1")
    assert bench.launch() == ["7.0.1"]


def test_pausing_a_running_attempt_freezes_it_once_and_it_keeps_its_slot():
    bench = Bench(slots=1)
    bench.assign(count=2)
    bench.launch()
    bench.start("7.0.1")
    assert bench.want("pause", "7.0.1") == [("freeze", "7.0.1")]
    assert bench.want("pause", "7.0.1") == []
    assert bench.launch() == []
    assert bench.want("run", "7.0.1") == [("thaw", "7.0.1")]
    report = bench.core.pending.take(1, 1)
    assert [(m.state, m.paused) for m in report.moved] == [("running", False), ("running", True), ("running", False)]


def test_pausing_one_that_waits_in_the_spawner_takes_it_back():
    bench = Bench(slots=1)
    bench.assign(count=1)
    bench.launch()
    assert bench.want("pause", "7.0.1") == [("withdraw", "7.0.1")]
    bench.core.withdrawn(bench.core.held["7.0.1"])
    assert bench.launch() == []
    bench.want("run", "7.0.1")
    assert bench.launch() == ["7.0.1"]


def test_one_that_started_before_the_pause_reached_the_spawner_is_frozen():
    bench = Bench(slots=1)
    bench.assign(count=1)
    bench.launch()
    bench.want("pause", "7.0.1")
    acts = bench.core.started(bench.core.held["7.0.1"], 1.0)
    assert [(a.deed, a.attempt.id) for a in acts] == [("freeze", "7.0.1")]
    assert [m.paused for m in bench.core.pending.take(1, 1).moved] == [True]


def test_a_unix_signal_goes_to_what_runs_and_nowhere_else():
    bench = Bench(slots=1)
    bench.assign(count=2)
    bench.launch()
    bench.start("7.0.1")
    assert bench.want("run", "7.0.1", "7.1.1", signal="SIGUSR1") == [("send", "7.0.1")]


def test_signals_have_names_with_and_without_prefix_and_numbers():
    assert [signal_number(n) for n in ("SIGUSR1", "usr1", "10", "hup")] == [10, 10, 10, 1]
    assert [signal_number(n) for n in ("SIGNOTHING", "", "999", "SIG_DFL")] == [None, None, None, None]


def test_leave_to_publish_counts_whenever_it_comes():
    bench = Bench()
    bench.assign(count=2, output="file:///o")
    bench.launch()
    for name in ("7.0.1", "7.1.1"):
        attempt = bench.core.held[name]
        bench.core.exited(attempt, judged(attempt, DONE, None, None))
    bench.want("publish", "7.0.1")
    bench.core.delivered(bench.core.held["7.0.1"], (), 0)
    bench.core.delivered(bench.core.held["7.1.1"], (), 0)
    assert [a.id for a in bench.core.next_to_publish()] == ["7.0.1"]
    bench.want("publish", "7.1.1")
    bench.want("publish", "7.1.1")
    assert [a.id for a in bench.core.next_to_publish()] == ["7.1.1"]
    assert bench.core.next_to_publish() == []


def test_lowering_the_slots_kills_nothing_and_starts_nothing():
    bench = Bench(slots=3)
    bench.assign(count=5)
    bench.launch()
    assert bench.hear(e.WorkerResized(concurrency=1)) == []
    bench.finish("7.0.1")
    bench.finish("7.1.1")
    assert bench.launch() == []
    bench.finish("7.2.1")
    assert bench.launch() == ["7.3.1"]


def test_the_same_message_twice_is_one_message():
    core = Attempts(2)
    event = e.AttemptsAssigned(orders=(order(),))
    core.hear(5, event, 1.0)
    core.next_to_launch(0)
    core.hear(5, event, 1.0)
    core.hear(4, e.AttemptsRecalled(attempts=("7.2.1",)), 1.0)
    assert [a.phase for a in core.held.values()] == ["launched", "launched", "ready"]
    core.check()


def test_a_short_task_needs_one_entry_in_one_report():
    pending = Pending()
    pending.moved("7.0.1", "running", 1.0)
    pending.moved("7.1.1", "running", 1.0)
    pending.ended(e.Ended("7.0.1", "succeeded", 0))
    report = pending.take(1, 1)
    assert [m.attempt for m in report.moved] == ["7.1.1"]
    assert [x.attempt for x in report.ended] == ["7.0.1"]
    assert pending.take(1, 2) is None


def test_a_report_is_never_too_large_and_nothing_is_left_out():
    pending = Pending()
    for k in range(2 * MOST + 5):
        pending.ended(e.Ended(f"7.{k}.1", "failed", 1, reason="x" * 2000))
    taken = []
    while report := pending.take(1, 1):
        assert 0 < len(report.ended) <= MOST
        assert sum(len(x.reason) for x in report.ended) < 1_100_000
        taken += [x.attempt for x in report.ended]
    assert taken == [f"7.{k}.1" for k in range(2 * MOST + 5)]


SIGNALS = ["recall", "stop", "kill", "checkpoint", "pause", "run", "publish", "send"]
#: A checkpoint ends it as evicted, unless it was given back before, or was over already.
ENDS_OF_CHECKPOINTS = [("failed", "evicted"), ("recalled", None)]


class Anything(RuleBasedStateMachine):
    """Orders, signals, processes, limits and restarts in any order: each attempt ends exactly once, for a true reason, none
    starts after it was stopped, and everything ends.
    """

    def __init__(self):
        super().__init__()
        self.bench = Bench(slots=2)
        self.submissions = 0
        self.assigned, self.over = set(), {}
        self.withdrawing = set()
        self.stopped, self.causes = {}, {}  # the first stop, kill or checkpoint of each, if any
        self.recalled = set()
        self.leaving = 0

    @property
    def core(self):
        return self.bench.core

    def phase(self, *phases):
        return sorted(a.id for a in self.core.held.values() if a.phase in phases)

    def collect(self):
        while report := self.core.pending.take(1, 1):
            for x in report.ended:
                assert x.attempt not in self.over, "it ended twice"
                self.over[x.attempt] = x.outcome
                self.causes[x.attempt] = x.cause

    def say(self, acts):
        self.withdrawing |= {name for deed, name in acts if deed in ("withdraw", "terminate")}

    @rule(count=st.integers(1, 4), inputs=st.booleans(), output=st.booleans(), container=st.booleans())
    def assign(self, count, inputs, output, container):
        self.submissions += 1
        self.bench.assign(
            submission=self.submissions,
            count=count,
            inputs=("file:///i",) * inputs,
            output="file:///o" if output else None,
            container="image" if container else None,
        )
        self.assigned |= {f"{self.submissions}.{k}.1" for k in range(count)}
        if self.leaving:
            self.recalled |= {f"{self.submissions}.{k}.1" for k in range(count)}
            assert not self.phase("accepted", "staging", "ready"), "a host that leaves takes nothing"

    @precondition(lambda self: self.assigned)
    @rule(data=st.data(), what=st.sampled_from(SIGNALS))
    def signal(self, data, what):
        name = data.draw(st.sampled_from(sorted(self.core.held) or sorted(self.assigned)))
        before = self.phase("accepted", "staging", "ready")
        handed = self.phase("launched", "running")
        if what == "recall":
            self.recalled.add(name)
            self.say(self.bench.recall(name))
        elif what == "send":
            told = self.bench.want("run", name, signal="SIGHUP")
            assert bool(told) == (name in self.phase("launched", "running"))
        elif what in ("stop", "kill", "checkpoint"):
            told = self.bench.want(what, name)
            self.say(told)
            self.note_stop(name, what, name in handed)
            if name in before:
                assert name not in self.core.held, "it waits for nothing"
            elif name in handed and (what != "checkpoint" or self.stopped.get(name) == what):
                assert [deed for deed, _ in told] in (["terminate"], []), "its process is told at once"
        else:
            self.say(self.bench.want(what, name))

    def note_stop(self, name, what, handed):
        """The first that asked says how it ends; a stop by a user outweighs a checkpoint."""
        known = self.stopped.get(name)
        if name in self.over:
            return
        if what == "checkpoint" and (known or not (handed or name not in self.core.held)):
            return
        if known in (None, "checkpoint"):
            self.stopped[name] = what

    @rule()
    def time_passes(self):
        """Whatever may begin does."""
        self.stage(3)
        for name in self.phase("staging"):
            self.advance(name)
        self.launch(1)
        for name in self.phase("launched"):
            self.advance(name)

    @rule(at=st.sampled_from([0, 0, 1000]))
    def evict(self, at):
        handed, waiting = self.phase("running"), self.phase("accepted", "staging", "ready")
        self.leaving = at
        if at:
            for name in handed:
                self.note_stop(name, "checkpoint", handed=True)
            self.recalled |= set(waiting) | set(self.phase("launched"))
        self.say([(a.deed, a.attempt.id) for a in self.core.evict(at, 1.0)])
        assert not at or not self.phase("accepted", "staging", "ready")

    @rule(hindered=st.sampled_from([False, False, True]), throttle=st.sampled_from([None, 1, 3]))
    def limit(self, hindered, throttle):
        self.core.limits.hindered = "disk" * hindered
        self.core.limits.throttle = throttle

    @rule(slots=st.integers(0, 4))
    def resize(self, slots):
        self.bench.hear(e.WorkerResized(concurrency=slots))

    @rule(most=st.integers(1, 3))
    def stage(self, most):
        for attempt in self.core.next_to_stage(most):
            assert not self.core.limits.closed
            assert attempt.id not in self.stopped
            self.core.staging(attempt, 1.0)

    @rule(ahead=st.integers(0, 3))
    def launch(self, ahead):
        before = self.core.bare + self.core.containers
        chosen = self.core.next_to_launch(ahead)
        assert self.core.bare + self.core.containers <= max(before, self.core.usable() + ahead)
        if any(a.contained for a in chosen):
            assert before < self.core.usable()
        for attempt in chosen:
            assert not self.core.limits.closed
            assert attempt.id not in self.stopped, "it starts after it was stopped"
            assert attempt.wanted == "run", "it starts though it is to wait"
            assert not attempt.recalled

    @rule(data=st.data())
    def something_happens(self, data):
        names = self.phase("staging", "launched", "running", "delivering", "delivered", "publishing")
        if names:
            self.advance(data.draw(st.sampled_from(names)))

    def advance(self, name):
        attempt = self.core.held[name]
        match attempt.phase:
            case "staging":
                self.core.staged(attempt, 1)
            case "launched" if name in self.withdrawing and not attempt.contained:
                self.withdrawing.discard(name)
                self.core.withdrawn(attempt)
            case "launched":
                acts = self.core.started(attempt, 1.0)
                if self.leaving:
                    self.note_stop(name, "checkpoint", handed=True)
                    assert attempt.wanted in ("stop", "kill", "checkpoint")
                elif attempt.wanted == "pause":
                    assert [a.deed for a in acts] == ["freeze"]
            case "running":
                result = judged(attempt, DONE, None, None)
                if attempt.order.spec.output and result.outcome == "succeeded":
                    self.core.exited(attempt, result)
                else:
                    self.core.end(attempt, result)
            case "delivering":
                self.core.delivered(attempt, (), 1)
            case "delivered":
                self.core.next_to_publish()
            case "publishing":
                self.core.end(attempt, attempt.result)

    @rule()
    def restart(self):
        limits = self.core.limits
        self.bench.core = self.core.rebuilt()
        self.core.equip(limits)
        self.say([(a.deed, a.attempt.id) for a in self.core.overdue_acts()])

    @invariant()
    def counts_are_true_and_nothing_is_forgotten(self):
        self.core.check()
        self.collect()
        assert set(self.core.held) | set(self.over) == self.assigned
        assert not set(self.core.held) & set(self.over)

    @invariant()
    def ends_have_true_reasons(self):
        for name, outcome in self.over.items():
            match self.stopped.get(name):
                case "stop" | "kill":
                    assert outcome in ("cancelled", "recalled")
                    assert outcome != "cancelled" or self.causes[name] == "operator"
                case "checkpoint":
                    assert (outcome, self.causes[name]) in ENDS_OF_CHECKPOINTS
                case None:
                    assert outcome == "succeeded" or name in self.recalled

    def teardown(self):
        """The weather clears: everything may run, and everything must end."""
        self.limit(False, None)
        self.evict(0)
        self.bench.hear(e.WorkerResized(concurrency=2))
        self.say(self.bench.want("run", *sorted(self.core.held)))
        self.bench.want("publish", *sorted(self.core.held))
        for _ in range(2000):
            if not self.core.held:
                break
            self.stage(3)
            self.core.next_to_launch(0)
            for name in self.phase("staging", "launched", "running", "delivering", "delivered", "publishing"):
                self.advance(name)
        self.collect()
        assert set(self.over) == self.assigned, f"never ended: {self.core.held}"


TestAnything = Anything.TestCase
TestAnything.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
