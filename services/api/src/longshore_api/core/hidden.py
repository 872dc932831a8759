"""Deleted tasks: out of all lists and counts, kept as runs of their submission, as PostgreSQL writes a multirange.

What must not enter: SQL; what else happens to such a task, which is as if it were there.
"""

from longshore_api.core.memory import Memory
from longshore_api.core.rows import Submission
from longshore_api.core.runs import Run, joined, within, without
from longshore_common import events as e
from longshore_common.log import Recorded


def deleted(memory: Memory, record: Recorded, event: e.TasksDeleted) -> None:
    """These tasks, as far as they are of the user who says so, are in no list or count; or again."""
    for run in event.tasks:
        submission = memory.submissions.get(run.submission)
        if submission is None or not 0 <= run.lo <= run.hi:
            continue
        lo, hi = run.lo, min(run.hi, submission.size - 1)
        memory.link(record.seq, submission.id, lo, hi)
        if event.user and submission.user != event.user:
            continue
        _of_one(memory, submission, (lo, hi), back=event.restored)


def _of_one(memory: Memory, submission: Submission, run: Run, *, back: bool) -> None:
    lo, hi = run
    if lo > hi:
        return
    before = submission.shown
    moved = within(submission.hidden, lo, hi) if back else without(submission.hidden, lo, hi)
    for a, b in moved:
        for state, count in _counted(memory, submission, a, b).items():
            submission.counts[state] += count if back else -count
    rest = [*without([(lo, hi)], 0, submission.size - 1)]
    kept = [piece for a, b in rest for piece in within(submission.hidden, a, b)]
    submission.hidden = joined(kept if back else [*kept, (lo, hi)])
    memory.change(submission)
    if submission.status == "duplicate":
        return
    batch = memory.batch(submission.batch)
    batch.size += submission.shown - before
    batch.submissions += bool(submission.shown) - bool(before)


def _counted(memory: Memory, submission: Submission, lo: int, hi: int) -> dict[str, int]:
    """States of these tasks: of those in memory as they are there, of others as they are stored, of untouched as spans."""
    counts: dict[str, int] = {}

    def count(state: str, tasks: int) -> None:
        counts[state] = counts.get(state, 0) + tasks

    rows = submission.rows_of(lo, hi)
    for row in rows:
        count(row.state, 1)
    for span in submission.spans:
        for a, b in within([(span.lo, span.hi)], lo, hi):
            count(span.state, b - a + 1)
    for a, b, state in memory.tallies.get(submission.id, ()):
        for c, d in within([(a, b)], lo, hi):
            count(state, d - c + 1 - sum(c <= row.index <= d for row in rows))
    return counts
