"""What an event says about a batch. What must not enter: single tasks."""

from collections.abc import Callable
from typing import Any, Final

from longshore_api.core.narrative.words import change, count, kept, listing, share, size_of
from longshore_common import events as e


def _also(event: Any) -> str:
    return f" and {listing(event.tasks)}" if event.tasks else ""


def _shared(event: e.ShareRequested) -> str:
    parts = [f"weight {event.weight:g}"] if event.weight is not None else []
    if event.max_running is not None:
        parts.append(f"at most {count(event.max_running, 'task')} at once" if event.max_running else "no cap")
    return f"asked to give it {' and '.join(parts) or 'what it has'}"


_TEXTS: Final[dict[type[e.Event], Callable[[Any], str]]] = {
    e.CancelRequested: lambda event: "asked to cancel all of it" + (" at once" if event.kill else "") + _also(event),
    e.RetryRequested: lambda event: "asked to run its failed and cancelled tasks again",
    e.EditRequested: lambda event: f"asked to edit its tasks: {change(event.change)}",
    e.DeleteRequested: lambda event: (
        "asked to show its deleted tasks again" if event.restore else "asked to delete its ended tasks from the lists"
    ),
    e.BatchRetentionRequested: lambda event: f"asked to keep {kept(event.retention)}",
    e.BatchRetentionSet: lambda event: f"keeps {kept(event.retention)}",
    e.BatchPauseRequested: lambda event: "asked to pause it" + (" and to freeze what runs" if event.freeze else ""),
    e.BatchResumeRequested: lambda event: "asked to resume it",
    e.BatchPaused: lambda event: "paused" + (", running attempts frozen" if event.frozen else ""),
    e.BatchResumed: lambda event: "resumed",
    e.ShareRequested: _shared,
    e.ShareSet: lambda event: f"has {share(event.share)}",
    e.WorkerMoveRequested: lambda event: f"asked to let {listing(event.workers) or 'all workers'} serve it",
    e.WorkerMoved: lambda event: "a worker serves it",
}  # fmt: skip


def of_batch(event: object, seq: int) -> str:
    """What an event about a batch, or a user's share, says."""
    if isinstance(event, e.TasksSubmitted):
        return f"submission {seq} of {count(size_of(event.body), 'task')}" + (", held" if event.held else "")
    return _TEXTS[type(event)](event) if type(event) in _TEXTS else ""  # type: ignore[index]
