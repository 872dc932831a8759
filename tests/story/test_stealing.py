"""What was handed out too far ahead goes to workers that idle, if it starts there sooner; what is asked back blocks nobody."""

import pytest

from longshore_common import events as e
from longshore_common.model import HostFacts, TaskSpec, resource_key
from longshore_dispatcher.core import recall, snapshot

SMALL = HostFacts(cpus=1, memory=1 << 30)


def behind(desk, size=4, pace=60.0, **spec):
    """w1 runs the first of `size` tasks, which take `pace` seconds, and holds the others."""
    desk.worker("w1", slots=1, prefetch=size)
    sub = desk.accepted(size, spec=TaskSpec(command=("x",), **spec))
    desk.when_settled()
    desk.moved("w1", "running", (sub, 0, 1))
    desk.state.submissions[sub].pace = pace
    return sub


def staged(desk, worker, attempt, took, done, total):
    """It began to fetch, and `took` seconds later it had so much."""
    name = ".".join(map(str, attempt))
    begun, later = e.Move(name, "staging", desk.now), e.Move(name, "staging", desk.now + took, done=done, total=total)
    desk.given(e.AttemptsReported(life=1, n=1, moved=(begun,)), worker)
    desk.given(e.AttemptsReported(life=1, n=2, moved=(later,)), worker)


def asked_back(desk):
    """Ordinals of the attempts that are recalled now."""
    desk.when_settled()
    return [int(a.split(".")[1]) for order in desk.every(e.AttemptsRecalled) for a in order.attempts]


def given_back(desk, worker, *attempts):
    for attempt in attempts:
        desk.ended(worker, attempt, "recalled")


def test_as_many_as_idle_workers_have_places_for_come_back_those_whose_turn_is_last_first(desk):
    sub = behind(desk)
    desk.worker("w2", slots=2, prefetch=0)
    assert asked_back(desk) == [3, 2]
    assert asked_back(desk) == []
    given_back(desk, "w1", (sub, 3, 1), (sub, 2, 1))
    desk.when_settled()
    assert sorted(desk.starts()["w2"]) == [(sub, 2, 2), (sub, 3, 2)]


def test_what_has_not_begun_to_fetch_goes_first_then_what_has_fetched_least(desk):
    sub = behind(desk, size=5)
    staged(desk, "w1", (sub, 4, 1), 1, 500, 1000)
    staged(desk, "w1", (sub, 3, 1), 1, 100, 1000)
    desk.worker("w2", slots=3, prefetch=0)
    assert asked_back(desk) == [2, 1, 3]


def test_a_transfer_that_ends_here_before_it_could_be_made_again_there_stays(desk):
    """Its turn comes in 60 s; at 10 bytes a second the 900 of 1,000 bytes would take 100 s anew."""
    sub = behind(desk, size=2)
    staged(desk, "w1", (sub, 1, 1), 90, 900, 1000)
    desk.worker("w2", slots=1, prefetch=0)
    assert asked_back(desk) == []


def test_a_transfer_that_is_made_again_before_its_turn_comes_here_does_not_hold_it(desk):
    """All of it came within 10 s, and its turn comes in 60 s."""
    sub = behind(desk, size=2)
    staged(desk, "w1", (sub, 1, 1), 10, 1000, 1000)
    desk.worker("w2", slots=1, prefetch=0)
    assert asked_back(desk) == [1]


def test_a_transfer_that_has_most_of_itself_to_come_begins_anew_where_a_place_is_free(desk):
    """Its turn comes in 1 s, but what is left takes 99 s and all of it 100 s: too close. Had it fetched nothing, it went."""
    sub = behind(desk, size=2, pace=1)
    staged(desk, "w1", (sub, 1, 1), 1, 10, 1000)
    desk.worker("w2", slots=1, prefetch=0)
    assert asked_back(desk) == []


def test_short_tasks_stay_where_they_are(desk):
    behind(desk, pace=0.1)
    desk.worker("w2", slots=2, prefetch=0)
    assert asked_back(desk) == []


def test_where_nothing_ran_yet_the_time_they_wait_tells(desk):
    desk.worker("w1", slots=1, prefetch=4)
    desk.accepted(4, spec=TaskSpec(command=("x",)))
    desk.when_settled()
    desk.worker("w2", slots=1, prefetch=0)
    assert asked_back(desk) == []
    desk.later(5)
    assert asked_back(desk) == [3]


def test_tasks_go_only_to_idle_workers_that_have_room_for_them(desk):
    behind(desk, memory=2 << 30)
    desk.worker("w2", slots=4, prefetch=0, facts=SMALL)
    assert asked_back(desk) == []
    desk.worker("w3", slots=4, prefetch=0, facts=HostFacts(cpus=4, memory=5 << 30))
    assert asked_back(desk) == [3, 2]


def test_attempts_whose_resources_an_idle_worker_holds_go_first(desk):
    desk.worker("w1", slots=1, prefetch=4)
    plain = desk.accepted(2, spec=TaskSpec(command=("x",)))
    rich = desk.accepted(2, spec=TaskSpec(command=("x",), resources=("s3://r/genome",)))
    later = desk.accepted(1, spec=TaskSpec(command=("x",)))
    desk.when_settled()
    desk.moved("w1", "running", (plain, 0, 1))
    for sub in (plain, rich, later):
        desk.state.submissions[sub].pace = 60
    desk.given(e.WorkerEnrolled(worker="w2", public_key="U"))
    desk.worker("w2", slots=2, prefetch=0)
    desk.given(e.ResourcesHeld(life=1, held=(resource_key("s3://r/genome"),)), "w2")
    desk.when_settled()
    (order,) = desk.every(e.AttemptsRecalled)
    assert set(order.attempts) == {f"{rich}.0.1", f"{rich}.1.1"}


def test_a_host_that_failed_a_task_does_not_get_it_back_by_being_idle(desk):
    sub = behind(desk, size=2)
    desk.state.submissions[sub].tasks[1].avoid = "w2"
    desk.worker("w2", slots=1, prefetch=0)
    assert asked_back(desk) == []


def test_a_host_that_gave_it_back_gets_it_again_once_it_is_idle(desk):
    """It was busy then; what it may not do is take it in advance again."""
    sub = behind(desk, size=2)
    task = desk.state.submissions[sub].tasks[1]
    task.avoid, task.returned = "w2", True
    desk.worker("w2", slots=1, prefetch=0)
    assert asked_back(desk) == [1]


def test_what_is_first_in_line_and_fits_beside_nothing_there_goes_where_it_fits(desk):
    """Early in the order of its host is not soon: one GPU of two is taken for long."""
    desk.worker("w1", slots=-1, prefetch=4, facts=HostFacts(cpus=8, memory=64 << 30, gpus=2))
    one = desk.accepted(1, spec=TaskSpec(command=("x",), gpus=1))
    desk.when_settled()
    both = desk.accepted(1, spec=TaskSpec(command=("x",), cpus=5, gpus=2))
    desk.when_settled()
    small = desk.accepted(3, spec=TaskSpec(command=("x",), cpus=2, memory=6 << 30))
    desk.when_settled()
    desk.moved("w1", "running", (one, 0, 1))
    desk.moved("w1", "running", (small, 0, 1))  # others would leave no room for what was before them
    for sub in (one, both, small):
        desk.state.submissions[sub].pace = 60
    desk.worker("w2", slots=-1, prefetch=0, facts=HostFacts(cpus=8, memory=4 << 30, gpus=2))
    desk.when_settled()
    (order,) = desk.every(e.AttemptsRecalled)
    assert order.attempts == (f"{both}.0.1",)


def test_an_agent_that_does_not_answer_keeps_nothing_from_others(desk):
    """w1 neither answers nor goes on: after half a minute what w3 holds too much is asked for instead."""
    behind(desk, size=3)
    desk.worker("w2", slots=1, prefetch=0)
    assert asked_back(desk) == [2]
    assert asked_back(desk) == []
    desk.later(31)
    assert asked_back(desk) == [1]
    assert len(desk.state.asked_back) == 2


def test_what_is_asked_back_and_runs_all_the_same_is_no_longer_waited_for(desk):
    sub = behind(desk, size=2)
    desk.worker("w2", slots=1, prefetch=0)
    assert asked_back(desk) == [1]
    desk.moved("w1", "running", (sub, 1, 1))
    assert desk.state.asked_back == {}


def test_tasks_that_this_turn_cancels_are_not_asked_back_beside_it(desk):
    sub = behind(desk, size=2)
    desk.worker("w2", slots=1, prefetch=0)
    desk.given(e.CancelRequested(tasks=desk.tasks(sub, 0, 1)), "ada")
    desk.when_decided()
    assert desk.every(e.AttemptsRecalled) == []
    assert len(desk.then(e.AttemptsSignalled).attempts) == 2


def test_what_waits_on_a_hindered_host_goes_when_somebody_who_could_take_it_comes(desk):
    sub = behind(desk, memory=2 << 30)
    desk.given(e.WorkerHindered(life=1, reason="its disk is full"), "w1")
    assert asked_back(desk) == []
    desk.worker("w2", slots=0, facts=SMALL)
    assert asked_back(desk) == []
    desk.worker("w3", slots=1, prefetch=0)
    desk.accepted(1, spec=TaskSpec(command=("x",)))
    assert sorted(asked_back(desk)) == [1, 2, 3]
    assert sub in desk.state.submissions


def test_what_waits_of_a_paused_batch_comes_back_once_and_again_after_a_restart(desk):
    behind(desk)
    desk.given(e.BatchPaused(batch="b"))
    first = desk.when_decided()
    assert desk.when_decided() == first, "nothing of it is in the log yet"
    desk.state = snapshot.from_bytes(snapshot.to_bytes(desk.state))
    assert sorted(asked_back(desk)) == [1, 2, 3]
    assert asked_back(desk) == []


def test_attempts_can_be_asked_back_before_their_tasks_are_edited(desk):
    sub = behind(desk)
    tasks = desk.state.submissions[sub].tasks.values()
    ((order, name),) = recall.back(desk.state, tasks)
    assert name == "w1"
    assert order.attempts == tuple(f"{sub}.{k}.1" for k in (1, 2, 3))
    desk.given(order, "w1")
    assert list(recall.back(desk.state, tasks)) == []


@pytest.mark.parametrize("slots", [1, 3])
def test_no_more_comes_back_than_idle_workers_can_run(desk, slots):
    for name in ("w1", "w2", "w3"):
        desk.worker(name, slots=1, prefetch=5)
    sub = desk.accepted(18, spec=TaskSpec(command=("x",)))
    desk.when_settled()
    for name, starts in desk.starts().items():
        desk.moved(name, "running", starts[0])
    desk.state.submissions[sub].pace = 60
    desk.worker("w4", slots=slots, prefetch=0)
    assert len(asked_back(desk)) == slots
