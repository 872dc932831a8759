"""Tasks that wait for single others: edges within a submission, and arrays required element by element."""

import pytest

from longshore_common import events as e
from longshore_common.ids import TaskRange
from longshore_common.model import Parts, Specs, TaskSpec
from longshore_dispatcher.core import blocked, snapshot

TRUE = TaskSpec(command=("true",))
#: 0 before 1 and 2, both before 3.
DIAMOND = ((1, 0), (2, 0), (3, 1), (3, 2))


def graph(desk, size=4, edges=DIAMOND, **more):
    sub = desk.submitted(body=Specs(specs=(TRUE,) * size, edges=tuple(edges)), **more)
    desk.when_settled()
    return sub


def ran(desk, *attempts, outcome="succeeded", **more):
    for attempt in attempts:
        desk.ended("w1", attempt, outcome, **({"cause": "exit", "code": 1} if outcome == "failed" else {}), **more)
    return desk.when_settled()


@pytest.fixture
def one(desk):
    desk.worker("w1", slots=100, prefetch=0)
    return desk


def rejection(desk) -> e.SubmissionRejected:
    return desk.then(e.SubmissionRejected)


# --- edges ------------------------------------------------------------------------------------------------------------


def test_tasks_of_a_diamond_run_in_its_order_and_nothing_sooner(one):
    sub = graph(one)
    assert one.states(sub, range(4)) == ["assigned", "waiting", "waiting", "waiting"]
    ran(one, (sub, 0, 1))
    assert one.then(e.RequirementsMet).tasks == (TaskRange(sub, 1, 2),)
    assert one.starts() == {"w1": [(sub, 1, 1), (sub, 2, 1)]}
    ran(one, (sub, 2, 1))
    assert one.state_of(sub, 3) == "waiting"
    ran(one, (sub, 1, 1))
    assert one.state_of(sub, 3) == "assigned"
    ran(one, (sub, 3, 1))
    assert one.state.submissions == {}
    assert not one.state.tied.graphs


def test_a_failed_task_fails_all_that_leads_from_it_in_one_turn_and_is_named(one):
    sub = graph(one, 6, [*DIAMOND, (4, 3)])
    ran(one, (sub, 0, 1))
    one.ended("w1", (sub, 1, 1), "failed", "exit", code=1)
    one.given(*one.when_decided()[0])
    (event,) = one.when_decided() and one.every(e.TasksFailed)
    assert event.tasks == (TaskRange(sub, 3, 4),)
    assert event.cause == "requirement"
    assert f"it requires {sub}.1" in event.reason
    one.when_settled()
    assert one.states(sub, [2, 3, 4, 5]) == ["assigned", "failed", "failed", "assigned"]


def test_edges_come_in_parts_and_their_number_is_told(one):
    one.given(e.SubmissionPartSent(key="p", part=0, specs=(TRUE, TRUE), edges=((0, 3),)), "ada")
    one.given(e.SubmissionPartSent(key="p", part=1, specs=(TRUE, TRUE), edges=((1, 0),)), "ada")
    one.given(e.SubmissionPartSent(key="p", part=2, specs=(), edges=((2, 1),)), "ada")
    sub = one.submitted(body=Parts(parts=3, size=4, edges=3), key="p")
    one.when_settled()
    for index in (3, 0, 1, 2):
        assert one.starts() == {"w1": [(sub, index, 1)]}
        ran(one, (sub, index, 1))
    assert one.state.closed[sub].succeeded == 4


def test_parts_without_all_their_edges_are_rejected(one):
    one.given(e.SubmissionPartSent(key="p", part=0, specs=(TRUE, TRUE), edges=((1, 0),)), "ada")
    one.submitted(body=Parts(parts=1, size=2, edges=2), key="p")
    one.when_settled()
    assert "1 edges, not 2" in rejection(one).reason


@pytest.mark.parametrize(
    ("edges", "index", "words"),
    [
        ([(1, 0), (2, 2)], 2, "requires itself"),
        ([(1, 7)], 1, "[1,7] names a task that is not there: they are 0 to 2"),
        ([(9, 0)], 2, "[9,0] names a task that is not there"),
    ],
)
def test_an_edge_that_cannot_be_is_rejected_by_its_task(one, edges, index, words):
    graph(one, 3, edges)
    assert rejection(one).by_index[0][0] == index
    assert words in rejection(one).by_index[0][1]


@pytest.mark.parametrize("bad", [(-1, 0), (0, 1 << 40)])
def test_an_edge_beyond_all_numbers_is_rejected(one, bad):
    graph(one, 3, [bad])
    assert "edges are [dependent, required] ordinals" in rejection(one).reason


def test_a_circle_is_rejected_and_told(one):
    graph(one, 6, [(0, 1), (1, 2), (2, 3), (3, 1), (4, 0), (5, 4)])
    assert "task 1 requires 2 requires 3 requires 1" in rejection(one).reason or "circle" in rejection(one).reason
    assert "leave one of these edges out" in rejection(one).reason


def test_an_edge_given_twice_is_one(one):
    sub = graph(one, 2, [(1, 0), (1, 0)])
    ran(one, (sub, 0, 1))
    assert one.state_of(sub, 1) == "assigned"


def test_any_outcome_holds_for_edges_too(one):
    sub = graph(one, requires_any_outcome=True)
    ran(one, (sub, 0, 1), outcome="failed")
    assert one.states(sub, range(4)) == ["failed", "assigned", "assigned", "waiting"]
    one.given(e.CancelRequested(tasks=one.tasks(sub, 1)), "ada")
    one.when_settled()
    ran(one, (sub, 1, 1), outcome="cancelled")
    ran(one, (sub, 2, 1))
    assert one.state_of(sub, 3) == "assigned"


def test_those_that_wait_for_a_failed_task_go_on_when_it_is_mended(one):
    sub = graph(one, on_failed_requirement="wait")
    ran(one, (sub, 0, 1), outcome="failed")
    assert one.states(sub, range(4)) == ["failed", "waiting", "waiting", "waiting"]
    found = list(blocked.requirements_of(one.state, one.state.submissions[sub], 1))
    assert found == [(f"{sub}.0", "failed")]
    one.given(e.RetryRequested(tasks=one.tasks(sub, 0)), "ada")
    one.when_settled()
    ran(one, (sub, 0, 2))
    assert one.states(sub, range(1, 4)) == ["assigned", "assigned", "waiting"]


def test_a_retried_branch_is_looked_at_anew_from_its_record(one):
    sub = graph(one)
    ran(one, (sub, 0, 1), outcome="failed")
    assert sub in one.state.closed
    one.given(e.RetryRequested(tasks=one.tasks(sub, 0, 3)), "ada")
    one.when_decided()
    assert one.then(e.TasksRetried).waiting == (TaskRange(sub, 0, 3),)
    one.when_settled()
    assert one.states(sub, range(4)) == ["assigned", "waiting", "waiting", "waiting"]
    ran(one, (sub, 0, 2))
    ran(one, (sub, 1, 1), (sub, 2, 1))
    ran(one, (sub, 3, 1))
    assert one.state.closed[sub].succeeded == 4


def test_a_retry_of_dependents_alone_fails_them_again(one):
    sub = graph(one)
    ran(one, (sub, 0, 1), outcome="failed")
    one.given(e.RetryRequested(tasks=one.tasks(sub, 1, 3)), "ada")
    one.when_settled()
    assert one.states(sub, range(4)) == ["failed"] * 4


def test_a_graph_can_be_cancelled_whole_and_held(one):
    held = graph(one, held=True)
    assert one.states(held, range(4)) == ["waiting"] * 4
    one.given(e.RetryRequested(tasks=one.tasks(held, 0, 3)), "ada")
    one.when_settled()
    assert one.states(held, range(4)) == ["assigned", "waiting", "waiting", "waiting"]
    sub = graph(one)
    one.given(e.CancelRequested(tasks=one.tasks(sub, 0, 3)), "ada")
    one.when_settled()
    ran(one, (sub, 0, 1), outcome="cancelled")
    assert one.states(sub, range(4)) == ["cancelled"] * 4
    assert sub not in one.state.tied.graphs


def test_a_graph_that_requires_others_as_a_whole_begins_after_them(one):
    first = one.submitted(2)
    one.when_settled()
    sub = graph(one, requires=(TaskRange(first, 0, 1),))
    ran(one, (first, 0, 1))
    assert one.states(sub, range(4)) == ["waiting"] * 4
    ran(one, (first, 1, 1))
    assert one.states(sub, range(4)) == ["assigned", "waiting", "waiting", "waiting"]


# --- element by element -----------------------------------------------------------------------------------------------


def chain(desk, size, length=3, **more):
    subs = [desk.submitted(size)]
    desk.when_settled()
    for _ in range(length - 1):
        subs.append(desk.submitted(size, requires=(TaskRange(subs[-1], 0, size - 1),), each_requires=True, **more))
        desk.when_settled()
    return subs


def test_element_k_waits_for_element_k_through_all_arrays(one):
    a, b, c = chain(one, 5)
    assert one.states(b, range(5)) == ["waiting"] * 5
    ran(one, (a, 3, 1))
    assert one.then(e.RequirementsMet).tasks == (TaskRange(b, 3, 3),)
    assert one.states(b, range(5)) == ["waiting", "waiting", "waiting", "assigned", "waiting"]
    ran(one, (b, 3, 1))
    assert one.states(c, range(5)) == ["waiting", "waiting", "waiting", "assigned", "waiting"]


def test_a_failed_element_fails_its_own_followers_only(one):
    a, b, c = chain(one, 5)
    ran(one, (a, 2, 1), outcome="failed")
    assert one.states(b, range(5)) == ["waiting", "waiting", "failed", "waiting", "waiting"]
    assert one.states(c, range(5)) == ["waiting", "waiting", "failed", "waiting", "waiting"]
    assert any(f"it requires {a}.2, and that failed" in event.reason for event in one.every(e.TasksFailed))


def test_elements_of_several_ranges_must_all_be_done(one):
    a, b = one.submitted(3), one.submitted(9)
    one.when_settled()
    both = one.submitted(3, requires=(TaskRange(a, 0, 2), TaskRange(b, 4, 6)), each_requires=True)
    one.when_settled()
    ran(one, (a, 1, 1), (b, 1, 1))
    assert one.states(both, range(3)) == ["waiting"] * 3
    ran(one, (b, 5, 1))
    assert one.states(both, range(3)) == ["waiting", "assigned", "waiting"]


def test_what_ended_before_is_judged_by_its_record(one):
    a = one.submitted(3)
    one.when_settled()
    ran(one, (a, 0, 1), (a, 2, 1))
    ran(one, (a, 1, 1), outcome="failed")
    assert a in one.state.closed
    requires = (TaskRange(a, 0, 2),)
    b = one.submitted(3, requires=requires, each_requires=True)
    c = one.submitted(3, requires=requires, each_requires=True, on_failed_requirement="wait")
    d = one.submitted(3, requires=requires, each_requires=True, requires_any_outcome=True)
    one.when_settled()
    assert one.states(b, range(3)) == ["assigned", "failed", "assigned"]
    assert one.states(c, range(3)) == ["assigned", "waiting", "assigned"]
    assert one.states(d, range(3)) == ["assigned"] * 3
    one.given(e.RetryRequested(tasks=one.tasks(a, 1)), "ada")
    one.when_settled()
    ran(one, (a, 1, 2))
    assert one.state_of(c, 1) == "assigned"


@pytest.mark.parametrize(("lo", "hi", "words"), [(0, 1, "which are 2 tasks, but it has 3"), (3, 5, "has tasks 0 to 3")])
def test_ranges_that_do_not_match_are_rejected(one, lo, hi, words):
    a = one.submitted(4)
    one.submitted(3, requires=(TaskRange(a, lo, hi),), each_requires=True)
    one.when_settled()
    assert words in rejection(one).reason


def test_a_whole_array_cancelled_takes_its_followers_along_as_one_range(one):
    a, b, c = chain(one, 1000)
    one.given(e.CancelRequested(tasks=one.tasks(a, 100, 999)), "ada")
    one.when_settled()
    failed = {event.tasks for event in one.every(e.TasksFailed)}
    assert {(TaskRange(b, 100, 999),), (TaskRange(c, 100, 999),)} <= failed
    assert len(one.state.submissions[b].ties.blocked.runs) == 1


def test_a_submission_that_waits_as_a_whole_may_wait_for_what_failed_to_be_mended(one):
    a = one.submitted(2)
    one.when_settled()
    b = one.submitted(2, requires=(TaskRange(a, 0, 1),), on_failed_requirement="wait")
    one.when_settled()
    ran(one, (a, 0, 1))
    ran(one, (a, 1, 1), outcome="failed")
    assert one.states(b, range(2)) == ["waiting", "waiting"]
    one.given(e.RetryRequested(tasks=one.tasks(a, 1)), "ada")
    one.when_settled()
    ran(one, (a, 1, 2))
    assert one.states(b, range(2)) == ["assigned", "assigned"]


def test_a_snapshot_in_the_midst_goes_on_as_if_nothing_was(one):
    a, b, c = chain(one, 5)
    sub = graph(one)
    ran(one, (a, 3, 1), (sub, 0, 1))
    again = snapshot.from_bytes(snapshot.to_bytes(one.state))
    assert snapshot.to_bytes(again) == snapshot.to_bytes(one.state)
    assert again.tied.graphs[sub].open == one.state.tied.graphs[sub].open
    one.state = again
    ran(one, (a, 4, 1), (b, 3, 1), (sub, 1, 1), (sub, 2, 1))
    assert one.state_of(c, 3) == one.state_of(b, 4) == one.state_of(sub, 3) == "assigned"


def test_held_tasks_are_not_named_when_others_of_theirs_are_released(one):
    a = one.submitted(1)
    one.when_settled()
    b = one.submitted(3, requires=(TaskRange(a, 0, 0),), held=True)
    one.when_settled()
    one.given(e.RetryRequested(tasks=one.tasks(b, 1)), "ada")
    one.when_settled()
    ran(one, (a, 0, 1))
    assert one.then(e.RequirementsMet).tasks == (TaskRange(b, 1, 1),)
    assert one.states(b, range(3)) == ["waiting", "assigned", "waiting"]


def test_what_was_deleted_or_can_never_be_mended_cannot_be_required(one):
    a = one.submitted(3)
    one.when_settled()
    ran(one, (a, 0, 1), (a, 1, 1), (a, 2, 1))
    one.given(e.TasksDeleted(tasks=(TaskRange(a, 1, 1),)))
    one.submitted(1, requires=(TaskRange(a, 0, 2),))
    one.when_settled()
    assert "some were deleted" in rejection(one).reason
    rejected = one.submitted(1, requires=(TaskRange(a, 7, 7),))
    one.when_settled()
    one.submitted(1, requires=(TaskRange(rejected, 0, 0),), on_failed_requirement="wait")
    one.when_settled()
    assert "which was rejected" in rejection(one).reason


def test_elements_that_require_one_another_too_wait_for_both(one):
    a = one.submitted(2)
    one.when_settled()
    both = graph(one, 2, [(1, 0)], requires=(TaskRange(a, 0, 1),), each_requires=True)
    ran(one, (a, 1, 1))
    assert one.states(both, range(2)) == ["waiting", "waiting"]
    ran(one, (a, 0, 1))
    assert one.states(both, range(2)) == ["assigned", "waiting"]
    ran(one, (both, 0, 1))
    assert one.state_of(both, 1) == "assigned"
