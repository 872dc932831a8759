"""Outputs, logs and the rest are removed when their time is over: by whom, what of it, once, and not before."""

import pytest

from longshore_common import events as e
from longshore_common.model import Array, Retention, Specs, TaskSpec
from longshore_dispatcher.core import snapshot

DAY = 86_400
OUT = TaskSpec(command=("true",), output="s3://b/{index}/", inputs=("s3://b/in",))


def keep(desk, batch="b", **times):
    desk.given(e.BatchRetentionRequested(batch=batch, retention=Retention(**times)), "ada")
    desk.when_settled()
    return desk.then(e.BatchRetentionSet)


def ended(desk, size=1, *, spec=OUT, worker="w1", **more):
    """A submission whose tasks all succeeded on w1."""
    sub = desk.accepted(size, spec=spec, **more)
    desk.when_settled()
    for index in range(size):
        desk.ended(worker, (sub, index, 1))
        desk.when_settled()
    return sub


def swept(desk):
    """(worker, what, [(index, n, label)]) of the sweeps just decided."""
    return [
        (name, event.what, [(s.index, s.n, s.label) for order in event.orders for s in order.starts])
        for event, name in desk.decided
        if isinstance(event, e.SweepOrdered)
    ]


def done(desk, worker="w1", **more):
    """The last order to this worker was carried out."""
    order = max(seq for seq, sweep in desk.state.sweeps.items() if sweep.worker == worker)
    desk.given(e.SweepDone(life=1, order=order, removed=1, **more), worker)
    return desk.when_settled()


def test_outputs_go_when_their_time_is_over_and_not_before(desk):
    desk.worker(slots=4)
    keep(desk, outputs=30 * DAY)
    sub = ended(desk, 3)
    desk.later(30 * DAY - 1)
    assert desk.when_settled() == []
    desk.later(2)
    desk.when_settled()
    assert swept(desk) == [("w1", "outputs", [(0, 1, 0), (1, 1, 1), (2, 1, 2)])]
    (order,) = desk.then(e.SweepOrdered).orders
    assert (order.submission, order.spec, order.batch, order.user) == (sub, OUT, "b", "ada")
    assert desk.when_decided() == []
    assert done(desk) == []
    desk.later(365 * DAY)
    assert desk.when_settled() == []


def test_each_kind_has_its_own_time(desk):
    desk.worker()
    keep(desk, outputs=3 * DAY, logs=DAY, inputs=2 * DAY)
    ended(desk)
    found = []
    for _ in range(4):
        desk.later(DAY + 1)
        desk.when_settled()
        found += [what for _, what, _ in swept(desk)]
        if swept(desk):
            done(desk)
    assert found == ["logs", "inputs", "outputs"]
    assert desk.state.residues == {}


def test_a_retention_set_after_the_end_counts_too_for_what_has_outputs(desk):
    desk.worker()
    ended(desk)
    desk.later(DAY)
    keep(desk, outputs=DAY / 2)
    assert [what for _, what, _ in swept(desk)] == ["outputs"]


def test_without_outputs_and_retention_nothing_is_remembered(desk):
    desk.worker()
    ended(desk, spec=TaskSpec(command=("true",)))
    assert desk.state.residues == {}


def test_a_retention_taken_back_keeps_everything(desk):
    desk.worker()
    keep(desk, outputs=DAY)
    ended(desk)
    keep(desk)
    assert desk.state.retention == {}
    desk.later(2 * DAY)
    assert desk.when_settled() == []


@pytest.mark.parametrize("retention", [Retention(outputs=-1), Retention(logs=1e300)])
def test_times_that_are_none_are_refused(desk, retention):
    desk.given(e.BatchRetentionRequested(batch="b", retention=retention), "ada")
    desk.when_settled()
    assert "cannot be kept" in desk.then(e.RequestRefused).reason


def test_many_tasks_are_swept_some_at_a_time_and_a_worker_has_one_order(desk):
    desk.worker("w1", slots=1000, prefetch=0)
    desk.worker("w2", slots=1, prefetch=0)
    desk.given(e.WorkerPauseRequested(workers=("w2",)), "ada")
    keep(desk, outputs=DAY)
    ended(desk, 700)
    desk.later(2 * DAY)
    sizes = []
    desk.when_settled()
    while found := swept(desk):
        ((worker, _, tasks),) = found
        assert worker == "w1"
        sizes.append((tasks[0][0], len(tasks)))
        desk.decided = done(desk)
    assert sizes == [(0, 300), (300, 300), (600, 100)]
    assert desk.state.residues[max(desk.state.residues)].keys == ["inputs", "logs/w1"]


def test_what_a_lost_worker_was_to_remove_another_removes(desk):
    desk.worker("w1")
    keep(desk, outputs=DAY)
    ended(desk)
    desk.later(2 * DAY)
    desk.when_settled()
    desk.worker("w2")
    assert desk.when_settled() == []
    desk.given(e.WorkerLost(reason="silent"), "w1")
    desk.when_settled()
    assert [worker for worker, _, _ in swept(desk)] == ["w2"]


def test_an_order_that_nobody_answers_is_given_again(desk):
    desk.worker()
    keep(desk, outputs=DAY)
    ended(desk)
    desk.later(2 * DAY)
    desk.when_settled()
    desk.later(7 * 3600)
    desk.when_settled()
    assert len(swept(desk)) == 1
    assert len(desk.state.sweeps) == 1


def test_logs_go_on_each_worker_that_ran_any_of_it(desk):
    desk.worker("w1", slots=1, prefetch=0)
    desk.worker("w2", slots=1, prefetch=0)
    desk.worker("w3", slots=1, prefetch=0, batch="other")
    keep(desk, logs=DAY)
    sub = desk.accepted(2)
    desk.when_settled()
    for name, ((_, index, n),) in desk.starts().items():
        desk.ended(name, (sub, index, n))
    desk.later(2 * DAY)
    desk.when_settled()
    assert sorted(swept(desk)) == [(w, "logs", [(0, 1, 0), (1, 1, 1)]) for w in ("w1", "w2")]
    done(desk, "w1")
    assert done(desk, "w2") == []


def test_only_a_worker_that_serves_the_batch_removes_outputs(desk):
    desk.worker("w1")
    keep(desk, outputs=DAY)
    ended(desk)
    desk.given(e.WorkerLeft(life=1), "w1")
    desk.worker("w2", batch="other")
    desk.later(2 * DAY)
    assert desk.when_settled() == []
    desk.worker("w3")
    desk.when_settled()
    assert [worker for worker, _, _ in swept(desk)] == ["w3"]


def failed_and_succeeded(desk):
    """0 fails, 1 succeeds at its second attempt, 2 succeeds at once, 3 is cancelled before it ran."""
    desk.worker(slots=3, prefetch=0)
    sub = desk.accepted(4, spec=OUT)
    desk.when_settled()
    desk.given(e.CancelRequested(tasks=desk.tasks(sub, 3)), "ada")
    desk.ended("w1", (sub, 0, 1), "failed", "exit", code=1)
    desk.ended("w1", (sub, 1, 1), "failed", "host")
    desk.ended("w1", (sub, 2, 1))
    desk.when_settled()
    desk.later(2)
    desk.when_settled()
    desk.ended("w1", (sub, 1, 2))
    desk.when_settled()
    return sub


def test_failed_are_those_that_failed_and_earlier_attempts_of_those_that_succeeded(desk):
    keep(desk, failed=DAY, outputs=2 * DAY, logs=3 * DAY)
    failed_and_succeeded(desk)
    found = {}
    for _ in range(4):
        desk.later(DAY + 1)
        desk.when_settled()
        for _, what, tasks in swept(desk):
            found[what] = [(index, n) for index, n, _ in tasks]
            done(desk)
    assert found == {"failed": [(0, 1), (1, 2)], "outputs": [(1, 2), (2, 1)], "logs": [(0, 1), (1, 2), (2, 1)]}


def test_a_submission_that_runs_again_is_not_swept_until_it_has_ended_again(desk):
    keep(desk, outputs=DAY)
    sub = failed_and_succeeded(desk)
    desk.later(DAY - 10)
    desk.given(e.RetryRequested(tasks=desk.tasks(sub, 0)), "ada")
    desk.when_settled()
    desk.later(20)
    assert desk.when_settled() == []
    desk.ended("w1", (sub, 0, 2))
    desk.when_settled()
    desk.later(DAY + 1)
    desk.when_settled()
    assert swept(desk) == [("w1", "outputs", [(0, 2, 0), (1, 2, 1), (2, 1, 2)])]


def test_what_could_not_be_removed_is_tried_again_a_few_times(desk):
    desk.worker()
    keep(desk, outputs=DAY)
    ended(desk)
    desk.later(2 * DAY)
    desk.when_settled()
    orders = 1
    for _ in range(20):
        if desk.state.sweeps:
            assert done(desk, left=(("s3://b/0/", "503"),)) == []
        desk.later(3600 * 12)
        desk.when_settled()
        orders += len(swept(desk))
    assert orders == 6
    assert "outputs" not in next(iter(desk.state.residues.values())).keys


def test_answers_to_orders_that_are_over_or_anothers_change_nothing(desk):
    desk.worker("w1")
    desk.worker("w2")
    keep(desk, outputs=DAY)
    ended(desk, worker="w1")
    desk.later(2 * DAY)
    desk.when_settled()
    (order,) = desk.state.sweeps
    before = snapshot.to_bytes(desk.state)
    desk.given(e.SweepDone(life=1, order=order), "w2")
    desk.given(e.SweepDone(life=1, order=order + 1000), "w1")
    desk.state.seq, desk.state.at = snapshot.from_bytes(before).seq, snapshot.from_bytes(before).at
    assert snapshot.to_bytes(desk.state) == before


def test_different_tasks_and_entries_are_told_as_they_were_submitted(desk):
    desk.worker(slots=8)
    keep(desk, outputs=DAY)
    a, b = (TaskSpec(command=(c,), output=f"s3://b/{c}/") for c in "ab")
    specs = desk.submitted(body=Specs(specs=(a, a, b)))
    array = desk.submitted(body=Array(spec=OUT, size=2, start=5, step=2, entries=("x", "y")))
    desk.when_settled()
    for sub, size in ((specs, 3), (array, 2)):
        for index in range(size):
            desk.ended("w1", (sub, index, 1))
            desk.when_settled()
    desk.later(2 * DAY)
    desk.when_settled()
    (first,) = desk.every(e.SweepOrdered)
    assert [(o.spec, [s.index for s in o.starts]) for o in first.orders] == [(a, [0, 1]), (b, [2])]
    (second,) = [event for event, _ in done(desk) if isinstance(event, e.SweepOrdered)]
    assert [(s.label, s.entry) for o in second.orders for s in o.starts] == [(5, "x"), (7, "y")]


def test_what_nobody_wants_to_be_removed_is_forgotten_after_some_days_and_the_rest_is_not(desk):
    desk.worker()
    ended(desk)
    keep(desk, "later", outputs=30 * DAY)
    kept = ended(desk, batch="later")
    desk.later(9 * DAY)
    desk.given(e.LeaderElected(dispatcher="d"), "")
    assert list(desk.state.residues) == [kept]
    desk.later(30 * DAY)
    desk.when_settled()
    assert [event.orders[0].submission for event in desk.every(e.SweepOrdered)] == [kept]


def test_a_snapshot_holds_all_that_sweeps_need(desk):
    desk.worker()
    keep(desk, outputs=DAY)
    ended(desk)
    again = snapshot.from_bytes(snapshot.to_bytes(desk.state))
    assert again.due == desk.state.due
    desk.later(2 * DAY)
    desk.state = again
    desk.when_settled()
    assert len(swept(desk)) == 1


def test_a_large_submission_leaves_little(desk):
    keep(desk, outputs=DAY, logs=DAY)
    desk.worker(slots=100_000, prefetch=0)
    sub = desk.accepted(20_000, spec=OUT)
    desk.when_settled()
    ends = tuple(e.Ended(f"{sub}.{k}.1", "succeeded") for k in range(20_000))
    desk.given(e.AttemptsReported(life=1, n=1, ended=ends), "w1")
    assert len(desk.state.residues[sub].body) < 500


def test_what_a_wish_has_run_again_in_this_very_turn_is_not_swept_in_it(desk):
    keep(desk, inputs=DAY)
    sub = failed_and_succeeded(desk)
    desk.later(DAY + 10)
    desk.given(e.RetryRequested(tasks=desk.tasks(sub, 0)), "ada")
    desk.when_decided()
    desk.then(e.TasksRetried)
    assert swept(desk) == []


@pytest.mark.parametrize("many", [False, True])
def test_resources_that_were_uploaded_go_as_inputs_do(desk, many):
    spec = TaskSpec(command=("true",), resources=("s3://b/.longshore/inputs/x/db/",))
    desk.worker(slots=2)
    keep(desk, inputs=DAY)
    ended(desk, 2, spec=spec, body=Specs(specs=(spec, spec)) if many else None)
    desk.later(DAY + 10)
    desk.when_settled()
    assert [what for _, what, _ in swept(desk)] == ["inputs"]


def test_uploaded_inputs_stay_while_anything_of_their_batch_is_open(desk):
    desk.worker(slots=2)
    keep(desk, inputs=DAY)
    ended(desk)
    other = desk.accepted(1, spec=OUT)
    desk.when_settled()
    desk.later(2 * DAY)
    desk.when_settled()
    assert swept(desk) == []
    desk.ended("w1", (other, 0, 1))
    desk.when_settled()
    assert [what for _, what, _ in swept(desk)] == ["inputs"]
    done(desk)
    desk.later(DAY + 1)
    desk.when_settled()
    assert [what for _, what, _ in swept(desk)] == ["inputs"]


def test_what_is_kept_for_longer_from_now_on_does_not_go_in_the_same_turn(desk):
    desk.worker(slots=4)
    keep(desk, outputs=10)
    ended(desk)
    desk.later(11)
    desk.given(e.BatchRetentionRequested(batch="b", retention=Retention()), "ada")
    desk.when_settled()
    assert swept(desk) == []
