"""Which rows keep an event itself: the archive, and what makes the history of a worker, a batch or a wish quick to find."""

from collections.abc import Iterable
from typing import Final

from longshore_api.core.rows import Changes
from longshore_common import codec
from longshore_common import events as e
from longshore_common.log import Malformed, Recorded

#: Stands for all workers where an event names none.
EVERY: Final = "*"
#: The kind under which an answer is kept for the wish it answers, whose sequence is the name.
REQUEST: Final = "request"
#: The kind under which events are kept that this release could not read or not project; they have no name.
PASSED_OVER: Final = "passed-over"

#: Events of a worker's own history: those it writes, and those that are addressed to it.
_BY_WORKER: Final = frozenset({
    e.WorkerJoined, e.WorkerLeft, e.WorkerHindered, e.WorkerEvicted, e.ResourcesHeld, e.WorkerCared, e.SweepDone,
})  # fmt: skip
_TO_WORKER: Final = frozenset({
    e.WorkerPaused, e.WorkerResumed, e.WorkerResized, e.WorkerLost, e.WorkerCareOrdered, e.RemotesGiven, e.SweepOrdered,
    e.WorkerMoved, e.WorkerQuarantined, e.WorkerTrusted, e.SecretGiven,
})  # fmt: skip


def clean(text: str) -> str:
    """Text that PostgreSQL can hold: NUL is replaced."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


def addressee(record: Recorded) -> str:
    """The worker whom a dispatcher's event of log.dispatch.<worker>.<work|signal> is addressed to."""
    return record.subject.split(".")[2]


def keep(changes: Changes, record: Recorded) -> None:
    """The event becomes a row of the archive; its body as it stands in the log, deflated if the writer did so."""
    event = record.event
    if isinstance(event, Malformed):
        tag, body = "unreadable", record.body or event.reason.encode()
        changes.abouts.append((PASSED_OVER, "", record.seq))
    else:
        tag, body = str(type(event).__struct_config__.tag), record.body or codec.encode(event)[0]
        for kind, name in abouts(record, event):
            changes.abouts.append((kind, clean(name), record.seq))
    changes.events.append((record.seq, record.at, record.author.role, record.author.name, tag, record.subject, body))


def abouts(record: Recorded, event: e.Event) -> Iterable[tuple[str, str]]:
    """(kind, name) of each worker, batch and wish whose history this event belongs to; bulk events to none."""
    request: int = 0 if isinstance(event, e.UndoRequested) else getattr(event, "request", 0)
    return [*_places(record, event), *([(REQUEST, str(request))] if request else ())]


def _places(record: Recorded, event: e.Event) -> Iterable[tuple[str, str]]:
    match event:
        case (
            e.TasksSubmitted() | e.BatchPauseRequested() | e.BatchResumeRequested() | e.BatchPaused() | e.BatchResumed()
            | e.BatchRetentionRequested() | e.BatchRetentionSet()
        ):  # fmt: skip
            return [("batch", event.batch)]
        case e.CancelRequested() | e.RetryRequested() | e.EditRequested() | e.DeleteRequested():
            return [("batch", event.batch)] if event.batch else ()
        case e.ShareRequested() | e.ShareSet():
            return [(event.kind, event.name)]
        case (
            e.UserAdded() | e.UserChanged() | e.UserRevoked() | e.CredentialIssued() | e.CredentialExpires()
            | e.CredentialRevoked()
        ):  # fmt: skip
            return [("user", event.user)] if event.user else ()
        case e.PlaceReserved():
            return [("worker", event.worker)] if event.worker else ()
        case e.WorkerMoveRequested():
            return [("batch", event.batch), *(("worker", name) for name in event.workers or (EVERY,))]
        case e.WorkerEnrolled():
            return [("worker", event.worker)]
        case _:
            return [("worker", name) for name in _workers(record, event)]


def _workers(record: Recorded, event: e.Event) -> Iterable[str]:
    match event:
        case e.WorkerPauseRequested() | e.WorkerResumeRequested() | e.WorkerResizeRequested() | e.WorkerCareRequested():
            return event.workers or (EVERY,)
        case e.RemotesShared():
            return (box.worker for box in event.boxes)
        case _ if type(event) in _BY_WORKER:
            return (record.author.name,)
        case _ if type(event) in _TO_WORKER:
            return (addressee(record),)
        case _:
            return ()
