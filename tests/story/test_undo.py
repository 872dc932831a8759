"""Undo: the opposite of what a wish changed is appended, as far as it still applies; an undo can be undone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.story.conftest import Desk

from longshore_common import events as e
from longshore_common.ids import TaskRange
from longshore_common.model import Array, Change, Policy, Retention, Share, Specs, Substitution, TaskSpec
from longshore_dispatcher.core import edits, snapshot


def wished(desk, event, user="ada"):
    request = desk.given(event, user)
    desk.when_settled()
    return request


def undone(desk, request=0, user="ada"):
    return wished(desk, e.UndoRequested(request=request), user)


def settings_of(desk):
    state = desk.state
    workers = {
        name: (w.paused, w.drain, w.concurrency, w.prefetch, w.prefetch_percent, w.batch)
        for name, w in state.workers.items()
    }
    return state.batches, state.shares, state.policy, state.retention, workers


SETTINGS = [
    e.BatchPauseRequested(batch="b"),
    e.BatchPauseRequested(batch="b", freeze=True),
    e.BatchRetentionRequested(batch="b", retention=Retention(logs=5)),
    e.ShareRequested(kind="batch", name="b", weight=3),
    e.PolicyRequested(policy=Policy(half_life=5)),
    e.WorkerPauseRequested(workers=("w1",), drain=True),
    e.WorkerPauseRequested(),
    e.WorkerResizeRequested(workers=("w1", "w2"), concurrency=7),
    e.WorkerMoveRequested(batch="x", workers=("w2",)),
]


@pytest.mark.parametrize("event", SETTINGS, ids=lambda event: type(event).__name__)
def test_a_setting_is_what_it_was_and_again_what_it_became(desk, event):
    desk.worker("w1", slots=2)
    desk.worker("w2", slots=3, batch="y")
    before = snapshot.msgspec.json.encode([str(settings_of(desk))])
    request = wished(desk, event)
    after = snapshot.msgspec.json.encode([str(settings_of(desk))])
    assert before != after
    second = undone(desk, request)
    assert snapshot.msgspec.json.encode([str(settings_of(desk))]) == before
    undone(desk, second)
    assert snapshot.msgspec.json.encode([str(settings_of(desk))]) == after
    assert not desk.state.wishes
    assert not desk.every(e.RequestRefused)


def test_without_a_number_the_last_one_is_undone_and_then_the_one_before(desk):
    desk.worker("w1", slots=1)
    wished(desk, e.WorkerResizeRequested(concurrency=2))
    wished(desk, e.WorkerResizeRequested(concurrency=3))
    wished(desk, e.BatchPauseRequested(batch="b"), "bob")
    undone(desk)
    assert desk.state.workers["w1"].concurrency == 2
    undone(desk)
    assert desk.state.workers["w1"].concurrency == 1
    undone(desk)
    assert "you have none" in desk.then(e.RequestRefused).reason
    assert desk.state.batches["b"].paused


def test_what_was_set_again_since_stays(desk):
    desk.worker("w1", slots=1)
    first = wished(desk, e.WorkerResizeRequested(concurrency=2))
    wished(desk, e.WorkerResizeRequested(concurrency=3))
    undone(desk, first)
    assert "worker w1 was changed again since" in desk.then(e.RequestRefused).reason
    assert desk.state.workers["w1"].concurrency == 3


def test_a_cancel_is_undone_for_those_it_cancelled_and_held_ones_are_held_again(desk):
    desk.worker("w1", slots=1, prefetch=0)
    sub = desk.accepted(4)
    desk.when_settled()
    desk.moved("w1", "running", (sub, 0, 1))
    wished(desk, e.SignalRequested(tasks=desk.tasks(sub, 3), signal="pause"))
    wished(desk, e.CancelRequested(tasks=desk.tasks(sub, 1)))
    request = wished(desk, e.CancelRequested(batch="b"))
    waiting = undone(desk, request)
    assert waiting in desk.state.wishes, "the running one is still being stopped"
    desk.ended("w1", (sub, 0, 1), "cancelled")
    desk.when_settled()
    assert desk.state_of(sub, 1) == "cancelled", "by another wish"
    assert desk.state_of(sub, 3) == "waiting"
    assert desk.states(sub, [0, 2]) == ["assigned", "queued"]
    assert not desk.state.wishes


def test_an_undone_cancel_runs_anew_what_ran(desk):
    desk.worker("w1", slots=1, prefetch=0)
    sub = desk.accepted(1)
    desk.when_settled()
    desk.moved("w1", "running", (sub, 0, 1))
    request = wished(desk, e.CancelRequested(batch="b"))
    desk.ended("w1", (sub, 0, 1), "cancelled")
    desk.when_settled()
    assert sub in desk.state.closed
    undone(desk, request)
    assert desk.starts() == {"w1": [(sub, 0, 2)]}


def test_an_undone_retry_leaves_the_state_before_it(desk):
    desk.worker("w1", slots=3, prefetch=0)
    sub = desk.accepted(4)
    desk.when_settled()
    wished(desk, e.CancelRequested(tasks=desk.tasks(sub, 3)))
    for index in range(3):
        desk.ended("w1", (sub, index, 1), "failed" if index else "succeeded", "exit" if index else None, code=index)
    desk.when_settled()
    wished(desk, e.BatchPauseRequested(batch="b"))
    before = desk.states(sub, range(4))
    assert before == ["succeeded", "failed", "failed", "cancelled"]
    request = wished(desk, e.RetryRequested(batch="b"))
    assert desk.states(sub, range(4)) == ["succeeded", "queued", "queued", "queued"]
    again = undone(desk, request)
    assert desk.states(sub, range(4)) == before
    assert desk.then(e.TasksFailed).undoes
    undone(desk, again)
    assert desk.states(sub, range(4)) == ["succeeded", "queued", "queued", "queued"]


def test_what_a_retry_started_already_is_not_undone_and_that_is_told(desk):
    desk.worker("w1", slots=2, prefetch=0)
    sub = desk.accepted(2)
    desk.when_settled()
    for index in range(2):
        desk.ended("w1", (sub, index, 1), "failed", "exit", code=1)
    desk.when_settled()
    wished(desk, e.WorkerResizeRequested(concurrency=1))
    request = wished(desk, e.RetryRequested(batch="b"))
    undone(desk, request)
    assert "1 of these tasks have started" in desk.then(e.RequestRefused).reason
    assert sorted(desk.states(sub, range(2))) == ["assigned", "failed"]


def test_a_release_is_undone_by_holding_again(desk):
    sub = desk.submitted(3, held=True)
    desk.when_settled()
    request = wished(desk, e.RetryRequested(tasks=desk.tasks(sub, 0, 1)))
    assert desk.states(sub, range(3)) == ["queued", "queued", "waiting"]
    undone(desk, request)
    assert desk.states(sub, range(3)) == ["waiting"] * 3


def test_an_undone_pause_of_tasks_lets_them_go_on(desk):
    desk.worker("w1", slots=1, prefetch=0)
    sub = desk.accepted(2)
    desk.when_settled()
    desk.moved("w1", "running", (sub, 0, 1))
    request = wished(desk, e.SignalRequested(tasks=desk.tasks(sub, 0, 1), signal="pause"))
    undone(desk, request)
    assert desk.then(e.AttemptsSignalled).wanted == "run"
    assert desk.state_of(sub, 1) == "queued"


def test_what_cannot_be_undone_is_refused_with_why(desk):
    desk.worker("w1", slots=1)
    sub = desk.accepted(1)
    desk.when_settled()
    desk.moved("w1", "running", (sub, 0, 1))
    care = wished(desk, e.WorkerCareRequested(care="clean"))
    kill = wished(desk, e.SignalRequested(tasks=desk.tasks(sub, 0), signal="kill"))
    pause = wished(desk, e.BatchPauseRequested(batch="b"), "bob")
    nothing = wished(desk, e.BatchPauseRequested(batch="b"), "bob")
    for request, why in (
        (care, "cannot be taken back"), (kill, "cannot be taken back"), (pause, "belongs to bob"),
        (sub, "task cancel"), (9999, "no wish"),
    ):  # fmt: skip
        undone(desk, request)
        assert why in desk.then(e.RequestRefused).reason
    undone(desk, nothing, "bob")
    assert "changed nothing" in desk.then(e.RequestRefused).reason
    undone(desk, pause, "bob")
    undone(desk, pause, "bob")
    assert "undone already" in desk.then(e.RequestRefused).reason


def test_an_edit_is_undone_for_what_has_not_started(desk):
    desk.worker("w1", slots=1, prefetch=1)
    sub = desk.accepted(4, spec=TaskSpec(command=("a",)))
    change = Change(substitutions=(Substitution(field="command", find="a", replace="b"),))
    request = wished(desk, e.EditRequested(change=change, batch="b"))
    desk.moved("w1", "running", (sub, 0, 1))
    undo = undone(desk, request)
    assert desk.then(e.AttemptsRecalled).attempts == (f"{sub}.1.1",)
    assert undo in desk.state.wishes
    desk.ended("w1", (sub, 1, 1), "recalled")
    desk.when_settled()
    assert desk.then(e.TasksEdited).tasks == desk.tasks(sub, 1, 3)
    assert "1 of these tasks have started" in desk.then(e.RequestRefused).reason
    specs = [edits.spec_of(desk.state, desk.state.submissions[sub], k).command for k in range(4)]
    assert specs == [("b",), ("a",), ("a",), ("a",)]


def test_what_is_back_of_what_an_undo_fetches_is_not_handed_out_before_all_is(desk):
    """Else it is fetched for ever: one of them is always on a worker."""
    sub = desk.accepted(2, spec=TaskSpec(command=("old",)))
    request = wished(desk, e.EditRequested(change=Change(set={"command": ["new"]}), tasks=desk.tasks(sub, 0, 1)))
    desk.worker("w1", slots=1, prefetch=0)
    desk.worker("w2", slots=1, prefetch=0)
    desk.when_settled()
    placed = {index: name for name, starts in desk.starts().items() for _, index, _ in starts}
    desk.given(e.UndoRequested(request=request), "ada")
    desk.when_settled()
    desk.ended(placed[0], (sub, 0, 1), "recalled")
    desk.when_settled()
    assert not desk.starts()
    assert desk.state.wishes
    desk.ended(placed[1], (sub, 1, 1), "recalled")
    desk.when_settled()
    assert not desk.state.wishes
    assert sorted(index for starts in desk.starts().values() for _, index, _ in starts) == [0, 1]


def test_a_crash_in_the_midst_of_an_undo_is_healed(desk):
    desk.worker("w1", slots=1)
    desk.worker("w2", slots=2)
    request = wished(desk, e.WorkerResizeRequested(concurrency=9))
    undo = desk.given(e.UndoRequested(request=request), "ada")
    first, *_ = desk.when_decided()
    desk.given(*first)  # and a crash
    assert undo in desk.state.wishes
    desk.when_settled()
    assert [worker.concurrency for worker in desk.state.workers.values()] == [1, 2]
    assert not desk.state.wishes


def test_only_the_last_thousand_wishes_are_remembered(desk):
    desk.worker("w1", slots=1)
    first = wished(desk, e.WorkerResizeRequested(concurrency=2))
    for k in range(1001):
        desk.given(
            e.WorkerResized(concurrency=k, request=desk.given(e.WorkerResizeRequested(concurrency=k), "ada")), "w1"
        )
    assert len(desk.state.deeds) == 1000
    undone(desk, first)
    assert "too long ago" in desk.then(e.RequestRefused).reason


# --- edits and undo are inverses ----------------------------------------------------------------------------------------

CHANGES = st.sampled_from(
    [
        Change(set={"cpus": 2}),
        Change(set={"cpus": 4, "memory": 1 << 30}),
        Change(set={"container": "alpine"}),
        Change(set={"env.A": "1"}),
        Change(set={"memory": None, "output": "file:///o/{index}"}),
        Change(substitutions=(Substitution(field="command", find="a", replace="bb"),)),
        Change(substitutions=(Substitution(field="command", find="b", replace="a"),)),
    ]
)
RANGES = st.tuples(st.integers(0, 9), st.integers(0, 9)).map(lambda pair: (min(pair), max(pair)))
BODIES = st.sampled_from(
    [
        Array(spec=TaskSpec(command=("a", "b"), memory=1 << 20), size=10),
        Specs(specs=tuple(TaskSpec(command=("a", f"b{k}"), cpus=(k % 3) / 2, memory=k % 2 << 30) for k in range(10))),
    ]
)


def picture(desk, sub):
    """All that an edit may touch: what each task is, where it waits, and what is said of all of them."""
    one = desk.state.submissions[sub]
    places = {
        lot.need: (sorted(lot.fresh.runs), dict(lot.again))
        for lot in one.lots
        if lot.fresh.count or lot.again
    }  # fmt: skip
    lines = {key: dict(line.members) for key, line in desk.state.queue.lines.items()}
    specs = [edits.spec_of(desk.state, one, k) for k in range(one.size)]
    return specs, places, lines, one.memory, one.resources, one.delivers, one.fetches


@settings(max_examples=120, deadline=None, derandomize=True)
@given(BODIES, st.lists(st.tuples(CHANGES, RANGES), min_size=1, max_size=5), st.data())
def test_edits_and_undo_are_inverses(body, steps, data):
    desk = Desk()
    desk.given(e.BatchPauseRequested(batch="b"), "ada")
    sub = desk.submitted(body=body)
    desk.when_settled()
    pictures, requests = [picture(desk, sub)], []
    for change, (lo, hi) in steps:
        requests.append(wished(desk, e.EditRequested(change=change, tasks=(TaskRange(sub, lo, hi),))))
        pictures.append(picture(desk, sub))
    undos = []
    for k in reversed(range(len(requests))):
        undos.append(undone(desk, requests[k]))
        assert picture(desk, sub) == pictures[k]
    for k, undo in zip(range(len(requests)), reversed(undos), strict=True):
        undone(desk, undo)
        assert picture(desk, sub) == pictures[k + 1]
    which = data.draw(st.integers(0, len(requests) - 1))  # not the last one: what came after it stays as it was
    before = picture(desk, sub)
    undo = undone(desk, requests[which])
    undone(desk, undo)
    assert picture(desk, sub) == before
    again = snapshot.from_bytes(snapshot.to_bytes(desk.state))
    assert snapshot.to_bytes(again) == snapshot.to_bytes(desk.state)


def test_a_share_like_any_others_is_restored(desk):
    request = wished(desk, e.ShareRequested(kind="user", name="ada", weight=2, max_running=3))
    wished(desk, e.ShareRequested(kind="user", name="bob", weight=2))
    undone(desk, request)
    assert desk.state.shares == {("user", "bob"): Share(weight=2)}


def test_nothing_is_swept_in_the_turn_that_takes_its_retention_back(desk):
    desk.worker("w1", slots=1)
    request = wished(desk, e.BatchRetentionRequested(batch="b", retention=Retention(logs=20)))
    sub = desk.accepted(1)
    desk.when_settled()
    desk.ended("w1", (sub, 0, 1))
    desk.later(100)  # the logs are due
    desk.given(e.UndoRequested(request=request), "ada")
    desk.when_decided()
    assert desk.then(e.BatchRetentionSet).retention == Retention()
    assert not desk.every(e.SweepOrdered)
    desk.when_settled()
    assert not desk.every(e.SweepOrdered)


def test_outputs_are_swept_where_the_last_attempt_put_them_whatever_was_undone_since(desk):
    desk.worker("w1", slots=1, prefetch=0)
    sub = desk.accepted(2, spec=TaskSpec(command=("x",), output="file:///old/{index}"))
    desk.given(e.BatchPauseRequested(batch="b"), "ada")
    desk.when_settled()
    edit = wished(desk, e.EditRequested(change=Change(set={"output": "file:///new/{index}"}), batch="b"))
    wished(desk, e.BatchResumeRequested(batch="b"))
    for index in range(2):
        desk.moved("w1", "running", (sub, index, 1))
        desk.ended("w1", (sub, index, 1), *(() if index == 0 else ("failed", "exit")), code=index)
        desk.when_settled()
    undone(desk, edit)
    assert desk.then(e.TasksEdited).tasks == desk.tasks(sub, 1), "what succeeded keeps what it was given"
    wished(desk, e.BatchRetentionRequested(batch="b", retention=Retention(outputs=20)))
    desk.later(100)
    desk.when_decided()
    (order,) = desk.then(e.SweepOrdered).orders
    assert (order.spec.output, [start.index for start in order.starts]) == ("file:///new/{index}", [0])
