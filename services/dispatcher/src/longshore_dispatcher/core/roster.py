"""Which workers could start something, kept true as events are folded, so that no turn looks at all of them.

Workers of one kind (what they serve, and what is special about them) stand in rows by how much is left of them. All of it
follows from the workers and their loads. What must not enter: what is placed where.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from longshore_dispatcher.core.content import Need, thousandths
from longshore_dispatcher.core.seats import LARGEST, MOST, Seat

if TYPE_CHECKING:
    from longshore_common.model import HostFacts
    from longshore_dispatcher.core.state import State, Worker


class Rows:
    """Seats by a number of 0 to `LARGEST`; bit k of `mask`: row k is not empty."""

    __slots__ = ("count", "mask", "rows")

    def __init__(self) -> None:
        self.mask = 0
        self.rows: dict[int, dict[str, Seat]] = {}
        self.count = 0

    def put(self, at: int, seat: Seat) -> None:
        """Into row `at`."""
        row = self.rows.get(at)
        if row is None:
            row = self.rows[at] = {}
            self.mask |= 1 << at
        row[seat.name] = seat
        self.count += 1

    def drop(self, at: int, name: str) -> None:
        """Out of row `at`, where it is."""
        row = self.rows[at]
        del row[name]
        self.count -= 1
        if not row:
            del self.rows[at]
            self.mask &= ~(1 << at)


class Kind(NamedTuple):
    """What workers have in common that decides whether, and how gladly, a task is given to them."""

    batch: str
    engine: bool
    gpus: int
    custom: tuple[str, ...]

    def special(self, need: Need) -> int:
        """How much of what is special about these hosts would be of no use to a task."""
        asked = {name for name, _ in need.custom}
        return (self.gpus > 0 and not need.gpus) + sum(name not in asked for name in self.custom)


class Members:
    """The workers of one kind: all that are up, and those that could start something, by size and by free slots."""

    __slots__ = ("by_size", "by_slots", "names")

    def __init__(self) -> None:
        self.names: dict[str, None] = {}
        self.by_size, self.by_slots = Rows(), Rows()


class Total:
    """What all workers that are up have together; amounts as in `Need`."""

    __slots__ = ("cpus", "custom", "disk", "gpus", "memory")

    def __init__(self) -> None:
        self.cpus = self.memory = self.gpus = self.disk = 0
        self.custom: dict[str, int] = {}

    def count(self, facts: "HostFacts", sign: int) -> None:
        """One host more (1) or less (-1)."""
        self.cpus += sign * facts.cpus * 1000
        self.memory += sign * facts.memory
        self.gpus += sign * facts.gpus
        self.disk += sign * facts.disk
        for name, amount in facts.custom.items():
            self.custom[name] = self.custom.get(name, 0) + sign * thousandths(amount)


class _Known(NamedTuple):
    """A worker as the roster has it: its kind, its seat, and its rows (-1: in none)."""

    kind: Kind
    facts: "HostFacts"
    seat: Seat
    size: int
    slots: int


class Roster:
    """The workers that are up. `touched`: those to be looked at again after the event that is being folded.

    `places`: about how many small tasks could start now. `ahead`: workers that hold more than they can run now.
    `stamps`: when each last changed, by a number that grows, the last one last. `holders`: who holds a resource.
    `barren`: up to which stamp nobody had room for a need; a memory of answers and nothing else.
    """

    def __init__(self) -> None:
        self.kinds: dict[Kind, Members] = {}
        self.touched: set[str] = set()
        self.total = Total()
        self.places = 0
        self.ahead: dict[str, None] = {}
        self.kills: dict[str, None] = {}
        self.stamp = 0
        self.stamps: dict[str, int] = {}
        self.holders: dict[str, dict[str, None]] = {}
        self.barren: dict[tuple[object, ...], int] = {}
        self._known: dict[str, _Known] = {}
        self._held: dict[str, dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def seat(self, name: str) -> Seat | None:
        """The seat of a worker that is up; not to be taken from."""
        known = self._known.get(name)
        return None if known is None else known.seat

    def known(self, name: str) -> Seat:
        """The same of one that is known to be up; `KeyError` else."""
        return self._known[name].seat

    def remember(self, key: tuple[object, ...]) -> None:
        """Up to now nobody has room for what this stands for."""
        if len(self.barren) >= MOST:
            del self.barren[next(iter(self.barren))]
        self.barren.pop(key, None)
        self.barren[key] = self.stamp

    def kind(self, name: str) -> Kind | None:
        """The kind of a worker that is up."""
        known = self._known.get(name)
        return None if known is None else known.kind

    def since(self, stamp: int) -> Iterator[str]:
        """Workers that changed after `stamp`, the last one first."""
        for name in reversed(self.stamps):
            if self.stamps[name] <= stamp:
                return
            yield name

    def refresh(self, state: "State") -> None:
        """Look at those that were touched again."""
        for name in self.touched:
            worker = state.workers.get(name)
            self._forget(name)
            if worker is None or worker.state != "up":
                self._hold(name, {})
            else:
                self._learn(worker, state)
                self._hold(name, worker.held)
        self.touched.clear()

    def _forget(self, name: str) -> None:
        known = self._known.pop(name, None)
        if known is None:
            return
        members = self.kinds[known.kind]
        del members.names[name]
        if known.size >= 0:
            members.by_size.drop(known.size, name)
            self.places -= _places(known.seat)
        if known.slots >= 0:
            members.by_slots.drop(known.slots, name)
        if not members.names:
            del self.kinds[known.kind]
        self.total.count(known.facts, -1)
        self.ahead.pop(name, None)
        self.kills.pop(name, None)
        del self.stamps[name]

    def _learn(self, worker: "Worker", state: "State") -> None:
        name, facts = worker.name, worker.facts
        load = state.load(name)
        seat = Seat(worker, load)
        kind = Kind(worker.batch, bool(facts.engines), facts.gpus, tuple(sorted(facts.custom)))
        members = self.kinds.get(kind)
        if members is None:
            members = self.kinds[kind] = Members()
        members.names[name] = None
        size = slots = -1
        if worker.takes_work and worker.concurrency and seat.limit > 0:
            size = seat.size
            members.by_size.put(size, seat)
            self.places += _places(seat)
            if (free := min(seat.slots, LARGEST)) > 0:
                slots = free
                members.by_slots.put(slots, seat)
        self.total.count(facts, 1)
        if load.phases[0] > load.recalls:
            self.ahead[name] = None
        if worker.kill:
            self.kills[name] = None
        self.stamp += 1
        self.stamps[name] = self.stamp
        self._known[name] = _Known(kind, facts, seat, size, slots)

    def _hold(self, name: str, held: dict[str, None]) -> None:
        """What a worker holds from here on; looked through only when it was told anew."""
        before = self._held.get(name, {})
        if before is held:
            return
        for key in before:
            del self.holders[key][name]
            if not self.holders[key]:
                del self.holders[key]
        for key in held:
            self.holders.setdefault(key, {})[name] = None
        if held:
            self._held[name] = held
        else:
            self._held.pop(name, None)


def _places(seat: Seat) -> int:
    return max(0, min(seat.slots, MOST))
