"""Secrets of users: given to workers in boxes, named by tasks of their owner alone, and waited for with a reason."""

import pytest

from longshore_common import events as e
from longshore_common.model import Change, HostFacts, Request, TaskSpec
from longshore_dispatcher.core import snapshot
from longshore_dispatcher.core.explain import explain

WITH = TaskSpec(command=("true",), secrets=("TOKEN",))


def facts(*secrets, **more):
    return HostFacts(cpus=8, memory=16 << 30, engines=("docker",), secrets=secrets, **more)


def shared(desk, *workers, user="ada", name="TOKEN"):
    boxes = tuple(e.Box(worker, f"for {worker}") for worker in workers)
    wish = desk.given(e.SecretShared(name=name, boxes=boxes), user)
    desk.when_settled()
    return wish


def given(desk):
    return [(name, event) for event, name in desk.decided if isinstance(event, e.SecretGiven)]


def test_each_worker_is_given_its_own_box_also_one_that_is_down_and_an_unknown_one_is_told(desk):
    desk.worker("w1")
    desk.given(e.WorkerEnrolled(worker="w2", public_key="U"), "")
    wish = shared(desk, "w1", "w2", "w9")
    assert [(name, event.owner, event.name, event.box, event.request, event.more) for name, event in given(desk)] == [
        ("w1", "ada", "TOKEN", "for w1", wish, True),
        ("w2", "ada", "TOKEN", "for w2", wish, False),
    ]
    assert "w9" in desk.then(e.RequestRefused).reason
    assert desk.state.wishes == {}
    assert desk.state.secrets == {"ada/TOKEN": {"w1": None, "w2": None}}


def test_an_answer_cut_short_by_a_crash_is_said_again(desk):
    desk.worker("w1")
    desk.worker("w2")
    desk.given(e.SecretShared(name="TOKEN", boxes=(e.Box("w1", "1"), e.Box("w2", "2"))), "ada")
    desk.given(*desk.when_decided()[0])
    assert [name for _, name in desk.when_settled()] == ["w1", "w2"]
    desk.given(e.SecretShared(name="TOKEN"), "ada")
    desk.given(*desk.when_decided()[0])
    assert [name for _, name in desk.when_settled()] == ["w2"]
    assert desk.state.secrets == {}
    assert desk.state.wishes == {}


def test_a_task_goes_only_to_workers_that_say_they_hold_its_secret(desk):
    desk.worker("w1", slots=8, facts=facts())
    desk.worker("w2", slots=1, facts=facts("ada/TOKEN"))
    shared(desk, "w1", "w2")
    sub = desk.accepted(3, spec=WITH)
    desk.when_settled()
    assert {name for name in desk.starts()} == {"w2"}
    assert (sub, 0, 1) in desk.starts()["w2"]
    desk.worker("w1", slots=8, facts=facts("ada/TOKEN"), life=2)
    desk.when_settled()
    assert "w1" in desk.starts()


def test_what_needs_no_secret_goes_anywhere(desk):
    desk.worker("w1", slots=1, prefetch=0, facts=facts("ada/TOKEN"))
    desk.worker("w2", slots=1, prefetch=0, facts=facts())
    desk.accepted(2)
    desk.when_settled()
    assert set(desk.starts()) == {"w1", "w2"}


def test_it_is_said_which_workers_lack_the_secret_and_what_to_do(desk):
    desk.worker("w1", facts=facts())
    desk.worker("w2", facts=facts())
    shared(desk, "w1")
    sub = desk.accepted(1, spec=WITH)
    desk.when_settled()
    assert desk.starts() == {}
    said = desk.reasons(sub)
    assert "0 of 2 workers fit" in said
    assert "1 has not taken the secret TOKEN" in said
    assert "1 lacks the secret TOKEN" in said
    answer = explain(desk.state, f"{sub}.0", "task", desk.now)
    fixes = [part.fix for reason in answer.reasons for part in reason.parts]
    assert "longshore secret share TOKEN, for those that lack it: w2" in fixes
    assert any("log of the agents of w1" in fix for fix in fixes)
    worker = explain(desk.state, "w2", "worker", desk.now)
    assert any("need the secret TOKEN, which it lacks" in reason.text for reason in worker.reasons)


def test_a_secret_that_nobody_has_rejects_the_submission_with_the_command_that_makes_one(desk):
    desk.worker("w1")
    desk.submitted(1, spec=WITH)
    desk.when_settled()
    assert "longshore secret set TOKEN" in desk.then(e.SubmissionRejected).reason


def test_the_secret_of_another_user_is_none_of_mine(desk):
    desk.worker("w1", facts=facts("bob/TOKEN"))
    shared(desk, "w1", user="bob")
    desk.submitted(1, spec=WITH, user="ada")
    desk.when_settled()
    assert "ada has no secret TOKEN" in desk.then(e.SubmissionRejected).reason
    shared(desk, "w1", user="ada")  # of the same name, and not taken yet
    sub = desk.accepted(1, spec=WITH, user="ada")
    desk.when_settled()
    assert desk.starts() == {}
    assert "has not taken the secret TOKEN" in desk.reasons(sub)


def test_a_deleted_secret_is_forgotten_by_all_that_were_given_it_and_tasks_wait_for_another(desk):
    desk.worker("w1", slots=1, prefetch=0, facts=facts("ada/TOKEN"))
    desk.worker("w2", slots=0, facts=facts("ada/TOKEN"))
    shared(desk, "w1", "w2")
    sub = desk.accepted(2, spec=WITH)
    desk.when_settled()
    shared(desk)
    assert [(name, event.box) for name, event in given(desk)] == [("w1", ""), ("w2", "")]
    assert desk.state.secrets == {}
    desk.worker("w1", slots=1, facts=facts(), held=(f"{sub}.0.1",), handled=desk.state.seq)
    desk.ended("w1", (sub, 0, 1))
    desk.when_settled()
    assert desk.starts() == {}
    assert "lacks the secret TOKEN" in desk.reasons(sub, 1)


def test_to_delete_what_is_not_there_is_refused(desk):
    desk.worker("w1")
    shared(desk)
    assert "has no secret TOKEN" in desk.then(e.RequestRefused).reason


@pytest.mark.parametrize("name", ["", "no good", "1st", "LONGSHORE_TASK", "INPUT", "a/b", "../x"])
def test_names_that_are_no_variables_or_the_agents_own_are_refused(desk, name):
    desk.worker("w1")
    shared(desk, "w1", name=name)
    assert "choose another" in desk.then(e.RequestRefused).reason or "use 1-63" in desk.then(e.RequestRefused).reason
    desk.submitted(1, spec=TaskSpec(command=("true",), secrets=(name,)))
    desk.when_settled()
    assert desk.then(e.SubmissionRejected)


def test_one_name_for_a_secret_and_a_variable_is_refused(desk):
    desk.worker("w1", facts=facts("ada/TOKEN"))
    shared(desk, "w1")
    desk.submitted(1, spec=TaskSpec(command=("true",), secrets=("TOKEN",), env={"TOKEN": "x"}))
    desk.when_settled()
    assert "both a secret and a variable" in desk.then(e.SubmissionRejected).reason


def test_alternatives_need_the_secret_too(desk):
    desk.worker("w1", facts=facts())
    desk.worker("w2", facts=facts("ada/TOKEN"))
    shared(desk, "w1", "w2")
    spec = TaskSpec(command=("true",), secrets=("TOKEN",), cpus=64, alternatives=(Request(cpus=1),))
    desk.accepted(1, spec=spec)
    desk.when_settled()
    assert set(desk.starts()) == {"w2"}


def test_an_edit_that_names_a_secret_moves_the_task_to_workers_that_hold_it(desk):
    desk.worker("w1", slots=0, facts=facts())
    desk.worker("w2", slots=0, facts=facts("ada/TOKEN"))
    shared(desk, "w1", "w2")
    sub = desk.accepted(1)
    desk.given(e.EditRequested(tasks=desk.tasks(sub, 0), change=Change(set={"secrets": ["TOKEN"]})), "ada")
    desk.when_settled()
    for name, held in (("w1", ()), ("w2", ("ada/TOKEN",))):
        desk.worker(name, slots=2, facts=facts(*held), life=2)
    desk.when_settled()
    assert set(desk.starts()) == {"w2"}


def test_what_is_known_of_secrets_survives_a_restart(desk):
    desk.worker("w1", slots=1, prefetch=0, facts=facts("ada/TOKEN"))
    shared(desk, "w1")
    desk.accepted(3, spec=WITH)
    desk.when_settled()
    again = snapshot.from_bytes(snapshot.to_bytes(desk.state))
    assert again.secrets == {"ada/TOKEN": {"w1": None}}
    assert snapshot.to_bytes(again) == snapshot.to_bytes(desk.state)
    assert again.roster.kinds.keys() == desk.state.roster.kinds.keys()


def test_a_secret_cannot_be_taken_back_by_an_undo(desk):
    desk.worker("w1")
    wish = shared(desk, "w1")
    desk.given(e.UndoRequested(request=wish), "ada")
    desk.when_settled()
    assert "set another, or delete it" in desk.then(e.RequestRefused).reason
