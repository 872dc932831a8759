"""What an event says about a worker and its host. What must not enter: the attempts it runs."""

from collections.abc import Callable
from typing import Any, Final

from longshore_api.core.narrative.words import because, count, sized, slots, when
from longshore_common import events as e

CARES: Final[dict[str, str]] = {
    "clean": "remove kept work directories", "forget-resources": "forget cached resources",
    "prune-images": "remove unused images", "restart": "restart its agent", "doctor": "look for what is wrong",
}  # fmt: skip


def _enrolled(event: e.WorkerEnrolled) -> str:
    return f"enrolled with key {event.public_key}" + (f" from {event.hostname}" if event.hostname else "")


def _joined(event: e.WorkerJoined) -> str:
    held = f", holding {count(len(event.held), 'attempt')}" if event.held else ""
    return f"joined (life {event.life}) with {slots(event.concurrency, event.prefetch, event.prefetch_percent)}{held}"


def _resize(event: e.WorkerResizeRequested) -> str:
    parts = []
    if event.concurrency is not None:
        parts.append("automatic concurrency" if event.concurrency < 0 else f"{event.concurrency} slots")
    if event.prefetch is not None:
        parts.append("automatic prefetch" if event.prefetch < 0 else f"prefetch {event.prefetch}")
    if event.prefetch_percent is not None:
        parts.append(f"prefetch {event.prefetch_percent} %")
    return "asked to resize to " + " and ".join(parts)


def _cared(event: e.WorkerCared) -> str:
    freed = f", {sized(event.freed)} freed" if event.freed else ""
    return f"did {CARES[event.care]}{freed}" + because(None, event.text)


def _swept(event: e.SweepDone) -> str:
    left = f"; {count(len(event.left), 'thing')} could not be removed: {event.left[0][1]}" if event.left else ""
    return f"removed {count(event.removed, 'thing')} for event {event.order}{left}"


def _quarantined(event: e.WorkerQuarantined) -> str:
    return f"in quarantine until {when(event.until)}" + because(None, event.reason)


def _moved(event: Any) -> str:
    return "any batch" if event.batch == "*" else f"batch {event.batch}"


_TEXTS: Final[dict[type[e.Event], Callable[[Any], str]]] = {
    e.WorkerEnrolled: _enrolled, e.WorkerJoined: _joined,
    e.WorkerLeft: lambda event: "left" + because(None, event.reason),
    e.WorkerLost: lambda event: "lost" + because(None, event.reason),
    e.WorkerPaused: lambda event: (
        ("draining" if event.drain else "paused") + ": nothing more is assigned" + because(None, event.reason)
    ),
    e.WorkerResumed: lambda event: "resumed",
    e.WorkerResized: lambda event: f"resized to {slots(event.concurrency, event.prefetch, event.prefetch_percent)}",
    e.WorkerHindered: lambda event: f"takes no more work: {event.reason}" if event.reason else "takes work again",
    e.WorkerEvicted: lambda event: f"will be taken away at {when(event.at)}" + because(None, event.reason),
    e.ResourcesHeld: lambda event: f"keeps {count(len(event.held), 'resource')}",
    e.WorkerCareOrdered: lambda event: f"told to {CARES[event.care]}",
    e.WorkerCared: _cared,
    e.WorkerMoved: lambda event: f"serves {_moved(event)}",
    e.WorkerQuarantined: _quarantined,
    e.WorkerTrusted: lambda event: "trusted again" + because(None, event.reason),
    e.PlaceReserved: lambda event: f"a place there is kept for {event.submission}.{event.index}"
    + because(None, event.reason),
    e.RemotesGiven: lambda event: "given a storage configuration, sealed for it",
    e.SecretGiven: lambda event: f"{'given' if event.box else 'told to forget'} the secret {event.name} of {event.owner}",
    e.SweepOrdered: lambda event: f"told to remove {event.what} of "
    + count(sum(len(order.starts) for order in event.orders), "task"),
    e.SweepDone: _swept,
    e.WorkerPauseRequested: lambda event: "asked to drain" if event.drain else "asked to pause",
    e.WorkerResumeRequested: lambda event: "asked to resume",
    e.WorkerResizeRequested: _resize,
    e.WorkerCareRequested: lambda event: f"asked to {CARES[event.care]}",
    e.WorkerMoveRequested: lambda event: f"asked to serve {_moved(event)}",
    e.RemotesShared: lambda event: f"storage configuration shared with {count(len(event.boxes), 'worker')}",
}  # fmt: skip


def of_worker(event: object) -> str:
    """What an event about a worker says; "" if it says nothing of one."""
    return _TEXTS[type(event)](event) if type(event) in _TEXTS else ""  # type: ignore[index]
