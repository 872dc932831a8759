"""Which task goes to which worker: by priority, then in order of submission, taken from the front of ranges.

Only what is queued and due is planned, and only onto places that are free by this turn's seats. What must not enter:
changes of state; the plan is applied when its events come back from the log.
"""

from collections.abc import Collection, Iterator
from heapq import heapify, heappop, heappush, merge
from typing import NamedTuple

from longshore_common import events as e
from longshore_dispatcher.core import changes
from longshore_dispatcher.core.content import Need
from longshore_dispatcher.core.orders import Orders
from longshore_dispatcher.core.queue import Key
from longshore_dispatcher.core.seats import Seat, Wanted, able, deal
from longshore_dispatcher.core.state import Lot, State, Submission, Task

Decision = tuple[e.Event, str]

#: Seconds for which a task queued again keeps away from the host that failed it while there is another.
AVOIDED = 60.0

#: Tasks whose back-off is over, by submission and need.
Due = dict[tuple[int, Need], list[Task]]


class _First(NamedTuple):
    """What stands first in a line; these sort by priority, then submission, then a number of the line."""

    rank: int
    submission: int
    line: int
    key: Key
    rest: Iterator[int]


def plan(
    state: State, now: float, free: list[Seat], accepted: Collection[Submission], untouchable: Collection[int]
) -> Iterator[Decision]:
    """Assignments onto `free`. This same turn accepts `accepted` and changes the tasks of `untouchable` otherwise."""
    turn = _Turn(state, now, free)
    if not turn.open:
        return
    heads = _heads(state, accepted, turn.due)
    while heads:
        head = heappop(heads)
        taken = head.submission in untouchable or turn.take(head.key, state.submissions[head.submission])
        if not taken:
            continue  # no place for this line in this turn
        following = next(head.rest, None)
        if following is not None:
            heappush(heads, head._replace(submission=following))
    yield from turn.orders.events()


def _heads(state: State, accepted: Collection[Submission], due: Due) -> list[_First]:
    """The first submission of every line that is not paused, as a heap."""
    extra: dict[Key, set[int]] = {}
    for submission, need in due:
        sub = state.submissions[submission]
        extra.setdefault(Key(-sub.priority, sub.batch, need), set()).add(submission)
    for sub in accepted:
        for lot in sub.lots:
            if lot.fresh.count and not sub.requires:
                extra.setdefault(Key(-sub.priority, sub.batch, lot.need), set()).add(sub.id)
    heads = []
    for number, key in enumerate({**state.queue.lines, **extra}):
        batch = state.batches.get(key.batch)
        if batch is not None and batch.paused:
            continue
        ids = iter(state.queue.lines.get(key, ()))
        if key in extra:
            ids = _distinct(merge(ids, sorted(extra[key])))
        heads.append(_First(key.rank, next(ids), number, key, ids))
    heapify(heads)
    return heads


def _distinct(ids: Iterator[int]) -> Iterator[int]:
    last = 0
    for submission in ids:
        if submission != last:
            last = submission
            yield submission


def due(state: State, now: float) -> Due:
    """The queued tasks whose back-off is over: the top of the heap, which is left as it is, and what no clock that is
    right can have put so far down.
    """
    found: Due = {}
    for entry in (*_top(state.delayed, now), *changes.set_back(state, now)):
        if changes.is_delayed(state, entry):
            sub = state.submissions[entry[1]]
            task = sub.tasks[entry[2]]
            tasks = found.setdefault((sub.id, changes.lot_at(sub, task.index).need), [])
            if task not in tasks[-1:]:
                tasks.append(task)
    return found


def _top(heap: list[tuple[float, int, int]], now: float) -> Iterator[tuple[float, int, int]]:
    at = [0]
    while at:
        k = at.pop()
        if k < len(heap) and heap[k][0] <= now:
            yield heap[k]
            at += (2 * k + 1, 2 * k + 2)


class _Turn:
    """One plan in the making: seats, and the orders made so far."""

    def __init__(self, state: State, now: float, free: list[Seat]) -> None:
        self.state, self.now = state, now
        self.free = [seat for seat in free if seat.room(0) > 0]
        self.open = bool(self.free)
        self.due = due(state, now) if self.open else {}
        self.orders = Orders(state)
        self._able: dict[tuple[str, Need], list[Seat]] = {}

    def take(self, key: Key, sub: Submission) -> bool:
        """Plan what this submission has in this line; False if the line finds no place any more."""
        lot = next(lot for lot in sub.lots if lot.need == key.need)
        pace = sub.pace if sub.pace >= 0 else self.state.paces.get(sub.batch, -1)
        seats = self._seats(key)
        room = self._room(sub)
        places = sum(max(0, min(s.room(pace), s.fits(key.need))) for s in seats)
        if not places:
            return False
        again = self._again(sub, lot)
        if again and room > 0:
            room -= self._give_again(sub, lot, again[: min(room, places)], (seats, pace))
        if room > 0 and lot.fresh.count:
            self._give_fresh(sub, lot, (seats, pace), min(room, lot.fresh.count))
        return True

    def _seats(self, key: Key) -> list[Seat]:
        """The seats that could take from this line."""
        group = (key.batch, key.need)
        found = self._able.get(group)
        if found is None:
            found = self._able[group] = [s for s in self.free if able(s.worker, key.batch, key.need)]
        return found

    def _room(self, sub: Submission) -> int:
        """How many more tasks of this submission may be on workers."""
        if not sub.max_running:
            return sub.size
        return max(0, sub.max_running - sub.placed - self.orders.given(sub.id))

    def _again(self, sub: Submission, lot: Lot) -> list[Task]:
        tasks = [sub.tasks[index] for index in sorted(lot.again)] if lot.again else []
        return tasks + self.due.get((sub.id, lot.need), [])

    def _give_again(self, sub: Submission, lot: Lot, tasks: list[Task], where: tuple[list[Seat], float]) -> int:
        """Tasks queued again keep away, for a while, from the host that failed them if another could take them."""
        groups: dict[str, list[Task]] = {}
        for task in tasks:
            old = self.now - max(task.not_before, task.at) > AVOIDED
            groups.setdefault("" if old else task.avoid, []).append(task)
        given = 0
        free, pace = where
        for avoid, group in groups.items():
            shy = [s for s in free if s.name != avoid] if avoid and self._elsewhere(sub, lot, avoid) else free
            at = 0
            for seat, share in deal(shy, Wanted(lot.need, len(group), pace, sub.resources)):
                self.orders.again(seat.name, sub, group[at : at + share])
                at += share
            given += at
        return given

    def _elsewhere(self, sub: Submission, lot: Lot, avoid: str) -> bool:
        """Whether another worker, busy or not, could run it."""
        return any(
            worker.takes_work and name != avoid and able(worker, sub.batch, lot.need)
            for name, worker in self.state.workers.items()
        )

    def _give_fresh(self, sub: Submission, lot: Lot, where: tuple[list[Seat], float], count: int) -> None:
        shares = deal(where[0], Wanted(lot.need, count, where[1], sub.resources))
        runs = lot.fresh.first(sum(share for _, share in shares))
        runs.reverse()
        for seat, share in shares:
            while share > 0 and runs:
                lo, hi = runs.pop()
                end = min(hi, lo + share - 1)
                self.orders.fresh(seat.name, sub, (lo, end))
                share -= end - lo + 1
                if end < hi:
                    runs.append((end + 1, hi))
