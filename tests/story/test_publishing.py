"""Exactly one attempt's outputs are ever published."""

from longshore_common import events as e
from longshore_common.model import TaskSpec

OUT = TaskSpec(command=("true",), output="s3://b/o/{index}")


def delivered(desk):
    desk.worker("w1", slots=1, prefetch=0)
    sub = desk.accepted(1, spec=OUT)
    desk.when_settled()
    desk.moved("w1", "running", (sub, 0, 1))
    desk.moved("w1", "delivering", (sub, 0, 1))
    desk.delivered("w1", (sub, 0, 1))
    return sub


def granted(desk):
    sub = delivered(desk)
    desk.when_settled()
    return sub


def test_the_current_attempt_is_granted_once(desk):
    sub = delivered(desk)
    desk.when_settled()
    grant = desk.then(e.AttemptsSignalled)
    assert (grant.attempts, grant.wanted) == ((f"{sub}.0.1",), "publish")
    desk.delivered("w1", (sub, 0, 1))
    assert desk.when_settled() == []


def test_a_superseded_attempt_is_never_granted(desk):
    sub = delivered(desk)
    desk.silent = ("w1",)
    desk.when_decided()
    for event, name in desk.decided:
        if isinstance(event, e.WorkerLost):
            desk.given(event, name)
    desk.silent = ()
    desk.when_settled()
    assert desk.every(e.AttemptsSignalled) == []
    desk.delivered("w1", (sub, 0, 1))
    assert desk.when_settled() == []


def test_after_a_grant_another_worker_finishes_publishing_the_same_bytes(desk):
    sub = granted(desk)
    desk.silent = ("w1",)
    desk.when_settled()
    desk.silent = ()
    desk.worker("w2", slots=1)
    desk.when_settled()
    (order,) = desk.then(e.AttemptsAssigned).orders
    assert (order.publish_of, order.starts[0].n) == (1, 2)
    desk.ended("w2", (sub, 0, 2))
    assert desk.state_of(sub) == "succeeded"


def test_a_second_loss_still_publishes_the_first_grant(desk):
    sub = granted(desk)
    for name in ("w2", "w3"):
        desk.silent = tuple(desk.state.workers)
        desk.when_settled()
        desk.silent = ()
        desk.worker(name, slots=1)
        desk.when_settled()
    (order,) = desk.then(e.AttemptsAssigned).orders
    assert (order.publish_of, order.starts[0].n) == (1, 3)
    assert desk.state_of(sub) == "assigned"


def test_bytes_that_cannot_be_reached_are_made_anew(desk):
    sub = granted(desk)
    desk.silent = ("w1",)
    desk.when_settled()
    desk.silent = ()
    desk.worker("w2", slots=1)
    desk.when_settled()
    desk.ended("w2", (sub, 0, 2), "failed", "stage-out", "nothing there")
    desk.when_settled()
    desk.later(100)
    desk.when_settled()
    (order,) = desk.then(e.AttemptsAssigned).orders
    assert (order.publish_of, order.starts[0].n) == (0, 3)


def test_a_cancelled_attempt_is_not_granted(desk):
    sub = delivered(desk)
    desk.given(e.CancelRequested(tasks=desk.tasks(sub, 0)), "ada")
    desk.when_decided()
    for event, name in desk.decided:
        if isinstance(event, e.AttemptsSignalled) and event.wanted == "stop":
            desk.given(event, name)
    desk.when_settled()
    assert all(s.wanted != "publish" for s in desk.every(e.AttemptsSignalled))
