"""The witness itself: the recount of the log notices what must never happen."""

import msgspec

from longshore_common import events as e
from longshore_common.codec import encode
from longshore_common.ids import SubmissionId, TaskRange
from longshore_common.model import Array, HostFacts, TaskSpec, Usage
from longshore_common.subjects import of

from .ledger import Ledger, differences

SPEC = TaskSpec(command=("true",))
ONE = SubmissionId(1)


def fold(*events: tuple[e.Event, str]) -> Ledger:
    """The ledger of these events, each with the user or worker of its subject, from sequence 1."""
    ledger = Ledger()
    for seq, (event, name) in enumerate(events, start=1):
        body, headers = encode(event)
        ledger.fold(seq, of(event, name), body, headers)
    return ledger


SUBMITTED = (e.TasksSubmitted(key="k", batch="b", body=Array(spec=SPEC, size=2)), "ann")


def assigned(worker: str, index: int, n: int) -> tuple[e.Event, str]:
    order = e.Order(submission=ONE, spec=SPEC, batch="b", user="ann", starts=(e.Start(index, n),))
    return e.AttemptsAssigned(orders=(order,)), worker


def ended(worker: str, attempt: str, outcome: str, at: tuple[float, float] = (1, 2)) -> tuple[e.Event, str]:
    usage = Usage(started_at=at[0], ended_at=at[1])
    end = msgspec.convert([attempt, outcome], e.Ended)
    return e.AttemptsReported(life=1, n=1, ended=(msgspec.structs.replace(end, usage=usage),)), worker


def requeued(index: int, n: int) -> tuple[e.Event, str]:
    return e.TasksRequeued(tasks=(e.Requeue(ONE, index, n),)), ""


def joined(worker: str, held: tuple[str, ...], handled: int) -> tuple[e.Event, str]:
    return e.WorkerJoined(life=2, facts=HostFacts(), concurrency=1, held=held, handled=handled), worker


def test_an_orderly_run_breaks_nothing_and_ends_succeeded():
    ledger = fold(
        SUBMITTED,
        assigned("w", 0, 1),
        assigned("w", 1, 1),
        ended("w", "1.0.1", "succeeded"),
        ended("w", "1.1.1", "succeeded"),
    )
    assert ledger.broken == []
    assert ledger.counts(1) == {"succeeded": 2}


def test_a_second_attempt_while_the_first_is_current_is_noticed():
    assert fold(SUBMITTED, assigned("w", 0, 1), assigned("v", 0, 2)).broken == [
        "1.0.2 was assigned while attempt 1 was current"
    ]


def test_the_same_attempt_assigned_twice_is_noticed():
    assert (
        "1.0.1 was assigned twice" in fold(SUBMITTED, assigned("w", 0, 1), requeued(0, 1), assigned("v", 0, 1)).broken
    )


def test_an_attempt_after_a_success_is_noticed():
    ledger = fold(SUBMITTED, assigned("w", 0, 1), ended("w", "1.0.1", "succeeded"), requeued(0, 1), assigned("w", 0, 2))
    assert ledger.broken == ["1.0 was requeued after its success"]


def test_two_attempts_that_may_publish_are_noticed():
    def grant(n: int) -> tuple[e.Event, str]:
        return e.AttemptsSignalled(attempts=(f"1.0.{n}",), wanted="publish"), "w"  # type: ignore[arg-type]

    assert fold(SUBMITTED, grant(1), grant(1)).broken == []
    assert len(fold(SUBMITTED, grant(1), grant(2)).broken) == 1


def test_a_late_report_of_a_lost_attempt_changes_nothing():
    lost = (e.WorkerLost(reason="silent"), "w")
    ledger = fold(SUBMITTED, assigned("w", 0, 1), lost, requeued(0, 1), ended("w", "1.0.1", "succeeded"))
    assert ledger.counts(1) == {"queued": 2}


def test_a_worker_that_joins_again_keeps_what_it_holds_and_what_it_has_yet_to_read():
    ledger = fold(
        SUBMITTED,
        assigned("w", 0, 1),
        assigned("w", 1, 1),
        joined("w", (), 2),
        ended("w", "1.0.1", "succeeded"),
        ended("w", "1.1.1", "succeeded"),
    )
    assert ledger.counts(1) == {"assigned": 1, "succeeded": 1}
    held = fold(SUBMITTED, assigned("w", 0, 1), joined("w", ("1.0.1",), 2), ended("w", "1.0.1", "succeeded"))
    assert held.counts(1) == {"succeeded": 1, "queued": 1}


def test_a_rejected_submission_is_failed_and_verdicts_end_tasks():
    rejected = fold(SUBMITTED, (e.SubmissionRejected(submission=ONE, reason="no"), ""))
    assert rejected.counts(1) == {"failed": 2}
    cancelled = fold(SUBMITTED, (e.TasksCancelled(tasks=(TaskRange(ONE, 0, 0),)), ""))
    assert cancelled.counts(1) == {"cancelled": 1, "queued": 1}


def test_processes_that_overlap_on_a_worker_are_counted():
    ends = [
        ended("w", "1.0.1", "succeeded", (1, 4)),
        ended("w", "1.1.1", "succeeded", (2, 3)),
        ended("w", "1.1.2", "failed", (4, 5)),
    ]
    assert fold(SUBMITTED, *ends).most_at_once("w") == 2


def test_a_read_model_that_differs_is_told_task_by_task():
    ledger = fold(SUBMITTED, assigned("w", 0, 1), ended("w", "1.0.1", "succeeded"))
    right = {"state": "succeeded", "attempt": 1, "worker": "w", "exit_code": None}
    fresh = {"state": "queued", "attempt": None, "worker": None, "exit_code": None}
    assert differences(ledger, 1, {"1.0": right, "1.1": fresh}) == []
    assert len(differences(ledger, 1, {"1.0": right | {"worker": "v"}})) == 2


def test_bytes_that_are_no_event_are_put_aside():
    ledger = fold(SUBMITTED)
    ledger.fold(2, "log.user.ann.wish", b"\xff", {})
    assert len(ledger.malformed) == 1
    assert ledger.counts(1) == {"queued": 2}
