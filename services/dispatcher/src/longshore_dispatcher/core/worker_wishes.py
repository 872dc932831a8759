"""The answers to wishes about workers: to pause, drain, resume, resize or look after them, what is given them in boxes.

What must not enter: changes of state.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from longshore_common import events as e
from longshore_dispatcher.core import confidences
from longshore_dispatcher.core.state import State, Wish

Decision = tuple[e.Event, str]

Told = (
    e.WorkerPauseRequested | e.WorkerResumeRequested | e.WorkerResizeRequested | e.WorkerCareRequested | e.RemotesShared
)
AboutWorkers = Told | e.SecretShared


class _Answer(NamedTuple):
    """The wish, and whether more events will answer it."""

    request: int
    more: bool


def answers(state: State, wish: Wish, event: AboutWorkers) -> Iterator[Decision]:
    """An event to each worker that is meant; all but the last leave the wish open. What is not known is refused by name."""
    if isinstance(event, e.SecretShared):
        yield from confidences.answers(state, wish, event)
        return
    if isinstance(event, e.WorkerResizeRequested) and (fault := _bad_size(event)):
        yield e.RequestRefused(request=wish.seq, reason=fault), ""
        return
    named = tuple(box.worker for box in event.boxes) if isinstance(event, e.RemotesShared) else event.workers
    known = [name for name in named or _all(state, event) if name in state.workers]
    for k, name in enumerate(known, 1):
        yield _for_one(state, event, name, _Answer(wish.seq, k < len(known))), name
    if why := _refusal(state, event, [name for name in named if name not in state.workers], known):
        yield e.RequestRefused(request=wish.seq, reason=why), ""


def _all(state: State, event: Told) -> Sequence[str]:
    """Who is meant where none is named."""
    if isinstance(event, e.RemotesShared):
        return ()
    if isinstance(event, e.WorkerCareRequested):
        return [name for name, worker in state.workers.items() if worker.state == "up"]
    return list(state.workers)


def _for_one(state: State, event: Told, name: str, to: _Answer) -> e.Event:
    request, more = to
    match event:
        case e.WorkerPauseRequested():
            return e.WorkerPaused(drain=event.drain, request=request, more=more)
        case e.WorkerResumeRequested() if state.workers[name].trust.quarantine and not state.workers[name].paused:
            return e.WorkerTrusted(reason="it was resumed", request=request, more=more)
        case e.WorkerResumeRequested():
            return e.WorkerResumed(request=request, more=more)
        case e.WorkerResizeRequested():
            return _resized(state, event, name, to)
        case e.WorkerCareRequested():
            return e.WorkerCareOrdered(care=event.care, request=request, more=more)
        case e.RemotesShared():
            box = next(box.box for box in event.boxes if box.worker == name)
            return e.RemotesGiven(box=box, request=request, more=more)


def _resized(state: State, event: e.WorkerResizeRequested, name: str, to: _Answer) -> e.WorkerResized:
    """What the wish leaves out stays as it is; a prefetch in percent and one in attempts replace each other."""
    worker = state.workers[name]
    slots = worker.concurrency if event.concurrency is None else event.concurrency
    prefetch, percent = worker.prefetch, worker.prefetch_percent
    if event.prefetch is not None or event.prefetch_percent is not None:
        prefetch = -1 if event.prefetch is None else event.prefetch
        percent = event.prefetch_percent or 0
    return e.WorkerResized(
        concurrency=slots, prefetch=prefetch, prefetch_percent=percent, request=to.request, more=to.more
    )


def _refusal(state: State, event: Told, unknown: list[str], known: Sequence[str]) -> str:
    """Why nothing, or not all, of it is done; "" if all is."""
    if unknown:
        return f"no worker is called {', '.join(unknown)}; known are {', '.join(state.workers) or 'none'}"
    if known:
        return ""
    if isinstance(event, e.RemotesShared):
        return "it is sealed for no worker: name at least one"
    if isinstance(event, e.WorkerCareRequested) and state.workers:
        return "no worker is up: start an agent first, or name workers, which do it when they are back"
    return "no worker is known yet: start an agent first"


def _bad_size(event: e.WorkerResizeRequested) -> str:
    if event.concurrency is not None and not -1 <= event.concurrency <= 100_000:
        return f"concurrency {event.concurrency} is not usable: give -1 (automatic: by what tasks request) to 100000"
    if event.prefetch is not None and not -1 <= event.prefetch <= 100_000:
        return f"prefetch {event.prefetch} is not usable: give -1 (automatic) to 100000"
    if event.prefetch_percent is not None and not 1 <= event.prefetch_percent <= 1000:
        return (
            f"prefetch of {event.prefetch_percent} % is not usable: give 1 to 1000 percent, or a prefetch of 0 for none"
        )
    if event.prefetch_percent is not None and event.prefetch is not None:
        return "prefetch is given twice: as attempts and in percent; give one of them"
    return ""
