"""What hosts say of themselves and are told to do: drained, hindered, evicted, looked after, and given their remotes."""

import pytest

from longshore_common import events as e
from longshore_common.model import HostFacts, TaskSpec, resource_key


def explained(desk, worker="w1"):
    from longshore_dispatcher.core.explain import explain

    answer = explain(desk.state, worker, "worker", desk.now)
    return answer.state, " / ".join(reason.text for reason in answer.reasons)


def busy(desk, size=3, **more):
    """One runs on w1, the others wait there."""
    desk.worker("w1", slots=1, prefetch=size)
    sub = desk.accepted(size, **more)
    desk.when_settled()
    desk.moved("w1", "running", (sub, 0, 1))
    return sub


@pytest.mark.parametrize("care", ["clean", "forget-resources", "prune-images", "restart"])
def test_care_is_ordered_of_the_workers_that_are_named_and_the_last_order_answers_the_wish(desk, care):
    for name in ("w1", "w2", "w3"):
        desk.worker(name)
    wish = desk.given(e.WorkerCareRequested(care=care, workers=("w1", "w3")), "ada")
    desk.when_settled()
    assert [(name, event.request, event.more) for event, name in desk.decided] == [
        ("w1", wish, True),
        ("w3", wish, False),
    ]
    assert {event.care for event in desk.every(e.WorkerCareOrdered)} == {care}
    assert desk.state.wishes == {}


def test_care_for_none_named_is_for_all_that_are_up(desk):
    desk.worker("w1")
    desk.worker("w2")
    desk.given(e.WorkerLost(reason="silent"), "w2")
    desk.given(e.WorkerCareRequested(care="clean"), "ada")
    desk.when_settled()
    assert [name for _, name in desk.decided] == ["w1"]
    desk.given(e.WorkerLost(reason="silent"), "w1")
    desk.given(e.WorkerCareRequested(care="clean"), "ada")
    desk.when_settled()
    assert "no worker is up" in desk.then(e.RequestRefused).reason


def test_care_for_an_unknown_worker_is_refused_by_its_name_and_done_by_the_others(desk):
    desk.worker("w1")
    desk.given(e.WorkerCareRequested(care="clean", workers=("w1", "nobody")), "ada")
    desk.when_settled()
    assert desk.then(e.WorkerCareOrdered).more is False
    assert "nobody" in desk.then(e.RequestRefused).reason
    assert desk.state.wishes == {}


def test_an_answer_cut_short_by_a_crash_is_said_again(desk):
    desk.worker("w1")
    desk.worker("w2")
    desk.given(e.WorkerCareRequested(care="clean"), "ada")
    desk.given(*desk.when_decided()[0])
    assert [name for _, name in desk.when_settled()] == ["w1", "w2"]


def test_remotes_go_to_each_worker_in_its_own_box_also_to_those_that_are_down(desk):
    desk.worker("w1")
    desk.given(e.WorkerEnrolled(worker="w2", public_key="U"), "")
    wish = desk.given(e.RemotesShared(boxes=(e.Box("w1", "one"), e.Box("w2", "two"), e.Box("w9", "nine"))), "ada")
    desk.when_settled()
    given = [
        (name, event.box, event.request, event.more)
        for event, name in desk.decided
        if isinstance(event, e.RemotesGiven)
    ]
    assert given == [("w1", "one", wish, True), ("w2", "two", wish, False)]
    assert "w9" in desk.then(e.RequestRefused).reason
    assert desk.state.wishes == {}


def test_boxes_for_nobody_are_refused(desk):
    desk.given(e.RemotesShared(boxes=()), "ada")
    desk.when_settled()
    assert "sealed for no worker" in desk.then(e.RequestRefused).reason


def test_a_draining_worker_gives_back_what_it_does_not_run_and_is_drained_when_it_is_empty(desk):
    sub = busy(desk)
    desk.given(e.WorkerPauseRequested(workers=("w1",), drain=True), "ada")
    desk.when_settled()
    assert desk.then(e.WorkerPaused).drain
    assert len(desk.then(e.AttemptsRecalled).attempts) == 2
    assert explained(desk)[0] == "draining"
    for index in (1, 2):
        desk.ended("w1", (sub, index, 1), "recalled")
    desk.ended("w1", (sub, 0, 1))
    desk.when_settled()
    assert desk.starts() == {}
    assert explained(desk)[0] == "drained"
    assert "0 of 1 workers fit: 1 is draining" in desk.reasons(sub, 1)
    desk.given(e.WorkerResumeRequested(workers=("w1",)), "ada")
    desk.when_settled()
    assert len(desk.starts()["w1"]) == 2
    assert explained(desk)[0] == "up"


def test_a_hindered_worker_gets_nothing_and_keeps_what_no_other_could_take(desk):
    sub = busy(desk)
    desk.given(e.WorkerHindered(life=1, reason="its disk is 97 % full"), "w1")
    later = desk.accepted(1)
    assert desk.when_settled() == []
    assert "takes no more work: its disk is 97 % full" in desk.reasons(later)
    assert "takes no more work: its disk is 97 % full" in desk.reasons(sub, 1)
    assert explained(desk) == ("hindered", explained(desk)[1])
    assert "97 %" in explained(desk)[1]
    desk.given(e.WorkerHindered(life=1), "w1")
    desk.ended("w1", (sub, 0, 1))
    desk.when_settled()
    assert (later, 0, 1) in desk.starts()["w1"]


def test_what_waits_on_a_hindered_worker_goes_to_another_that_could_take_it(desk):
    sub = busy(desk)
    desk.worker("w2", slots=1, prefetch=0)
    other = desk.accepted(1)
    desk.when_settled()
    desk.moved("w2", "running", (other, 0, 1))
    desk.given(e.WorkerHindered(life=1, reason="its disk is full"), "w1")
    desk.when_settled()
    assert set(desk.then(e.AttemptsRecalled).attempts) == {f"{sub}.1.1", f"{sub}.2.1"}


def test_a_hindered_worker_keeps_what_only_it_has_the_memory_for(desk):
    busy(desk, spec=TaskSpec(command=("true",), memory=5 << 30))
    desk.worker("w2", facts=HostFacts(cpus=1, memory=1 << 30))
    desk.given(e.WorkerHindered(life=1, reason="its disk is full"), "w1")
    assert desk.when_settled() == []


def test_what_an_earlier_life_said_of_the_host_is_forgotten(desk):
    desk.worker("w1", life=2)
    desk.given(e.WorkerHindered(life=1, reason="old"), "w1")
    assert explained(desk)[0] == "up"


def test_a_worker_about_to_be_evicted_is_emptied_and_what_it_ran_goes_on_elsewhere(desk):
    sub = busy(desk)
    desk.given(e.WorkerEvicted(life=1, at=desk.now + 30, reason="Preempt"), "w1")
    desk.when_settled()
    assert len(desk.then(e.AttemptsRecalled).attempts) == 2
    assert explained(desk)[0] == "evicted"
    assert "its host goes in 30 s" in explained(desk)[1]
    desk.ended("w1", (sub, 0, 1), "failed", "evicted")
    desk.when_settled()
    assert desk.then(e.TasksRequeued).tasks[0].cause == "evicted"
    assert "will be taken away" in desk.reasons(sub, 0)
    desk.worker("w2")
    desk.when_settled()
    assert desk.starts() == {"w2": [(sub, 0, 2)]}


@pytest.mark.parametrize("life", [1, 2])
def test_a_worker_that_joins_says_anew_what_is_in_its_way(desk, life):
    desk.worker("w1")
    desk.given(e.WorkerHindered(life=1, reason="its disk is full"), "w1")
    desk.given(e.WorkerEvicted(life=1, at=desk.now + 30), "w1")
    desk.given(e.ResourcesHeld(life=1, held=("a",)), "w1")
    sub = desk.accepted(1)
    assert desk.when_settled() == []
    desk.worker("w1", life=life)
    desk.when_settled()
    assert desk.starts() == {"w1": [(sub, 0, 1)]}
    assert desk.state.workers["w1"].held == {}


def test_a_checkpoint_ends_the_attempt_and_the_next_one_costs_no_retry(desk):
    sub = busy(desk, size=1, spec=TaskSpec(command=("true",), output="s3://o/", checkpoint="state"))
    desk.given(e.SignalRequested(tasks=desk.tasks(sub, 0), signal="checkpoint"), "ada")
    desk.when_settled()
    told = desk.then(e.AttemptsSignalled)
    assert (told.wanted, told.signal, told.more) == ("checkpoint", None, False)
    assert "checkpoint is being saved" in desk.reasons(sub)
    desk.ended("w1", (sub, 0, 1), "failed", "evicted", "its checkpoint was saved")
    desk.when_settled()
    assert desk.starts() == {"w1": [(sub, 0, 2)]}


def test_a_task_without_a_checkpoint_is_not_stopped_for_one(desk):
    sub = busy(desk, size=1)
    desk.given(e.SignalRequested(tasks=desk.tasks(sub, 0), signal="checkpoint"), "ada")
    desk.when_settled()
    assert "--checkpoint" in desk.then(e.RequestRefused).reason
    assert desk.every(e.AttemptsSignalled) == []


GENOME = "s3://ref/genome.fa"


def holding(desk, name, *uris):
    desk.given(e.ResourcesHeld(life=1, held=tuple(map(resource_key, uris))), name)


def test_free_slots_of_hosts_that_hold_the_resources_come_first(desk):
    for name in ("w1", "w2", "w3"):
        desk.worker(name, slots=2)
    holding(desk, "w2", GENOME)
    sub = desk.accepted(2, spec=TaskSpec(command=("true",), resources=(GENOME,)))
    desk.when_settled()
    assert desk.starts() == {"w2": [(sub, 0, 1), (sub, 1, 1)]}


def test_no_task_waits_for_a_host_that_holds_its_resources(desk):
    for name in ("w1", "w2"):
        desk.worker(name, slots=2)
    holding(desk, "w2", GENOME)
    desk.accepted(4, spec=TaskSpec(command=("true",), resources=(GENOME,)))
    desk.when_settled()
    assert {name: len(starts) for name, starts in desk.starts().items()} == {"w1": 2, "w2": 2}


def test_who_holds_more_of_the_resources_comes_before_who_holds_less(desk):
    for name in ("w1", "w2"):
        desk.worker(name, slots=2)
    holding(desk, "w1", GENOME)
    holding(desk, "w2", "s3://ref/index", GENOME)
    desk.accepted(2, spec=TaskSpec(command=("true",), resources=(GENOME, "s3://ref/index")))
    desk.when_settled()
    assert list(desk.starts()) == ["w2"]


@pytest.mark.parametrize("resources", [(), ("s3://ref/{index}",)])
def test_without_resources_that_are_known_beforehand_the_work_is_spread(desk, resources):
    for name in ("w1", "w2"):
        desk.worker(name, slots=2)
    holding(desk, "w1", *resources, GENOME)
    desk.accepted(2, spec=TaskSpec(command=("true",), resources=resources))
    desk.when_settled()
    assert sorted(desk.starts()) == ["w1", "w2"]
