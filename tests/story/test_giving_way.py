"""What is on a worker in advance gives way to what counts more; what is not worth a message, or would gain nothing, stays."""

from longshore_common import events as e
from longshore_common.model import HostFacts, Specs, TaskSpec

TRUE = TaskSpec(command=("true",))


def asked_back(desk):
    """The attempts that are recalled now, by worker."""
    desk.when_settled()
    return {
        name: list(event.attempts) for event, name in desk.decided if isinstance(event, e.AttemptsRecalled)
    }  # fmt: skip


def full(desk, size=4, pace=600.0, **worker):
    """w1 runs one of `size` tasks that take long, and holds the others."""
    desk.worker("w1", slots=1, prefetch=size - 1, **worker)
    low = desk.accepted(size, spec=TRUE)
    desk.when_settled()
    desk.moved("w1", "running", (low, 0, 1))
    desk.state.submissions[low].pace = pace
    return low


def test_what_counts_more_starts_next_on_a_worker_that_has_others_in_advance(desk):
    low = full(desk)
    high = desk.accepted(2, spec=TRUE, priority=5)
    assert asked_back(desk) == {"w1": [f"{low}.{k}.1" for k in (1, 2, 3)]}
    for k in (1, 2, 3):
        desk.ended("w1", (low, k, 1), "recalled")
    desk.when_settled()
    assert desk.starts() == {"w1": [(high, 0, 1), (high, 1, 1), (low, 1, 2)]}
    assert asked_back(desk) == {}


def test_what_gave_way_once_does_so_again_after_a_minute_only(desk):
    """If nobody takes its place after all, it would be asked back and handed out for ever: so it was in a long trace."""
    low = full(desk, size=2)
    desk.accepted(1, spec=TRUE, priority=5)
    assert asked_back(desk) == {"w1": [f"{low}.1.1"]}
    desk.ended("w1", (low, 1, 1), "recalled")
    task = desk.state.submissions[low].tasks[1]
    desk.given(e.TasksRequeued(tasks=(e.Requeue(submission=low, index=1, n=1),)))
    order = e.Order(submission=low, spec=TRUE, batch="b", user="ada", starts=(e.Start(1, 2, 1),))
    desk.given(e.AttemptsAssigned(orders=(order,)), "w1")  # the other found no place there
    assert task.returned
    assert asked_back(desk) == {}
    desk.later(61)
    assert asked_back(desk) == {"w1": [f"{low}.1.2"]}


def test_what_counts_as_much_waits_behind(desk):
    full(desk)
    desk.accepted(2, spec=TRUE)
    assert asked_back(desk) == {}


def test_nothing_is_asked_back_twice(desk):
    full(desk)
    desk.accepted(2, spec=TRUE, priority=5)
    assert asked_back(desk)
    assert asked_back(desk) == {}


def test_what_takes_a_moment_is_not_worth_a_message(desk):
    full(desk, pace=0.05)
    desk.accepted(2, spec=TRUE, priority=5)
    assert asked_back(desk) == {}


def test_nothing_gives_way_to_what_would_not_be_taken_there(desk):
    full(desk, facts=HostFacts(cpus=2, memory=1 << 30))
    desk.accepted(1, spec=TaskSpec(command=("true",), memory=2 << 30), priority=5)
    assert asked_back(desk) == {}
    desk.accepted(1, batch="paused", priority=5)
    desk.given(e.BatchPaused(batch="paused"))
    assert asked_back(desk) == {}


def test_what_an_array_begins_with_does_not_speak_for_those_of_it_that_wait(desk):
    """Found by a seed of the simulation: what waited here was asked back and handed out here again, for ever."""
    desk.worker("w1", slots=1, prefetch=3, facts=HostFacts(cpus=2, memory=1 << 30))
    high = desk.accepted(body=Specs(specs=(TRUE, TaskSpec(command=("true",), memory=2 << 30))), priority=5)
    desk.when_settled()
    desk.moved("w1", "running", (high, 0, 1))
    low = desk.accepted(6, spec=TRUE)
    desk.state.submissions[low].pace = 600
    assert asked_back(desk) == {}
    assert desk.state_of(high, 1) == "queued"


def test_nothing_gives_way_to_what_keeps_away_from_that_worker(desk):
    desk.worker("w1", slots=1, prefetch=3)
    high = desk.accepted(1, spec=TaskSpec(command=("true",), retries=3), priority=5)
    desk.when_settled()
    desk.moved("w1", "running", (high, 0, 1))
    desk.worker("w2", slots=1, prefetch=0)
    low = desk.accepted(6, spec=TRUE)
    desk.when_settled()
    desk.moved("w2", "running", *(start for start in desk.starts()["w2"]))
    desk.state.submissions[low].pace = 600
    desk.ended("w1", (high, 0, 1), "failed", "host")
    desk.when_settled()
    desk.later(2)
    assert asked_back(desk) == {}
    desk.later(60)
    assert list(asked_back(desk)) == ["w1"]  # nothing else came free


def test_only_as_many_workers_give_back_as_are_needed(desk):
    low = full(desk)
    desk.worker("w2", slots=1, prefetch=3)
    more = desk.accepted(4, spec=TRUE)
    desk.when_settled()
    desk.moved("w2", "running", (more, 0, 1))
    desk.state.submissions[more].pace = 600
    desk.accepted(1, spec=TRUE, priority=1)
    found = asked_back(desk)
    assert len(found) == 1
    assert low
