"""What each event does to the rows of the read model: given events, then rows."""

from typing import Any

import pytest

from longshore_api.adapters import tables as t
from longshore_api.core.memory import Memory
from longshore_api.core.needs import needs, unknown_submissions
from longshore_api.core.projection import fold
from longshore_api.core.rows import TASK_STATES, Changes
from longshore_common import events as e
from longshore_common.ids import SubmissionId, TaskRange
from longshore_common.model import Array, Output, Parts, Specs, TaskSpec, Usage

TASK = {name: k for k, name in enumerate(t.TASK)}


class Rows:
    """The changes of a fold, by the names of their columns."""

    def __init__(self, changes: Changes) -> None:
        self.changes = changes

    @staticmethod
    def named(columns: tuple[str, ...], rows: list[Any]) -> list[dict[str, Any]]:
        return [dict(zip(columns, row, strict=True)) for row in rows]

    @property
    def tasks(self) -> dict[int, dict[str, Any]]:
        rows = self.named(t.TASK, self.changes.tasks_new + self.changes.tasks_changed)
        return {row["index"]: row for row in rows}

    @property
    def spans(self) -> list[tuple[int, int, str]]:
        return [(r["lo"], r["hi"], r["state"]) for r in self.named(t.RANGE, self.changes.spans_written)]

    @property
    def counts(self) -> dict[str, int]:
        rows = self.named(t.SUBMISSION, self.changes.submissions_new)
        rows += self.named(t.SUBMISSION_CHANGED, self.changes.submissions_changed)
        return {s: sum(r[s] for r in rows) for s in TASK_STATES if sum(r[s] for r in rows)}

    @property
    def submission(self) -> dict[str, Any]:
        return self.named(t.SUBMISSION, self.changes.submissions_new)[0]

    @property
    def batch(self) -> dict[str, Any]:
        return self.named(t.BATCH, self.changes.batches)[0]

    @property
    def worker(self) -> dict[str, Any]:
        return self.named(t.WORKER, self.changes.workers)[0]

    @property
    def attempts(self) -> list[dict[str, Any]]:
        return self.named(t.ATTEMPT, self.changes.attempts)


def rows(book: Any) -> Rows:
    memory = Memory()
    fold(memory, book.records)
    return Rows(memory.drain())


def test_a_million_tasks_are_one_span_and_one_row(book: Any) -> None:
    book.submit(1_000_000, name="big", priority=3)
    got = rows(book)
    assert got.spans == [(0, 999_999, "queued")]
    assert got.tasks == {}
    assert got.counts == {"queued": 1_000_000}
    assert got.submission["name"] == "big"
    assert got.batch["size"] == 1_000_000
    assert got.batch["users"] == ["ann"]


@pytest.mark.parametrize("more", [{"held": True}, {"requires": (TaskRange(SubmissionId(1), 0, 0),)}])
def test_held_and_requiring_tasks_wait(book: Any, more: dict[str, Any]) -> None:
    book.submit(5, **more)
    assert rows(book).counts == {"waiting": 5}


def test_requirements_met_queue_the_waiting(book: Any) -> None:
    array = book.submit(5, held=True)
    book.write(e.RequirementsMet(submissions=(array,)))
    assert rows(book).counts == {"queued": 5}


def test_a_task_that_is_assigned_moved_and_ended_within_a_batch_is_one_row(book: Any) -> None:
    array = book.submit(10)
    book.assign(array, 2, 3)
    book.move(array, 2)
    usage = Usage(started_at=1.5, ended_at=2.5, peak_memory=7, cpu_seconds=0.25)
    book.end(array, 2, usage=usage, stdout=Output(2, "hi"))
    got = rows(book)
    assert len(got.changes.tasks_new) == 2
    assert got.tasks[2]["state"] == "succeeded"
    assert (got.tasks[2]["started_at"], got.tasks[2]["ended_at"], got.tasks[2]["exit_code"]) == (1.5, 2.5, 0)
    assert got.tasks[3]["state"] == "assigned"
    assert got.spans == [(0, 1, "queued"), (4, 9, "queued")]
    assert got.counts == {"queued": 8, "assigned": 1, "succeeded": 1}


def test_any_end_but_success_waits_for_the_verdict(book: Any) -> None:
    array = book.submit(1)
    book.assign(array, 0)
    book.end(array, 0, outcome="failed", exit_code=3, cause="exit", reason="exit code 3")
    got = rows(book).tasks[0]
    assert (got["state"], got["outcome"], got["exit_code"]) == ("assigned", "failed", 3)
    book.write(e.TasksFailed(tasks=(TaskRange(array, 0, 0),), cause="exit", reason="no retries left"))
    got = rows(book).tasks[0]
    assert (got["state"], got["cause"], got["reason"]) == ("failed", "exit", "no retries left")


def test_an_earlier_attempt_becomes_history_when_the_next_is_assigned(book: Any) -> None:
    array = book.submit(1)
    book.assign(array, 0)
    book.end(array, 0, outcome="failed", exit_code=1, cause="exit")
    book.requeue(array, 0, cause="exit", not_before=2000.0)
    assert rows(book).tasks[0]["state"] == "queued"
    assert rows(book).tasks[0]["not_before"] == 2000.0
    book.assign(array, 0, n=2, worker="w2")
    book.end(array, 0, n=2, worker="w2")
    got = rows(book)
    assert [(a["n"], a["outcome"], a["exit_code"]) for a in got.attempts] == [(1, "failed", 1)]
    assert (got.tasks[0]["attempt"], got.tasks[0]["state"], got.tasks[0]["cause"]) == (2, "succeeded", None)
    assert got.tasks[0]["not_before"] == 0


def test_a_late_report_of_a_superseded_attempt_changes_no_task(book: Any) -> None:
    array = book.submit(1)
    book.assign(array, 0)
    book.write(e.WorkerLost(reason="silent"), "w1")
    book.requeue(array, 0)
    book.assign(array, 0, n=2, worker="w2")
    book.end(array, 0, n=1)
    got = rows(book)
    assert (got.tasks[0]["state"], got.tasks[0]["attempt"]) == ("assigned", 2)
    assert got.attempts[0]["outcome"] == "lost"
    assert list(got.changes.late) == [(array, 0, 1)]


def test_a_late_report_fills_in_what_a_cancelled_attempt_did(book: Any) -> None:
    array = book.submit(1)
    book.assign(array, 0)
    book.write(e.TasksCancelled(tasks=(TaskRange(array, 0, 0),)))
    book.end(array, 0, outcome="cancelled", exit_code=143)
    got = rows(book).tasks[0]
    assert (got["state"], got["outcome"], got["exit_code"]) == ("cancelled", "superseded", 143)


def test_a_worker_cannot_report_another_workers_attempt(book: Any) -> None:
    array = book.submit(2)
    book.assign(array, 0, 1, worker="w1")
    book.end(array, 0, worker="w2")
    book.move(array, 1, worker="w2")
    got = rows(book)
    assert [r["state"] for r in got.tasks.values()] == ["assigned", "assigned"]
    assert all(r["report"] is None for r in got.tasks.values())


def test_what_ended_well_stays_so(book: Any) -> None:
    array = book.submit(1)
    book.assign(array, 0)
    book.end(array, 0)
    every = (TaskRange(array, 0, 0),)
    book.write(e.TasksCancelled(tasks=every))
    book.write(e.TasksFailed(tasks=every, cause="host"))
    book.write(e.TasksRetried(tasks=every))
    book.requeue(array, 0)
    book.assign(array, 0, n=2)
    got = rows(book)
    assert got.counts == {"succeeded": 1}
    assert got.tasks[0]["attempt"] == 1


def test_verdicts_on_untouched_tasks_stay_ranges(book: Any) -> None:
    array = book.submit(1_000_000)
    book.assign(array, 0)
    book.write(e.TasksCancelled(tasks=(TaskRange(array, 0, 999_999),), reason="enough"))
    got = rows(book)
    assert got.spans == [(1, 999_999, "cancelled")]
    assert got.tasks[0]["state"] == "cancelled"
    book.write(e.TasksRetried(tasks=(TaskRange(array, 0, 999_999),)))
    got = rows(book)
    assert got.spans == [(1, 999_999, "queued")]
    assert got.counts == {"queued": 1_000_000}


def test_a_rejected_submission_fails_whole(book: Any) -> None:
    array = book.submit(10)
    book.write(e.SubmissionRejected(submission=array, reason="no such batch", by_index=((3, "bad"),)))
    got = rows(book)
    assert got.counts == {"failed": 10}
    assert got.submission["status"] == "rejected"
    assert got.changes.spans_written[0][4:6] == ("rejected", "no such batch")


def test_a_repeated_submission_has_no_tasks(book: Any) -> None:
    first = book.submit(10)
    second = book.submit(10)
    book.write(e.SubmissionDuplicated(submission=second, first=first))
    got = rows(book)
    assert got.counts == {"queued": 10}
    assert (got.batch["size"], got.batch["submissions"]) == (10, 1)


def test_different_specs_are_kept_as_blobs_and_their_names_as_runs(book: Any) -> None:
    specs = tuple(TaskSpec(command=("echo", str(i)), name="even" if i < 300 else "odd") for i in range(600))
    array = book.write(e.TasksSubmitted(key="k", batch="b", body=Specs(specs=specs)))
    got = rows(book)
    assert [r[:3] for r in got.changes.specs] == [(array, 0, 256), (array, 256, 256), (array, 512, 88)]
    assert [r[1:] for r in got.changes.names] == [(0, 299, "even"), (300, 599, "odd")]


def test_parts_count_only_when_their_submission_closes_them(book: Any) -> None:
    specs = (TaskSpec(command=("true",)),) * 3
    second = book.write(e.SubmissionPartSent(key="k", part=1, specs=specs[:2]))
    first = book.write(e.SubmissionPartSent(key="k", part=0, specs=specs))
    book.write(e.SubmissionPartSent(key="k", part=0, specs=specs))
    book.write(e.SubmissionPartSent(key="k", part=0, specs=specs), "eve")
    array = book.write(e.TasksSubmitted(key="k", batch="b", body=Parts(parts=2, size=5)))
    got = rows(book)
    assert got.counts == {"queued": 5}
    assert got.changes.parts_adopted == [(first, array, 0), (second, array, 3)]


def test_worker_joined_loses_what_it_should_hold_and_does_not(book: Any) -> None:
    array = book.submit(3)
    first = book.assign(array, 0, 1)
    book.assign(array, 2)
    book.join(held=(f"{array}.0.1",), handled=first, life=2)
    got = rows(book).tasks
    assert [got[i]["outcome"] for i in range(3)] == [None, "lost", None]


def test_a_workers_row_follows_its_life(book: Any) -> None:
    book.write(e.WorkerEnrolled(worker="w1", public_key="U", hostname="h"))
    assert rows(book).worker["state"] == "enrolled"
    book.join()
    book.write(e.WorkerPaused(), "w1")
    book.write(e.WorkerResized(concurrency=9, prefetch=3), "w1")
    got = rows(book).worker
    assert (got["state"], got["paused"], got["concurrency"], got["prefetch"]) == ("up", True, 9, 3)
    book.write(e.WorkerLeft(life=1), "w1")
    book.write(e.WorkerLost(reason="left"), "w1")
    assert rows(book).worker["state"] == "left"


def test_a_batch_ends_when_its_last_task_does(book: Any) -> None:
    array = book.submit(2)
    book.assign(array, 0, 1)
    book.end(array, 0, usage=Usage(started_at=5, ended_at=9))
    book.end(array, 1, usage=Usage(started_at=4, ended_at=6))
    got = rows(book).batch
    assert (got["started_at"], got["ended_at"], got["succeeded"]) == (4, 9, 2)


def test_paused_batches_are_marked_even_before_they_have_tasks(book: Any) -> None:
    book.write(e.BatchPaused(batch="b", frozen=True))
    assert (rows(book).batch["paused"], rows(book).batch["frozen"]) == (True, True)
    book.write(e.BatchResumed(batch="b"))
    assert (rows(book).batch["paused"], rows(book).batch["frozen"]) == (False, False)


def test_what_contradicts_the_log_changes_nothing(book: Any) -> None:
    array = book.submit(2)
    ghost = SubmissionId(99)
    book.assign(ghost, 0)
    book.assign(array, 7)
    book.assign(array, 0, 0)
    book.end(array, 1)
    book.end(ghost, 0)
    book.requeue(ghost, 0)
    book.write(e.TasksFailed(tasks=(TaskRange(array, 5, 9), TaskRange(ghost, 0, 0)), cause="host"))
    book.write(e.SubmissionAccepted(submission=ghost, size=1))
    book.unreadable()
    got = rows(book)
    assert got.counts == {"queued": 1, "assigned": 1}
    assert len(got.changes.events) == len(book.records)
    assert got.changes.events[-1][4] == "unreadable"


def test_nul_characters_are_replaced_where_sql_cannot_hold_them(book: Any) -> None:
    array = book.submit(1, name="a\0b")
    book.assign(array, 0)
    book.end(array, 0, outcome="failed", reason="x\0y")
    got = rows(book)
    assert got.submission["name"] == "a\ufffdb"
    assert got.tasks[0]["reason"] == "x\ufffdy"


def test_ended_tasks_and_their_submissions_leave_memory(book: Any) -> None:
    array = book.submit(2)
    book.assign(array, 0, 1)
    book.end(array, 0)
    memory = Memory()
    fold(memory, book.records)
    memory.drain()
    assert list(memory.submissions[array].rows) == [1]
    book.end(array, 1)
    fold(memory, book.records)
    memory.drain()
    assert memory.submissions == {}
    assert memory.current == {}


def test_a_slice_asks_only_for_what_memory_lacks(book: Any) -> None:
    array = book.submit(10)
    book.assign(array, 0, 1, 2)
    book.end(array, 0, 1)
    memory = Memory()
    fold(memory, book.records)
    memory.drain()
    start = len(book.records)
    book.assign(array, 3, 4)
    book.end(array, 3)
    assert not needs(memory, book.records[start:])
    book.requeue(array, 2)
    assert not needs(memory, book.records[start:])
    book.write(e.TasksRetried(tasks=(TaskRange(array, 0, 9),)))
    book.assign(array, 1, n=2)
    book.write(e.SubmissionAccepted(submission=SubmissionId(77), size=1))
    wanted = needs(memory, book.records[start:])
    assert wanted.tasks == [(array, 1)]
    assert wanted.ranges == [(array, 0, 9, ("failed", "cancelled"))]
    assert unknown_submissions(memory, book.records[start:]) == {77}


def test_an_array_keeps_its_spec_once_and_its_entries_in_blobs(book: Any) -> None:
    body = Array(spec=TaskSpec(command=("wc",), name="count"), size=2500, entries=tuple(map(str, range(2500))))
    book.write(e.TasksSubmitted(key="k", batch="b", body=body, name="other"))
    got = rows(book)
    assert got.submission["name"] == "count"
    assert [r[1:4] for r in got.changes.specs] == [(0, 2000, "entries"), (2000, 500, "entries")]
