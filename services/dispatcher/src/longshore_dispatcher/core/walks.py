"""In which order a turn looks at workers for such tasks, and how far it looked before.

Those with the least left come first; of those that had no room, only the ones that changed since. Claims, and what the turn
itself places, are for `deal`. What must not enter: how many each worker gets.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from heapq import merge
from typing import Final, NamedTuple

from longshore_dispatcher.core.content import Need, variants
from longshore_dispatcher.core.roster import NEVER, Kind, Tried
from longshore_dispatcher.core.seats import LARGEST, MANY, Seat, serves, size_of
from longshore_dispatcher.core.state import State, Submission

#: Above all rows, and after all names.
BEYOND: Final = LARGEST + 1
LAST: Final = "\uffff"
#: No such worker.
NOBODY: Final = ""


class Ask(NamedTuple):
    """Places for tasks of `sub` that need `lot`, of which this is the variant `need`; they run `pace` seconds (negative:
    unknown) and keep away from the worker `avoid`. `plenty`: there are more of them than workers can be given.
    """

    sub: Submission
    lot: Need
    need: Need
    pace: float
    avoid: str = NOBODY
    plenty: bool = False


class Walk:
    """Workers in the order they are tried, each once, as (row, name); `current` until it has no more room, `again` those
    with some left. `row` of the last one: what stood in lower rows, and has not changed since, had no room.
    """

    def __init__(self, entries: Iterator[tuple[int, str]], many: int) -> None:
        self._entries = entries
        self.many = many
        self.current: str | None = None
        self.row = 0
        self.again: deque[str] = deque()

    def next(self) -> str | None:
        """The next one, first those not tried yet."""
        entry = next(self._entries, None)
        if entry is not None:
            self.many -= 1
            self.row = entry[0]
            return entry[1]
        self.row = BEYOND
        return self.again.popleft() if self.again else None

    def rest(self) -> list[str]:
        """All that are left."""
        found = [*(name for _, name in self._entries), *self.again]
        self.again.clear()
        self.many, self.row = 0, BEYOND
        return found


class Walks:
    """The walks of one turn. `seat` gives a worker's seat as the turn left it; workers of `told` are passed over."""

    def __init__(
        self, state: State, told: Collection[str], seat: Callable[[str], Seat], probes: Iterable[Seat] = ()
    ) -> None:
        self.roster, self.told, self.seat = state.roster, told, seat
        self.probes = list(probes)
        self.claims = False
        self._rows: dict[tuple[Kind, int, bool], list[str]] = {}
        self._changes: dict[int, dict[Kind, list[tuple[int, str]]]] = {}
        self._lefts: dict[str, tuple[int, int]] = {}
        self._mosts: dict[tuple[int, bool], tuple[int, int]] = {}
        self._fitting: dict[tuple[Need, str], list[Kind]] = {}
        self._grouped: dict[tuple[Need, tuple[Kind, ...]], list[list[Kind]]] = {}
        self._known: dict[tuple[object, ...], list[Walk]] = {}
        self._served = {kind.batch for kind in state.roster.kinds}

    def of(self, ask: Ask, *, ahead: bool) -> list[Walk]:
        """The walks of this turn for such tasks, one per class of workers; they go on where they were left."""
        if ask.avoid:
            return self._new(ask, ahead=ahead)
        key = (*self._key(ask, ahead=ahead), ask.sub.resources, ask.pace if ahead else 0.0)
        walks = self._known.get(key)
        if walks is None:
            walks = self._known[key] = self._new(ask, ahead=ahead)
        return walks

    def taken(self, name: str) -> None:
        """Something was placed there."""
        self._lefts.pop(name, None)

    def remember(self, ask: Ask, walks: list[Walk], *, ahead: bool) -> None:
        """From here on only who changes is looked at of those that had no room: who was given something, or is told
        something in this turn, changes by it.
        """
        if not self._remembers(ask, ahead=ahead):
            return
        if ahead:
            tried = Tried(self.roster.stamp, name=walks[0].current or LAST)
        else:
            classes = len(self._classes(self._kinds(ask), ask.need))
            tried = Tried(self.roster.stamp, tuple(walk.row for walk in walks[len(walks) - classes :]))
        self.roster.remember(self._key(ask, ahead=ahead), tried)

    def _tried(self, ask: Ask, *, ahead: bool) -> Tried:
        if not self._remembers(ask, ahead=ahead):
            return NEVER
        return self.roster.tried.get(self._key(ask, ahead=ahead), NEVER)

    def hopeless(self, need: Need, priority: int, *, ahead: bool) -> bool:
        """Whether it is known before looking that no worker has room for such tasks, if they run long; for any batch."""
        if self.probes or self._served - {"*"}:
            return False
        return not any(self._hope(variant, priority, ahead=ahead) for variant in variants(need))

    def _hope(self, need: Need, priority: int, *, ahead: bool) -> bool:
        key = self._key_of(need, "*", -1 if ahead else 0, priority)
        tried = self.roster.tried.get(key, NEVER)
        if need.plain or (tried.name != LAST if ahead else not tried.rows or min(tried.rows) < BEYOND):
            return True
        cpus, memory = self._most(tried.stamp, ahead=ahead)
        if (need.cpus <= cpus and need.memory <= memory) and any(
            self._may_hold(name, need, ahead=ahead)
            for names in self._changed(tried.stamp).values()
            for _, name in names
        ):
            return True
        self.roster.remember(key, tried._replace(stamp=self.roster.stamp))
        return False

    def _most(self, since: int, *, ahead: bool) -> tuple[int, int]:
        """No worker that changed since has more CPUs, or more memory, left than this; negative: none changed."""
        found = self._mosts.get((since, ahead))
        if found is None:
            found = (-1, -1)
            for names in self._changed(since).values():
                for _, name in names:
                    cpus, memory = self._left(name) if ahead else self._free(name)
                    found = max(found[0], cpus), max(found[1], memory)
            self._mosts[(since, ahead)] = found
        return found

    def _free(self, name: str) -> tuple[int, int]:
        seat = self.seat(name)
        return (max(0, seat.cpus), max(0, seat.memory)) if seat.limit > 0 else (-1, -1)

    def _may_hold(self, name: str, need: Need, *, ahead: bool) -> bool:
        """Whether there is enough left for it; what is below zero, being promised ahead, hinders only those who ask for it."""
        if ahead:
            cpus, memory = self._lefts.get(name) or self._left(name)
            return need.cpus <= cpus and need.memory <= memory
        seat = self.seat(name)
        return seat.limit > 0 and need.cpus <= max(0, seat.cpus) and need.memory <= max(0, seat.memory)

    def _key(self, ask: Ask, *, ahead: bool) -> tuple[object, ...]:
        sub = ask.sub
        pace = (int(ask.pace * 65536).bit_length() if ask.pace >= 0 else -1) if ahead else 0
        return self._key_of(ask.need, self.serving(sub.batch), pace, sub.priority)

    def _key_of(self, need: Need, serving: str, pace: int, priority: int) -> tuple[object, ...]:
        """Tasks that find room, or none, alike. `pace` 0: places to start, else in advance: -1 for those that run long,
        others that differ by less than a factor of two are the same.
        """
        return need, serving, pace, priority if self.claims else None

    def serving(self, batch: str) -> str:
        """The batch if it has workers of its own, else any."""
        return batch if batch in self._served else "*"

    def _new(self, ask: Ask, *, ahead: bool) -> list[Walk]:
        kinds = self._kinds(ask)
        tried = self._tried(ask, ahead=ahead)
        if ahead:
            return [Walk(self._all(kinds, ask, tried), sum(len(self.roster.kinds[kind].names) for kind in kinds))]
        probes = [seat.name for seat in self.probes if serves(seat.worker, ask.sub.batch, ask.need)]
        first = [probes] if probes else []
        if ask.sub.resources:
            first += self._holding(ask)
        walks = [Walk(((0, name) for name in names), len(names)) for names in first]
        for number, some in enumerate(self._classes(kinds, ask.need)):
            reached = tried.rows[number] if number < len(tried.rows) else 0
            walks.append(Walk(self._entries(some, ask.need, (tried.stamp, reached)), self._many(some, ask.need)))
        return walks

    def _all(self, kinds: list[Kind], ask: Ask, tried: Tried) -> Iterator[tuple[int, str]]:
        """Workers of these kinds, busy or not; before the one that was reached, only those that changed since."""
        need = ask.need
        cpus, memory = self._most(tried.stamp, ahead=True) if tried.name and ask.pace < 0 else (MANY, MANY)
        if tried.name and need.cpus <= cpus and need.memory <= memory:
            long, lefts = ask.pace < 0, self._lefts
            for name in sorted(name for kind in kinds for _, name in self._changed(tried.stamp).get(kind, ())):
                if long and name < tried.name:
                    left = lefts.get(name) or self._left(name)
                    if need.cpus > left[0] or need.memory > left[1]:
                        continue
                if name < tried.name:
                    yield 0, name
        for name in merge(*(_after(self.roster.kinds[kind].names, tried.name) for kind in kinds)):
            if name not in self.told and self._takes(name):
                yield 0, name

    def _left(self, name: str) -> tuple[int, int]:
        """CPUs (thousandths) and memory that may be promised in advance for tasks that run long, at most."""
        seat = self.seat(name)
        worker, facts = seat.worker, seat.worker.facts
        if worker.prefetch >= 0 or worker.prefetch_percent:
            left = (MANY, MANY)
        else:
            left = (max(0, seat.cpus + facts.cpus * 1000), max(0, seat.memory + facts.memory))
        self._lefts[name] = left
        return left

    def _classes(self, kinds: list[Kind], need: Need) -> list[list[Kind]]:
        """Kinds of workers that are as good for such tasks, the best first: nothing special about them, of their batch."""
        key = (need, tuple(kinds))
        known = self._grouped.get(key)
        if known is None:
            groups: dict[tuple[int, bool], list[Kind]] = {}
            for kind in kinds:
                groups.setdefault((kind.special(need), kind.batch == "*"), []).append(kind)
            known = self._grouped[key] = [groups[rank] for rank in sorted(groups)]
        return known

    def _entries(self, kinds: list[Kind], need: Need, tried: tuple[int, int]) -> Iterator[tuple[int, str]]:
        """Workers of these kinds that could start something, those with the least left first; below the row that was
        reached before, only those that changed since.
        """
        stamp, reached = tried
        if reached:
            changed = self._changed(stamp)
            least, most = (size_of(need), ""), (reached, "")
            for entry in sorted(entry for kind in kinds for entry in _between(changed.get(kind, []), least, most)):
                seat = self.seat(entry[1])
                if max(0, seat.cpus) >= need.cpus and max(0, seat.memory) >= need.memory:
                    yield entry
        yield from self._ascending(kinds, need, reached)

    def _remembers(self, ask: Ask, *, ahead: bool) -> bool:
        """Whether it is remembered how far was looked; plain tasks that could start find their place at once."""
        return not ask.avoid and (ahead or not ask.need.plain)

    def _changed(self, since: int) -> dict[Kind, list[tuple[int, str]]]:
        """Size and name of workers that take work and changed since, by kind, the smallest first."""
        found = self._changes.get(since)
        if found is None:
            found = self._changes[since] = {}
            for name in self.roster.since(since):
                seat = self.roster.known(name)
                if name not in self.told and seat.worker.takes_work and seat.worker.concurrency:
                    found.setdefault(self.roster.kind(name), []).append((seat.size, name))
            for names in found.values():
                names.sort()
        return found

    def _kinds(self, ask: Ask) -> list[Kind]:
        need, batch = ask.need, ask.sub.batch
        key = (need, self.serving(batch))
        known = self._fitting.get(key)
        if known is None:
            known = self._fitting[key] = sorted(
                kind
                for kind in self.roster.kinds
                if kind.batch in ("*", batch) and (kind.engine or not need.container) and kind.gpus >= need.gpus
            )
        return known

    def _many(self, kinds: list[Kind], need: Need) -> int:
        members = (self.roster.kinds[kind] for kind in kinds)
        return sum((m.by_slots if need.plain else m.by_size).count for m in members)

    def _ascending(self, kinds: list[Kind], need: Need, reached: int) -> Iterator[tuple[int, str]]:
        plain = need.plain
        at = reached if plain else max(reached, size_of(need))
        mask = 0
        for kind in kinds:
            members = self.roster.kinds[kind]
            mask |= (members.by_slots if plain else members.by_size).mask >> at
        while mask:
            step = (mask & -mask).bit_length() - 1
            at, mask = at + step, mask >> step
            for name in merge(*(self._row(kind, at, plain=plain) for kind in kinds)):  # as `_entries` has them
                yield at, name
            at, mask = at + 1, mask >> 1

    def _row(self, kind: Kind, at: int, *, plain: bool) -> list[str]:
        """The names of a row, in order: the same after a restart."""
        key = (kind, at, plain)
        row = self._rows.get(key)
        if row is None:
            members = self.roster.kinds[kind]
            names = (members.by_slots if plain else members.by_size).rows.get(at, {})
            row = self._rows[key] = sorted(name for name in names if name not in self.told)
        return row

    def _holding(self, ask: Ask) -> list[list[str]]:
        """Workers that hold some of the resources these tasks ask for, those with most of them first."""
        counts: dict[str, int] = {}
        for key in ask.sub.resources:
            for name in self.roster.holders.get(key, ()):
                if name not in self.told:
                    counts[name] = counts.get(name, 0) + 1
        groups: dict[int, list[tuple[int, str]]] = {}
        for name, count in counts.items():
            if self.open(name, ask):
                groups.setdefault(count, []).append((self.roster.known(name).size, name))
        return [[name for _, name in sorted(groups[count])] for count in sorted(groups, reverse=True)]

    def open(self, name: str, ask: Ask) -> bool:
        """Whether this worker is up, takes work, and serves such tasks."""
        seat = self.roster.seat(name)
        return seat is not None and self._takes(name) and serves(seat.worker, ask.sub.batch, ask.need)

    def _takes(self, name: str) -> bool:
        worker = self.roster.known(name).worker
        return worker.takes_work and bool(worker.concurrency)


def _between(entries: list[tuple[int, str]], least: tuple[int, str], most: tuple[int, str]) -> list[tuple[int, str]]:
    return entries[bisect_left(entries, least) : bisect_left(entries, most)]


def _after(names: list[str], name: str) -> list[str]:
    return names[bisect_left(names, name) :] if name else names
