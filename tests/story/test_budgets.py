"""How often, after what and how soon a task is tried again: by itself, by the operator's policy, by what is built in."""

import pytest

from longshore_common import events as e
from longshore_common.model import Policy, TaskSpec
from longshore_dispatcher.core import snapshot
from longshore_dispatcher.core.changes import LONGEST_WAIT


def begun(desk, **spec):
    desk.worker("w1", slots=1, prefetch=0)
    sub = desk.accepted(1, spec=TaskSpec(command=("false",), **spec))
    desk.when_settled()
    return sub


def failing(desk, sub, cause, code=None, definite=False, most=40):
    """Waits before each further attempt while it fails so, until it is given up."""
    waits = []
    for n in range(1, most):
        end = e.Ended(f"{sub}.0.{n}", "failed", code, cause, "it broke", definite=definite)
        desk.given(e.AttemptsReported(life=1, n=1, ended=(end,)), "w1")
        desk.when_settled()
        if any(isinstance(event, e.TasksFailed) for event, _ in desk.decided):
            return waits
        (verdict,) = desk.then(e.TasksRequeued).tasks
        waits.append(round(verdict.not_before - desk.now, 6) if verdict.not_before else 0)
        assert verdict.wait == waits[-1]
        desk.later(waits[-1])
        desk.when_settled()
    raise AssertionError("it is tried for ever")


def governed(desk, **policy):
    desk.given(e.PolicyRequested(policy=Policy(**policy)), "root")
    desk.when_settled()


def test_the_operators_policy_says_how_often_trouble_is_tried_again_and_how_long_that_waits(desk):
    governed(desk, trouble={"host": 4, "*": 1}, first_wait=2, longest_wait=5)
    assert failing(desk, begun(desk), "host") == [2, 4, 5, 5]


@pytest.mark.parametrize(("cause", "times"), [("stage-in", 1), ("image", 1), ("disk-full", 1), ("host", 4)])
def test_a_star_in_the_policy_stands_for_every_cause_of_trouble_it_does_not_name(desk, cause, times):
    governed(desk, trouble={"host": 4, "*": 1})
    assert len(failing(desk, begun(desk), cause)) == times


def test_lost_workers_cost_almost_nothing_whatever_the_star_says(desk):
    governed(desk, trouble={"*": 0})
    assert failing(desk, begun(desk), "evicted", most=5 + 100) == [0] * 100


def test_a_policy_that_names_no_cause_or_a_tasks_own_is_refused(desk):
    for trouble, word in (({"bad-luck": 3}, "bad-luck"), ({"exit": 3}, "own doing")):
        desk.given(e.PolicyRequested(policy=Policy(trouble=trouble)), "root")
        desk.when_settled()
        assert word in desk.then(e.RequestRefused).reason


def test_a_task_may_say_itself_how_often_it_is_tried_after_which_cause(desk):
    governed(desk, trouble={"stage-in": 9})
    assert len(failing(desk, begun(desk, retry_on={"stage-in": 2}), "stage-in")) == 2


def test_no_retry_on_a_cause_is_a_budget_of_nothing(desk):
    sub = begun(desk, retries=5, retry_on={"timeout-running": 0, "worker-lost": 0})
    assert failing(desk, sub, "timeout-running") == []


def test_its_word_on_one_of_its_own_causes_goes_before_its_retries(desk):
    assert len(failing(desk, begun(desk, retries=1, retry_on={"exit": 3}), "exit", 1)) == 3


def test_what_is_definite_is_tried_again_only_where_the_task_asks_for_that_cause(desk):
    assert len(failing(desk, begun(desk, retry_on={"stage-in": 2}), "stage-in", definite=True)) == 2
    desk.worker("w1", slots=1, prefetch=0, life=2)
    assert failing(desk, begun(desk), "stage-in", definite=True) == []


@pytest.mark.parametrize(("code", "times"), [(75, 2), (105, 2), (1, 0), (2, 0), (101, 0)])
def test_exit_codes_decide_what_is_tried_again(desk, code, times):
    spec = {"retries": 2, "retry_exits": ((75, 75), (100, 110)), "fail_exits": ((101, 101),)}
    assert len(failing(desk, begun(desk, **spec), "exit", code)) == times
    reason = desk.then(e.TasksFailed).reason
    assert times or str(code) in reason


def test_an_exit_code_that_is_final_is_final_among_other_retries(desk):
    sub = begun(desk, retries=5, fail_exits=((2, 2),))
    assert failing(desk, sub, "exit", 2) == []
    assert desk.then(e.TasksFailed).reason == "it broke; exit code 2 is one of its fail_exits"


def test_a_back_off_of_its_own_begins_at_once_and_doubles_to_the_longest(desk):
    assert failing(desk, begun(desk, retries=4, backoff=100), "exit", 1) == [100, 200, 300, 300]
    governed(desk, longest_wait=10)
    assert failing(desk, begun(desk, retries=2, backoff=600), "exit", 1) == [600, 600]


def test_a_wait_longer_than_usual_is_waited_for_also_after_a_restart_and_ends_with_a_clock_set_back(desk):
    sub = begun(desk, retries=1, backoff=4 * LONGEST_WAIT)
    desk.ended("w1", (sub, 0, 1), "failed", "exit", code=1)
    desk.when_settled()
    desk.state = snapshot.from_bytes(snapshot.to_bytes(desk.state))
    desk.later(3 * LONGEST_WAIT)
    assert desk.when_settled() == []
    assert "it is tried again in" in desk.reasons(sub)
    desk.later(-4 * LONGEST_WAIT)
    desk.when_settled()
    assert desk.starts() == {"w1": [(sub, 0, 2)]}


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({"retry_on": {"bad-luck": 1}}, "bad-luck"),
        ({"retry_on": {"operator": 1}}, "operator"),
        ({"retry_on": {"host": -1}}, "host"),
        ({"retry_exits": ((75, 75),)}, "give retries too"),
        ({"retries": 1, "retry_exits": ((9, 3),)}, "9-3"),
        ({"fail_exits": ((300, 300),)}, "300"),
        ({"backoff": -1.0}, "backoff"),
        ({"backoff": 1e9}, "backoff"),
    ],
)
def test_what_cannot_be_meant_is_rejected_with_the_fix(desk, spec, word):
    desk.submitted(1, spec=TaskSpec(command=("true",), **spec))
    desk.when_settled()
    assert word in desk.then(e.SubmissionRejected).reason
