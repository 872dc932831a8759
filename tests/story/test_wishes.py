"""Cancel, retry, signal, pause: what users may ask, and what they are answered."""

from longshore_common import events as e
from longshore_common.ids import TaskRange
from longshore_common.model import TaskSpec


def running(desk, size=3, slots=1, prefetch=1, **more):
    desk.worker("w1", slots=slots, prefetch=prefetch)
    sub = desk.accepted(size, **more)
    desk.when_settled()
    desk.moved("w1", "running", (sub, 0, 1))
    return sub


def test_cancelling_ends_the_queued_at_once_and_stops_the_running(desk):
    sub = running(desk)
    request = desk.given(e.CancelRequested(tasks=desk.tasks(sub, 0, 2)), "ada")
    desk.when_settled()
    stop = desk.then(e.AttemptsSignalled)
    assert (set(stop.attempts), stop.wanted) == ({f"{sub}.0.1", f"{sub}.1.1"}, "stop")
    assert desk.then(e.TasksCancelled).tasks == desk.tasks(sub, 2)
    assert desk.states(sub, range(3)) == ["running", "assigned", "cancelled"]
    desk.ended("w1", (sub, 0, 1), "cancelled")
    desk.ended("w1", (sub, 1, 1), "recalled")
    desk.when_settled()
    cancelled = desk.then(e.TasksCancelled)
    assert (cancelled.tasks, cancelled.request) == (desk.tasks(sub, 0, 1), request)
    assert desk.states(sub, range(3)) == ["cancelled"] * 3


def test_cancelling_what_is_lost_meanwhile_cancels_it(desk):
    sub = running(desk, size=1)
    desk.given(e.CancelRequested(tasks=desk.tasks(sub, 0)), "ada")
    desk.when_settled()
    desk.silent = ("w1",)
    desk.when_settled()
    assert desk.state_of(sub) == "cancelled"


def test_a_cancel_that_comes_too_late_leaves_the_success(desk):
    sub = running(desk, size=1)
    desk.given(e.CancelRequested(tasks=desk.tasks(sub, 0)), "ada")
    desk.when_settled()
    desk.ended("w1", (sub, 0, 1))
    desk.when_settled()
    assert desk.state_of(sub) == "succeeded"


def test_a_submission_cancelled_at_once_is_never_handed_out(desk):
    desk.worker("w1")
    sub = desk.accepted(1_000_000)
    desk.given(e.CancelRequested(tasks=desk.tasks(sub, 0, 999_999)), "ada")
    desk.when_decided()
    assert desk.starts() == {}
    desk.when_settled()
    assert desk.state_of(sub, 999_999) == "cancelled"


def test_a_cancel_that_arrives_with_its_submission_is_answered_after_it(desk):
    sub = desk.submitted(2)
    desk.given(e.CancelRequested(tasks=desk.tasks(sub, 0, 1)), "ada")
    desk.when_settled()
    assert desk.then(e.TasksCancelled).tasks == desk.tasks(sub, 0, 1)


def test_a_whole_batch_is_cancelled_but_only_ones_own(desk):
    mine, theirs = desk.accepted(2, batch="x"), desk.accepted(2, batch="x", user="bob")
    desk.given(e.CancelRequested(batch="x"), "ada")
    desk.when_settled()
    assert desk.then(e.TasksCancelled).tasks == desk.tasks(mine, 0, 1)
    assert desk.state_of(theirs) == "queued"


def test_others_tasks_cannot_be_cancelled_retried_or_signalled(desk):
    sub = running(desk, size=1, user="bob")
    for wish in (
        e.CancelRequested(tasks=desk.tasks(sub, 0)),
        e.RetryRequested(tasks=desk.tasks(sub, 0)),
        e.SignalRequested(tasks=desk.tasks(sub, 0), signal="kill"),
    ):
        request = desk.given(wish, "ada")
        (refused,) = [event for event, _ in desk.when_settled()]
        assert isinstance(refused, e.RequestRefused)
        assert refused.request == request
        assert "belongs to bob" in refused.reason


def test_unknown_and_ended_tasks_are_refused_with_the_reason(desk):
    desk.given(e.CancelRequested(tasks=(TaskRange(77, 0, 1),)), "ada")
    desk.when_settled()
    assert "unknown" in desk.then(e.RequestRefused).reason
    sub = running(desk, size=1)
    desk.ended("w1", (sub, 0, 1))
    desk.given(e.CancelRequested(tasks=desk.tasks(sub, 0)), "ada")
    desk.when_settled()
    assert "nothing to cancel" in desk.then(e.RequestRefused).reason


def test_retrying_failed_tasks_of_an_ended_submission_goes_on_counting_attempts(desk):
    sub = running(desk, size=2, prefetch=1)
    desk.ended("w1", (sub, 0, 1), "failed", "exit", code=1)
    desk.ended("w1", (sub, 1, 1))
    desk.when_settled()
    assert sub in desk.state.closed
    desk.given(e.RetryRequested(tasks=desk.tasks(sub, 0, 1)), "ada")
    desk.when_settled()
    assert desk.then(e.TasksRetried).tasks == desk.tasks(sub, 0)
    assert desk.starts() == {"w1": [(sub, 0, 2)]}
    desk.ended("w1", (sub, 0, 2), "failed", "exit", code=1)
    desk.when_settled()
    desk.given(e.RetryRequested(batch="b"), "ada")
    desk.when_settled()
    assert desk.starts() == {"w1": [(sub, 0, 3)]}


def test_a_cancelled_task_that_never_ran_begins_with_its_first_attempt_when_retried(desk):
    sub = desk.accepted(3)
    desk.given(e.CancelRequested(tasks=desk.tasks(sub, 1)), "ada")
    desk.when_settled()
    desk.given(e.RetryRequested(tasks=desk.tasks(sub, 1)), "ada")
    desk.when_settled()
    desk.worker("w1", slots=3)
    desk.when_settled()
    assert desk.starts() == {"w1": [(sub, 0, 1), (sub, 1, 1), (sub, 2, 1)]}


def test_a_retry_gives_a_fresh_budget(desk):
    sub = running(desk, size=1)
    for n in (1, 2):
        desk.ended("w1", (sub, 0, n), "failed", "exit", code=1)
        desk.when_settled()
        assert desk.state_of(sub) == "failed"
        desk.given(e.RetryRequested(tasks=desk.tasks(sub, 0)), "ada")
        desk.when_settled()


def test_held_tasks_wait_until_they_are_retried_one_by_one_too(desk):
    desk.worker("w1", slots=5)
    sub = desk.submitted(3, held=True)
    desk.when_settled()
    assert desk.starts() == {}
    assert "held" in desk.reasons(sub)
    desk.given(e.RetryRequested(tasks=desk.tasks(sub, 1)), "ada")
    desk.when_settled()
    assert desk.starts() == {"w1": [(sub, 1, 1)]}
    assert desk.states(sub, range(3)) == ["waiting", "assigned", "waiting"]


def test_signals_reach_only_what_is_on_a_worker(desk):
    sub = running(desk, size=3)
    desk.given(e.SignalRequested(tasks=desk.tasks(sub, 0), signal="sigusr1"), "ada")
    desk.when_settled()
    sent = desk.then(e.AttemptsSignalled)
    assert (sent.attempts, sent.signal) == ((f"{sub}.0.1",), "SIGUSR1")
    desk.given(e.SignalRequested(tasks=desk.tasks(sub, 2), signal="stop"), "ada")
    desk.when_settled()
    assert "nothing to signal" in desk.then(e.RequestRefused).reason


def test_a_signal_to_several_workers_is_answered_by_the_last(desk):
    desk.worker("w1", slots=1, prefetch=0)
    desk.worker("w2", slots=1, prefetch=0)
    sub = desk.accepted(2)
    desk.when_settled()
    desk.given(e.SignalRequested(tasks=desk.tasks(sub, 0, 1), signal="pause"), "ada")
    desk.when_decided()
    first, second = desk.decided
    assert (first[0].more, second[0].more) == (True, False)
    desk.given(*first)  # and a crash
    desk.when_settled()
    assert desk.state.wishes == {}
    assert "paused" in desk.reasons(sub, 0)
    assert "paused" in desk.reasons(sub, 1)


def test_a_paused_batch_is_not_handed_out_and_its_prefetch_comes_back(desk):
    sub = running(desk, size=3)
    desk.given(e.BatchPauseRequested(batch="b"), "ada")
    desk.when_settled()
    desk.then(e.BatchPaused)
    assert desk.then(e.AttemptsRecalled).attempts == (f"{sub}.1.1",)
    desk.ended("w1", (sub, 1, 1), "recalled")
    desk.when_settled()
    assert desk.starts() == {}
    assert "paused" in desk.reasons(sub, 1)
    other = desk.accepted(1, batch="c")
    desk.when_settled()
    assert desk.starts() == {"w1": [(other, 0, 1)]}
    desk.given(e.BatchResumeRequested(batch="b"), "ada")
    desk.ended("w1", (sub, 0, 1))
    desk.when_settled()
    assert (sub, 1, 2) in desk.starts()["w1"]


def test_a_frozen_batch_pauses_what_runs_and_resumes_it(desk):
    sub = running(desk, size=1)
    desk.given(e.BatchPauseRequested(batch="b", freeze=True), "ada")
    desk.when_settled()
    assert desk.then(e.AttemptsSignalled).wanted == "pause"
    desk.given(e.BatchResumeRequested(batch="b"), "ada")
    desk.when_settled()
    thaw = desk.then(e.AttemptsSignalled)
    assert (thaw.attempts, thaw.wanted) == ((f"{sub}.0.1",), "run")
    assert desk.when_decided() == []


def test_what_its_user_paused_stays_paused_through_a_freeze(desk):
    sub = running(desk, size=1)
    desk.given(e.SignalRequested(tasks=desk.tasks(sub, 0), signal="pause"), "ada")
    desk.when_settled()
    desk.given(e.BatchPauseRequested(batch="b", freeze=True), "ada")
    desk.given(e.BatchResumeRequested(batch="b"), "ada")
    desk.when_settled()
    assert desk.every(e.AttemptsSignalled) == []
    assert "paused" in desk.reasons(sub, 0)


def test_resuming_what_is_not_paused_is_refused(desk):
    desk.given(e.BatchResumeRequested(batch="b"), "ada")
    desk.when_settled()
    desk.then(e.RequestRefused)


def test_wishes_that_come_together_are_answered_as_if_one_after_the_other(desk):
    sub = desk.accepted(2)
    desk.given(e.BatchPauseRequested(batch="b"), "ada")
    desk.given(e.BatchResumeRequested(batch="b"), "ada")
    desk.given(e.CancelRequested(tasks=desk.tasks(sub, 0)), "ada")
    desk.given(e.RetryRequested(tasks=desk.tasks(sub, 0)), "ada")
    desk.given(e.WorkerPauseRequested(), "ada")
    desk.when_settled()
    desk.then(e.BatchResumed)
    desk.then(e.TasksRetried)
    assert "no worker is known" in desk.then(e.RequestRefused).reason
    desk.worker("w1", slots=2)
    desk.when_settled()
    assert desk.starts() == {"w1": [(sub, 0, 1), (sub, 1, 1)]}


def test_a_task_that_failed_as_its_cancel_came_is_cancelled_and_nothing_else_in_that_turn(desk):
    sub = running(desk, size=1, spec=TaskSpec(command=("false",), retries=3))
    desk.ended("w1", (sub, 0, 1), "failed", "exit", code=1)
    desk.given(e.CancelRequested(tasks=desk.tasks(sub, 0)), "ada")
    desk.when_decided()
    assert [type(event) for event, _ in desk.decided] == [e.TasksCancelled]
