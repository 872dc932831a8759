"""What waits on workers gives way to what waits in the queue with a higher priority, and is handed out again behind it.

A worker starts what it holds in the order in which it got it, so what is recalled is all that does not run yet there and
counts less. What must not enter: idle workers (`recall`), changes of state.
"""

from collections.abc import Collection, Iterator, Sequence
from heapq import nlargest
from itertools import chain, islice
from typing import NamedTuple

from longshore_common import events as e
from longshore_dispatcher.core import recall, reserve
from longshore_dispatcher.core.content import Need, variants
from longshore_dispatcher.core.heads import AVOIDED, Due, shyness
from longshore_dispatcher.core.load import Load
from longshore_dispatcher.core.orders import Orders
from longshore_dispatcher.core.seats import Seat, able
from longshore_dispatcher.core.state import PHASE, State, Submission, Task

Decision = tuple[e.Event, str]

#: Workers looked at in one turn, those of them that are told to give back.
LOOKED_AT, PER_TURN = 64, 16
#: Lines of the queue looked at, and those of them that are compared with each worker.
SEEN, LINES = 64, 8


class _Waits(NamedTuple):
    """The first submission of a line, its tasks whose back-off is over, and how many tasks wait in the line."""

    sub: Submission
    need: Need
    due: Sequence[Task]
    tasks: int

    @property
    def priority(self) -> int:
        return self.sub.priority


def give_way(state: State, now: float, orders: Orders, due: Due, untouchable: Collection[int]) -> Iterator[Decision]:
    """Recalls in favour of tasks for which this turn, whose `orders` and `due` these are, found no place at all."""
    if not state.roster.ahead or len(state.priorities) < 2:
        return
    waits = [line for line in _first(state, due) if not orders.given(line.sub.id)]
    wanted = sum(line.tasks for line in waits) - len(state.asked_back)
    told = 0
    for name in _some(state) if wanted > 0 else ():
        if name in state.reservations:
            continue
        gone = [task for task in _behind(state, now, name, waits[0].priority) if task.submission not in untouchable]
        if gone and _fits_then(state, now, name, gone, waits):
            yield recall.order(gone), name
            wanted, told = wanted - len(gone), told + 1
            if wanted <= 0 or told >= PER_TURN:
                return


def _first(state: State, due: Due) -> list[_Waits]:
    """The first lines from which something may be placed, the highest priority first."""
    found = [_Waits(state.submissions[sub], need, tasks, len(tasks)) for (sub, need), tasks in due.items()]
    found = [line for line in nlargest(LINES, found, key=_priority) if _may_go(state, line.sub)]
    found += islice((line for line in islice(_standing(state), SEEN) if _may_go(state, line.sub)), LINES)
    found.sort(key=_priority, reverse=True)
    return found


def _standing(state: State) -> Iterator[_Waits]:
    for rank in sorted(state.queue.tree):
        for batches in state.queue.tree[rank].values():
            for lines in batches.values():
                for need, line in lines.items():
                    yield _Waits(state.submissions[next(iter(line))], need, (), line.tasks)


def _priority(line: _Waits) -> int:
    return line.priority


def _may_go(state: State, sub: Submission) -> bool:
    batch = state.batches.get(sub.batch)
    return not (batch is not None and batch.paused) and not reserve.capped(state, sub)


def _some(state: State) -> list[str]:
    """Workers that hold more than they run, in the order of their names; others each time if there are many."""
    ahead = sorted(state.roster.ahead)
    start = state.seq % len(ahead) if len(ahead) > LOOKED_AT else 0
    return [*ahead[start:], *ahead[:start]][:LOOKED_AT]


def _behind(state: State, now: float, name: str, priority: int) -> list[Task]:
    """What does not run there yet and counts less, if waiting for it is more than a moment."""
    worker, load = state.workers[name], state.loads[name]
    if not worker.takes_work or load.unstarted * recall.pace_of(state, load, now) <= recall.WORTH * recall.width_of(
        worker
    ):
        return []
    return [
        task
        for task in load.attempts.values()
        if not PHASE[task.state] and recall.recallable(task) and state.submissions[task.submission].priority < priority
        if not task.returned or now - task.at > AVOIDED  # else it goes round and round if nobody takes its place
    ]


def _fits_then(state: State, now: float, name: str, gone: Collection[Task], waits: Collection[_Waits]) -> bool:
    """Whether one that counts more would be taken there in advance once these are gone."""
    worker, left = state.workers[name], Load()
    names = {task.attempt for task in gone}
    for attempt, task in state.loads[name].attempts.items():
        if attempt not in names:
            left.attempts[attempt] = task
            left.phases[PHASE[task.state]] += 1
            if PHASE[task.state] < 2 and task.need is not None:
                left.charge(task.need, 1)
    seat = Seat(worker, left)
    least = min(state.submissions[task.submission].priority for task in gone)
    return any(
        line.priority > least
        and able(worker, line.sub.batch, line.need)
        and any(seat.room(variant, -1) > 0 for variant in variants(line.need))
        and _comes(state, now, name, line)
        for line in waits
    )


def _comes(state: State, now: float, name: str, line: _Waits) -> bool:
    """Whether one of these tasks does not keep away from this worker, or has no other."""
    lot = next(lot for lot in line.sub.lots if lot.need == line.need)
    again = chain(line.due, (line.sub.tasks[index] for index in lot.again))
    if lot.fresh.count or any(shyness(task, now).avoid != name for task in again):
        return True
    others = (other for other in state.workers.values() if other.name != name)
    return not any(able(other, line.sub.batch, line.need) for other in others)
