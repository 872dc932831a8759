"""What waits on workers gives way to what waits in the queue with a higher priority, and is handed out again behind it.

A worker starts what it holds in the order in which it got it, so what is recalled is all that does not run yet there and
counts less. What must not enter: idle workers (`recall`), changes of state.
"""

from collections.abc import Collection, Iterator

from longshore_common import events as e
from longshore_dispatcher.core import recall, reserve
from longshore_dispatcher.core.content import variants
from longshore_dispatcher.core.load import Load
from longshore_dispatcher.core.orders import Orders
from longshore_dispatcher.core.queue import Key
from longshore_dispatcher.core.seats import Seat, able
from longshore_dispatcher.core.state import PHASE, State, Submission, Task

Decision = tuple[e.Event, str]

#: Workers looked at in one turn, those of them that are told to give back, and lines of the queue compared with each.
LOOKED_AT, PER_TURN, LINES = 64, 16, 8


def give_way(state: State, now: float, orders: Orders, untouchable: Collection[int]) -> Iterator[Decision]:
    """Recalls in favour of tasks for which this turn, whose `orders` these are, found no place at all."""
    if not state.roster.ahead or len(state.priorities) < 2:
        return
    waits = [line for line in _first(state) if not orders.given(line[1].id)]
    wanted = sum(count for _, _, count in waits) - len(state.asked_back)
    told = 0
    for name in _some(state) if wanted > 0 else ():
        if name in state.reservations:
            continue
        gone = [task for task in _behind(state, now, name, waits[0][0]) if task.submission not in untouchable]
        if gone and _fits_then(state, name, gone, waits):
            yield recall.order(gone), name
            wanted, told = wanted - len(gone), told + 1
            if wanted <= 0 or told >= PER_TURN:
                return


_Waits = tuple[int, Submission, int]


def _first(state: State) -> Iterator[_Waits]:
    """(priority, its first submission, how many tasks) of the first lines from which something may be placed."""
    found = 0
    for rank in sorted(state.queue.tree):
        for user, batches in state.queue.tree[rank].items():
            for batch, lines in batches.items():
                for need, line in lines.items():
                    sub = state.submissions[next(iter(line))]
                    if found >= LINES:
                        return
                    found += 1
                    if not reserve.capped(state, sub) and Key(rank, user, batch, need) in state.queue.lines:
                        yield -rank, sub, line.tasks


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
    ]


def _fits_then(state: State, name: str, gone: Collection[Task], waits: Collection[_Waits]) -> bool:
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
        priority > least
        and able(worker, sub.batch, lot.need)
        and any(seat.room(need, -1) > 0 for need in variants(lot.need))
        for priority, sub, _ in waits
        for lot in sub.lots[:1]
    )
