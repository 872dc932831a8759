"""What waits in which shapes, since when, and what serves it: counted by lines of the queue, never by tasks.

Tasks that a limit holds back are no demand: no machine would help them. Those that a worker took in advance are: another
machine would run them now. What must not enter: how it is told.
"""

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from longshore_common.demand import BatchDemand, Shape, Waiting
from longshore_dispatcher.core import changes, shares
from longshore_dispatcher.core.content import Need, variants
from longshore_dispatcher.core.queue import Key, Line
from longshore_dispatcher.core.seats import Seat, capacity, serves
from longshore_dispatcher.core.state import PHASE, State, Submission, Task

#: Shapes of one batch that are told apart.
LISTED: Final = 200
#: Seconds that tasks taken in advance must run at least to be demand: others start in a moment.
LONG: Final = 1.0


class Crew:
    """How many tasks of a need the workers of a batch run at once, remembered while the workers stay as they are.

    A cache and nothing else: what it answers depends on the workers only.
    """

    def __init__(self) -> None:
        self._seen: object = None
        self._slots: dict[tuple[str, Need | None], int] = {}

    def look(self, state: State) -> None:
        """Forget what other workers could do."""
        seen = [(w.name, w.takes_work, w.batch, w.concurrency, id(w.facts)) for w in state.workers.values()]
        if seen != self._seen:
            self._seen, self._slots = seen, {}

    def slots(self, state: State, batch: str, need: Need | None) -> int:
        """Tasks of this need (None: slots, whatever is asked for) that run at once on workers that take this batch's."""
        return self._of(state, "*", need) + self._of(state, batch, need)

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


class _Kind(NamedTuple):
    """What is told together."""

    priority: int
    need: Need


class _Sum:
    """How much of a kind there is."""

    __slots__ = ("ahead", "since", "tasks")

    def __init__(self) -> None:
        self.tasks = self.ahead = 0
        self.since = float("inf")


def demands(state: State, crew: Crew, leader: int) -> dict[str, BatchDemand]:
    """By batch, for all that have tasks in line or held in advance."""
    crew.look(state)
    allowed = _Allowed(state)
    found: dict[str, dict[_Kind, _Sum]] = {}
    for key in sorted(state.queue.lines, key=_rank):
        line = state.queue.lines[key]
        kinds = found.setdefault(key.batch, {})
        if tasks := allowed.of(state, key, line):
            total = kinds.setdefault(_Kind(-key.rank, key.need), _Sum())
            total.tasks += tasks
            total.since = min(total.since, _since(state, line))
    for sub, task in _ahead(state):
        kind = _Kind(sub.priority, changes.lot_at(sub, task.index).need)
        total = found.setdefault(sub.batch, {}).setdefault(kind, _Sum())
        total.ahead += 1
        total.since = min(total.since, sub.at)
    return {batch: _told(state, crew, (batch, leader, allowed.held[batch]), kinds) for batch, kinds in found.items()}


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


def _ahead(state: State) -> Iterator[tuple[Submission, Task]]:
    """Attempts that workers hold beyond what runs there at once, of tasks that run long."""
    for name in state.roster.ahead:
        seat = state.roster.seat(name)
        if seat is None or not _beyond(seat):
            continue
        left = seat.copy()
        for task in reversed(state.load(name).attempts.values()):
            if not _beyond(left):
                break
            sub = state.submissions[task.submission]
            if PHASE[task.state] or 0 <= state.paces.get(sub.batch, -1) < LONG:
                continue
            left.take(task.need or Need(), -1)
            yield sub, task


def _beyond(seat: Seat) -> bool:
    """Whether more is promised than what runs at once."""
    least = min(seat.limit, seat.cpus, seat.memory, seat.gpus, seat.disk)
    return least < 0 or any(amount < 0 for amount in (seat.custom or {}).values())
