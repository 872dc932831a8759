"""The log as sentences: what an event says about one task, or about a batch or worker.

What must not enter: what the state became; the reader of a history wants what was said, by whom, when.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from longshore_common import events as e
from longshore_common.ids import TaskRange
from longshore_common.model import Array, Parts, Retention, Specs, Usage

_CARES: Final[dict[str, str]] = {
    "clean": "remove kept work directories", "forget-resources": "forget cached resources",
    "prune-images": "remove unused images", "restart": "restart its agent",
}  # fmt: skip
_SWEPT: Final[dict[str, str]] = {
    "outputs": "its outputs are", "logs": "its stdout and stderr are", "failed": "outputs of its failed attempts are",
    "inputs": "its uploaded inputs are",
}  # fmt: skip
#: Tasks named one by one in a sentence; more are counted.
_NAMED = 8


def of_task(event: object, seq: int, submission: int, index: int, *, worker: str = "") -> list[str]:
    """Sentences about this task; none if the event only named its neighbours. `worker`: whom the event is addressed to."""
    prefix = f"{submission}.{index}."
    match event:
        case e.AttemptsAssigned():
            return [
                f"attempt {start.n} assigned to {worker}"
                + (f", to publish attempt {o.publish_of}" if o.publish_of else "")
                + (f", with {_bytes(start.memory)} of memory" if start.memory else "")
                for o in event.orders
                if o.submission == submission
                for start in o.starts
                if start.index == index
            ]
        case e.AttemptsReported():
            return list(_reported(event, prefix))
        case e.AttemptsRecalled():
            return [
                f"attempt {a.removeprefix(prefix)} asked back from {worker}" for a in event.attempts if _of(a, prefix)
            ]
        case e.AttemptsSignalled():
            what = f"signal {event.signal} sent" if event.signal else f"told to {event.wanted}"
            return [f"attempt {a.removeprefix(prefix)} {what}" for a in event.attempts if _of(a, prefix)]
        case _:
            return _verdict(event, seq, submission, index)


def _of(attempt: str, prefix: str) -> bool:
    return attempt.startswith(prefix)


def _reported(event: e.AttemptsReported, prefix: str) -> Iterable[str]:
    for move in event.moved:
        if _of(move.attempt, prefix):
            told = (" (paused)" if move.paused else "") + _far(move) + _because(None, move.reason)
            yield f"attempt {move.attempt.removeprefix(prefix)} {move.state}{told}"
    for given in event.delivered:
        if _of(given.attempt, prefix):
            yield f"attempt {given.attempt.removeprefix(prefix)} delivered {_count(len(given.files), 'file')}"
    for end in event.ended:
        if _of(end.attempt, prefix):
            told = _why(end) + _used(end.usage) + _left(end)
            yield f"attempt {end.attempt.removeprefix(prefix)} {end.outcome}{told}"


def _far(move: e.Move) -> str:
    if not (move.done or move.total):
        return ""
    return f", {_bytes(move.done)}" + (f" of {_bytes(move.total)}" if move.total else "")


def _left(end: e.Ended) -> str:
    """What an attempt leaves behind."""
    parts = [
        f"image {end.image}" if end.image else "",
        "its checkpoint is saved" if end.checkpoint else "",
        "its work directory is kept" if end.kept else "",
    ]
    return "".join(f", {part}" for part in parts if part)


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _why(end: e.Ended) -> str:
    parts = [f"exit {end.exit_code}" if end.exit_code is not None else "", end.cause or "", end.reason]
    told = ", ".join(p for p in parts if p)
    return f" ({told})" if told else ""


def _used(usage: Usage) -> str:
    if usage.started_at is None or usage.ended_at is None:
        return ""
    return (
        f" after {usage.ended_at - usage.started_at:.3f} s, {usage.cpu_seconds:.3f} s of CPU, {usage.peak_memory} bytes"
    )


def _verdict(event: object, seq: int, submission: int, index: int) -> list[str]:
    match event:
        case e.TasksRequeued():
            return [
                f"queued again after attempt {q.n}"
                + _because(q.cause, q.reason)
                + (f", with {_bytes(q.memory)} of memory from here on" if q.memory else "")
                for q in event.tasks
                if q.submission == submission and q.index == index
            ]
        case e.TasksSubmitted() if seq == submission:
            return [f"submitted to batch {event.batch}"]
        case e.SweepOrdered():
            named = any(o.submission == submission and any(s.index == index for s in o.starts) for o in event.orders)
            return [f"{_SWEPT[event.what]} past their time, to be removed"] if named else []
        case e.RequirementsMet() if submission in event.submissions:
            return ["its requirements are met"]
        case e.SubmissionAccepted() | e.SubmissionRejected() | e.SubmissionDuplicated() if (
            event.submission == submission
        ):
            return [_answer(event, index)]
        case _:
            tasks: Sequence[TaskRange] = getattr(event, "tasks", ())
            return [_of_range(event)] if _within(tasks, submission, index) else []


def _of_range(event: object) -> str:
    match event:
        case e.TasksFailed():
            return "failed for good" + _because(event.cause, event.reason)
        case e.TasksCancelled():
            return "cancelled" + _because(None, event.reason)
        case e.TasksRetried():
            return "queued again on request"
        case e.CancelRequested():
            return "asked to cancel it"
        case e.RetryRequested():
            return "asked to run it again"
        case e.SignalRequested():
            return f"asked to send it {event.signal}"
        case _:
            return type(event).__name__


def _answer(event: e.SubmissionAccepted | e.SubmissionRejected | e.SubmissionDuplicated, index: int) -> str:
    match event:
        case e.SubmissionAccepted():
            return "accepted"
        case e.SubmissionRejected():
            return f"rejected: {dict(event.by_index).get(index, event.reason)}"
        case e.SubmissionDuplicated():
            return f"a repeat of submission {event.first}, which holds the tasks"


def _within(tasks: Sequence[TaskRange], submission: int, index: int) -> bool:
    return any(t.submission == submission and t.lo <= index <= t.hi for t in tasks)


def _because(cause: str | None, reason: str) -> str:
    told = ", ".join(p for p in (cause or "", reason) if p)
    return f" ({told})" if told else ""


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _list(tasks: Sequence[TaskRange]) -> str:
    shown = ", ".join(str(t) for t in tasks[:_NAMED])
    return shown + (f" and {len(tasks) - _NAMED} more" if len(tasks) > _NAMED else "")


def of_batch(event: object, seq: int) -> str:
    """What an event about a batch says."""
    match event:
        case e.TasksSubmitted():
            return f"submission {seq} of {_count(_size(event.body), 'task')}"
        case e.CancelRequested():
            return "asked to cancel all of it" + (f" and {_list(event.tasks)}" if event.tasks else "")
        case e.RetryRequested():
            return "asked to run its failed and cancelled tasks again"
        case e.BatchRetentionRequested():
            return f"asked to keep {_kept(event.retention)}"
        case e.BatchRetentionSet():
            return f"keeps {_kept(event.retention)}"
        case _:
            return _pause(event)


def _pause(event: object) -> str:
    match event:
        case e.BatchPauseRequested():
            return "asked to pause it" + (" and to freeze what runs" if event.freeze else "")
        case e.BatchResumeRequested():
            return "asked to resume it"
        case e.BatchPaused():
            return "paused" + (", running attempts frozen" if event.frozen else "")
        case e.BatchResumed():
            return "resumed"
        case _:
            return type(event).__name__


def _kept(retention: Retention) -> str:
    """`outputs 30 days, logs for ever, …`"""
    names = ("outputs", "logs", "failed", "inputs")
    times = {name: getattr(retention, name) for name in names}
    return ", ".join(f"{name} {f'{t / 86_400:.3g} days' if t else 'for ever'}" for name, t in times.items())


def _size(body: Array | Specs | Parts) -> int:
    return len(body.specs) if isinstance(body, Specs) else body.size


def of_worker(event: object) -> str:
    """What an event about a worker says."""
    match event:
        case e.WorkerEnrolled():
            return f"enrolled with key {event.public_key}" + (f" from {event.hostname}" if event.hostname else "")
        case e.WorkerJoined():
            held = f", holding {_count(len(event.held), 'attempt')}" if event.held else ""
            return f"joined (life {event.life}) with {_slots(event.concurrency, event.prefetch)}{held}"
        case e.WorkerLeft() | e.WorkerLost():
            return ("left" if isinstance(event, e.WorkerLeft) else "lost") + _because(None, event.reason)
        case e.WorkerPaused():
            return (
                ("draining" if event.drain else "paused") + ": nothing more is assigned" + _because(None, event.reason)
            )
        case e.WorkerResumed():
            return "resumed"
        case e.WorkerResized():
            return f"resized to {_slots(event.concurrency, event.prefetch)}"
        case _:
            return _of_host(event) or _wish(event)


def _of_host(event: object) -> str:
    """What a host says of itself, and what it is told to do; "" for other events."""
    match event:
        case e.WorkerHindered():
            return f"takes no more work: {event.reason}" if event.reason else "takes work again"
        case e.WorkerEvicted():
            return f"will be taken away at {_when(event.at)}" + _because(None, event.reason)
        case e.ResourcesHeld():
            return f"keeps {_count(len(event.held), 'resource')}"
        case e.WorkerCareOrdered():
            return f"told to {_CARES[event.care]}"
        case e.WorkerCared():
            freed = f", {_bytes(event.freed)} freed" if event.freed else ""
            return f"did {_CARES[event.care]}{freed}" + _because(None, event.text)
        case _:
            return _of_storage(event)


def _when(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):  # an instant no calendar has
        return f"{at:g}"


def _of_storage(event: object) -> str:
    match event:
        case e.RemotesGiven():
            return "given a storage configuration, sealed for it"
        case e.SweepOrdered():
            count = sum(len(order.starts) for order in event.orders)
            return f"told to remove {event.what} of {_count(count, 'task')}"
        case e.SweepDone():
            left = (
                f"; {_count(len(event.left), 'thing')} could not be removed: {event.left[0][1]}" if event.left else ""
            )
            return f"removed {_count(event.removed, 'thing')} for event {event.order}{left}"
        case _:
            return ""


def _wish(event: object) -> str:
    match event:
        case e.WorkerPauseRequested():
            return "asked to drain" if event.drain else "asked to pause"
        case e.WorkerCareRequested():
            return f"asked to {_CARES[event.care]}"
        case e.RemotesShared():
            return f"storage configuration shared with {_count(len(event.boxes), 'worker')}"
        case e.WorkerResumeRequested():
            return "asked to resume"
        case e.WorkerResizeRequested():
            slots = f"{event.concurrency} slots" if event.concurrency is not None else ""
            prefetch = f"prefetch {event.prefetch}" if event.prefetch is not None else ""
            return "asked to resize to " + " and ".join(p for p in (slots, prefetch) if p)
        case _:
            return type(event).__name__


def _slots(concurrency: int, prefetch: int) -> str:
    return f"{_count(concurrency, 'slot')} and {'automatic prefetch' if prefetch < 0 else f'prefetch {prefetch}'}"
