"""Taking back what was handed out too far ahead, for workers that idle or batches and workers that take no more work.

Short tasks are left where they are: what a worker gets to within half a second is not worth a message. What must not
enter: changes of state.
"""

from collections.abc import Iterator
from typing import Final

from longshore_common import events as e
from longshore_common.ids import AttemptId
from longshore_dispatcher.core import changes
from longshore_dispatcher.core.seats import Seat, able
from longshore_dispatcher.core.state import PHASE, Load, State, Task, Worker

Decision = tuple[e.Event, str]

#: Seconds that a worker must still need to get to a task before it is worth recalling.
WORTH: Final = 0.5


def recall(state: State, now: float, seats: list[Seat]) -> Iterator[Decision]:
    """Recalls from what takes no work, and for workers that have free slots after all that is queued has been planned."""
    paused = {name for name, batch in state.batches.items() if batch.paused}
    left = {name: state.workers[name] for name in state.loads if name in state.workers}
    for name, worker in left.items():
        load = state.loads[name]
        if worker.state != "up" or load.unstarted <= load.recalls or not (paused or not worker.takes_work):
            continue
        wanted = _paused_on(state, load, worker, paused)
        if wanted:
            yield e.AttemptsRecalled(attempts=tuple(AttemptId(t.attempt) for t in wanted)), name
    idle = [seat for seat in seats if seat.slots > 0]
    if idle and len(state.loads) > 1:
        yield from _for_idle(state, now, idle)


def _paused_on(state: State, load: Load, worker: Worker, paused: set[str]) -> list[Task]:
    given_up = worker.paused or bool(worker.evicted or worker.trust.quarantine)
    return [
        task
        for task in load.attempts.values()
        if _recallable(task) and task.attempt != worker.trust.probe and (given_up or _unwanted(state, task, worker, paused))
    ]


def _unwanted(state: State, task: Task, worker: Worker, paused: set[str]) -> bool:
    """Whether its batch is paused, or its host is hindered and another worker could take it, busy or not."""
    sub = state.submissions[task.submission]
    if sub.batch in paused:
        return True
    need = changes.lot_at(sub, task.index).need
    return bool(worker.hindered) and any(
        other.takes_work and other.concurrency > 0 and able(other, sub.batch, need) for other in state.workers.values()
    )


def _recallable(task: Task) -> bool:
    return PHASE[task.state] == 0 and not task.recalled and not task.cancel and task.wanted == "run"


def _for_idle(state: State, now: float, idle: list[Seat]) -> Iterator[Decision]:
    wanted = sum(seat.slots for seat in idle) - sum(load.recalls for load in state.loads.values())
    names = {seat.name for seat in idle}
    behind = sorted(
        ((_surplus(state, name, now), name) for name in state.loads if name not in names and name in state.workers),
        reverse=True,
    )
    for surplus, name in behind:
        if surplus <= 0 or wanted <= 0:
            return
        load = state.loads[name]
        found: list[AttemptId] = []
        for task in reversed(load.attempts.values()):
            if len(found) >= min(surplus, wanted):
                break
            if _recallable(task) and _taker(state, task, idle):
                found.append(AttemptId(task.attempt))
        wanted -= len(found)
        if found:
            yield e.AttemptsRecalled(attempts=tuple(found)), name


def _surplus(state: State, name: str, now: float) -> int:
    """How many attempts this worker holds that it will not get to soon."""
    worker, load = state.workers[name], state.loads[name]
    slots = max(1, worker.concurrency)
    surplus = load.unstarted - load.recalls - max(0, worker.concurrency - load.running)
    if worker.state != "up" or surplus <= 0:
        return 0
    pace = _pace(state, load, now)
    soon = int(WORTH * slots / pace) if pace > 0 else load.unstarted
    return min(surplus, load.unstarted - soon)


def _pace(state: State, load: Load, now: float) -> float:
    """Seconds a task takes here: what its submission took so far, or how long the slowest has been running."""
    pace = 0.0
    seen: set[int] = set()
    for task in load.attempts.values():
        if PHASE[task.state] == 1:
            pace = max(pace, now - task.started)
        if task.submission not in seen:
            seen.add(task.submission)
            pace = max(pace, state.submissions[task.submission].pace)
    return pace


def _taker(state: State, task: Task, idle: list[Seat]) -> bool:
    sub = state.submissions[task.submission]
    need = changes.lot_at(sub, task.index).need
    return any(s.name != task.avoid and s.fits(need) > 0 and able(s.worker, sub.batch, need) for s in idle)
