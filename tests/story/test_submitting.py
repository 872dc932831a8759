"""What a submission is answered."""

import pytest

from longshore_common import events as e
from longshore_common.ids import TaskRange
from longshore_common.model import Array, Parts, Request, Specs, TaskSpec

TRUE = TaskSpec(command=("true",))


def test_a_valid_submission_is_accepted_once(desk):
    submission = desk.submitted(3)
    desk.when_settled()
    assert desk.then(e.SubmissionAccepted) == e.SubmissionAccepted(submission=submission, size=3)
    assert desk.when_decided() == []


def test_a_submission_is_accepted_and_handed_out_in_the_same_turn(desk):
    desk.worker(slots=2, prefetch=0)
    submission = desk.submitted(3)
    desk.when_decided()
    assert desk.then(e.SubmissionAccepted).submission == submission
    assert desk.starts() == {"w1": [(submission, 0, 1), (submission, 1, 1)]}


def test_a_repeated_key_of_the_same_user_is_a_duplicate_of_the_first(desk):
    first = desk.submitted(key="same")
    desk.when_settled()
    again = desk.submitted(key="same")
    desk.when_settled()
    assert desk.then(e.SubmissionDuplicated) == e.SubmissionDuplicated(submission=again, first=first)


def test_two_of_one_key_in_the_same_turn_are_accepted_once(desk):
    first, again = desk.submitted(key="same"), desk.submitted(key="same")
    desk.when_settled()
    assert desk.then(e.SubmissionAccepted).submission == first
    assert desk.then(e.SubmissionDuplicated).submission == again


def test_the_same_key_of_another_user_is_another_submission(desk):
    desk.submitted(key="same", user="ada")
    desk.submitted(key="same", user="bob")
    desk.when_settled()
    assert len(desk.every(e.SubmissionAccepted)) == 2


def test_a_key_is_remembered_after_the_submission_ended(desk):
    desk.worker()
    first = desk.submitted(key="same")
    desk.when_settled()
    desk.ended("w1", (first, 0, 1))
    desk.later(7 * 86_400)
    desk.submitted(key="same")
    desk.when_settled()
    assert desk.then(e.SubmissionDuplicated).first == first


def test_a_rejected_key_may_be_used_again_for_the_corrected_submission(desk):
    desk.submitted(key="same", spec=TaskSpec(command=()))
    desk.when_settled()
    corrected = desk.submitted(key="same")
    desk.when_settled()
    assert desk.then(e.SubmissionAccepted).submission == corrected
    desk.submitted(key="same")
    desk.when_settled()
    assert desk.then(e.SubmissionDuplicated).first == corrected


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        (TaskSpec(command=()), "empty"),
        (TaskSpec(command=("",)), "empty"),
        (TaskSpec(command=("a\0b",)), "NUL"),
        (TaskSpec(command=("x" * 200_000,)), "131071"),
        (TaskSpec(command=("é" * 70_000,)), "131071"),
        (TaskSpec(command=("x" * 100_000,) * 20), "file"),
        (TaskSpec(command=("true",), run_timeout=-1), "run timeout"),
        (TaskSpec(command=("true",), memory=-1), "memory"),
        (TaskSpec(command=("true",), retries=-1), "retries"),
        (TaskSpec(command=("true",), env={"A=B": "c"}), "A=B"),
        (TaskSpec(command=("true",), env={"A": "\0"}), "NUL"),
        (TaskSpec(command=("true",), inputs=("",)), "URI"),
    ],
)
def test_a_spec_that_cannot_run_is_rejected_with_the_reason(desk, spec, word):
    desk.submitted(spec=spec)
    desk.when_settled()
    answer = desk.then(e.SubmissionRejected)
    assert word in answer.reason
    assert answer.by_index[0][0] == 0


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (Array(spec=TRUE, size=0), "no tasks"),
        (Array(spec=TRUE, size=10_000_001), "split"),
        (Array(spec=TRUE, size=2, step=0), "step"),
        (Array(spec=TRUE, size=2, entries=("one",)), "entries"),
        (Specs(specs=()), "no tasks"),
        (Parts(parts=2, size=4), "missing"),
    ],
)
def test_a_bad_shape_is_rejected(desk, body, word):
    submission = desk.submitted(body=body)
    desk.when_settled()
    assert word in desk.then(e.SubmissionRejected).reason
    assert desk.state.closed[submission].rejected


def test_bad_specs_are_named_by_their_index(desk):
    desk.submitted(body=Specs(specs=(TRUE, TaskSpec(command=()), TRUE, TaskSpec(command=("\0",)))))
    desk.when_settled()
    assert [i for i, _ in desk.then(e.SubmissionRejected).by_index] == [1, 3]


def test_parts_make_one_submission_in_their_order(desk):
    desk.worker(slots=10)
    for part in (1, 0, 0):  # out of order, and one sent twice
        specs = tuple(TaskSpec(command=("echo", str(2 * part + k))) for k in range(2))
        desk.given(e.SubmissionPartSent(key="p", part=part, specs=specs), "ada")
    submission = desk.submitted(body=Parts(parts=2, size=4), key="p")
    desk.when_settled()
    orders = [o for event in desk.every(e.AttemptsAssigned) for o in event.orders]
    assert [(o.submission, o.spec.command[1], o.starts[0].index) for o in orders] == [
        (submission, str(k), k) for k in range(4)
    ]


def test_a_bad_spec_in_a_part_is_named_by_its_index_in_the_whole(desk):
    desk.given(e.SubmissionPartSent(key="p", part=0, specs=(TRUE, TRUE)), "ada")
    desk.given(e.SubmissionPartSent(key="p", part=1, specs=(TRUE, TaskSpec(command=()))), "ada")
    desk.submitted(body=Parts(parts=2, size=4), key="p")
    desk.when_settled()
    assert desk.then(e.SubmissionRejected).by_index[0][0] == 3


def test_an_unreadable_part_rejects_its_submission(desk):
    desk.rubbish("ada", "part")
    desk.submitted(body=Parts(parts=1, size=1), key="p")
    desk.when_settled()
    assert "unreadable" in desk.then(e.SubmissionRejected).reason


def test_an_unreadable_wish_is_rejected_by_its_sequence(desk):
    seq = desk.rubbish("ada")
    desk.when_settled()
    assert desk.then(e.SubmissionRejected).submission == seq
    assert desk.when_decided() == []


def test_another_users_parts_do_not_count(desk):
    desk.given(e.SubmissionPartSent(key="p", part=0, specs=(TRUE,)), "bob")
    desk.submitted(body=Parts(parts=1, size=1), key="p", user="ada")
    desk.when_settled()
    assert "missing" in desk.then(e.SubmissionRejected).reason


@pytest.mark.parametrize("required", [TaskRange(99, 0, 0), TaskRange(3, 0, 0), TaskRange(1, 0, 5), TaskRange(1, 2, 1)])
def test_requiring_what_does_not_exist_is_rejected(desk, required):
    desk.accepted(2)
    desk.submitted(requires=(required,))
    desk.when_settled()
    assert str(required) in desk.then(e.SubmissionRejected).reason


def test_an_array_gives_each_task_its_label_and_entry(desk):
    desk.worker(slots=5)
    desk.submitted(body=Array(spec=TRUE, size=3, start=10, step=5, entries=("a", "b", "c")))
    desk.when_settled()
    starts = desk.then(e.AttemptsAssigned).orders[0].starts
    assert [(s.index, s.n, s.label, s.entry) for s in starts] == [(0, 1, 10, "a"), (1, 1, 15, "b"), (2, 1, 20, "c")]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"custom": {"license": -1.0}}, "license"), ({"custom": {"Lic ense": 1.0}}, "can name no resource"),
        ({"custom": {"license": 1e300}}, "license"), ({"alternatives": (Request(cpus=-1),)}, "cpus"),
        ({"alternatives": (Request(cpus=1), Request(custom={"": 1.0}))}, "can name no resource"),
    ],
)  # fmt: skip
def test_amounts_that_no_host_can_be_asked_for_are_refused(desk, fields, said):
    desk.submitted(spec=TaskSpec(command=("true",), **fields))
    desk.when_settled()
    rejected = desk.then(e.SubmissionRejected)
    assert said in f"{rejected.reason} {rejected.by_index}"
