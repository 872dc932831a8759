"""The fold of events about attempts: assigned, reported; what is current is ruled by `longshore_common.events`.

What must not enter: verdicts on tasks, SQL, the clock.
"""

from typing import Final

import msgspec

from longshore_api.core import archive
from longshore_api.core.memory import Memory, attempt_tuple
from longshore_api.core.rows import Progress, Row, Submission
from longshore_api.core.spans import covers, put, take
from longshore_common import events as e
from longshore_common.errors import BadInput
from longshore_common.ids import split_attempt
from longshore_common.log import Recorded
from longshore_common.model import ON_WORKER, TERMINAL, Usage

#: Seconds beyond which what an attempt is said to have run is a broken clock.
_LONGEST: Final = 1e9

_encode: Final = msgspec.json.Encoder().encode
_progress: Final = msgspec.json.Decoder(Progress).decode


def assigned(memory: Memory, record: Recorded, event: e.AttemptsAssigned) -> None:
    """These are the current attempts of their tasks."""
    worker = archive.addressee(record)
    for order in event.orders:
        submission = memory.submissions.get(order.submission)
        if submission is None or not order.starts:
            continue
        indices = [start.index for start in order.starts]
        lo, hi = min(indices), max(indices)
        memory.link(record.seq, submission.id, lo, hi)
        if indices == list(range(lo, lo + len(indices))) and covers(submission.spans, lo, hi):
            _begin_all(memory, submission, order.starts, worker, record)
            continue
        for start in order.starts:
            _begin(memory, submission, start, worker, record)


def _begin_all(
    memory: Memory, submission: Submission, starts: tuple[e.Start, ...], worker: str, record: Recorded
) -> None:
    """The usual way: consecutive tasks nobody has touched."""
    (span,) = take(submission.spans, starts[0].index, starts[-1].index)
    if span.state in TERMINAL:
        put(submission.spans, span)
        return
    memory.shift(submission, span.state, "assigned", (span.lo, span.hi))
    at, seq, fresh = record.at, record.seq, memory.fresh
    for start in starts:
        fresh(Row(submission, start.index, "assigned", start.n, worker, at, seq))


def _begin(memory: Memory, submission: Submission, start: e.Start, worker: str, record: Recorded) -> None:
    row = submission.rows.get(start.index)
    if row is None:
        if covers(submission.spans, start.index, start.index):
            _begin_all(memory, submission, (start,), worker, record)
        return
    if start.n <= row.attempt or row.state in TERMINAL:
        return
    memory.close(row, "superseded")
    memory.changes.attempts.append(attempt_tuple(row))
    row.attempt, row.worker, row.assigned_at, row.assigned_seq = start.n, worker, record.at, record.seq
    row.started_at = row.ended_at = row.exit_code = row.outcome = row.cause = row.report = None
    row.reason, row.paused, row.not_before, row.progress = "", False, 0, None
    memory.current[f"{submission.id}.{row.index}.{row.attempt}"] = row
    memory.enter(row, "assigned")


def reported(memory: Memory, record: Recorded, event: e.AttemptsReported) -> None:
    """Moves, deliveries and ends, in this order."""
    worker, current = record.author.name, memory.current
    cover: dict[int, tuple[int, int]] = {}
    for move in event.moved:
        row = current.get(move.attempt)
        if row is not None and row.worker == worker:
            widen(cover, row.submission.id, row.index)
            _move(memory, row, move)
    for given in event.delivered:
        row = current.get(given.attempt)
        if row is not None:
            widen(cover, row.submission.id, row.index)
    for end in event.ended:
        row = current.get(end.attempt)
        if row is not None and row.worker == worker:
            widen(cover, row.submission.id, row.index)
            _end(memory, row, end, record.at)
        else:
            _late(memory, worker, end, cover)
    for sid, (lo, hi) in cover.items():
        memory.link(record.seq, sid, lo, hi)


def _move(memory: Memory, row: Row, move: e.Move) -> None:
    if move.state not in ON_WORKER:
        return
    row.paused, row.reason = move.paused, archive.clean(move.reason)
    if move.state == "running" and row.started_at is None:
        _started(memory, row, move.at)
    if move.done or move.total:
        row.progress = _progressed(row, move)
    memory.enter(row, move.state)


def _progressed(row: Row, move: e.Move) -> str:
    """The transfer of this phase so far, with what was said of it before."""
    before = _progress(row.progress) if row.progress else None
    if before is None or before.phase != move.state:
        told = Progress(move.state, move.done, move.total, move.at)
    else:
        told = Progress(move.state, move.done, move.total, move.at, before.done, before.at)
    return _encode(told).decode()


def widen(cover: dict[int, tuple[int, int]], sid: int, index: int) -> None:
    """One more task among those that an event is about."""
    span = cover.get(sid)
    if span is None:
        cover[sid] = (index, index)
    elif index > span[1]:
        cover[sid] = (span[0], index)
    elif index < span[0]:
        cover[sid] = (index, span[1])


def _started(memory: Memory, row: Row, at: float) -> None:
    row.started_at = at
    batch = memory.batches[row.submission.batch]
    if batch.started_at is None or at < batch.started_at:
        batch.started_at, batch.dirty = at, True


def ended(memory: Memory, submission: Submission, at: float) -> None:
    """Something of the batch ended at this instant."""
    batch = memory.batches[submission.batch]
    if batch.ended_at is None or at > batch.ended_at:
        batch.ended_at, batch.dirty = at, True


def _ran(memory: Memory, submission: Submission, usage: Usage) -> None:
    """What an attempt ran counts for its batch, however it ended."""
    if usage.started_at is None or usage.ended_at is None:
        return
    seconds = usage.ended_at - usage.started_at
    if 0 < seconds < _LONGEST:
        batch = memory.batches[submission.batch]
        batch.ran, batch.dirty = batch.ran + seconds, True


def _end(memory: Memory, row: Row, end: e.Ended, at: float) -> None:
    """A current attempt is over: a success settles its task, any other end waits for the verdict."""
    usage = end.usage
    row.report = _report(end)
    row.exit_code, row.cause, row.reason = end.exit_code, end.cause, archive.clean(end.reason)
    if usage.started_at is not None:
        _started(memory, row, usage.started_at)
    row.ended_at = usage.ended_at if usage.ended_at is not None else at
    row.outcome, row.paused = end.outcome, False
    _ran(memory, row.submission, usage)
    del memory.current[end.attempt]
    if end.outcome == "succeeded":
        memory.enter(row, "succeeded")
        ended(memory, row.submission, row.ended_at)
    else:
        memory.touch(row)


def _report(end: e.Ended) -> str:
    out, err = end.stdout, end.stderr
    told: tuple[object, ...] = (end.usage, out if out and out.size else None, err if err and err.size else None)
    if end.image or end.checkpoint or end.kept or end.reused or end.steps or end.collected:
        told = (*told, archive.clean(end.image), end.checkpoint, end.kept, archive.clean(end.reused))
    if end.steps or end.collected:
        told = (*told, end.steps, end.collected)
    return _encode(told).decode()


def _late(memory: Memory, worker: str, end: e.Ended, cover: dict[int, tuple[int, int]]) -> None:
    """A report about an attempt that is not current: history of that attempt, if this worker had it; no task changes."""
    try:
        sid, index, n = split_attempt(end.attempt)
    except BadInput:
        return
    if max(sid, index, n) >= 1 << 62:
        return
    widen(cover, sid, index)
    submission = memory.submissions.get(sid)
    row = submission.rows.get(index) if submission else None
    if row is None or row.attempt != n:
        late = (worker, end.usage.started_at, end.usage.ended_at, end.exit_code, _report(end))
        memory.changes.late.setdefault((sid, index, n), late)
    elif row.worker == worker and row.outcome is not None and row.report is None:
        row.report, row.exit_code = _report(end), end.exit_code
        _ran(memory, row.submission, end.usage)
        row.started_at = end.usage.started_at if row.started_at is None else row.started_at
        row.ended_at = end.usage.ended_at if row.ended_at is None else row.ended_at
        memory.touch(row)
