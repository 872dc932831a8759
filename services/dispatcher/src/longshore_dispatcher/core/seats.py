"""What workers have to give in one turn: free slots, room for prefetch, and what is left of the host.

A seat is a turn's own copy of the sums, so that a plan never promises twice. What must not enter: tasks' order.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from longshore_dispatcher.core.content import Need
from longshore_dispatcher.core.state import Load, State, Worker

#: Seconds of work that automatic prefetch keeps queued on a worker.
AHEAD: Final = 0.25
#: Attempts on a worker at most, beyond its slots.
MOST: Final = 2000


class Seat:
    """One worker's free places in this turn."""

    __slots__ = ("busy", "cpus", "gpus", "load", "memory", "name", "slots", "worker")

    def __init__(self, worker: Worker, load: Load) -> None:
        self.name, self.worker, self.load = worker.name, worker, load
        delivering = max(0, load.phases[2] - 2 * worker.concurrency - 8)  # a worker that cannot deliver gets no more
        self.busy = load.phases[0] + load.phases[1] + delivering
        self.slots = worker.concurrency - self.busy
        facts = worker.facts
        self.cpus = facts.cpus * 1000 - load.cpus
        self.memory = facts.memory - load.memory
        self.gpus = facts.gpus - load.gpus

    def room(self, pace: float) -> int:
        """How many more may be assigned at all, with prefetch for tasks that run `pace` seconds (negative: unknown)."""
        worker = self.worker
        prefetch = worker.prefetch
        if prefetch < 0:
            prefetch = worker.concurrency
            if pace >= 0:
                prefetch = max(prefetch, int(min(MOST, AHEAD * worker.concurrency / max(pace, 1e-4))))
        return min(worker.concurrency + prefetch, worker.concurrency + MOST) - self.busy

    def fits(self, need: Need) -> int:
        """How many tasks of this need the host has left to give."""
        if need.plain:
            return MOST
        least = MOST
        if need.cpus:
            least = min(least, self.cpus // need.cpus)
        if need.memory:
            least = min(least, self.memory // need.memory)
        if need.gpus:
            least = min(least, self.gpus // need.gpus)
        return max(0, least)

    def take(self, need: Need, count: int) -> None:
        """Promise `count` places."""
        self.busy += count
        self.slots -= count
        self.cpus -= count * need.cpus
        self.memory -= count * need.memory
        self.gpus -= count * need.gpus


def able(worker: Worker, batch: str, need: Need) -> bool:
    """Whether this worker serves this batch and its host could ever run such a task."""
    if worker.batch not in ("*", batch) or (need.container and not worker.facts.engines):
        return False
    facts = worker.facts
    return need.cpus <= facts.cpus * 1000 and need.memory <= facts.memory and need.gpus <= facts.gpus


def seats(state: State) -> list[Seat]:
    """A seat for each worker that may be assigned work."""
    return [
        Seat(worker, state.load(name))
        for name, worker in state.workers.items()
        if worker.takes_work and worker.concurrency > 0
    ]


class Wanted(NamedTuple):
    """Places for so many tasks of this need that run `pace` seconds (negative: unknown) with these resources."""

    need: Need
    tasks: int
    pace: float
    resources: tuple[str, ...] = ()


def deal(fit: Iterable[Seat], wanted: Wanted) -> list[tuple[Seat, int]]:
    """Share tasks among seats: free slots first and evenly, then prefetch. The seats have promised them.

    Free slots of workers that hold more of the resources come before those of others.
    """
    shares: dict[str, int] = {}
    listed = list(fit)
    count = wanted.tasks
    for group, prefetching in (*((seats, False) for seats in _by_resources(listed, wanted)), (listed, True)):
        free = [(seat, room) for seat in group if (room := _free(seat, wanted, prefetching=prefetching)) > 0]
        free.sort(key=_room)  # the fullest first, so that what they cannot take is left for the others
        for k, (seat, room) in enumerate(free):
            share = min(room, -(-count // (len(free) - k)))
            if share > 0:
                seat.take(wanted.need, share)
                shares[seat.name] = shares.get(seat.name, 0) + share
                count -= share
        if count <= 0:
            break
    return [(seat, shares[seat.name]) for seat in listed if seat.name in shares]


def _by_resources(listed: list[Seat], wanted: Wanted) -> list[list[Seat]]:
    """The seats in groups, those whose hosts hold most of what the tasks need first."""
    if not wanted.resources:
        return [listed]
    groups: dict[int, list[Seat]] = {}
    for seat in listed:
        held = seat.worker.held
        groups.setdefault(sum(key in held for key in wanted.resources) if held else 0, []).append(seat)
    return [groups[number] for number in sorted(groups, reverse=True)]


def _free(seat: Seat, wanted: Wanted, *, prefetching: bool) -> int:
    return min(seat.room(wanted.pace) if prefetching else seat.slots, seat.fits(wanted.need))


def _room(free: tuple[Seat, int]) -> int:
    return free[1]
