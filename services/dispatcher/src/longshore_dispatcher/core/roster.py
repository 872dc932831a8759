"""Which workers could start something, kept true as events are folded, so that no turn looks at all of them.

Workers of one kind (what they serve, and what is special about them) stand in rows by how much is left of them. All of it
follows from the workers and their loads. What must not enter: what is placed where.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

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
    secrets: tuple[str, ...] = ()

    def holds(self, need: Need) -> bool:
        """Whether these workers hold the secrets that a task names."""
        return not need.secrets or set(need.secrets).issubset(self.secrets)

    def special(self, need: Need) -> int:
        """How much of what is special about these hosts would be of no use to a task."""
        asked = {name for name, _ in need.custom}
        return (self.gpus > 0 and not need.gpus) + sum(name not in asked for name in self.custom)


class Members:
    """The workers of one kind: all that are up, by name, and those that could start something, by size and by free slots."""

    __slots__ = ("by_size", "by_slots", "names")

    def __init__(self) -> None:
        self.names: list[str] = []
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


class Tried(NamedTuple):
    """Up to `stamp`, nobody in rows below these (one for each class of workers), or of a name before this, had room."""

    stamp: int
    rows: tuple[int, ...] = ()
    name: str = ""


#: Nobody was looked at.
NEVER: Final = Tried(0)


class Roster:
    """The workers that are up. `touched`: those to be looked at again after the event that is being folded.

    `places`: about how many small tasks could start now. `ahead`: workers that hold more than they can run now.
    `stamps`: when each last changed, by a number that grows, the last one last. `holders`: who holds a resource.
    `tried`: a memory of how far was looked for places, which spares looking again and changes no answer.
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
        self.tried: dict[tuple[object, ...], Tried] = {}
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

    def changed(self, names: Iterable[str]) -> None:
        """Look at these again, whatever is remembered."""
        for name in names:
            if self.stamps.pop(name, None) is not None:
                self.stamp += 1
                self.stamps[name] = self.stamp

    def remember(self, key: tuple[object, ...], tried: Tried) -> None:
        """How far was looked for what the key stands for; what is not used is forgotten."""
        self.tried.pop(key, None)
        if len(self.tried) >= MOST:
            del self.tried[next(iter(self.tried))]
        self.tried[key] = tried

    def kind(self, name: str) -> Kind:
        """The kind of a worker that is known to be up; `KeyError` else."""
        return self._known[name].kind

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
            before = self._known.pop(name, None)
            if before is not None:
                self._forget(name, before)
            kind = None
            if worker is not None and worker.state == "up":
                facts = worker.facts
                custom = tuple(sorted(facts.custom))
                kind = Kind(worker.batch, bool(facts.engines), facts.gpus, custom, facts.secrets)
                self._belong(name, before and before.kind, kind)
                self._learn(worker, kind, state)
                self._hold(name, worker.held)
            elif before is not None:
                self._belong(name, before.kind, None)
                self._hold(name, {})
        self.touched.clear()

    def _belong(self, name: str, before: Kind | None, kind: Kind | None) -> None:
        """Whose member it is."""
        if before == kind:
            return
        if before is not None:
            names = self.kinds[before].names
            del names[bisect_left(names, name)]
            if not names:
                del self.kinds[before]
        if kind is not None:
            if kind not in self.kinds:
                self.kinds[kind] = Members()
            insort(self.kinds[kind].names, name)

    def _forget(self, name: str, known: _Known) -> None:
        """Take it out of all that follows from its load."""
        members = self.kinds[known.kind]
        if known.size >= 0:
            members.by_size.drop(known.size, name)
            self.places -= _places(known.seat)
        if known.slots >= 0:
            members.by_slots.drop(known.slots, name)
        self.total.count(known.facts, -1)
        self.ahead.pop(name, None)
        self.kills.pop(name, None)
        del self.stamps[name]

    def _learn(self, worker: "Worker", kind: Kind, state: "State") -> None:
        name, facts = worker.name, worker.facts
        load = state.load(name)
        seat = Seat(worker, load)
        members = self.kinds[kind]
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
