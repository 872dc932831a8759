"""What waits in which shapes, since when, and what serves it: counted by lines of the queue, never by tasks.

Tasks that a limit holds back are no demand: no machine would help them. Those that a worker took in advance are: another
machine would run them now. What must not enter: how it is told.
"""

from collections import Counter
from collections.abc import Generator
from functools import lru_cache
from typing import Final, NamedTuple

from longshore_common.demand import BatchDemand, Shape, Waiting
from longshore_dispatcher.core import changes, shares
from longshore_dispatcher.core.content import PLAIN, Need, variants
from longshore_dispatcher.core.queue import Key, Line
from longshore_dispatcher.core.seats import Seat, capacity, serves
from longshore_dispatcher.core.state import PHASE, State, Submission

#: Shapes of one batch that are told apart.
LISTED: Final = 200
#: Seconds that tasks taken in advance must run at least to be demand: others start in a moment.
LONG: Final = 1.0


class _Kind(NamedTuple):
    """What is told together."""

    priority: int
    need: Need


#: How many of a kind, and since when, by batch.
_Ahead = dict[tuple[str, _Kind], tuple[int, float]]


class Crew:
    """How many tasks of a need the workers of a batch run at once, remembered while the workers stay as they are.

    A cache and nothing else: what it answers depends on the workers only.
    """

    def __init__(self) -> None:
        self._seen: object = None
        self._ahead: dict[str, tuple[int, _Ahead]] = {}
        self._slots: dict[tuple[str, Need | None], int] = {}

    def look(self, state: State) -> None:
        """Forget what other workers could do."""
        seen = [(w.name, w.takes_work, w.batch, w.concurrency, id(w.facts)) for w in state.workers.values()]
        if seen != self._seen:
            self._seen, self._slots = seen, {}

    def slots(self, state: State, batch: str, need: Need | None) -> int:
        """Tasks of this need (None: slots, whatever is asked for) that run at once on workers that take this batch's."""
        return self._of(state, "*", need) + self._of(state, batch, need)

    def ahead(self, state: State, name: str) -> _Ahead:
        """What this worker holds beyond what runs there at once, looked at again when it has changed."""
        stamp = state.roster.stamps.get(name, 0)
        known = self._ahead.get(name)
        if known is None or known[0] != stamp:
            known = self._ahead[name] = (stamp, _ahead(state, name))
        return known[1]

    def _of(self, state: State, served: str, need: Need | None) -> int:
        found = self._slots.get((served, need))
        if found is None:
            hands = [w for w in state.workers.values() if w.batch == served and w.takes_work]
            if need is None:
                found = sum(w.concurrency if w.concurrency >= 0 else w.facts.cpus for w in hands)
            else:
                able = [w for w in hands if serves(w, served, need)]
                found = sum(max(capacity(w, variant) for variant in variants(need)) for w in able)
            self._slots[(served, need)] = found
        return found


class _Sum:
    """How much of a kind there is."""

    __slots__ = ("ahead", "since", "tasks")

    def __init__(self) -> None:
        self.tasks = self.ahead = 0
        self.since = float("inf")


def demands(state: State, crew: Crew, leader: int) -> dict[str, BatchDemand]:
    """By batch, for all that have tasks in line or held in advance."""
    steps = counting(state, crew, leader)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found: dict[str, BatchDemand] = done.value
            return found


def counting(state: State, crew: Crew, leader: int) -> Generator[None, None, dict[str, BatchDemand]]:
    """`demands` in small steps, between which the state may go on: a hint need not be of one instant."""
    crew.look(state)
    allowed = _Allowed(state)
    found: dict[str, dict[_Kind, _Sum]] = {}
    for key in sorted(state.queue.lines, key=_rank):
        yield
        if (line := state.queue.lines.get(key)) is None:
            continue
        kinds = found.setdefault(key.batch, {})
        if tasks := allowed.of(state, key, line):
            total = kinds.setdefault(_Kind(-key.rank, key.need), _Sum())
            total.tasks += tasks
            total.since = min(total.since, _since(state, line))
    for name in list(state.roster.ahead):
        yield
        for (batch, kind), (count, since) in crew.ahead(state, name).items():
            total = found.setdefault(batch, {}).setdefault(kind, _Sum())
            total.ahead += count
            total.since = min(total.since, since)
    told = {}
    for batch, kinds in found.items():
        yield
        told[batch] = _told(state, crew, (batch, leader, allowed.held[batch]), kinds)
    return told


def _told(state: State, crew: Crew, what: tuple[str, int, int], kinds: dict[_Kind, _Sum]) -> BatchDemand:
    batch, leader, capped = what
    pace = state.paces.get(batch, -1.0)
    waiting = [
        Waiting(
            shape=shape(kind.need), tasks=total.tasks, since=total.since, priority=kind.priority, ahead=total.ahead,
            seconds=round(pace * total.tasks, 3) if pace >= 0 else -1, slots=crew.slots(state, batch, kind.need),
        )
        for kind, total in kinds.items()
    ]  # fmt: skip
    waiting.sort(key=_most_first)
    paused = (held := state.batches.get(batch)) is not None and held.paused
    return BatchDemand(
        batch=batch, waiting=tuple(waiting[:LISTED]), slots=crew.slots(state, batch, None), paused=paused,
        more=sum(each.tasks for each in waiting[LISTED:]), capped=capped, leader=leader,
    )  # fmt: skip


@lru_cache(4096)
def shape(need: Need) -> Shape:
    """The need in the words of machines."""
    custom = tuple((name, amount / 1000) for name, amount in need.custom)
    others = tuple(map(shape, need.alternatives))
    return Shape(
        cpus=need.cpus / 1000, memory=need.memory, gpus=need.gpus, disk=need.disk, custom=custom,
        container=need.container, alternatives=others,
    )  # fmt: skip


def _rank(key: Key) -> int:
    return key.rank


def _most_first(waiting: Waiting) -> tuple[int, int]:
    return -waiting.tasks - waiting.ahead, -waiting.priority


def _since(state: State, line: Line) -> float:
    """When the oldest in line began to wait: not before the line was there, nor before that was submitted."""
    first = state.submissions.get(next(iter(line)))
    return max(line.since, first.at if first is not None else 0.0)


class _Allowed:
    """What limits let be on workers beyond what is there already; `held`: tasks that they hold back, by batch."""

    def __init__(self, state: State) -> None:
        self._rooms: dict[tuple[str, str], int] = {}
        self._excess: Counter[Key] = Counter()
        self.held: Counter[str] = Counter()
        for sub in state.submissions.values():
            if sub.max_running:
                self._limit(sub)

    def _limit(self, sub: Submission) -> None:
        room = max(0, sub.max_running - sub.placed)
        for lot in sub.lots:
            tasks = lot.fresh.count + len(lot.again)
            self._excess[Key(-sub.priority, sub.user, sub.batch, lot.need)] += max(0, tasks - room)
            room = max(0, room - tasks)

    def of(self, state: State, key: Key, line: Line) -> int:
        """How many of the tasks in this line may be handed out if there is a place for them."""
        tasks = line.tasks - min(line.tasks, self._excess[key])
        for kind, name in (("batch", key.batch), ("user", key.user)):
            if most := shares.share_of(state, kind, name).max_running:
                room = self._rooms.setdefault((kind, name), max(0, most - shares.placed(state, kind, name)))
                tasks = min(tasks, room)
        for kind, name in (("batch", key.batch), ("user", key.user)):
            if (kind, name) in self._rooms:
                self._rooms[(kind, name)] -= tasks
        self.held[key.batch] += line.tasks - tasks
        return tasks


def _ahead(state: State, name: str) -> _Ahead:
    """Attempts that this worker holds beyond what runs there at once, of tasks that run long, and since when."""
    found: _Ahead = {}
    seat = state.roster.seat(name)
    if seat is None or not _beyond(seat):
        return found
    left = seat.copy()
    for task in reversed(state.load(name).attempts.values()):
        if PHASE[task.state]:
            continue
        sub = state.submissions[task.submission]
        if not 0 <= state.paces.get(sub.batch, -1) < LONG:
            key = (sub.batch, _Kind(sub.priority, changes.lot_at(sub, task.index).need))
            count, since = found.get(key, (0, sub.at))
            found[key] = (count + 1, min(since, sub.at))
        left.take(task.need or PLAIN, -1)
        if not _beyond(left):
            break
    return found


def _beyond(seat: Seat) -> bool:
    """Whether more is promised than what runs at once."""
    least = min(seat.limit, seat.cpus, seat.memory, seat.gpus, seat.disk)
    return least < 0 or any(amount < 0 for amount in (seat.custom or {}).values())
