"""What a worker has to give: free slots, what is left of its host, and room for what is fetched in advance.

A seat is the sums of one worker at one place in the log; a turn takes from copies, so that it never promises twice. What
must not enter: tasks' order, and which seat a task gets.
"""

from itertools import islice
from math import ceil
from typing import TYPE_CHECKING, Final

from longshore_common.model import HostFacts
from longshore_dispatcher.core.content import PLAIN, Need, thousandths, variants
from longshore_dispatcher.core.load import Load

if TYPE_CHECKING:
    from longshore_dispatcher.core.state import State, Worker

#: Seconds of work that automatic prefetch keeps queued on a worker.
AHEAD: Final = 0.25
#: Attempts on a worker at most, beyond those that run.
MOST: Final = 2000
#: More than any worker runs at once.
MANY: Final = 1 << 40
#: Bytes of memory and GPUs that count as much as one CPU when hosts are compared by size, and the largest size told apart.
MEMORY_PER_CPU: Final = 4 << 30
CPUS_PER_GPU: Final = 16
LARGEST: Final = 4095
#: Attempts looked at to see whether one of them is large enough to make room for another.
LOOKED_AT: Final = 32


class Seat:
    """One worker's free places. Negative amounts: so much is promised beyond what runs at once.

    `limit`: free slots, `MANY` if what tasks request decides alone; `given`: what a turn placed there last; `ends`: the
    most that one end frees, once somebody asked.
    """

    __slots__ = ("busy", "cpus", "custom", "disk", "ends", "given", "gpus", "limit", "load", "memory", "name", "worker")

    def __init__(self, worker: "Worker", load: Load, most: int = MANY) -> None:
        """`most` places; with such a limit nothing is taken in advance."""
        self.name, self.worker, self.load = worker.name, worker, load
        self.given: Need | None = None
        self.ends: Need | None = None
        facts, slots = worker.facts, worker.concurrency
        width = slots if slots >= 0 else facts.cpus
        delivering = max(0, load.phases[2] - 2 * width - 8)  # a worker that cannot deliver gets no more
        held = load.phases[0] + load.phases[1]
        self.busy = held + delivering
        self.limit = min(most, slots - self.busy if slots >= 0 else MANY)
        plain = (held - load.asking + delivering) * 1000 if slots < 0 else 0
        self.cpus = facts.cpus * 1000 - load.cpus - plain
        self.memory = facts.memory - load.memory
        self.gpus = facts.gpus - load.gpus
        self.disk = facts.disk - load.disk
        self.custom: dict[str, int] | None = None
        if facts.custom:
            self.custom = {name: thousandths(has) - load.custom.get(name, 0) for name, has in facts.custom.items()}

    def copy(self) -> "Seat":
        """The same, to take from."""
        other = Seat.__new__(Seat)
        other.name, other.worker, other.load, other.given = self.name, self.worker, self.load, self.given
        other.ends = self.ends
        other.busy, other.limit, other.cpus, other.memory = self.busy, self.limit, self.cpus, self.memory
        other.gpus, other.disk = self.gpus, self.disk
        other.custom = None if self.custom is None else dict(self.custom)
        return other

    @property
    def slots(self) -> int:
        """How many tasks that ask for nothing could start now; below 0: so many are there in advance."""
        return self.limit if self.limit < MANY else self.cpus // 1000

    @property
    def short(self) -> bool:
        """Whether more of something is promised than there is."""
        if min(self.cpus, self.memory, self.gpus, self.disk) < 0:
            return True
        return self.custom is not None and any(left < 0 for left in self.custom.values())

    @property
    def size(self) -> int:
        """How much of the host is left, as one number: no need that fits has a larger one."""
        left = max(0, self.cpus) / 1000 + max(0, self.memory) / MEMORY_PER_CPU + max(0, self.gpus) * CPUS_PER_GPU
        return min(LARGEST, int(left))

    def fits(self, need: Need) -> int:
        """How many tasks of this need (without alternatives) what is left of the host holds; see `Seat` for negative ones."""
        if need.plain:
            return self.cpus // 1000 if self.limit >= MANY else MOST
        least = MOST
        if need.cpus:
            least = min(least, self.cpus // need.cpus)
        if need.memory:
            least = min(least, self.memory // need.memory)
        if need.gpus:
            least = min(least, self.gpus // need.gpus)
        if need.disk:
            least = min(least, self.disk // need.disk)
        for name, amount in need.custom:
            least = min(least, (self.custom or {}).get(name, 0) // amount)
        return least

    def starts(self, need: Need) -> int:
        """How many of this need could start now; not positive: none."""
        return min(self.limit, self.fits(need))

    def room(self, need: Need, pace: float) -> int:
        """How many may be assigned at all, with prefetch for tasks that run `pace` seconds (negative: unknown).

        What is there in advance is bounded in attempts if the worker says so, else in parts of its host and its slots.
        """
        worker = self.worker
        if worker.prefetch >= 0 and not worker.prefetch_percent:
            room = self.starts(need) + min(worker.prefetch, MOST)
        else:
            room = self._within(need, self._hosts_ahead(pace))
        if room <= 0 or not (need.plain or self._comes_free(need)):
            return 0
        return min(room, MOST + max(worker.concurrency, 0) - self.busy)

    def _hosts_ahead(self, pace: float) -> float:
        """How many times its host and its slots are promised in advance."""
        if percent := self.worker.prefetch_percent:
            return percent / 100
        return max(1.0, AHEAD / max(pace, 1e-4)) if pace >= 0 else 1.0

    def _within(self, need: Need, ahead: float) -> int:
        """How many fit into what is left and so many hosts more."""
        facts, slots = self.worker.facts, self.worker.concurrency
        least = MOST
        if slots >= 0:
            least = min(least, self.limit + min(MOST, ceil(ahead * slots) if ahead <= 1 else int(ahead * slots)))
        elif need.plain:
            return min(least, (self.cpus + int(ahead * facts.cpus * 1000)) // 1000)
        if need.cpus:
            least = min(least, (self.cpus + int(ahead * facts.cpus * 1000)) // need.cpus)
        if need.memory:
            least = min(least, (self.memory + int(ahead * facts.memory)) // need.memory)
        if need.gpus:
            least = min(least, (self.gpus + int(ahead * facts.gpus)) // need.gpus)
        if need.disk:
            least = min(least, (self.disk + int(ahead * facts.disk)) // need.disk)
        for name, amount in need.custom:
            more = int(ahead * thousandths(facts.custom.get(name, 0)))
            least = min(least, ((self.custom or {}).get(name, 0) + more) // amount)
        return least

    def _comes_free(self, need: Need) -> bool:
        """Whether a task like this fits once one of those there ends: only such are taken in advance."""
        if self.ends is None:
            self.ends = _largest(self.load)
        freed = self.ends
        if self.given is not None:
            freed = Need(
                freed.container,
                max(freed.cpus, self.given.cpus),
                max(freed.memory, self.given.memory),
                max(freed.gpus, self.given.gpus),
                max(freed.disk, self.given.disk),
                freed.custom + self.given.custom,
            )
        return (
            need.cpus <= max(0, self.cpus) + freed.cpus
            and need.memory <= max(0, self.memory) + freed.memory
            and need.gpus <= max(0, self.gpus) + freed.gpus
            and need.disk <= max(0, self.disk) + freed.disk
            and (not need.custom or self._custom_comes_free(need, freed))
        )

    def _custom_comes_free(self, need: Need, freed: Need) -> bool:
        there: dict[str, int] = {}
        for name, amount in freed.custom:
            there[name] = max(there.get(name, 0), amount)
        return all(
            amount <= max(0, (self.custom or {}).get(name, 0)) + there.get(name, 0) for name, amount in need.custom
        )

    def take(self, need: Need, count: int) -> None:
        """Promise `count` places."""
        self.busy += count
        self.given = need
        if self.limit < MANY:
            self.limit -= count
        elif need.plain:
            self.cpus -= count * 1000
        self.cpus -= count * need.cpus
        self.memory -= count * need.memory
        self.gpus -= count * need.gpus
        self.disk -= count * need.disk
        for name, amount in need.custom:
            if self.custom is not None:
                self.custom[name] = self.custom.get(name, 0) - count * amount


def _largest(load: Load) -> Need:
    """The most of each thing that one of the attempts that began first holds."""
    asked = [task.need for task in islice(load.attempts.values(), LOOKED_AT) if task.need is not None]
    return Need(
        PLAIN.container,
        max((need.cpus for need in asked), default=0),
        max((need.memory for need in asked), default=0),
        max((need.gpus for need in asked), default=0),
        max((need.disk for need in asked), default=0),
        tuple(custom for need in asked for custom in need.custom),
    )


def size_of(need: Need) -> int:
    """See `Seat.size`."""
    asked = need.cpus / 1000 + need.memory / MEMORY_PER_CPU + need.gpus * CPUS_PER_GPU
    return min(LARGEST, int(asked))


def capacity(worker: "Worker", need: Need) -> int:
    """How many tasks of this need (without alternatives) the worker runs at once when it has nothing else."""
    return max(0, Seat(worker, Load()).starts(need))


def serves(worker: "Worker", batch: str, need: Need) -> bool:
    """Whether this worker serves this batch, has a container engine if it must, and the secrets."""
    if worker.batch not in ("*", batch) or (need.container and not worker.facts.engines):
        return False
    return not need.secrets or set(need.secrets).issubset(worker.facts.secrets)


def able(worker: "Worker", batch: str, need: Need) -> bool:
    """Whether this worker serves this batch and its host could ever run such a task, by one of its alternatives."""
    return serves(worker, batch, need) and any(not lacking(worker.facts, variant) for variant in variants(need))


def lacking(facts: HostFacts, need: Need) -> list[str]:
    """What a host has too little of for this need (without alternatives): `cpus`, `memory`, `gpus`, `disk`, or names of
    custom resources.
    """
    names = ("cpus", "memory", "gpus", "disk", *(name for name, _ in need.custom))
    return [name for name, (asked, has) in zip(names, _offers(facts, need), strict=True) if asked > has]


def _offers(facts: HostFacts, need: Need) -> list[tuple[int, int]]:
    """(what is asked, what the host has) of everything."""
    found = [
        (need.cpus, facts.cpus * 1000),
        (need.memory, facts.memory),
        (need.gpus, facts.gpus),
        (need.disk, facts.disk),
    ]
    return found + [(asked, thousandths(facts.custom.get(name, 0))) for name, asked in need.custom]


def seats(state: "State") -> list[Seat]:
    """A seat for each worker that may be assigned work: all are looked at, turns use `State.roster`."""
    return [
        Seat(worker, state.load(name))
        for name, worker in state.workers.items()
        if worker.takes_work and worker.concurrency
    ]
