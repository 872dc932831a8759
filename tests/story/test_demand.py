"""What waits in which shapes, since when, and what serves it: counted as the queue stands after each turn."""

import msgspec
import pytest

from longshore_common import events as e
from longshore_common.demand import BatchDemand, Shape
from longshore_common.ids import TaskRange
from longshore_common.model import HostFacts, Request, Share, Specs, TaskSpec
from longshore_dispatcher.core import snapshot
from longshore_dispatcher.core.demand import Crew, demands

GIB = 1 << 30
HOST = HostFacts(hostname="h", cpus=4, memory=16 * GIB)
BIG = TaskSpec(command=("x",), cpus=64, memory=256 * GIB, container="busybox")


def told(desk):
    return demands(desk.state, Crew(), 7)


def of(desk, batch="b") -> BatchDemand:
    return told(desk)[batch]


def waits(desk):
    """Tasks by shape's cpus and priority."""
    return {(w.shape.cpus, w.priority): w.tasks for d in told(desk).values() for w in d.waiting}


def test_an_array_that_nobody_can_run_waits_in_one_shape_since_it_was_submitted(desk):
    desk.worker("w1", facts=HOST)
    at = desk.now
    desk.accepted(1_000_000, spec=BIG)
    desk.when_settled()
    demand = of(desk)
    (waiting,) = demand.waiting
    assert waiting.shape == Shape(cpus=64, memory=256 * GIB, container=True)
    assert (waiting.tasks, waiting.slots, waiting.seconds, demand.leader) == (1_000_000, 0, -1, 7)
    assert at <= waiting.since <= desk.now
    assert demand.slots == 2


def test_what_found_a_place_is_no_demand_and_what_is_queued_again_is(desk):
    desk.worker("w1", slots=2, prefetch=0)
    sub = desk.accepted(5)
    desk.when_settled()
    assert waits(desk) == {(0, 0): 3}
    desk.given(e.WorkerLost(reason="silent"), "w1")
    desk.when_settled()
    assert waits(desk) == {(0, 0): 5}
    assert of(desk).slots == 0
    desk.given(e.CancelRequested(tasks=(TaskRange(sub, 0, 4),)), "ada")
    desk.when_settled()
    assert told(desk) == {}


def test_different_shapes_and_priorities_are_told_apart_the_largest_first(desk):
    spec = TaskSpec(command=("x",), cpus=2, custom={"license": 1.5}, alternatives=(Request(gpus=1),))
    desk.submitted(body=Specs(specs=(spec, spec, BIG)))
    desk.accepted(1, spec=spec, priority=5)
    desk.when_settled()
    demand = of(desk)
    assert [(w.tasks, w.priority, w.shape.cpus) for w in demand.waiting] == [(2, 0, 2), (1, 5, 2), (1, 0, 64)]
    shape = demand.waiting[0].shape
    assert (shape.custom, shape.alternatives) == ((("license", 1.5),), (Shape(gpus=1),))


def test_what_waits_for_others_or_is_held_is_no_demand_until_it_is_queued(desk):
    first = desk.accepted(1)
    desk.accepted(5, requires=(TaskRange(first, 0, 0),))
    held = desk.accepted(7, held=True)
    desk.when_settled()
    assert waits(desk) == {(0, 0): 1}
    desk.given(e.RetryRequested(tasks=(TaskRange(held, 0, 6),)), "ada")
    desk.when_settled()
    assert waits(desk) == {(0, 0): 8}


def test_a_paused_batch_says_so(desk):
    desk.accepted(3)
    desk.given(e.BatchPauseRequested(batch="b"), "ada")
    desk.when_settled()
    assert of(desk).paused


@pytest.mark.parametrize("limited", ["submission", "batch", "user"])
def test_tasks_that_a_limit_holds_back_are_told_apart_for_no_machine_helps_them(desk, limited):
    if limited != "submission":
        name = "b" if limited == "batch" else "ada"
        desk.given(e.ShareSet(kind=limited, name=name, share=Share(max_running=3)))
    desk.worker("w1", slots=1, prefetch=0)
    desk.accepted(10, max_running=3 if limited == "submission" else 0)
    desk.when_settled()
    assert waits(desk) == {(0, 0): 2}
    assert of(desk).capped == 7


def test_only_workers_that_take_this_batch_now_serve_it(desk):
    desk.worker("any", slots=4, facts=HOST)
    desk.worker("mine", slots=4, batch="b", facts=HOST)
    desk.worker("other", slots=4, batch="c", facts=HOST)
    desk.worker("idle", slots=4, facts=HOST)
    desk.given(e.WorkerPaused(), "idle")
    desk.accepted(50, spec=TaskSpec(command=("x",), cpus=2))
    crew = Crew()
    demand = demands(desk.state, crew, 1)["b"]
    assert (demand.slots, demand.waiting[0].slots) == (8, 4)
    desk.given(e.WorkerResumed(), "idle")
    demand = demands(desk.state, crew, 1)["b"]
    assert (demand.slots, demand.waiting[0].slots) == (12, 6)


def test_work_is_told_in_seconds_once_it_was_measured(desk):
    desk.worker("w1", slots=1, prefetch=0)
    sub = desk.accepted(4)
    desk.when_settled()
    desk.ended("w1", (sub, 0, 1), took=30)
    desk.when_settled()
    assert of(desk).waiting[0].seconds == 60


def test_long_tasks_that_a_worker_holds_in_advance_are_demand(desk):
    desk.worker("w1", slots=2, prefetch=2)
    desk.accepted(5)
    desk.when_settled()
    (waiting,) = of(desk).waiting
    assert (waiting.tasks, waiting.ahead) == (1, 2)


def test_what_waits_is_the_same_from_a_snapshot_but_for_since_when(desk):
    desk.worker("w1", slots=2)
    desk.accepted(500, spec=TaskSpec(command=("x",), cpus=2))
    desk.accepted(5, batch="c", max_running=2)
    desk.when_settled()
    desk.later(100)
    desk.given(e.WorkerHindered(life=1), "w1")
    again = snapshot.from_bytes(snapshot.to_bytes(desk.state))
    then, now = told(desk), demands(again, Crew(), 7)
    assert then.keys() == now.keys()
    for batch in then:
        for a, b in zip(then[batch].waiting, now[batch].waiting, strict=True):
            assert msgspec.structs.replace(a, since=0) == msgspec.structs.replace(b, since=0)
            assert b.since <= a.since
