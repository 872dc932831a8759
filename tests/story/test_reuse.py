"""Results that are used again: what is learnt, who is told, and that nobody waits for ever."""

from longshore_common import events as e
from longshore_common.ids import attempt_id
from longshore_common.model import TaskSpec
from longshore_dispatcher.core import reuse, snapshot

SPEC = TaskSpec(command=("count",), output="s3://b/out", use_cache=True)
D = "d" * 40


def asks(desk, worker, attempt, digest=D):
    desk.given(e.AttemptsReported(life=1, n=2, identified=(e.Identified(attempt_id(*attempt), digest),)), worker)


def told(desk):
    return [
        (one.attempt, one.source, one.output)
        for event, _ in desk.decided
        if isinstance(event, e.AttemptsReused)
        for one in event.attempts
    ]


def succeeds(desk, worker, attempt, digest=D, output="s3://b/out"):
    end = e.Ended(attempt_id(*attempt), "succeeded", 0, digest=digest, output=output)
    desk.given(e.AttemptsReported(life=1, n=3, ended=(end,)), worker)


def begun(desk, **more):
    """A task with the cache on worker w1."""
    submission = desk.accepted(spec=SPEC, **more)
    desk.when_settled()
    return (submission, 0, 1)


def test_who_asks_first_is_told_to_run(desk):
    desk.worker()
    attempt = begun(desk)
    asks(desk, "w1", attempt)
    desk.when_settled()
    assert told(desk) == [(attempt_id(*attempt), "", "")]
    desk.when_settled()
    assert told(desk) == [], "answered once"


def test_who_asks_the_same_later_is_told_where_it_is(desk):
    desk.worker()
    first = begun(desk)
    succeeds(desk, "w1", first)
    second = begun(desk)
    asks(desk, "w1", second)
    desk.when_settled()
    assert told(desk) == [(attempt_id(*second), attempt_id(*first), "s3://b/out")]


def test_results_of_others_are_not_told(desk):
    desk.worker()
    succeeds(desk, "w1", begun(desk, user="ada"))
    asks(desk, "w1", (mine := begun(desk, user="bob")))
    desk.when_settled()
    assert told(desk) == [(attempt_id(*mine), "", "")]


def test_a_question_of_an_attempt_that_is_not_current_is_not_answered(desk):
    desk.worker()
    attempt = begun(desk)
    desk.ended("w1", attempt, "failed", "host")
    asks(desk, "w1", attempt)
    desk.when_settled()
    assert told(desk) == []


def test_a_question_asked_again_after_a_restart_is_answered_again(desk):
    desk.worker()
    attempt = begun(desk)
    asks(desk, "w1", attempt)
    desk.when_settled()
    asks(desk, "w1", attempt)
    desk.when_settled()
    assert told(desk) == [(attempt_id(*attempt), "", "")]


def test_open_questions_and_results_survive_a_snapshot(desk):
    desk.worker()
    succeeds(desk, "w1", begun(desk))
    asks(desk, "w1", begun(desk))
    data = snapshot.to_bytes(desk.state)
    again = snapshot.from_bytes(data)
    assert [task.attempt for task in again.asked.values()] == [task.attempt for task in desk.state.asked.values()]
    assert again.results == desk.state.results
    assert snapshot.to_bytes(again) == data


def test_the_newest_result_counts_and_the_oldest_are_forgotten(desk, monkeypatch):
    monkeypatch.setattr(reuse, "REMEMBERED", 2)
    desk.worker()
    for digest in ("a", "b", "c", "b"):
        succeeds(desk, "w1", (last := begun(desk)), digest)
    assert list(desk.state.results) == ["ada/c", "ada/b"]
    assert desk.state.results["ada/b"].attempt == attempt_id(*last)
