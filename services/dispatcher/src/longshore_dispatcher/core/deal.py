"""Which seats get how many of the same tasks: the tightest fit first, plain tasks evenly, what cannot start now in advance.

A turn takes from copies of the seats it touches and walks the roster's rows; it never looks at all workers while there is
room among few. What must not enter: tasks' order.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from heapq import merge
from typing import Final, NamedTuple

from longshore_dispatcher.core import reserve
from longshore_dispatcher.core.claims import Reservation
from longshore_dispatcher.core.content import Need
from longshore_dispatcher.core.roster import NEVER, Kind, Tried
from longshore_dispatcher.core.seats import LARGEST, Seat, serves, size_of
from longshore_dispatcher.core.state import State, Submission

#: What was found: seats, and how many tasks each gets.
Shares = list[tuple[Seat, int]]
#: Above all rows.
BEYOND: Final = LARGEST + 1
#: After all names.
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


class _Walk:
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


class Places:
    """The free places of one turn. Workers of `told` get nothing; `probes` are seats of those that are tried out.

    `guard` is asked before something starts on a worker; it may make a claim.
    """

    def __init__(self, state: State, now: float, told: Collection[str], probes: Iterable[Seat] = ()) -> None:
        self.state, self.roster, self.now, self.told = state, state.roster, now, told
        self.claims: dict[str, Reservation] = dict(state.reservations)
        self.probes = [seat for seat in probes if seat.name not in told]
        self._seats: dict[str, Seat] = {seat.name: seat for seat in self.probes}
        self._rows: dict[tuple[Kind, int, bool], list[str]] = {}
        self._changes: dict[int, dict[Kind, list[tuple[int, str]]]] = {}
        self._fitting: dict[tuple[Need, str], list[Kind]] = {}
        self._grouped: dict[tuple[Need, tuple[Kind, ...]], list[list[Kind]]] = {}
        self._walks: dict[tuple[object, ...], list[_Walk]] = {}
        self._served = {kind.batch for kind in state.roster.kinds}
        self._beside: dict[str, Seat | None] = {}
        self.guard: Callable[[str, Ask], None] | None = None

    def seat(self, name: str) -> Seat:
        """The seat as this turn left it; take from it by `take` only."""
        return self._seats.get(name) or self.roster.known(name)

    def take(self, name: str, need: Need, count: int) -> Seat:
        """Promise `count` places."""
        seat = self._seats.get(name)
        if seat is None:
            seat = self._seats[name] = self.roster.known(name).copy()
        seat.take(need, count)
        if (beside := self._beside.get(name)) is not None:
            beside.take(need, count)
        return seat

    def start(self, ask: Ask, want: int) -> Shares:
        """Places where tasks can start now."""
        if ask.need.plain:
            return self._even(ask, want)
        walks = self._walks_for(ask, ahead=False)
        found = self._tight(walks, ask, want, ahead=False)
        self._remember(ask, walks, ahead=False)
        return found

    def prefetch(self, ask: Ask, want: int) -> Shares:
        """Places on workers that get to them later."""
        walks = self._walks_for(ask, ahead=True)
        found = (
            self._tight(walks, ask, want, ahead=True) if ask.plenty else self._share(walks[0], ask, want, ahead=True)
        )
        if ask.plenty or sum(count for _, count in found) < want:
            self._remember(ask, walks, ahead=True)
        return found

    def _remember(self, ask: Ask, walks: list[_Walk], *, ahead: bool) -> None:
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

    def starts(self, name: str, ask: Ask) -> int:
        """How many could start there now, as far as claims leave room."""
        seat = self.seat(name)
        most = seat.starts(ask.need)
        if most <= 0 or name == ask.avoid:
            return 0
        if self.guard is not None:
            self.guard(name, ask)
        return most if name not in self.claims else min(most, self._beside_claim(name, ask))

    def idle(self) -> list[Seat]:
        """Seats where something could start still, without a claim on them; only if somebody has too much."""
        if not self.roster.ahead:
            return []
        names = [
            name for members in self.roster.kinds.values() for row in members.by_slots.rows.values() for name in row
        ]
        free = [self.seat(name) for name in sorted(names) if name not in self.told and name not in self.claims]
        return [seat for seat in free if seat.slots > 0]

    # --- order of workers -------------------------------------------------------------------------------------------

    def _tight(self, walks: list[_Walk], ask: Ask, want: int, *, ahead: bool) -> Shares:
        """One worker after the other, each as far as it has room."""
        found: Shares = []
        for walk in walks:
            while want > 0:
                if walk.current is None and (name := walk.next()) is not None:
                    walk.current = name
                if walk.current is None:
                    break
                count = min(want, self._room(walk.current, ask, ahead=ahead))
                if count <= 0:
                    walk.current = None
                    continue
                found.append((self.take(walk.current, ask.need, count), count))
                want -= count
        return found

    def _even(self, ask: Ask, want: int) -> Shares:
        """As many to each, class by class of workers."""
        found: Shares = []
        for walk in self._walks_for(ask, ahead=False):
            if want > 0:
                some = self._share(walk, ask, want, ahead=False)
                want -= sum(count for _, count in some)
                found += some
        return found

    def _share(self, walk: _Walk, ask: Ask, want: int, *, ahead: bool) -> Shares:
        if want < walk.many + len(walk.again):
            return self._one_each(walk, ask, want, ahead=ahead)
        free = [(room, name) for name in walk.rest() if (room := self._room(name, ask, ahead=ahead)) > 0]
        free.sort(key=_room)  # the fullest first, so that what they cannot take is left for the others
        found: Shares = []
        for k, (room, name) in enumerate(free):
            share = min(room, -(-want // (len(free) - k)))
            if share > 0:
                found.append((self.take(name, ask.need, share), share))
                want -= share
            if share < room:
                walk.again.append(name)
        return found

    def _one_each(self, walk: _Walk, ask: Ask, want: int, *, ahead: bool) -> Shares:
        found: Shares = []
        while want > 0 and (name := walk.next()) is not None:
            room = self._room(name, ask, ahead=ahead)
            if room > 0:
                found.append((self.take(name, ask.need, 1), 1))
                want -= 1
            if room > 1:
                walk.again.append(name)
        return found

    def _room(self, name: str, ask: Ask, *, ahead: bool) -> int:
        if not ahead:
            return self.starts(name, ask)
        if name == ask.avoid or name in self.claims or name in self.told or not self._open(name, ask):
            return 0
        room = self.seat(name).room(ask.need, ask.pace)
        if room > 0 and self.guard is not None:  # what is taken in advance overtakes as well
            self.guard(name, ask)
        return 0 if name in self.claims else room

    def _walks_for(self, ask: Ask, *, ahead: bool) -> list[_Walk]:
        """The walks of this turn for such tasks, one per class of workers; they go on where they were left."""
        if ask.avoid:
            return self._new_walks(ask, ahead=ahead)
        key = (*self._key(ask, ahead=ahead), ask.pace if ahead else 0.0)
        walks = self._walks.get(key)
        if walks is None:
            walks = self._walks[key] = self._new_walks(ask, ahead=ahead)
        return walks

    def _key(self, ask: Ask, *, ahead: bool) -> tuple[object, ...]:
        """Tasks that find room, or none, alike; run times that differ by less than a factor of two are the same."""
        sub = ask.sub
        pace = int(ask.pace * 65536).bit_length() if ahead and ask.pace >= 0 else -1
        return ask.need, self.serving(sub.batch), sub.resources, ahead, pace, sub.priority

    def serving(self, batch: str) -> str:
        """The batch if it has workers of its own, else any."""
        return batch if batch in self._served else "*"

    def _new_walks(self, ask: Ask, *, ahead: bool) -> list[_Walk]:
        kinds = self._kinds(ask)
        tried = self._tried(ask, ahead=ahead)
        if ahead:
            return [_Walk(self._all(kinds, tried), sum(len(self.roster.kinds[kind].names) for kind in kinds))]
        probes = [seat.name for seat in self.probes if serves(seat.worker, ask.sub.batch, ask.need)]
        first = [probes] if probes else []
        if ask.sub.resources:
            first += self._holding(ask)
        walks = [_Walk(((0, name) for name in names), len(names)) for names in first]
        for number, some in enumerate(self._classes(kinds, ask.need)):
            reached = tried.rows[number] if number < len(tried.rows) else 0
            walks.append(_Walk(self._entries(some, ask.need, (tried.stamp, reached)), self._many(some, ask.need)))
        return walks

    def _all(self, kinds: list[Kind], tried: Tried) -> Iterator[tuple[int, str]]:
        """Workers of these kinds, busy or not; before the one that was reached, only those that changed since."""
        if tried.name:
            changed = self._changed(tried.stamp)
            yield from sorted((0, name) for kind in kinds for _, name in changed.get(kind, ()) if name < tried.name)
        for name in merge(*(_after(self.roster.kinds[kind].names, tried.name) for kind in kinds)):
            yield 0, name

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
            yield from sorted(entry for kind in kinds for entry in _between(changed.get(kind, []), least, most))
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
            for kind in kinds:
                for name in self._row(kind, at, plain=plain):
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
            if self._open(name, ask):
                groups.setdefault(count, []).append((self.roster.known(name).size, name))
        return [[name for _, name in sorted(groups[count])] for count in sorted(groups, reverse=True)]

    def _open(self, name: str, ask: Ask) -> bool:
        seat = self.roster.seat(name)
        if seat is None:
            return False
        worker = seat.worker
        return worker.takes_work and bool(worker.concurrency) and serves(worker, ask.sub.batch, ask.need)

    # --- claims -----------------------------------------------------------------------------------------------------

    def claim(self, name: str, claim: Reservation) -> None:
        """From here on in this turn there is a claim on this worker."""
        self.claims[name] = claim

    def starts_claimed(self, name: str, ask: Ask) -> int:
        """How many could start on a claimed worker, whoever claims it."""
        if name in self.told or name not in self.claims or not self._open(name, ask):
            return 0
        return max(0, self.seat(name).starts(ask.need))

    def _beside_claim(self, name: str, ask: Ask) -> int:
        """How many may start there all the same: those with a higher priority, and what fits beside what is claimed."""
        claim = self.claims[name]
        claimer = self.state.submissions.get(claim.submission)
        if claimer is None or claimer.priority < ask.sub.priority:
            return 1 << 31
        if name not in self._beside:
            touched = name in self._seats  # what this turn placed there is not told apart: it waits for the next
            self._beside[name] = None if touched else reserve.room_left(self.state, name, claim)
        beside = self._beside[name]
        return 0 if beside is None else beside.starts(ask.need)


def _room(free: tuple[int, str]) -> int:
    return free[0]


def _between(entries: list[tuple[int, str]], least: tuple[int, str], most: tuple[int, str]) -> list[tuple[int, str]]:
    return entries[bisect_left(entries, least) : bisect_left(entries, most)]


def _after(names: list[str], name: str) -> list[str]:
    return names[bisect_left(names, name) :] if name else names
