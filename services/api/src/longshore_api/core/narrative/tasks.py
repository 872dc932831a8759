"""What an event says about one task. What must not enter: its neighbours, other kinds of things."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from longshore_api.core.narrative.words import because, change, count, sized, when
from longshore_common import events as e
from longshore_common.ids import TaskRange
from longshore_common.model import Usage

SWEPT: Final[dict[str, str]] = {
    "outputs": "its outputs are", "logs": "its stdout and stderr are", "failed": "outputs of its failed attempts are",
    "inputs": "its uploaded inputs are",
}  # fmt: skip
_WANTED: Final[dict[str, str]] = {
    "run": "told to run on", "pause": "told to pause", "stop": "told to stop", "kill": "told to end at once",
    "publish": "granted publication of its outputs", "checkpoint": "told to stop with a checkpoint",
}  # fmt: skip


def of_task(event: object, seq: int, submission: int, index: int, *, worker: str = "") -> list[str]:
    """Sentences about this task; none if the event only named its neighbours. `worker`: whom the event is addressed to."""
    prefix = f"{submission}.{index}."
    match event:
        case e.AttemptsAssigned():
            return _assigned(event, submission, index, worker)
        case e.AttemptsReported():
            return list(_reported(event, prefix))
        case e.AttemptsRecalled():
            return [f"attempt {_n(a, prefix)} asked back from {worker}" for a in event.attempts if _of(a, prefix)]
        case e.AttemptsSignalled():
            what = f"signal {event.signal} sent" if event.signal else _WANTED[event.wanted]
            return [f"attempt {_n(a, prefix)} {what}" for a in event.attempts if _of(a, prefix)]
        case e.AttemptsReused():
            return [
                f"attempt {_n(r.attempt, prefix)} "
                + (f"need not run if what {r.source} made is still there" if r.source else "is to run: nobody did it before")
                for r in event.attempts
                if _of(r.attempt, prefix)
            ]  # fmt: skip
        case _:
            return _verdict(event, seq, submission, index)


def _of(attempt: str, prefix: str) -> bool:
    return attempt.startswith(prefix)


def _n(attempt: str, prefix: str) -> str:
    return attempt.removeprefix(prefix)


def _assigned(event: e.AttemptsAssigned, submission: int, index: int, worker: str) -> list[str]:
    return [
        f"attempt {start.n} assigned to {worker}"
        + (f", to publish attempt {o.publish_of}" if o.publish_of else "")
        + (f", with {sized(start.memory)} of memory" if start.memory else "")
        for o in event.orders
        if o.submission == submission
        for start in o.starts
        if start.index == index
    ]


def _reported(event: e.AttemptsReported, prefix: str) -> Iterable[str]:
    for move in event.moved:
        if _of(move.attempt, prefix):
            told = (" (paused)" if move.paused else "") + _far(move) + because(None, move.reason)
            yield f"attempt {_n(move.attempt, prefix)} {move.state}{told}"
    for given in event.delivered:
        if _of(given.attempt, prefix):
            yield f"attempt {_n(given.attempt, prefix)} delivered {count(len(given.files), 'file')}"
    yield from _known(event, prefix)
    for end in event.ended:
        if _of(end.attempt, prefix):
            told = _why(end) + _used(end.usage) + _left(end)
            yield f"attempt {_n(end.attempt, prefix)} {end.outcome}{told}"


def _known(event: e.AttemptsReported, prefix: str) -> Iterable[str]:
    for known in event.identified:
        if _of(known.attempt, prefix):
            yield f"attempt {_n(known.attempt, prefix)} asked whether its result is known ({known.digest[:12]})"


def _far(move: e.Move) -> str:
    if not (move.done or move.total):
        return ""
    return f", {sized(move.done)}" + (f" of {sized(move.total)}" if move.total else "")


def _left(end: e.Ended) -> str:
    """What an attempt leaves behind, and whose work it is."""
    codes = ", ".join(str(step.exit_code) for step in end.steps[:20]) + (", …" if len(end.steps) > 20 else "")
    parts = [
        f"its steps' exit codes {codes}" if end.steps else "",
        f"image {end.image}" if end.image else "",
        f"with the outputs of {end.reused}, without running" if end.reused else "",
        f"uploaded {count(len(end.collected), 'file')}" if end.collected else "",
        "its checkpoint is saved" if end.checkpoint else "",
        "its work directory is kept" if end.kept else "",
    ]
    return "".join(f", {part}" for part in parts if part)


def _why(end: e.Ended) -> str:
    return because(
        ", ".join(p for p in (f"exit {end.exit_code}" if end.exit_code is not None else "", end.cause or "") if p),
        end.reason,
    )


def _used(usage: Usage) -> str:
    if usage.started_at is None or usage.ended_at is None:
        return ""
    return (
        f" after {usage.ended_at - usage.started_at:.3f} s, {usage.cpu_seconds:.3f} s of CPU, {usage.peak_memory} bytes"
    )


def _verdict(event: object, seq: int, submission: int, index: int) -> list[str]:
    match event:
        case e.TasksRequeued():
            return [requeued(q) for q in event.tasks if q.submission == submission and q.index == index]
        case e.TasksSubmitted() if seq == submission:
            held = ", held" if event.held else ""
            return [f"submitted to batch {event.batch}{held}"]
        case e.SweepOrdered():
            there = any(o.submission == submission and any(s.index == index for s in o.starts) for o in event.orders)
            return [f"{SWEPT[event.what]} past their time, to be removed"] if there else []
        case e.RequirementsMet() if submission in event.submissions:
            return ["its requirements are met"]
        case e.PlaceReserved() if (event.submission, event.index) == (submission, index):
            return [reserved(event)]
        case e.SubmissionAccepted() | e.SubmissionRejected() | e.SubmissionDuplicated() if (
            event.submission == submission
        ):
            return [answer(event, index)]
        case _:
            tasks: Sequence[TaskRange] = getattr(event, "tasks", ())
            return [of_range(event)] if _within(tasks, submission, index) else []


def requeued(q: e.Requeue) -> str:
    """Why a task is queued again, and what is different then."""
    return (
        (f"queued again after attempt {q.n}" if q.n else "queued again")
        + because(q.cause, q.reason)
        + (f", with {sized(q.memory)} of memory from here on" if q.memory else "")
        + (f", not before {when(q.not_before)}" if q.not_before else "")
    )


def reserved(event: e.PlaceReserved) -> str:
    """A claim on a worker, or the end of one."""
    if not event.worker:
        return "gives its reserved place up" + because(None, event.reason)
    return f"a place is reserved on {event.worker}" + because(None, event.reason)


def _edited(event: e.TasksEdited) -> str:
    note = because(None, event.note)
    if event.undoes:
        return f"edit {event.undoes} {'counts again' if event.restored else 'is taken back'}{note}"
    return f"edited: {change(event.change)}{note}"


def _deleted(event: e.TasksDeleted) -> str:
    return ("in the lists again" if event.restored else "deleted from the lists") + because(None, event.note)


#: What an event says of every task in its `tasks`.
_OF_RANGE: Final[dict[type[e.Event], Callable[[Any], str]]] = {
    e.TasksFailed: lambda event: (
        f"failed as before retry {event.undoes}, which is undone" if event.undoes else "failed for good"
    ) + because(event.cause, event.reason),
    e.TasksCancelled: lambda event: "cancelled" + because(None, event.reason),
    e.TasksRetried: lambda event: "queued again on request" + (", waits for its requirements" if event.waiting else ""),
    e.RequirementsMet: lambda event: "its requirements are met",
    e.TasksEdited: _edited,
    e.TasksHeld: lambda event: "held until it is released",
    e.TasksDeleted: _deleted,
    e.CancelRequested: lambda event: "asked to cancel it" + (" at once" if event.kill else ""),
    e.RetryRequested: lambda event: "asked to run it again",
    e.SignalRequested: lambda event: f"asked to send it {event.signal}",
    e.EditRequested: lambda event: f"asked to edit it: {change(event.change)}",
    e.DeleteRequested: lambda event: "asked to show it again" if event.restore else "asked to delete it",
}  # fmt: skip


def of_range(event: object) -> str:
    """What an event says of each task of its ranges."""
    return _OF_RANGE[type(event)](event) if type(event) in _OF_RANGE else "named"  # type: ignore[index]


def answer(event: e.SubmissionAccepted | e.SubmissionRejected | e.SubmissionDuplicated, index: int = -1) -> str:
    """What became of a submission, for one of its tasks."""
    match event:
        case e.SubmissionAccepted():
            return "accepted"
        case e.SubmissionRejected():
            return f"rejected: {dict(event.by_index).get(index, event.reason)}"
        case e.SubmissionDuplicated():
            return f"a repeat of submission {event.first}, which holds the tasks"


def _within(tasks: Sequence[TaskRange], submission: int, index: int) -> bool:
    return any(t.submission == submission and t.lo <= index <= t.hi for t in tasks)
