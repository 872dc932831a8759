"""Edits of tasks that have not started, by whoever submitted them: what changes, what is fetched back first, what does not."""

import msgspec
import pytest

from longshore_common import events as e
from longshore_common.ids import TaskRange
from longshore_common.model import Change, HostFacts, Specs, Substitution, TaskSpec
from longshore_dispatcher.core import edits, questions, snapshot


def words(find, replace, field="command"):
    return Change(substitutions=(Substitution(field=field, find=find, replace=replace),))


def orders(desk):
    """(submission, index, n) -> spec of all that was just decided to be assigned."""
    return {
        (order.submission, start.index, start.n): order.spec
        for event in desk.every(e.AttemptsAssigned)
        for order in event.orders
        for start in order.starts
    }


def edited(desk, change, *tasks, batch=None, user="ada"):
    request = desk.given(e.EditRequested(change=change, tasks=tuple(tasks), batch=batch), user)
    desk.when_settled()
    return request


def test_queued_tasks_of_an_array_run_what_the_edit_made_of_them(desk):
    sub = desk.accepted(10, spec=TaskSpec(command=("sort", "a")))
    request = edited(desk, words("a", "b"), TaskRange(sub, 2, 4))
    event = desk.then(e.TasksEdited)
    assert (event.tasks, event.request, event.more) == (desk.tasks(sub, 2, 4), request, False)
    assert not desk.state.wishes
    desk.worker("w1", slots=20)
    desk.when_settled()
    found = orders(desk)
    assert [index for (_, index, _), spec in found.items() if spec.command == ("sort", "b")] == [2, 3, 4]
    assert len(found) == 10
    assert len(desk.then(e.AttemptsAssigned).orders) == 2, "those that are alike share an order"


def test_later_edits_come_on_top_of_earlier_ones(desk):
    sub = desk.accepted(3, spec=TaskSpec(command=("a",)))
    edited(desk, words("a", "b"), TaskRange(sub, 0, 1))
    edited(desk, words("b", "c"), TaskRange(sub, 1, 2))
    assert desk.then(e.TasksEdited).tasks == desk.tasks(sub, 1)
    assert desk.then(e.TasksEdited).note.startswith("1 are so already")
    desk.worker("w1", slots=3)
    desk.when_settled()
    assert [spec.command[0] for spec in orders(desk).values()] == ["b", "c", "a"]


def test_what_asks_for_more_moves_to_hosts_that_have_it(desk):
    desk.worker("small", slots=9, facts=HostFacts(cpus=2, memory=4 << 30))
    desk.worker("large", slots=9, facts=HostFacts(cpus=32, memory=64 << 30))
    desk.given(e.BatchPauseRequested(batch="b"), "ada")
    sub = desk.submitted(4, spec=TaskSpec(command=("x",), cpus=1))
    desk.when_settled()
    edited(desk, Change(set={"cpus": 8}), TaskRange(sub, 1, 2))
    desk.given(e.BatchResumeRequested(batch="b"), "ada")
    desk.when_settled()
    big = [start for start in desk.starts().get("large", []) if start[1] in (1, 2)]
    assert [index for _, index, _ in big] == [1, 2]
    assert not [start for start in desk.starts().get("small", []) if start[1] in (1, 2)]


def test_what_is_handed_out_and_does_not_run_is_fetched_back_and_edited(desk):
    desk.worker("w1", slots=1, prefetch=1)
    sub = desk.accepted(3, spec=TaskSpec(command=("a",)))
    desk.when_settled()
    desk.moved("w1", "running", (sub, 0, 1))
    request = edited(desk, words("a", "b"), TaskRange(sub, 0, 2))
    assert desk.then(e.AttemptsRecalled).attempts == (f"{sub}.1.1",)
    first = desk.then(e.TasksEdited)
    assert (first.tasks, first.more) == (desk.tasks(sub, 2), True)
    assert request in desk.state.wishes
    desk.ended("w1", (sub, 1, 1), "recalled")
    desk.when_settled()
    last = desk.then(e.TasksEdited)
    assert (last.tasks, last.more) == (desk.tasks(sub, 1), False)
    assert "1 run already" in last.note
    assert {spec.command for spec in orders(desk).values()} == {("b",)}


def test_what_is_on_a_worker_when_an_edit_is_told_keeps_its_spec_and_is_judged_by_it(desk):
    """Whoever wrote the event may not have known that it had been handed out meanwhile."""
    desk.worker("w1", slots=1, prefetch=0)
    sub = desk.accepted(2, spec=TaskSpec(command=("old",)))
    desk.when_settled()
    desk.moved("w1", "running", (sub, 0, 1))
    desk.given(e.TasksEdited(tasks=desk.tasks(sub, 0, 1), change=Change(set={"command": ["new"], "retries": 3})))
    commands = [edits.spec_of(desk.state, desk.state.submissions[sub], k).command for k in range(2)]
    assert commands == [("old",), ("new",)]
    desk.ended("w1", (sub, 0, 1), "failed", cause="exit", code=1)
    desk.when_settled()
    assert desk.state_of(sub, 0) == "failed"


def test_what_an_edit_does_not_change_is_not_fetched_back_for_it(desk):
    """Else it is fetched, handed out as it was, and fetched again, for ever."""
    desk.worker("w1", slots=1, prefetch=1)
    sub = desk.accepted(2, spec=TaskSpec(command=("same",)))
    desk.when_settled()
    same = Substitution(field="command", find="same", replace="same")
    request = desk.given(e.EditRequested(change=Change(substitutions=(same,)), tasks=desk.tasks(sub, 0, 1)), "ada")
    desk.when_settled()
    assert not desk.every(e.AttemptsRecalled)
    assert request not in desk.state.wishes
    assert "2 are so already" in desk.then(e.RequestRefused).reason


def test_one_that_began_to_run_meanwhile_keeps_what_it_was_given(desk):
    desk.worker("w1", slots=1, prefetch=1)
    sub = desk.accepted(2, spec=TaskSpec(command=("a",)))
    desk.when_settled()
    desk.moved("w1", "running", (sub, 0, 1))
    edited(desk, words("a", "b"), TaskRange(sub, 1, 1))
    assert not desk.every(e.TasksEdited)
    desk.moved("w1", "running", (sub, 1, 1))
    desk.when_settled()
    assert "1 run already" in desk.then(e.RequestRefused).reason
    assert not desk.state.wishes


def test_one_lost_with_its_worker_is_edited_when_it_is_queued_again(desk):
    desk.worker("w1", slots=1, prefetch=0)
    sub = desk.accepted(1, spec=TaskSpec(command=("a",)))
    desk.when_settled()
    edited(desk, words("a", "b"), TaskRange(sub, 0, 0))
    desk.silent = ("w1",)
    desk.when_settled()
    desk.silent = ()
    assert desk.then(e.TasksEdited).tasks == desk.tasks(sub, 0)
    desk.worker("w2")
    desk.when_settled()
    assert orders(desk) == {(sub, 0, 2): TaskSpec(command=("b",))}


def test_failed_tasks_are_edited_so_that_a_retry_runs_the_new_command(desk):
    desk.worker("w1", slots=2)
    sub = desk.accepted(2, spec=TaskSpec(command=("a",)))
    desk.when_settled()
    desk.ended("w1", (sub, 0, 1), "failed", "exit", code=1)
    desk.ended("w1", (sub, 1, 1))
    desk.when_settled()
    assert sub in desk.state.closed
    edited(desk, words("a", "b"), batch="b")
    assert desk.then(e.TasksEdited).tasks == desk.tasks(sub, 0)
    assert "1 have ended" in desk.then(e.TasksEdited).note
    desk.given(e.RetryRequested(batch="b"), "ada")
    desk.when_settled()
    assert orders(desk) == {(sub, 0, 2): TaskSpec(command=("b",))}


def test_different_tasks_are_edited_each_by_its_own(desk):
    specs = tuple(TaskSpec(command=("run", f"s{k}.txt"), cpus=k % 2) for k in range(50))
    sub = desk.accepted(50, body=Specs(specs=specs))
    edited(desk, Change(set={"cpus": 3}, substitutions=words(".txt", ".csv").substitutions), TaskRange(sub, 10, 49))
    desk.worker("w1", slots=100, facts=HostFacts(cpus=1000, memory=1))
    desk.when_settled()
    ran = {index: spec for (_, index, _), spec in orders(desk).items()}
    assert all(ran[k] == TaskSpec(command=("run", f"s{k}.csv"), cpus=3) for k in range(10, 50))
    assert all(ran[k] == specs[k] for k in range(10))


def test_very_many_different_tasks_are_edited_some_per_turn_by_one_wish(desk):
    specs = tuple(TaskSpec(command=("run", f"a{k}")) for k in range(2500))
    sub = desk.accepted(2500, body=Specs(specs=specs))
    edited(desk, words("a", "b"), TaskRange(sub, 0, 2499))
    events = desk.every(e.TasksEdited)
    assert [event.more for event in events] == [True, True, False]
    assert sum(len(run) for event in events for run in event.tasks) == 2500


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (Change(set={"comand": ["x"]}), "command"),
        (Change(set={"cpus": -1}), "cpus is -1"),
        (Change(set={"cpus": "many"}), "does not fit"),
        (Change(set={"command": []}), "empty"),
        (Change(substitutions=(Substitution(field="inputs", find="s3://b/in"),)), "empty"),
        (Change(), "changes nothing"),
    ],
)
def test_an_edit_that_would_spoil_a_task_is_refused_with_the_reason(desk, change, why):
    sub = desk.accepted(2, spec=TaskSpec(command=("x",), inputs=("s3://b/in",)))
    edited(desk, change, TaskRange(sub, 0, 1))
    assert not desk.every(e.TasksEdited)
    assert why in desk.then(e.RequestRefused).reason


def test_others_tasks_and_what_is_so_already_are_not_edited(desk):
    mine, theirs = desk.accepted(1, batch="b"), desk.accepted(1, batch="b", user="bob")
    edited(desk, words("true", "false"), TaskRange(mine, 0, 0), TaskRange(theirs, 0, 0))
    assert desk.then(e.TasksEdited).tasks == desk.tasks(mine, 0)
    assert "belongs to bob" in desk.then(e.RequestRefused).reason
    edited(desk, words("true", "false"), TaskRange(mine, 0, 0))
    assert "are so already" in desk.then(e.RequestRefused).reason


def test_an_edit_survives_a_snapshot_and_the_end_of_its_submission(desk):
    sub = desk.accepted(3, spec=TaskSpec(command=("a",), cpus=1))
    edited(desk, Change(set={"cpus": 2, "command": ["b"]}), TaskRange(sub, 1, 1))
    kept = snapshot.to_bytes(desk.state)
    desk.state = snapshot.from_bytes(kept)
    assert snapshot.to_bytes(desk.state) == kept
    desk.worker("w1", slots=3)
    desk.when_settled()
    assert orders(desk)[(sub, 1, 1)] == TaskSpec(command=("b",), cpus=2)
    for index in range(3):
        desk.ended("w1", (sub, index, 1), "failed", "exit", code=1)
    desk.when_settled()
    desk.given(e.RetryRequested(tasks=desk.tasks(sub, 1)), "ada")
    desk.when_settled()
    assert orders(desk) == {(sub, 1, 2): TaskSpec(command=("b",), cpus=2)}


def test_the_users_word_on_memory_counts_more_than_what_was_measured(desk):
    desk.worker("w1", slots=1)
    sub = desk.accepted(1, spec=TaskSpec(command=("a",), memory=1 << 30, retries=2))
    desk.when_settled()
    desk.given(e.BatchPauseRequested(batch="b"), "ada")
    desk.when_settled()
    desk.ended("w1", (sub, 0, 1), "failed", "oom")
    desk.when_settled()
    assert desk.state.submissions[sub].memory
    request = edited(desk, Change(set={"memory": 4 << 30}), TaskRange(sub, 0, 0))
    assert not desk.state.submissions[sub].memory
    desk.given(e.UndoRequested(request=request), "ada")
    desk.when_settled()
    assert desk.state.submissions[sub].memory
    desk.given(e.UndoRequested(request=desk.state.seq - 1), "ada")
    desk.when_settled()
    desk.given(e.BatchResumeRequested(batch="b"), "ada")
    desk.when_settled()
    (start,) = desk.then(e.AttemptsAssigned).orders[0].starts
    assert (start.memory, desk.then(e.AttemptsAssigned).orders[0].spec.memory) == (0, 4 << 30)


def test_ended_tasks_are_deleted_and_restored_and_no_retry_finds_them_meanwhile(desk):
    desk.worker("w1", slots=2)
    sub = desk.accepted(2)
    desk.when_settled()
    desk.given(e.DeleteRequested(batch="b"), "ada")
    desk.when_settled()
    assert "2 of these tasks have not ended" in desk.then(e.RequestRefused).reason
    desk.ended("w1", (sub, 0, 1), "failed", "exit", code=1)
    desk.ended("w1", (sub, 1, 1))
    desk.when_settled()
    request = desk.given(e.DeleteRequested(batch="b"), "ada")
    desk.when_settled()
    gone = desk.then(e.TasksDeleted)
    assert (gone.tasks, gone.user, gone.restored) == (desk.tasks(sub, 0, 1), "ada", False)
    desk.given(e.RetryRequested(batch="b"), "ada")
    desk.when_settled()
    assert "nothing to retry" in desk.then(e.RequestRefused).reason
    desk.given(e.UndoRequested(request=request), "ada")
    desk.when_settled()
    assert desk.then(e.TasksDeleted).restored
    desk.given(e.RetryRequested(batch="b"), "ada")
    desk.when_settled()
    assert desk.starts() == {"w1": [(sub, 0, 2)]}


def test_what_was_forgotten_long_ago_can_be_deleted_but_nothing_of_others(desk):
    for _ in range(50):
        desk.rubbish("ada", "part")
    desk.given(e.DeleteRequested(tasks=(TaskRange(7, 0, 5),)), "ada")
    desk.when_settled()
    assert desk.then(e.TasksDeleted).tasks == (TaskRange(7, 0, 5),)
    theirs = desk.accepted(1, user="bob")
    desk.given(e.DeleteRequested(tasks=desk.tasks(theirs, 0)), "ada")
    desk.when_settled()
    assert "belongs to bob" in desk.then(e.RequestRefused).reason


def test_a_worker_is_moved_and_what_waits_there_of_its_old_batch_goes_to_others(desk):
    desk.worker("w1", slots=1, prefetch=1)
    sub = desk.accepted(2, batch="old")
    desk.when_settled()
    desk.moved("w1", "running", (sub, 0, 1))
    desk.given(e.WorkerMoveRequested(batch="new", workers=("w1", "w9")), "ada")
    desk.when_settled()
    assert desk.then(e.AttemptsRecalled).attempts == (f"{sub}.1.1",)
    assert desk.to("w1")[-1].batch == "new"
    assert "w9" in desk.then(e.RequestRefused).reason
    desk.ended("w1", (sub, 1, 1), "recalled")
    new = desk.accepted(1, batch="new")
    desk.ended("w1", (sub, 0, 1))
    desk.when_settled()
    assert desk.starts() == {"w1": [(new, 0, 1)]}
    assert desk.state_of(sub, 1) == "queued"


def test_a_worker_that_joins_before_it_read_that_it_was_moved_is_moved_all_the_same(desk):
    desk.worker("w1", batch="old")
    desk.given(e.WorkerMoveRequested(batch="new", workers=("w1",)), "ada")
    desk.when_settled()
    desk.worker("w1", batch="old", life=2, handled=0)
    assert desk.state.workers["w1"].batch == "new"
    desk.worker("w1", batch="mine", life=3, handled=desk.state.seq)
    assert desk.state.workers["w1"].batch == "mine"


def test_pausing_holds_what_waits_and_freezes_what_runs(desk):
    desk.worker("w1", slots=1, prefetch=0)
    sub = desk.accepted(3)
    desk.when_settled()
    desk.moved("w1", "running", (sub, 0, 1))
    desk.given(e.SignalRequested(tasks=desk.tasks(sub, 0, 1), signal="pause"), "ada")
    desk.when_settled()
    assert desk.then(e.AttemptsSignalled).attempts == (f"{sub}.0.1",)
    assert desk.then(e.TasksHeld).tasks == desk.tasks(sub, 1)
    assert desk.states(sub, range(3)) == ["running", "waiting", "queued"]
    desk.given(e.SignalRequested(tasks=desk.tasks(sub, 0, 2), signal="continue"), "ada")
    desk.when_settled()
    assert desk.then(e.AttemptsSignalled).wanted == "run"
    assert desk.then(e.TasksRetried).tasks == desk.tasks(sub, 1)


def test_a_batch_is_killed_at_once(desk):
    desk.worker("w1", slots=1, prefetch=0)
    sub = desk.accepted(2)
    desk.when_settled()
    desk.moved("w1", "running", (sub, 0, 1))
    desk.given(e.CancelRequested(batch="b", kill=True), "ada")
    desk.when_settled()
    assert desk.then(e.AttemptsSignalled).wanted == "kill"
    desk.ended("w1", (sub, 0, 1), "cancelled")
    desk.when_settled()
    assert desk.states(sub, range(2)) == ["cancelled", "cancelled"]


def previewed(desk, event, user="ada"):
    asked = msgspec.json.encode({"kind": "preview", "user": user, "body": {"wish": event}})
    seq = desk.state.seq
    answer = msgspec.json.decode(questions.answer(desk.state, asked, desk.now))
    assert desk.state.seq == seq
    assert not desk.state.wishes
    return {one["text"]: one["count"] for one in answer.get("outcomes", ())}, answer


def test_a_preview_tells_what_an_edit_would_do_and_appends_nothing(desk):
    desk.worker("w1", slots=1, prefetch=1)
    sub = desk.accepted(5, spec=TaskSpec(command=("sort", "a")))
    desk.when_settled()
    desk.moved("w1", "running", (sub, 0, 1))
    wish = e.EditRequested(change=words("a", "b"), batch="b")
    outcomes, answer = previewed(desk, wish)
    assert list(outcomes.values()) == [3, 1, 1]
    assert answer["samples"][0]["task"] == f"{sub}.2"
    assert answer["samples"][0]["after"]["command"] == ["sort", "b"]
    assert "no field" in previewed(desk, e.EditRequested(change=Change(set={"x": 1}), batch="b"))[1]["refused"]
    assert (
        "belongs to ada"
        in previewed(desk, e.EditRequested(change=words("a", "b"), tasks=desk.tasks(sub, 1)), "bob")[1]["refused"]
    )


def test_a_preview_tells_what_cancelling_retrying_and_deleting_would_do(desk):
    desk.worker("w1", slots=1, prefetch=0)
    sub = desk.accepted(3)
    desk.when_settled()
    assert previewed(desk, e.CancelRequested(batch="b"))[0] == {
        "attempts would be told to stop": 1, "would be cancelled at once": 2,
    }  # fmt: skip
    assert "nothing to retry" in previewed(desk, e.RetryRequested(batch="b"))[1]["refused"]
    assert "not ended" in previewed(desk, e.DeleteRequested(tasks=desk.tasks(sub, 0)))[1]["refused"]
