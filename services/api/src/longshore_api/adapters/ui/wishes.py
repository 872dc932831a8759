"""From the verb of a button to events: what is wished for tasks, a batch, workers. What must not enter: who may what, HTTP."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, get_args

from longshore_common import events as e
from longshore_common.errors import BadInput
from longshore_common.ids import TaskRange, WorkerId, token
from longshore_common.model import Care

#: Ranges of one wish: an event must stay small.
_RANGES: Final = 5_000
_SIGNALS: Final = frozenset({"stop", "kill", "pause", "continue", "checkpoint"})
_CARES: Final = frozenset(get_args(Care))
#: What one says of it afterwards.
DONE: Final = {
    "cancel": "Asked to cancel", "kill": "Asked to kill", "retry": "Asked to try again", "pause": "Asked to pause",
    "continue": "Asked to continue", "delete": "Asked to delete", "restore": "Asked to restore", "resume": "Asked to resume",
    "freeze": "Asked to freeze", "drain": "Asked to drain", "move": "Asked to move", "signal": "Asked to signal",
    "checkpoint": "Asked to checkpoint",
}  # fmt: skip


def of_tasks(verb: str, ranges: Sequence[TaskRange], given: Mapping[str, Any]) -> Iterator[e.Event]:
    """About these tasks; `BadInput` for a verb that is none."""
    if not ranges:
        raise BadInput("no task is selected")
    for at in range(0, len(ranges), _RANGES):
        yield _of_some(verb, tuple(ranges[at : at + _RANGES]), given)


def _of_some(verb: str, tasks: tuple[TaskRange, ...], given: Mapping[str, Any]) -> e.Event:
    match verb:
        case "cancel" | "kill":
            return e.CancelRequested(tasks=tasks, kill=verb == "kill")
        case "retry":
            return e.RetryRequested(tasks=tasks)
        case "delete" | "restore":
            return e.DeleteRequested(tasks=tasks, restore=verb == "restore")
        case "pause" | "continue" | "checkpoint":
            return e.SignalRequested(tasks=tasks, signal=verb)
        case "signal":
            return e.SignalRequested(tasks=tasks, signal=_signal(str(given.get("signal") or "")))
        case _:
            raise BadInput(f"{verb!r} is nothing that can be done to tasks")


def _signal(name: str) -> str:
    word = name.strip()
    if word.lower() in _SIGNALS:
        return word.lower()
    word = word.upper()
    if not word.removeprefix("SIG").isalnum():
        raise BadInput(f"{name!r} is no signal: write SIGUSR1, or stop, kill, pause, continue")
    return word if word.startswith("SIG") else f"SIG{word}"


def of_batch(verb: str, batch: str) -> e.Event:
    """About a whole batch."""
    match verb:
        case "pause" | "freeze":
            return e.BatchPauseRequested(batch=batch, freeze=verb == "freeze")
        case "resume":
            return e.BatchResumeRequested(batch=batch)
        case "cancel" | "kill":
            return e.CancelRequested(batch=batch, kill=verb == "kill")
        case "retry":
            return e.RetryRequested(batch=batch)
        case "delete" | "restore":
            return e.DeleteRequested(batch=batch, restore=verb == "restore")
        case _:
            raise BadInput(f"{verb!r} is nothing that can be done to a batch")


def of_workers(verb: str, names: Sequence[str], given: Mapping[str, Any]) -> e.Event:
    """About these workers; never about all of them because none was named."""
    workers = tuple(WorkerId(token(name, "worker")) for name in names)
    if not workers:
        raise BadInput("no worker is selected")
    match verb:
        case "pause" | "drain":
            return e.WorkerPauseRequested(workers=workers, drain=verb == "drain")
        case "resume":
            return e.WorkerResumeRequested(workers=workers)
        case "resize":
            return _resized(workers, given)
        case "move":
            return e.WorkerMoveRequested(batch=str(given.get("batch") or "").strip() or "*", workers=workers)
        case _ if verb in _CARES:
            return e.WorkerCareRequested(care=verb, workers=workers)  # type: ignore[arg-type]  # one of them
        case _:
            raise BadInput(f"{verb!r} is nothing that can be done to workers")


def _resized(workers: tuple[WorkerId, ...], given: Mapping[str, Any]) -> e.Event:
    concurrency, prefetch = (_count(given, name) for name in ("concurrency", "prefetch"))
    if concurrency is None and prefetch is None:
        raise BadInput("give a number of slots, or auto")
    return e.WorkerResizeRequested(workers=workers, concurrency=concurrency, prefetch=prefetch)


def _count(given: Mapping[str, Any], name: str) -> int | None:
    text = str(given.get(name) or "").strip().lower()
    if not text:
        return None
    if text in ("auto", "automatic", "-1"):
        return -1
    if not text.isdigit() or int(text) > 100_000:
        raise BadInput(f"{name}: {text!r} is no number from 0 on, nor auto")
    return int(text)
