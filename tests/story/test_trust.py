"""Hosts that fail different tasks fast: quarantine, the doctor's visit, one task to try it out, and trust again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore_common import events as e
from longshore_common.model import Array, Policy, Specs, TaskSpec, Usage
from longshore_dispatcher.core import snapshot, trust
from longshore_dispatcher.core.decide import next_instant

from .conftest import Desk

DOCKER = TaskSpec(command=("true",), container="debian:12")


def harbour(desk, workers=("w1", "w2"), slots=4, **policy):
    for name in workers:
        desk.worker(name, slots=slots, prefetch=0)
    if policy:
        desk.given(e.PolicySet(policy=Policy(**policy)))


def ends(desk, worker, attempt, outcome="failed", cause="host", took=None, **more):
    """It ends on this worker; without `took` it never started."""
    usage = Usage() if took is None else Usage(desk.now, desk.now, desk.now + took, desk.now + took)
    name = ".".join(map(str, attempt))
    end = e.Ended(name, outcome, cause=cause if outcome == "failed" else None, usage=usage, **more)
    return desk.given(e.AttemptsReported(life=1, n=1, ended=(end,)), worker)


def runs(desk, worker, attempt):
    return desk.moved(worker, "running", attempt)


def placed(desk, worker):
    """(submission, index, n) of what it holds."""
    return [tuple(map(int, attempt.split("."))) for attempt in desk.state.load(worker).attempts]


def fails(desk, worker="w1", times=6, cause="host", took=None):
    """Different tasks of as many submissions as it takes fail there."""
    quarantines = []
    for _ in range(100):
        desk.when_settled()
        quarantines += desk.every(e.WorkerQuarantined)
        mine = placed(desk, worker)
        if not times or not mine:
            break
        ends(desk, worker, mine[-1], cause=cause, took=took)  # the newest: begun after the last one failed
        times -= 1
    return quarantines


def in_quarantine(desk, worker="w1"):
    return bool(desk.state.workers[worker].trust.quarantine)


def broken(desk, **policy):
    """w1 is in quarantine for 300 s, w2 is busy, and tasks are queued."""
    harbour(desk, **policy)
    for _ in range(8):
        desk.accepted(4)
    assert len(fails(desk)) == 1
    for attempt in placed(desk, "w1"):
        ends(desk, "w1", attempt, "recalled")
    desk.when_settled()
    return desk


def test_a_host_that_fails_different_tasks_of_several_submissions_is_put_into_quarantine_and_looked_at(desk):
    harbour(desk)
    for _ in range(8):
        desk.accepted(4)
    (event,) = fails(desk)
    assert event.until - desk.now == event.pause == 300
    assert "5 different tasks failed fast there (5 host)" in event.reason
    assert [x.care for x in desk.every(e.WorkerCareOrdered)] == ["doctor"]
    assert not desk.state.workers["w1"].takes_work


def test_four_failures_are_not_five(desk):
    harbour(desk)
    for _ in range(8):
        desk.accepted(4)
    assert fails(desk, times=4) == []


def test_the_same_task_that_fails_again_and_again_counts_once(desk):
    harbour(desk, workers=("w1",))
    desk.accepted(1)
    for _ in range(8):
        assert fails(desk, times=1) == []
        desk.later(300)
    assert len(desk.state.workers["w1"].trust.strikes) == 1


@pytest.mark.parametrize("cause", ["host", "launch", "image", "stage-in", "disk-full", "exit"])
def test_one_bad_submission_that_fails_everywhere_puts_no_worker_into_quarantine(desk, cause):
    harbour(desk, workers=("w1", "w2", "w3"))
    desk.accepted(60)
    for _ in range(30):
        for worker in ("w1", "w2", "w3"):
            assert fails(desk, worker, times=2, cause=cause, took=1) == []
        desk.later(10)


@pytest.mark.parametrize("cause", ["launch", "image", "stage-in", "exit"])
def test_a_loop_of_bad_submissions_puts_no_worker_into_quarantine(desk, cause):
    harbour(desk, workers=("w1", "w2", "w3"))
    for _ in range(60):
        desk.accepted(1)
    for _ in range(10):
        for worker in ("w1", "w2", "w3"):
            assert fails(desk, worker, times=2, cause=cause, took=1) == []
        desk.later(10)


def test_what_fails_for_the_host_in_the_same_batch_on_two_hosts_is_neithers_fault(desk):
    harbour(desk)
    for _ in range(20):
        desk.accepted(1, batch="odd")
    for _ in range(5):
        for worker in ("w1", "w2"):
            assert fails(desk, worker, times=1) == []


def test_slow_failures_say_nothing_about_a_host(desk):
    harbour(desk)
    for _ in range(8):
        desk.accepted(4)
    assert fails(desk, times=10, took=31) == []


def test_old_failures_are_forgotten(desk):
    harbour(desk)
    for _ in range(8):
        desk.accepted(4)
    fails(desk, times=4)
    desk.later(601)
    assert fails(desk, times=1) == []


def test_a_task_that_goes_well_takes_back_what_is_held_against_its_host(desk):
    harbour(desk)
    for _ in range(8):
        desk.accepted(4)
    fails(desk, times=4)
    ends(desk, "w1", placed(desk, "w1")[0], "succeeded")
    assert desk.state.workers["w1"].trust.strikes == []
    assert fails(desk, times=4) == []


def test_one_accident_that_ends_all_that_is_there_counts_once(desk):
    """A spawner that is killed ends eight running tasks and what waits behind them."""
    harbour(desk, workers=("w1",), slots=8)
    for _ in range(20):
        desk.accepted(1)
    desk.when_settled()
    for attempt in placed(desk, "w1"):
        ends(desk, "w1", attempt)
    desk.when_settled()
    assert not in_quarantine(desk)
    assert len(fails(desk)) == 1, "what was begun after it is news again"


def test_a_bare_command_that_goes_well_does_not_speak_for_the_container_engine(desk):
    harbour(desk, workers=("w1",), slots=2)
    bare = desk.accepted(1)
    for _ in range(7):
        desk.accepted(1, spec=DOCKER)
    fails(desk, times=4)
    ends(desk, "w1", (bare, 0, 1), "succeeded")
    assert len(fails(desk, times=1)) == 1


def test_an_image_that_others_run_is_not_at_fault_where_it_fails(desk):
    """All of an array is the same: what ran elsewhere shows that the host is to blame, even of one submission."""
    harbour(desk)
    sub = desk.accepted(40, spec=DOCKER)
    desk.when_settled()
    ends(desk, "w2", placed(desk, "w2")[0], "succeeded")
    (event,) = fails(desk, cause="image")
    assert "5 image" in event.reason
    assert sub in desk.state.submissions


def test_different_tasks_of_one_submission_prove_nothing_for_each_other(desk):
    harbour(desk)
    specs = tuple(TaskSpec(command=("true",), container=f"image-{k}") for k in range(40))
    desk.accepted(40, body=Specs(specs=specs))
    desk.when_settled()
    ends(desk, "w2", placed(desk, "w2")[0], "succeeded")
    assert fails(desk, times=12, cause="image") == []


def test_tasks_that_run_elsewhere_after_they_failed_here_prove_it_one_by_one(desk):
    harbour(desk)
    for _ in range(5):
        desk.accepted(1, spec=DOCKER)
    desk.worker("w2", slots=0)
    assert fails(desk, cause="image", times=5) == []
    desk.worker("w2", slots=8)
    desk.later(2)
    desk.when_settled()
    for attempt in placed(desk, "w2"):
        assert not in_quarantine(desk)
        runs(desk, "w2", attempt)
        desk.when_settled()
    assert in_quarantine(desk)


def black_hole(desk):
    """w1 lacks a library: everything ends there at once with exit code 127, elsewhere it goes well."""
    for _ in range(60):
        desk.when_settled()
        if in_quarantine(desk):
            return
        for attempt in placed(desk, "w1"):
            ends(desk, "w1", attempt, cause="exit", took=0.1, exit_code=127)
        for attempt in placed(desk, "w2"):
            ends(desk, "w2", attempt, "succeeded", took=5)
        desk.later(0.5)


def test_a_host_on_which_commands_of_several_submissions_fail_that_do_well_elsewhere_swallows_no_more(desk):
    harbour(desk)
    for _ in range(4):
        desk.accepted(60, batch="b")
    black_hole(desk)
    assert in_quarantine(desk)


def test_with_a_retry_one_submission_is_enough_as_its_tasks_go_well_elsewhere(desk):
    harbour(desk)
    desk.accepted(200, spec=TaskSpec(command=("true",), retries=2))
    black_hole(desk)
    assert in_quarantine(desk)


def test_a_run_of_bad_inputs_in_one_submission_is_not_the_hosts_fault(desk):
    harbour(desk)
    desk.accepted(100)
    for _ in range(4):
        desk.when_settled()
        for attempt in placed(desk, "w2"):
            ends(desk, "w2", attempt, "succeeded", took=5)
    assert fails(desk, times=20, cause="exit", took=1) == []


def test_definite_failures_stopped_attempts_and_worn_out_memory_are_no_hosts_fault(desk):
    harbour(desk)
    for _ in range(8):
        desk.accepted(4)
    desk.when_settled()
    for attempt in placed(desk, "w1"):
        ends(desk, "w1", attempt, cause="stage-in", definite=True)
    desk.when_settled()
    for attempt in placed(desk, "w1"):
        ends(desk, "w1", attempt, cause="oom", took=1)
    assert desk.state.workers["w1"].trust.strikes == []


def test_while_it_is_in_quarantine_it_is_given_nothing_and_gives_back_what_it_has_not_begun(desk):
    desk.worker("w1", slots=2, prefetch=8)
    for _ in range(30):
        desk.accepted(1)
    desk.when_settled()
    held = placed(desk, "w1")
    runs(desk, "w1", held[0])
    fails(desk)
    assert in_quarantine(desk)
    waiting = {attempt: task for attempt, task in desk.state.load("w1").attempts.items() if task.state != "running"}
    assert waiting
    assert all(task.recalled for task in waiting.values())
    for attempt in list(waiting):
        ends(desk, "w1", attempt.split("."), "recalled")
    desk.later(299)
    desk.when_settled()
    assert desk.starts() == {}


def test_the_only_worker_is_put_into_quarantine_too_and_says_that_nobody_else_takes_work(desk):
    harbour(desk, workers=("w1",))
    for _ in range(8):
        desk.accepted(1)
    (event,) = fails(desk)
    assert "no other worker takes work" in event.reason


def test_after_its_time_one_task_tries_it_out_and_no_more_than_one(desk):
    broken(desk)
    assert trust.next_instant(desk.state) == desk.state.workers["w1"].trust.until <= desk.now + 300
    desk.later(300)
    desk.when_settled()
    assert len(desk.starts()["w1"]) == 1
    desk.later(30)
    desk.when_settled()
    assert desk.starts() == {}


def probing(desk):
    desk.later(desk.state.workers["w1"].trust.pause)
    desk.when_settled()
    (probe,) = placed(desk, "w1")
    return probe


def test_a_probe_that_goes_well_gives_it_everything_back(desk):
    broken(desk)
    ends(desk, "w1", probing(desk), "succeeded")
    desk.when_settled()
    assert "went well" in desk.then(e.WorkerTrusted).reason
    assert len(desk.starts()["w1"]) == 4
    assert desk.state.trials.quarantined == {}


def test_a_probe_that_runs_longer_than_what_counts_as_fast_has_shown_enough(desk):
    broken(desk)
    runs(desk, "w1", probing(desk))
    assert trust.next_instant(desk.state) == desk.now + 30
    desk.later(30.5)
    desk.when_settled()
    assert desk.then(e.WorkerTrusted)


def test_a_probe_that_fails_doubles_the_quarantine_up_to_a_day(desk):
    broken(desk)
    pauses = []
    for _ in range(11):
        ends(desk, "w1", probing(desk))
        desk.when_settled()
        pauses.append(desk.then(e.WorkerQuarantined).pause)
        assert [x.care for x in desk.every(e.WorkerCareOrdered)] == ["doctor"]
    assert pauses[:3] == [600, 1200, 2400]
    assert pauses[-2:] == [86_400, 86_400]


def test_a_probe_whose_failure_may_be_its_own_fault_is_followed_by_another(desk):
    broken(desk)
    ends(desk, "w1", probing(desk), cause="exit", took=1)
    desk.when_settled()
    assert desk.every(e.WorkerQuarantined) == []
    assert desk.starts().get("w1") is None
    desk.later(30)
    desk.when_settled()
    assert len(desk.starts()["w1"]) == 1


def test_what_an_attempt_from_before_says_is_no_probe(desk):
    harbour(desk, workers=("w1",), slots=8)
    for _ in range(20):
        desk.accepted(1)
    desk.when_settled()
    old = placed(desk, "w1")[-1]
    runs(desk, "w1", old)
    fails(desk)
    assert in_quarantine(desk)
    ends(desk, "w1", old, "succeeded", took=1)
    desk.when_settled()
    assert in_quarantine(desk)


def test_failures_of_attempts_from_before_do_not_make_a_quarantine_longer(desk):
    harbour(desk, workers=("w1",), slots=8)
    for _ in range(20):
        desk.accepted(1)
    desk.when_settled()
    old = placed(desk, "w1")[-1]
    fails(desk)
    ends(desk, "w1", old)
    desk.when_settled()
    assert desk.every(e.WorkerQuarantined) == []
    assert desk.state.workers["w1"].trust.pause == 300


def test_resuming_a_worker_ends_its_quarantine_at_once(desk):
    broken(desk)
    wish = desk.given(e.WorkerResumeRequested(workers=("w1",)), "root")
    desk.when_settled()
    assert desk.then(e.WorkerTrusted).request == wish
    assert desk.state.wishes == {}
    assert len(desk.starts()["w1"]) == 4


def test_resuming_a_paused_worker_ends_both(desk):
    broken(desk)
    desk.given(e.WorkerPauseRequested(workers=("w1",)), "root")
    desk.when_settled()
    desk.given(e.WorkerResumeRequested(workers=("w1",)), "root")
    desk.when_settled()
    assert desk.then(e.WorkerResumed)
    assert not in_quarantine(desk)


def test_a_new_life_of_the_agent_proves_nothing(desk):
    broken(desk)
    desk.worker("w1", slots=4, prefetch=0, life=2)
    desk.when_settled()
    assert in_quarantine(desk)
    assert desk.starts().get("w1") is None


def test_a_probe_that_is_lost_with_its_worker_is_tried_again_when_it_is_back(desk):
    broken(desk)
    probing(desk)
    desk.given(e.WorkerLost(reason="silent"), "w1")
    desk.when_settled()
    desk.worker("w1", slots=4, prefetch=0, life=2, handled=desk.state.seq)
    desk.when_settled()
    assert len(desk.starts()["w1"]) == 1


def test_a_clock_that_is_set_back_keeps_no_worker_in_quarantine(desk):
    broken(desk)
    desk.later(-10_000)
    desk.when_settled()
    assert len(desk.starts()["w1"]) == 1


def test_no_failures_at_all_means_never(desk):
    harbour(desk, breaker_failures=0)
    for _ in range(8):
        desk.accepted(4)
    assert fails(desk, times=12) == []


def test_all_of_it_is_the_same_from_a_snapshot(desk):
    broken(desk)
    fails(desk, "w2", times=2)
    probing(desk)
    again = snapshot.from_bytes(snapshot.to_bytes(desk.state))
    for name in ("suspects", "accused", "quarantined", "struck"):
        assert getattr(again.trials, name) == getattr(desk.state.trials, name)
    assert again.workers["w1"].trust == desk.state.workers["w1"].trust


CAUSES = [*sorted(trust.CAUSES - {"exit"}), "exit", "exit", "oom", "timeout-running"]


@settings(max_examples=60, deadline=None)
@given(
    workers=st.integers(1, 4), size=st.integers(1, 60), retries=st.integers(0, 3), array=st.booleans(),
    causes=st.lists(st.sampled_from(CAUSES), min_size=1, max_size=3), dice=st.randoms(use_true_random=False),
    well=st.sampled_from([0.0, 0.0, 0.3]), good=st.integers(0, 8),
)  # fmt: skip
def test_a_bad_submission_beside_good_ones_puts_nobody_into_quarantine(
    workers, size, retries, array, causes, dice, well, good
):
    """Whatever it does wrong, on whichever worker: its tasks fail alike everywhere, some of them not at all."""
    desk = Desk()
    names = [f"w{k}" for k in range(workers)]
    harbour(desk, workers=names, slots=3, longest_wait=5)
    spec = TaskSpec(command=("x",), retries=retries, container="c")
    body = Array(spec=spec, size=size) if array else Specs(specs=(spec,) * size)
    bad = desk.accepted(size, body=body)
    desk.accepted(good) if good else None
    cause_of = {index: dice.choice(causes) for index in range(size) if dice.random() >= well}
    if array and set(causes) & trust.SHARED:
        cause_of = dict.fromkeys(range(size), causes[0])  # what hangs on what all tasks share fails for all of them
    for _ in range(400):
        desk.when_settled()
        assert desk.every(e.WorkerQuarantined) == []
        held = [(name, attempt) for name in names for attempt in placed(desk, name)]
        if not held and not desk.state.submissions:
            return
        for name, attempt in held:
            fate = cause_of.get(attempt[1]) if attempt[0] == bad else None
            ends(desk, name, attempt, "failed" if fate else "succeeded", cause=fate, took=1)
        desk.later(5)
        instant = next_instant(desk.state)
        if not held and instant is not None:
            desk.later(max(0.0, instant - desk.now))
    raise AssertionError("tasks are left over")


@settings(max_examples=60, deadline=None)
@given(
    submissions=st.integers(3, 12), size=st.integers(1, 8), cause=st.sampled_from(["host", "image", "launch"]),
    mends_after=st.floats(1, 5_000), alone=st.booleans(),
)  # fmt: skip
def test_a_broken_host_is_tried_out_for_ever_and_no_attempt_is_lost(submissions, size, cause, mends_after, alone):
    """One host fails everything until it is mended: everything ends, and the host is trusted when it shows that it works."""
    desk = Desk()
    harbour(desk, workers=("w1",) if alone else ("w1", "w2"))
    spec = TaskSpec(command=("x",), container="c", retry_on={cause: 1000})
    for _ in range(submissions):
        desk.accepted(size, spec=spec)
    began = desk.now
    for _ in range(3_000):
        desk.when_settled()
        mended = desk.now >= began + mends_after
        for name in ("w1", "w2"):
            for attempt in placed(desk, name):
                well = name == "w2" or mended
                if well:
                    runs(desk, name, attempt)
                ends(desk, name, attempt, "succeeded" if well else "failed", cause=cause, took=3 if well else None)
        desk.when_settled()
        if not desk.state.submissions:
            break
        desk.later(1)
        if not any(placed(desk, name) for name in ("w1", "w2")):
            soonest = (next_instant(desk.state), trust.next_instant(desk.state))
            desk.later(max(0.0, *(at - desk.now for at in soonest if at is not None)))
    assert not desk.state.submissions, "tasks are left over"
    if in_quarantine(desk):  # nothing was left to try it out with
        desk.later(100_000)
        desk.accepted(1, spec=spec)
        probe = probing(desk)
        ends(desk, "w1", probe, "succeeded")
        desk.when_settled()
        assert not in_quarantine(desk)
