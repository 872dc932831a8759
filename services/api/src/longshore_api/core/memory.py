"""The fold's memory: what it holds between slices, and the changes it has gathered since they were last drained.

`projection` says what an event means; here is only how a change is counted, remembered and turned into rows. After a
drain everything that cannot change soon is forgotten. What must not enter: the meaning of events, SQL, the clock.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from longshore_api.core.rows import TASK_STATES, Batch, Changes, Row, Submission, Tuple, Worker
from longshore_api.core.runs import Run, written
from longshore_api.core.spans import Span
from longshore_api.core.users import Register
from longshore_common.model import ON_WORKER

#: Submissions kept in memory although none of their tasks is on a worker; more are read again when needed.
KEPT = 20_000


class Memory:
    """Mutable; one writer. `current` maps the id of every attempt that is current to its task's row."""

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self.submissions: dict[int, Submission] = {}
        self.current: dict[str, Row] = {}
        self.batches: dict[str, Batch] = {}
        self.workers: dict[str, Worker] = {}
        self.pending: dict[tuple[str, str], dict[int, tuple[int, int, bool]]] = {}
        self.tallies: dict[int, list[tuple[int, int, str]]] = {}
        self.users = Register()
        self.changes = Changes(position, position)
        self._touched: list[Row] = []
        self._guests: list[Row] = []
        self._counted: dict[int, Submission] = {}

    # --- while folding --------------------------------------------------------------------------------------------

    def shift(self, submission: Submission, before: str, after: str, at: Run) -> None:
        """The tasks `at` went from one state to another; deleted ones count nowhere."""
        count = submission.visible(*at) if submission.hidden else at[1] - at[0] + 1
        submission.counts[before] -= count
        submission.counts[after] += count
        if not submission.dirty:
            self.change(submission)

    def change(self, submission: Submission) -> None:
        """The submission's own row, counters or spans differ from what is stored."""
        submission.dirty = True
        self._counted[submission.id] = submission

    def touch(self, row: Row) -> None:
        """The row differs from what is stored."""
        if not row.dirty:
            row.dirty = True
            self._touched.append(row)

    def enter(self, row: Row, state: str) -> None:
        """The task goes to another state."""
        if row.state != state:
            self.shift(row.submission, row.state, state, (row.index, row.index))
            row.state = state
        self.touch(row)

    def fresh(self, row: Row) -> None:
        """A task that was untouched until now gets its row."""
        row.submission.rows[row.index] = row
        self.current[f"{row.submission.id}.{row.index}.{row.attempt}"] = row
        row.dirty = True
        self._touched.append(row)

    def close(self, row: Row, outcome: str) -> None:
        """The row's attempt is no longer current; its outcome is this unless it has one."""
        if row.outcome is None:
            row.outcome = outcome
            self.current.pop(f"{row.submission.id}.{row.index}.{row.attempt}", None)
            self.touch(row)

    def batch(self, name: str) -> Batch:
        """The batch of this name, made if there is none, and about to change."""
        found = self.batches.get(name)
        if found is None:
            found = self.batches[name] = Batch(name=name)
        found.dirty = True
        return found

    def worker(self, name: str) -> Worker:
        """The worker of this name, made if there is none, and about to change."""
        found = self.workers.get(name)
        if found is None:
            found = self.workers[name] = Worker(name=name)
        found.dirty = True
        return found

    def link(self, seq: int, submission: int, lo: int, hi: int) -> None:
        """The event at `seq` says something about tasks among `lo`..`hi` of this submission."""
        self.changes.links.append((submission, lo, hi, seq))

    # --- between slices -------------------------------------------------------------------------------------------

    def admit_submission(self, submission: Submission) -> None:
        """A stored submission and its spans, read because an event names it."""
        submission.stored = True
        submission.counted = dict(submission.counts)
        submission.stored_spans = {s.hi: s for s in submission.spans}
        self.submissions.setdefault(submission.id, submission)

    def admit(self, row: Row) -> None:
        """A stored task, read because an event names it or because it is on a worker; what is in memory is newer."""
        row.stored = True
        if row.index in row.submission.rows:
            return
        row.submission.rows[row.index] = row
        if row.state in ON_WORKER:
            if row.outcome is None:
                self.current[f"{row.submission.id}.{row.index}.{row.attempt}"] = row
        else:
            self._guests.append(row)

    def drain(self) -> Changes:
        """Everything that changed since the last drain, as rows; and forget what cannot change soon."""
        changes, self.changes = self.changes, Changes(self.position, self.position)
        changes.after = self.position
        for row in self._touched:
            (changes.tasks_changed if row.stored else changes.tasks_new).append(task_tuple(row))
            row.stored, row.dirty = True, False
        for submission in self._counted.values():
            self._drain_submission(submission, changes)
        changes.batches.extend(_drained(self.batches.values(), batch_tuple))
        changes.workers.extend(_drained(self.workers.values(), worker_tuple))
        self._forget()
        return changes

    def _drain_submission(self, submission: Submission, changes: Changes) -> None:
        counts, counted = submission.counts, submission.counted
        if counts != counted:
            batch = self.batch(submission.batch)
            for state in TASK_STATES:
                batch.counts[state] += counts[state] - counted[state]
            submission.counted = dict(counts)
        if submission.stored:
            changes.submissions_changed.append(submission_changed(submission))
        else:
            changes.submissions_new.append(submission_tuple(submission))
        now = {s.hi: s for s in submission.spans}
        before = submission.stored_spans
        changes.spans_written.extend(span_tuple(submission, s) for hi, s in now.items() if before.get(hi) != s)
        changes.spans_removed.extend((submission.id, hi) for hi in before if hi not in now)
        submission.stored_spans, submission.stored, submission.dirty = now, True, False

    def _forget(self) -> None:
        for row in (*self._touched, *self._guests):
            if row.state not in ON_WORKER:
                row.submission.rows.pop(row.index, None)
        rested = {row.submission.id for row in self._touched} | self._counted.keys()
        for sid in rested:
            submission = self.submissions.get(sid)
            if submission and not submission.rows and not submission.open:
                del self.submissions[sid]
        if len(self.submissions) > KEPT:
            self.submissions = {k: s for k, s in self.submissions.items() if s.rows}
        self._touched, self._guests, self._counted = [], [], {}


T = TypeVar("T", Batch, Worker)


def _drained(things: Iterable[T], as_tuple: Callable[[T], Tuple]) -> Iterable[Tuple]:
    for thing in things:
        if thing.dirty:
            thing.dirty = False
            yield as_tuple(thing)


def task_tuple(row: Row) -> Tuple:
    """A row of table task."""
    return (
        row.submission.id, row.index, row.state, row.attempt, row.worker, row.assigned_at, row.assigned_seq,
        row.started_at, row.ended_at, row.exit_code, row.outcome, row.cause, row.reason, row.paused, row.not_before,
        row.report, row.progress,
    )  # fmt: skip


def attempt_tuple(row: Row) -> Tuple:
    """A row of table attempt: this task's attempt as it is when the next one is assigned."""
    return (
        row.submission.id, row.index, row.attempt, row.outcome, row.worker, row.assigned_at, row.started_at,
        row.ended_at, row.exit_code, row.cause, row.reason, row.report,
    )  # fmt: skip


def submission_tuple(s: Submission) -> Tuple:
    """A row of table submission."""
    return (
        s.id, s.user, s.batch, s.size, s.name, s.key, s.priority, s.submitted_at, s.requires, s.spec, s.start, s.step,
        s.named, s.status, s.reason, s.duplicate_of, s.by_index, written(s.hidden), s.size - s.shown, *s.counts.values(),
    )  # fmt: skip


def submission_changed(s: Submission) -> Tuple:
    """What may change of a submission after its first row."""
    hidden = written(s.hidden)
    return (s.id, s.status, s.reason, s.duplicate_of, s.by_index, hidden, s.size - s.shown, *s.counts.values())


def span_tuple(s: Submission, span: Span) -> Tuple:
    """A row of table task_range."""
    return (s.id, span.lo, span.hi, span.state, span.cause, span.reason, span.at)


def batch_tuple(b: Batch) -> Tuple:
    """A row of table batch."""
    return (
        b.name, b.paused, b.frozen, b.size, b.submissions, b.users, b.submitted_at, b.started_at, b.ended_at,
        b.retention, b.ran, *b.counts.values(),
    )  # fmt: skip


def worker_tuple(w: Worker) -> Tuple:
    """A row of table worker."""
    return (
        w.name, w.state, w.paused, w.concurrency, w.prefetch, w.batch, w.facts, w.public_key, w.hostname, w.life,
        w.enrolled_at, w.joined_at, w.seen_at, w.drain, w.pause_reason, w.hindered, w.evicted, w.evicted_at, w.held,
        w.remotes_at, w.cares, w.prefetch_percent, w.quarantine, w.quarantined_until, w.moved,
    )  # fmt: skip
