"""Which seats get how many of the same tasks: the tightest fit first, plain tasks evenly, what cannot start now in advance.

A turn takes from copies of the seats it touches and walks the roster's rows; it never looks at all workers while there is
room among few. What must not enter: tasks' order.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final, NamedTuple

from longshore_dispatcher.core import reserve
from longshore_dispatcher.core.claims import Reservation
from longshore_dispatcher.core.content import Need
from longshore_dispatcher.core.roster import Kind
from longshore_dispatcher.core.seats import Seat, serves, size_of
from longshore_dispatcher.core.state import State, Submission

#: What was found: seats, and how many tasks each gets.
Shares = list[tuple[Seat, int]]
#: No such worker.
NOBODY: Final = ""


class Ask(NamedTuple):
    """Places for tasks of `sub` that need `lot`, of which this is the variant `need`; they run `pace` seconds (negative:
    unknown), keep away from the worker `avoid`, and have ended for sure by `ends` (0: nobody knows).
    """

    sub: Submission
    lot: Need
    need: Need
    pace: float
    ends: float = 0.0
    avoid: str = NOBODY


class _Walk:
    """Workers in the order they are tried, each once; `current` until it has no more room, `again` those with some left."""

    def __init__(self, names: Iterator[str], many: int) -> None:
        self._names = names
        self.many = many
        self.current: str | None = None
        self.again: deque[str] = deque()

    def next(self) -> str | None:
        """The next one, first those not tried yet."""
        found = next(self._names, None)
        if found is not None:
            self.many -= 1
            return found
        return self.again.popleft() if self.again else None

    def rest(self) -> list[str]:
        """All that are left."""
        found = [*self._names, *self.again]
        self.again.clear()
        self.many = 0
        return found


class Places:
    """The free places of one turn. Workers of `told` get nothing; `probes` are seats of those that are tried out.

    `guard` is asked before something starts on a worker; it may make a claim.
    """

    def __init__(self, state: State, told: Collection[str], probes: Iterable[Seat] = ()) -> None:
        self.state, self.roster, self.told = state, state.roster, told
        self.claims: dict[str, Reservation] = dict(state.reservations)
        self.probes = [seat for seat in probes if seat.name not in told]
        self._seats: dict[str, Seat] = {seat.name: seat for seat in self.probes}
        self._rows: dict[tuple[Kind, int, bool], list[str]] = {}
        self._walks: dict[tuple[object, ...], list[_Walk]] = {}
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
        return self._even(ask, want) if ask.need.plain else self._tight(ask, want)

    def prefetch(self, ask: Ask, want: int) -> Shares:
        """Places on workers that get to them later."""
        walk = self._walks_for(ask, ahead=True)[0]
        found = self._share(walk, ask, want, ahead=True)
        if not ask.avoid and sum(count for _, count in found) < want:
            # whoever was given something, or is told something in this turn, changes by it and is looked at again
            self.roster.remember(_tried(ask))
        return found

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

    def _tight(self, ask: Ask, want: int) -> Shares:
        """One worker after the other, each as far as it has room."""
        found: Shares = []
        for walk in self._walks_for(ask, ahead=False):
            while want > 0:
                if walk.current is None and (name := walk.next()) is not None:
                    walk.current = name
                if walk.current is None:
                    break
                count = min(want, self.starts(walk.current, ask))
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
        return 0 if name == ask.avoid or name in self.claims else self.seat(name).room(ask.need, ask.pace)

    def _walks_for(self, ask: Ask, *, ahead: bool) -> list[_Walk]:
        """The walks of this turn for such tasks, one per class of workers; they go on where they were left."""
        if ask.avoid:
            return self._new_walks(ask, ahead=ahead)
        claim = (ask.sub.priority, ask.ends > 0, ask.sub.id if self._claims(ask.sub) else 0) if self.claims else ()
        key = (ask.need, self._serving(ask.sub.batch), ask.sub.resources, ask.pace if ahead else ahead, claim)
        walks = self._walks.get(key)
        if walks is None:
            walks = self._walks[key] = self._new_walks(ask, ahead=ahead)
        return walks

    def _serving(self, batch: str) -> str:
        """The batch if it has workers of its own, else any."""
        return batch if any(kind.batch == batch for kind in self.roster.kinds) else "*"

    def _new_walks(self, ask: Ask, *, ahead: bool) -> list[_Walk]:
        if ahead:
            names = self._with_room(ask)
            return [_Walk(iter(names), len(names))]
        probes = [seat.name for seat in self.probes if serves(seat.worker, ask.sub.batch, ask.need)]
        first = [probes] if probes else []
        if ask.sub.resources:
            first += self._holding(ask)
        walks = [_Walk(iter(names), len(names)) for names in first]
        groups: dict[tuple[int, bool], list[Kind]] = {}
        for kind in self._kinds(ask):
            groups.setdefault((kind.special(ask.need), kind.batch == "*"), []).append(kind)
        for _, kinds in sorted(groups.items()):
            walks.append(_Walk(self._ascending(kinds, ask.need), self._many(kinds, ask.need)))
        return walks

    def _kinds(self, ask: Ask) -> list[Kind]:
        need = ask.need
        return sorted(
            kind
            for kind in self.roster.kinds
            if kind.batch in ("*", ask.sub.batch) and (kind.engine or not need.container) and kind.gpus >= need.gpus
        )

    def _many(self, kinds: list[Kind], need: Need) -> int:
        members = (self.roster.kinds[kind] for kind in kinds)
        return sum((m.by_slots if need.plain else m.by_size).count for m in members)

    def _ascending(self, kinds: list[Kind], need: Need) -> Iterator[str]:
        """Workers of these kinds that could start something, those with the least left first."""
        plain = need.plain
        least = 0 if plain else size_of(need)
        mask = 0
        for kind in kinds:
            members = self.roster.kinds[kind]
            mask |= (members.by_slots if plain else members.by_size).mask >> least
        at = least
        while mask:
            step = (mask & -mask).bit_length() - 1
            at, mask = at + step, mask >> step
            for kind in kinds:
                yield from self._row(kind, at, plain=plain)
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
        worker = self.roster.known(name).worker
        return worker.takes_work and bool(worker.concurrency) and serves(worker, ask.sub.batch, ask.need)

    def _with_room(self, ask: Ask) -> list[str]:
        """Workers that may be given such tasks in advance; those that had no room and have not changed since are known."""
        return sorted(
            name
            for name in self.roster.since(self.roster.barren.get(_tried(ask), 0))
            if name not in self.told and self._open(name, ask) and self._room(name, ask, ahead=True) > 0
        )

    # --- claims -----------------------------------------------------------------------------------------------------

    def claim(self, name: str, claim: Reservation) -> None:
        """From here on in this turn there is a claim on this worker."""
        self.claims[name] = claim
        self._walks.clear()

    def _claims(self, sub: Submission) -> bool:
        return any(claim.submission == sub.id for claim in self.claims.values())

    def _beside_claim(self, name: str, ask: Ask) -> int:
        """How many may start there all the same: who claims it, who has a higher priority, what ends before, what fits
        beside.
        """
        claim = self.claims[name]
        claimer = self.state.submissions.get(claim.submission)
        if claimer is None or claimer.priority < ask.sub.priority:
            return 1 << 31
        if claimer is ask.sub and reserve.lot_need(claimer, claim) == ask.lot:
            return 1 << 31
        if 0 < ask.ends <= claim.until:
            return 1 << 31
        if name not in self._beside:
            touched = name in self._seats  # what this turn placed there is not told apart: it waits for the next
            self._beside[name] = None if touched else reserve.room_left(self.state, name, claim)
        beside = self._beside[name]
        return 0 if beside is None else beside.starts(ask.need)


def _room(free: tuple[int, str]) -> int:
    return free[0]


def _tried(ask: Ask) -> tuple[object, ...]:
    """What is remembered to have found no room; run times that differ by less than a factor of two are the same."""
    return ask.need, ask.sub.batch, int(ask.pace * 65536).bit_length() if ask.pace >= 0 else -1
