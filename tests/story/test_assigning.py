"""Which task goes where."""

from itertools import permutations

import pytest

from longshore_common import events as e
from longshore_common.model import HostFacts, Specs, TaskSpec

TRUE = TaskSpec(command=("true",))
SMALL = HostFacts(hostname="s", cpus=2, memory=4 << 30)


def test_slots_and_prefetch_bound_what_a_worker_holds(desk):
    desk.worker(slots=2, prefetch=3)
    desk.accepted(100)
    desk.when_settled()
    assert len(desk.starts()["w1"]) == 5


@pytest.mark.parametrize("order", list(permutations((2, 4, 6))))
def test_an_order_takes_the_tasks_that_it_names_and_none_between_them(desk, order):
    """4, 2, 6 are as many as there are from 4 to 6, and 5 was lost: found by a seed of the simulation."""
    desk.worker("w1", slots=5, prefetch=0)
    sub = desk.accepted(8)
    desk.when_settled()
    for index in (2, 4):
        desk.ended("w1", (sub, index, 1), "recalled")
        desk.given(e.TasksRequeued(tasks=(e.Requeue(submission=sub, index=index, n=1),)))
    starts = tuple(e.Start(index, 1 if index == 6 else 2, index) for index in order)
    desk.given(
        e.AttemptsAssigned(orders=(e.Order(submission=sub, spec=TRUE, batch="b", user="ada", starts=starts),)), "w1"
    )
    assert desk.states(sub, range(8)) == ["assigned"] * 5 + ["queued", "assigned", "queued"]
    desk.worker("w2", slots=8, prefetch=0)
    desk.when_settled()
    assert desk.starts() == {"w2": [(sub, 5, 1), (sub, 7, 1)]}


def test_automatic_prefetch_holds_as_many_as_there_are_slots_while_run_times_are_unknown(desk):
    desk.worker(slots=3)
    desk.accepted(100)
    desk.when_settled()
    assert len(desk.starts()["w1"]) == 6


def test_automatic_prefetch_grows_for_short_tasks_but_not_beyond_its_limit(desk):
    desk.worker(slots=2)
    a = desk.accepted(100_000)
    desk.when_settled()
    desk.ended("w1", (a, 0, 1), took=0.01)
    desk.when_settled()
    assert 40 <= len(desk.starts()["w1"]) <= 60
    desk.ended("w1", (a, 1, 1), took=0.0)
    for k in range(2, 40):
        desk.ended("w1", (a, k, 1), took=0.0)
    desk.when_settled()
    assert desk.state.loads["w1"].unstarted == 2002


def test_a_container_takes_its_slot_longer_than_it_runs_so_few_are_taken_in_advance(desk):
    desk.worker(slots=2)
    a = desk.accepted(1_000, spec=TaskSpec(command=("true",), container="busybox:1"))
    desk.when_settled()
    for k in range(3):
        desk.ended("w1", (a, k, 1), took=0.001)
    desk.when_settled()
    assert desk.state.loads["w1"].unstarted == 4


def test_higher_priority_goes_first_then_earlier_submissions(desk):
    low, high, later = desk.accepted(1), desk.accepted(1, priority=5), desk.accepted(1)
    desk.worker(slots=3, prefetch=0)
    desk.when_settled()
    assert [s for s, _, _ in desk.starts()["w1"]] == [high, low, later]


def test_free_slots_are_shared_evenly_before_anything_is_prefetched(desk):
    for name in ("w1", "w2", "w3"):
        desk.worker(name, slots=4)
    desk.accepted(6)
    desk.when_settled()
    assert sorted(len(s) for s in desk.starts().values()) == [2, 2, 2]


def test_a_worker_of_a_batch_gets_only_that_batch(desk):
    desk.worker("w1", batch="other")
    desk.worker("w2", batch="b")
    desk.accepted(1, batch="b")
    desk.when_settled()
    assert list(desk.starts()) == ["w2"]


def test_containers_go_only_where_an_engine_answers(desk):
    desk.worker("w1", facts=SMALL)
    sub = desk.accepted(1, spec=TaskSpec(command=("true",), container="alpine"))
    assert desk.when_settled() == []
    assert "no container engine" in desk.reasons(sub)
    desk.worker("w2")
    desk.when_settled()
    assert list(desk.starts()) == ["w2"]


def test_what_tasks_ask_of_a_host_is_never_promised_twice(desk):
    desk.worker("w1", slots=8, prefetch=0, facts=SMALL)
    sub = desk.accepted(5, spec=TaskSpec(command=("true",), cpus=0.5, memory=1 << 30))
    desk.when_settled()
    assert len(desk.starts()["w1"]) == 4
    assert desk.when_decided() == []
    desk.ended("w1", (sub, 0, 1))
    desk.when_settled()
    assert desk.starts() == {"w1": [(sub, 4, 1)]}


def test_what_asks_too_much_does_not_hold_up_what_is_behind_it(desk):
    desk.worker("w1", slots=1, prefetch=0, facts=SMALL)
    huge = desk.accepted(1, spec=TaskSpec(command=("true",), gpus=1))
    modest = desk.accepted(1)
    desk.when_settled()
    assert desk.starts() == {"w1": [(modest, 0, 1)]}
    assert "they have" in desk.reasons(huge)


def test_different_needs_in_one_submission_are_looked_at_apart(desk):
    desk.worker("w1", slots=5, facts=SMALL)
    gpu, plain = TaskSpec(command=("a",), gpus=1), TaskSpec(command=("b",))
    sub = desk.submitted(body=Specs(specs=(gpu, plain, gpu, plain)))
    desk.when_settled()
    assert desk.starts() == {"w1": [(sub, 1, 1), (sub, 3, 1)]}
    assert desk.states(sub, range(4)) == ["queued", "assigned", "queued", "assigned"]


def test_max_running_caps_a_submission(desk):
    desk.worker(slots=10)
    sub = desk.accepted(9, max_running=3)
    desk.when_settled()
    assert len(desk.starts()["w1"]) == 3
    assert "3 run at a time" in desk.reasons(sub, 8)
    desk.ended("w1", (sub, 0, 1))
    desk.when_settled()
    assert desk.starts() == {"w1": [(sub, 3, 1)]}


def test_a_paused_worker_gets_nothing_and_gives_back_what_it_does_not_run(desk):
    desk.worker(slots=1, prefetch=2)
    sub = desk.accepted(3)
    desk.when_settled()
    desk.moved("w1", "running", (sub, 0, 1))
    desk.given(e.WorkerPauseRequested(workers=("w1",)), "ada")
    desk.when_settled()
    desk.then(e.WorkerPaused)
    assert set(desk.then(e.AttemptsRecalled).attempts) == {f"{sub}.1.1", f"{sub}.2.1"}
    desk.ended("w1", (sub, 1, 1), "recalled")
    desk.when_settled()
    assert desk.every(e.AttemptsAssigned) == []
    assert desk.state_of(sub, 1) == "queued"
    desk.given(e.WorkerResumeRequested(), "ada")
    desk.when_settled()
    assert desk.starts() == {"w1": [(sub, 1, 2)]}


def test_an_idle_worker_gets_what_another_would_not_get_to_soon(desk):
    desk.worker("w1", slots=1, prefetch=4)
    sub = desk.accepted(5)
    desk.when_settled()
    desk.moved("w1", "running", (sub, 0, 1))
    desk.later(10)
    desk.worker("w2", slots=2)
    desk.when_settled()
    assert set(desk.then(e.AttemptsRecalled).attempts) == {f"{sub}.3.1", f"{sub}.4.1"}
    desk.ended("w1", (sub, 3, 1), "recalled")
    desk.ended("w1", (sub, 4, 1), "recalled")
    desk.when_settled()
    assert desk.starts() == {"w2": [(sub, 3, 2), (sub, 4, 2)]}


def test_short_tasks_are_not_recalled(desk):
    desk.worker("w1", slots=1, prefetch=4)
    sub = desk.accepted(6)
    desk.when_settled()
    desk.moved("w1", "running", (sub, 0, 1))
    desk.ended("w1", (sub, 0, 1), took=0.01)
    desk.when_settled()
    desk.worker("w2", slots=2)
    desk.when_settled()
    assert desk.every(e.AttemptsRecalled) == []


def test_resizing_changes_what_is_handed_out_and_never_kills(desk):
    desk.worker(slots=1, prefetch=0)
    sub = desk.accepted(5)
    desk.when_settled()
    desk.given(e.WorkerResizeRequested(workers=("w1",), concurrency=3), "ada")
    desk.when_settled()
    assert desk.then(e.WorkerResized) == e.WorkerResized(concurrency=3, prefetch=0, request=desk.tape.records[-3].seq)
    assert desk.state.loads["w1"].unstarted == 3
    desk.given(e.WorkerResizeRequested(workers=("w1",), concurrency=1), "ada")
    desk.when_settled()
    assert desk.every(e.AttemptsSignalled) == []
    desk.ended("w1", (sub, 0, 1))
    desk.when_settled()
    assert desk.starts() == {}


def test_wishes_for_unknown_workers_are_refused(desk):
    desk.worker("w1")
    desk.given(e.WorkerPauseRequested(workers=("w1", "nobody")), "ada")
    desk.when_settled()
    desk.then(e.WorkerPaused)
    assert "nobody" in desk.then(e.RequestRefused).reason


def test_large_orders_are_cut_into_events_that_fit(desk):
    desk.worker(slots=2000, prefetch=2000)
    desk.accepted(4000, spec=TaskSpec(command=("x" * 1000,)))
    desk.when_settled()
    assert [sum(len(o.starts) for o in a.orders) for a in desk.every(e.AttemptsAssigned)] == [2000, 2000]


def test_a_million_queued_tasks_are_one_pair_of_numbers(desk):
    sub = desk.accepted(1_000_000)
    assert desk.state.submissions[sub].lots[0].fresh.runs == [(0, 999_999)]


def test_max_running_counts_tasks_of_different_needs_together(desk):
    desk.worker(slots=5)
    specs = (TaskSpec(command=("a",), cpus=1), TaskSpec(command=("b",)))
    sub = desk.submitted(body=Specs(specs=specs), max_running=1)
    desk.when_settled()
    assert len(desk.starts()["w1"]) == 1
    assert sorted(desk.states(sub, range(2))) == ["assigned", "queued"]
