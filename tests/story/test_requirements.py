"""Tasks that wait for others."""

import pytest

from longshore_common import events as e
from longshore_common.ids import TaskRange


def pair(desk, size=2, lo=0, hi=1, **more):
    desk.worker("w1", slots=10)
    first = desk.accepted(size)
    desk.when_settled()
    second = desk.submitted(1, requires=(TaskRange(first, lo, hi),), **more)
    desk.when_settled()
    assert desk.state_of(second) == "waiting"
    return first, second


def test_it_waits_until_all_it_requires_succeeded(desk):
    first, second = pair(desk)
    desk.ended("w1", (first, 0, 1))
    assert desk.when_settled() == []
    assert "1 of the tasks" in desk.reasons(second)
    desk.ended("w1", (first, 1, 1))
    desk.when_settled()
    assert desk.then(e.RequirementsMet).submissions == (second,)
    assert desk.starts() == {"w1": [(second, 0, 1)]}


def test_only_the_required_range_counts(desk):
    first, second = pair(desk, size=3, lo=1, hi=1)
    desk.ended("w1", (first, 0, 1), "failed", "exit", code=1)
    desk.ended("w1", (first, 1, 1))
    desk.when_settled()
    assert desk.state_of(second) == "assigned"


def test_a_failed_requirement_fails_what_requires_it_and_what_requires_that(desk):
    first, second = pair(desk)
    third = desk.submitted(5, requires=(TaskRange(second, 0, 0),))
    desk.when_settled()
    desk.ended("w1", (first, 0, 1), "failed", "exit", code=1)
    desk.when_settled()
    assert desk.state_of(second) == "failed"
    assert desk.states(third, range(5)) == ["failed"] * 5
    assert {f.cause for f in desk.every(e.TasksFailed)} == {"exit", "requirement"}


def test_any_outcome_waits_for_the_end_only(desk):
    first, second = pair(desk, requires_any_outcome=True)
    desk.ended("w1", (first, 0, 1), "failed", "exit", code=1)
    desk.when_settled()
    assert desk.state_of(second) == "waiting"
    desk.given(e.CancelRequested(tasks=desk.tasks(first, 1)), "ada")
    desk.when_settled()
    desk.ended("w1", (first, 1, 1), "cancelled")
    desk.when_settled()
    assert desk.state_of(second) == "assigned"


def test_what_has_ended_already_is_met_at_once(desk):
    desk.worker("w1", slots=10)
    first = desk.accepted(1)
    desk.when_settled()
    desk.ended("w1", (first, 0, 1))
    second = desk.submitted(1, requires=(TaskRange(first, 0, 0),))
    desk.when_settled()
    assert desk.state_of(second) == "assigned"


def test_after_a_retry_of_both_the_requirement_is_looked_at_again(desk):
    first, second = pair(desk)
    desk.ended("w1", (first, 0, 1), "failed", "exit", code=1)
    desk.ended("w1", (first, 1, 1))
    desk.when_settled()
    desk.given(e.RetryRequested(tasks=(TaskRange(first, 0, 0), TaskRange(second, 0, 0))), "ada")
    desk.when_settled()
    assert desk.state_of(second) == "waiting"
    desk.ended("w1", (first, 0, 2))
    desk.when_settled()
    assert desk.state_of(second) == "assigned"


@pytest.mark.parametrize("cancelled_first", [True, False])
def test_a_waiting_task_can_be_cancelled(desk, cancelled_first):
    first, second = pair(desk)
    desk.given(e.CancelRequested(tasks=desk.tasks(second, 0)), "ada")
    if cancelled_first:
        desk.when_settled()
    desk.ended("w1", (first, 0, 1), "failed", "exit", code=1)
    desk.when_settled()
    assert desk.state_of(second) in ("cancelled", "failed")
    assert desk.state.open == {}
    assert desk.state.dependents == {}


def test_a_duplicate_stands_for_its_first(desk):
    first, _ = pair(desk)
    second = desk.submitted(2, key="k1")
    desk.when_settled()
    third = desk.submitted(1, requires=(TaskRange(second, 0, 1),))
    desk.when_settled()
    desk.ended("w1", (first, 0, 1))
    desk.ended("w1", (first, 1, 1))
    desk.when_settled()
    assert desk.state_of(third) == "assigned"


def test_requiring_a_duplicate_that_has_no_answer_yet_waits_for_its_first(desk):
    desk.worker("w1", slots=10)
    first = desk.submitted(1, key="same")
    second = desk.submitted(1, key="same")
    third = desk.submitted(1, requires=(TaskRange(second, 0, 0),))
    desk.when_settled()
    desk.ended("w1", (first, 0, 1))
    desk.when_settled()
    assert desk.state_of(third) == "assigned"


def test_with_any_outcome_a_retried_task_has_to_end_again(desk):
    first, second = pair(desk, requires_any_outcome=True)
    desk.ended("w1", (first, 0, 1), "failed", "exit", code=1)
    desk.when_settled()
    desk.given(e.RetryRequested(tasks=desk.tasks(first, 0)), "ada")
    desk.when_settled()
    desk.ended("w1", (first, 1, 1))
    desk.when_settled()
    assert desk.state_of(second) == "waiting"
    desk.ended("w1", (first, 0, 2))
    desk.when_settled()
    assert desk.state_of(second) == "assigned"


def test_held_tasks_stay_held_when_what_they_require_is_met_and_go_on_when_released(desk):
    desk.worker("w1", slots=10)
    first = desk.accepted(1)
    desk.when_settled()
    desk.ended("w1", (first, 0, 1))
    held = desk.submitted(2, requires=(TaskRange(first, 0, 0),), held=True)
    desk.when_settled()
    assert desk.every(e.RequirementsMet) == []
    assert desk.states(held, range(2)) == ["waiting", "waiting"]
    desk.given(e.RetryRequested(tasks=desk.tasks(held, 1)), "ada")
    desk.when_settled()
    assert desk.starts() == {"w1": [(held, 1, 1)]}
    desk.given(e.RetryRequested(tasks=desk.tasks(held, 0)), "ada")
    desk.when_settled()
    assert desk.starts() == {"w1": [(held, 0, 1)]}
