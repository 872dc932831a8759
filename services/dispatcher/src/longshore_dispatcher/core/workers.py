"""What workers are told apart from work: that they are lost, which attempts to kill, publish, pause or resume.

What must not enter: changes of state.
"""

from collections.abc import Collection, Iterator
from typing import Final

from longshore_common import events as e
from longshore_common.ids import AttemptId
from longshore_common.model import Wanted
from longshore_dispatcher.core.state import State

Decision = tuple[e.Event, str]

PER_EVENT: Final = 2000


def lost(state: State, silent: Collection[str], after: float) -> Iterator[Decision]:
    """Workers that are up but were silent for `after` seconds."""
    for name in silent:
        worker = state.workers.get(name)
        if worker is not None and worker.state == "up":
            yield e.WorkerLost(reason=f"nothing was heard of it for {after:g} s"), name


def superseded(state: State) -> Iterator[Decision]:
    """Attempts that a worker holds or will still read, and nobody wants any more."""
    for name in sorted(state.roster.kills):
        yield from _signal(name, list(state.workers[name].kill), "kill")


def grants(state: State, wished: Collection[int] = ()) -> Iterator[Decision]:
    """Delivered attempts may publish: each is the current one of its task and no other was granted."""
    by_worker: dict[str, list[str]] = {}
    for task in state.grants.values():
        if not task.cancel and task.wanted not in ("stop", "kill") and task.submission not in wished:
            by_worker.setdefault(task.worker, []).append(task.attempt)
    for name, attempts in by_worker.items():
        yield from _signal(name, attempts, "publish")


def frozen(state: State) -> Iterator[Decision]:
    """Attempts of frozen batches pause; those that a freeze paused go on after it."""
    cold = {name for name, batch in state.batches.items() if batch.frozen}
    if not cold and not state.frozen:
        return
    for name, load in state.loads.items():
        pause, thaw = [], []
        for attempt, task in load.attempts.items():
            is_cold = state.submissions[task.submission].batch in cold
            if is_cold and task.wanted == "run" and not task.cancel:
                pause.append(attempt)
            elif task.frozen and not is_cold and task.wanted == "pause":
                thaw.append(attempt)
        yield from _signal(name, pause, "pause")
        yield from _signal(name, thaw, "run")


def _signal(name: str, attempts: list[str], wanted: Wanted) -> Iterator[Decision]:
    for at in range(0, len(attempts), PER_EVENT):
        chunk = tuple(AttemptId(a) for a in attempts[at : at + PER_EVENT])
        yield e.AttemptsSignalled(attempts=chunk, wanted=wanted), name
