"""What becomes of attempts that end otherwise than by success."""

import pytest

from longshore_common import events as e
from longshore_common.model import TaskSpec
from longshore_dispatcher.core.decide import decide


def begun(desk, retries=0, workers=("w1",), **spec):
    for name in workers:
        desk.worker(name, slots=1, prefetch=0)
    sub = desk.accepted(1, spec=TaskSpec(command=("false",), retries=retries, **spec))
    desk.when_settled()
    (name,) = desk.starts()
    return sub, name


def test_success_settles_the_task_without_a_verdict(desk):
    sub, name = begun(desk)
    desk.ended(name, (sub, 0, 1))
    assert desk.when_settled() == []
    assert desk.state_of(sub) == "succeeded"


@pytest.mark.parametrize("cause", ["exit", "oom", "timeout-running"])
def test_its_own_failures_spend_its_retries(desk, cause):
    sub, name = begun(desk, retries=1)
    desk.ended(name, (sub, 0, 1), "failed", cause, "it broke", code=1)
    desk.when_settled()
    assert desk.then(e.TasksRequeued).tasks[0].cause == cause
    assert desk.starts() == {name: [(sub, 0, 2)]}
    desk.ended(name, (sub, 0, 2), "failed", cause, "it broke", code=1)
    desk.when_settled()
    assert desk.then(e.TasksFailed).cause == cause
    assert desk.then(e.TasksFailed).reason == "it broke"
    assert desk.state_of(sub) == "failed"


def test_infrastructure_does_not_spend_its_retries_and_waits_longer_each_time(desk):
    sub, name = begun(desk)
    waits = []
    for n in range(1, 11):
        desk.ended(name, (sub, 0, n), "failed", "host", "disk unplugged")
        desk.when_settled()
        (verdict,) = desk.then(e.TasksRequeued).tasks
        waits.append(verdict.not_before - desk.now)
        assert desk.starts() == {}
        assert "tried again" in desk.reasons(sub)
        desk.later(waits[-1])
        desk.when_settled()
        assert desk.starts() == {name: [(sub, 0, n + 1)]}
    assert waits[:3] == [1, 2, 4]
    assert max(waits) <= 300
    desk.ended(name, (sub, 0, 11), "failed", "host", "disk unplugged")
    desk.when_settled()
    assert desk.then(e.TasksFailed) == e.TasksFailed(tasks=desk.tasks(sub, 0), cause="host", reason="disk unplugged")


def test_what_no_host_and_no_time_can_mend_is_not_tried_again(desk):
    sub, name = begun(desk, retries=5)
    end = e.Ended(f"{sub}.0.1", "failed", None, "stage-in", "there is no such object", definite=True)
    desk.given(e.AttemptsReported(life=1, n=1, ended=(end,)), name)
    desk.when_settled()
    assert desk.then(e.TasksFailed) == e.TasksFailed(
        tasks=desk.tasks(sub, 0), cause="stage-in", reason="there is no such object"
    )


def test_outputs_that_cannot_be_delivered_do_not_run_the_command_for_ever(desk):
    sub, name = begun(desk, output="s3://no-such-bucket/x")
    for n in range(1, 4):
        desk.ended(name, (sub, 0, n), "failed", "stage-out", "no such bucket")
        desk.when_settled()
        desk.later(300)
        desk.when_settled()
    desk.ended(name, (sub, 0, 4), "failed", "stage-out", "no such bucket")
    desk.when_settled()
    assert desk.then(e.TasksFailed).cause == "stage-out"


def test_a_missing_input_is_not_tried_for_long(desk):
    sub, name = begun(desk)
    for n in range(1, 4):
        desk.ended(name, (sub, 0, n), "failed", "stage-in", "no such file")
        desk.when_settled()
        desk.later(60)
        desk.when_settled()
    desk.ended(name, (sub, 0, 4), "failed", "stage-in", "no such file")
    desk.when_settled()
    assert desk.then(e.TasksFailed).cause == "stage-in"


def test_the_host_that_failed_it_is_avoided_while_there_is_another(desk):
    sub, name = begun(desk, workers=("w1", "w2"))
    other = {"w1": "w2", "w2": "w1"}[name]
    desk.ended(name, (sub, 0, 1), "failed", "host")
    desk.when_settled()
    desk.later(1)
    desk.when_settled()
    assert desk.starts() == {other: [(sub, 0, 2)]}


def test_the_host_that_failed_it_is_taken_again_if_the_other_stays_busy(desk):
    sub, name = begun(desk, workers=("w1", "w2"))
    desk.accepted(1)
    desk.when_settled()  # the other is busy now
    desk.ended(name, (sub, 0, 1), "failed", "host")
    desk.when_settled()
    desk.later(2)
    desk.when_settled()
    assert desk.starts() == {}
    desk.later(60)
    desk.when_settled()
    assert desk.starts() == {name: [(sub, 0, 2)]}


def test_an_operators_stop_is_final(desk):
    sub, name = begun(desk, retries=5)
    desk.given(e.SignalRequested(tasks=desk.tasks(sub, 0), signal="stop"), "ada")
    desk.when_settled()
    assert desk.then(e.AttemptsSignalled).wanted == "stop"
    desk.ended(name, (sub, 0, 1), "failed", "exit", code=143)
    desk.when_settled()
    assert desk.then(e.TasksFailed).cause == "operator"


def test_a_failure_without_a_cause_counts_by_its_exit_code(desk):
    sub, name = begun(desk)
    desk.ended(name, (sub, 0, 1), "failed", code=3)
    desk.when_settled()
    assert desk.then(e.TasksFailed).cause == "exit"


def test_tasks_of_a_lost_worker_are_queued_again_at_once_and_for_nothing(desk):
    sub, _ = begun(desk)
    desk.silent = ("w1",)
    desk.when_settled()
    desk.then(e.WorkerLost)
    assert desk.then(e.TasksRequeued).tasks[0].cause == "worker-lost"
    desk.silent = ()
    desk.worker("w2")
    desk.when_settled()
    assert desk.starts() == {"w2": [(sub, 0, 2)]}


def test_a_late_report_of_a_lost_worker_changes_nothing(desk):
    sub, name = begun(desk, workers=("w1",))
    desk.silent = (name,)
    desk.when_settled()
    desk.silent = ()
    desk.worker("w2")
    desk.when_settled()
    desk.ended("w1", (sub, 0, 1))
    assert desk.state_of(sub) == "assigned"
    desk.ended("w2", (sub, 0, 1))
    desk.ended("w1", (sub, 0, 2))
    assert desk.state_of(sub) == "assigned"
    desk.ended("w2", (sub, 0, 2))
    assert desk.state_of(sub) == "succeeded"


def test_a_worker_that_returns_is_told_to_kill_what_was_taken_from_it(desk):
    sub, _ = begun(desk)
    desk.silent = ("w1",)
    desk.when_settled()
    desk.silent = ()
    desk.worker("w1", slots=1, prefetch=0, held=[f"{sub}.0.1"], handled=desk.tape.records[-1].seq)
    desk.when_settled()
    killed = desk.then(e.AttemptsSignalled)
    assert (killed.attempts, killed.wanted) == ((f"{sub}.0.1",), "kill")
    assert desk.starts() == {"w1": [(sub, 0, 2)]}
    assert desk.when_decided() == []


def test_a_worker_that_returns_is_told_to_kill_what_it_has_not_even_read(desk):
    sub, _ = begun(desk)
    desk.silent = ("w1",)
    desk.when_settled()
    desk.silent = ()
    desk.worker("w1", slots=1, prefetch=0, handled=0)
    desk.when_settled()
    assert desk.then(e.AttemptsSignalled).attempts == (f"{sub}.0.1",)


def test_a_restarted_agent_keeps_what_it_holds_and_loses_what_it_handled_and_forgot(desk):
    desk.worker(slots=3, prefetch=0)
    sub = desk.accepted(3)
    desk.when_settled()
    assigned = desk.tape.records[-1].seq
    desk.worker(slots=3, prefetch=0, held=[f"{sub}.0.1"], handled=assigned, life=2)
    desk.when_settled()
    assert {t.index for t in desk.then(e.TasksRequeued).tasks} == {1, 2}
    assert desk.state.submissions[sub].tasks[0].n == 1


def test_a_restarted_agent_still_reads_what_it_has_not_handled(desk):
    desk.worker(slots=3, prefetch=0)
    sub = desk.accepted(3)
    desk.when_settled()
    desk.worker(slots=3, prefetch=0, handled=0, life=2)
    assert desk.when_settled() == []
    assert desk.states(sub, range(3)) == ["assigned"] * 3


def test_work_that_reaches_a_worker_after_it_left_is_queued_again(desk):
    desk.worker("w1", slots=1)
    sub = desk.accepted(1)
    desk.when_decided()
    ((event, name),) = desk.decided
    desk.given(e.WorkerLeft(life=1), "w1")
    desk.given(event, name)
    desk.when_settled()
    assert desk.then(e.TasksRequeued).tasks[0].index == 0
    assert desk.state_of(sub) == "queued"


def test_never_for_ever_a_task_that_is_lost_too_often_fails(desk):
    sub, _ = begun(desk)
    for _ in range(101):
        desk.silent = ("w1",)
        desk.when_settled()
        desk.silent = ()
        desk.worker("w1", slots=1, prefetch=0, handled=desk.tape.records[-1].seq)
        desk.when_settled()
    assert desk.state_of(sub) == "failed"


def test_a_back_off_that_a_clock_ahead_gave_is_over_when_the_clock_is_right_again(desk):
    sub, name = begun(desk)
    desk.later(86_400)
    desk.ended(name, (sub, 0, 1), "failed", "host", "disk unplugged")
    desk.when_settled()
    desk.later(-86_400)
    desk.when_settled()
    assert desk.starts() == {name: [(sub, 0, 2)]}
    desk.ended(name, (sub, 0, 2), "failed", "host", "disk unplugged")
    desk.when_settled()
    assert desk.starts() == {}  # that one waits as it should
    assert "tried again" in desk.reasons(sub)


def test_a_back_off_far_ahead_is_found_behind_those_that_still_last(desk):
    names = ("w1", "w2")
    for name in names:
        desk.worker(name, slots=1, prefetch=0)
    sub = desk.accepted(2, spec=TaskSpec(command=("false",)))
    desk.when_settled()
    starts = {attempt: worker for worker, attempts in desk.starts().items() for attempt in attempts}
    desk.later(86_400)
    desk.ended(starts[sub, 0, 1], (sub, 0, 1), "failed", "host", "disk unplugged")
    desk.when_settled()
    desk.later(-86_400)
    desk.ended(starts[sub, 1, 1], (sub, 1, 1), "failed", "host", "disk unplugged")
    desk.when_settled()
    assert [s[1] for attempts in desk.starts().values() for s in attempts] == [0]
    desk.later(1)
    desk.when_settled()
    assert [s[1] for attempts in desk.starts().values() for s in attempts] == [1]


def test_a_clock_behind_that_of_the_log_takes_no_back_off_away(desk):
    sub, name = begun(desk)
    desk.ended(name, (sub, 0, 1), "failed", "host", "disk unplugged")
    ahead = desk.now + 3600
    for event, worker in decide(desk.state, desk.now):
        desk.tape.now = ahead  # so the log stamps it
        desk.given(event, worker)
    desk.tape.now = ahead - 3600
    desk.when_settled()
    assert desk.starts() == {}
    desk.later(1)
    desk.when_settled()
    assert desk.starts() == {name: [(sub, 0, 2)]}
