"""Tasks of several steps, as the dispatcher sees them: what is refused, where they may go, what a lost grant costs."""

import msgspec
import pytest

from longshore_common import events as e
from longshore_common.model import Change, Collect, HostFacts, Step, Substitution, TaskSpec

STEPS = (Step(command=("one",), container="i"), Step(command=("two",), container="j"))
SPEC = TaskSpec(command=("one",), container="i", steps=STEPS)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"command": ("other",)}, "the command and the container of its first step"),
        ({"container": None}, "the command and the container of its first step"),
        ({"steps": (STEPS[0], Step(command=(), container="j"))}, "step 2: its command is empty"),
        ({"volumes": ("/usr",)}, "/usr holds programs"),
        ({"collects": (Collect(path="x", uri="s3://b/x"),)}, "no absolute path"),
    ],
)
def test_what_no_worker_could_run_is_refused(desk, changes, words):
    desk.submitted(spec=msgspec.structs.replace(SPEC, **changes))
    desk.when_settled()
    assert words in str(desk.then(e.SubmissionRejected))


def test_paths_need_a_container_even_where_nothing_else_is_said(desk):
    desk.submitted(spec=TaskSpec(command=("one",), volumes=("/job",)))
    desk.when_settled()
    assert "name a container" in str(desk.then(e.SubmissionRejected))


def test_they_go_only_where_a_container_engine_is(desk):
    desk.worker("w1", facts=HostFacts(cpus=4, memory=8 << 30))
    sub = desk.submitted(spec=SPEC)
    desk.when_settled()
    assert desk.starts() == {}
    assert "container" in desk.reasons(sub)
    desk.worker("w2", facts=HostFacts(cpus=4, memory=8 << 30, engines=("docker",)))
    desk.when_settled()
    assert list(desk.starts()) == ["w2"]


def test_an_edit_reaches_the_steps_too_or_is_refused(desk):
    sub = desk.accepted(spec=SPEC)
    desk.when_settled()
    change = Change(substitutions=(Substitution(field="container", find="i", replace="i:2"),))
    desk.given(e.EditRequested(change=change, tasks=((sub, 0, 0),)), "ada")
    desk.when_settled()
    assert desk.then(e.TasksEdited)
    desk.given(e.EditRequested(change=Change(set={"command": ["else"]}), tasks=((sub, 0, 0),)), "ada")
    desk.when_settled()
    assert "first step" in desk.then(e.RequestRefused).reason
    desk.worker(facts=HostFacts(cpus=4, memory=8 << 30, engines=("docker",)))
    desk.when_settled()
    (order,) = desk.then(e.AttemptsAssigned).orders
    assert [step.container for step in order.spec.steps] == ["i:2", "j"]
    assert order.spec.container == "i:2"


def test_what_a_lost_worker_was_to_upload_is_made_again(desk):
    spec = msgspec.structs.replace(SPEC, collects=(Collect(path="/res/x", uri="s3://b/x"),))
    facts = HostFacts(cpus=4, memory=8 << 30, engines=("docker",))
    desk.worker("w1", slots=1, prefetch=0, facts=facts)
    sub = desk.accepted(1, spec=spec)
    desk.when_settled()
    desk.moved("w1", "running", (sub, 0, 1))
    desk.moved("w1", "delivering", (sub, 0, 1))
    desk.delivered("w1", (sub, 0, 1))
    desk.when_settled()
    desk.given(e.WorkerLost(reason="silent"), "w1")
    desk.worker("w2", slots=1, prefetch=0, facts=facts)
    desk.when_settled()
    assert desk.then(e.AttemptsAssigned).orders[0].publish_of == 1
    desk.ended("w2", (sub, 0, 2), "failed", "stage-out", "what attempt 1 was to upload was lost with its worker")
    desk.when_settled()
    desk.later(600)
    desk.when_settled()
    assert desk.then(e.AttemptsAssigned).orders[0].publish_of == 0
