"""The fold of requirements: which tasks begin `waiting`, and which are queued when what they require is there.

Events name up to twenty thousand ranges of one submission, so its spans are walked through once for all of them. What
must not enter: verdicts, SQL, the clock.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from longshore_api.core.memory import Memory
from longshore_api.core.rows import Submission
from longshore_api.core.spans import Span, rewrite
from longshore_common import events as e
from longshore_common.ids import TaskRange
from longshore_common.log import Recorded
from longshore_common.model import Parts, Specs


def begins_waiting(event: e.TasksSubmitted) -> bool:
    """Whether the tasks of this submission wait for others, or for a retry, before they are queued."""
    edges = event.body.edges if isinstance(event.body, Specs | Parts) else ()
    return bool(event.requires or event.held or edges)


def met(memory: Memory, record: Recorded, event: e.RequirementsMet) -> None:
    """These tasks wait no more."""
    whole = [
        TaskRange(sid, 0, memory.submissions[sid].size - 1) for sid in event.submissions if sid in memory.submissions
    ]
    move(memory, record, (*whole, *event.tasks), "waiting", "queued")


def move(memory: Memory, record: Recorded, tasks: Iterable[TaskRange], before: str, after: str) -> None:
    """Those of these tasks that are in one state go to another."""
    by_submission: dict[int, list[tuple[int, int]]] = {}
    for run in tasks:
        by_submission.setdefault(run.submission, []).append((run.lo, run.hi))
    for sid, runs in by_submission.items():
        submission = memory.submissions.get(sid)
        if submission is None:
            continue
        runs = sorted((max(0, lo), min(hi, submission.size - 1)) for lo, hi in runs)
        memory.link(record.seq, sid, runs[0][0], max(hi for _, hi in runs))
        _move(memory, submission, runs, before, after)


def _move(memory: Memory, submission: Submission, runs: list[tuple[int, int]], before: str, after: str) -> None:
    def become(span: Span) -> Span:
        if span.state != before:
            return span
        memory.shift(submission, before, after, (span.lo, span.hi))
        return replace(span, state=after)

    rewrite(submission.spans, runs, become)
    for lo, hi in runs if submission.rows else ():
        for row in submission.rows_of(lo, hi):
            if row.state == before:
                memory.enter(row, after)
