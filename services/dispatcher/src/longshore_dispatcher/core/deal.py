"""Which seats get how many of the same tasks: the tightest fit first, plain tasks evenly, what cannot start now in advance.

A turn takes from copies of the seats it touches and walks the roster's rows; it never looks at all workers while there is
room among few. What must not enter: tasks' order.
"""

from collections.abc import Callable, Collection, Iterable

from longshore_dispatcher.core import reserve
from longshore_dispatcher.core.claims import Reservation
from longshore_dispatcher.core.content import Need
from longshore_dispatcher.core.seats import Seat
from longshore_dispatcher.core.state import State
from longshore_dispatcher.core.walks import Ask as Ask  # what is dealt for
from longshore_dispatcher.core.walks import Walk, Walks

#: What was found: seats, and how many tasks each gets.
Shares = list[tuple[Seat, int]]


class Places:
    """The free places of one turn. Workers of `told` get nothing; `probes` are seats of those that are tried out.

    `guard` is asked before something starts on a worker; it may make a claim.
    """

    def __init__(self, state: State, now: float, told: Collection[str], probes: Iterable[Seat] = ()) -> None:
        self.state, self.roster, self.now, self.told = state, state.roster, now, told
        self.claims: dict[str, Reservation] = dict(state.reservations)
        self.probes = [seat for seat in probes if seat.name not in told]
        self._seats: dict[str, Seat] = {seat.name: seat for seat in self.probes}
        self.walks = Walks(state, told, self.seat, self.probes)
        self.walks.claims = bool(self.claims)
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
        self.walks.taken(name)
        if (beside := self._beside.get(name)) is not None:
            beside.take(need, count)
        return seat

    def close(self) -> None:
        """The turn is over: should it not come to pass, whoever was given something has room as before."""
        self.roster.changed([*self._seats, *self.told])

    def start(self, ask: Ask, want: int) -> Shares:
        """Places where tasks can start now."""
        if ask.need.plain:
            return self._even(ask, want)
        walks = self.walks.of(ask, ahead=False)
        found = self._tight(walks, ask, want, ahead=False)
        self.walks.remember(ask, walks, ahead=False)
        return found

    def prefetch(self, ask: Ask, want: int) -> Shares:
        """Places on workers that get to them later."""
        walks = self.walks.of(ask, ahead=True)
        found = (
            self._tight(walks, ask, want, ahead=True) if ask.plenty else self._share(walks[0], ask, want, ahead=True)
        )
        if ask.plenty or sum(count for _, count in found) < want:
            self.walks.remember(ask, walks, ahead=True)
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

    def _tight(self, walks: list[Walk], ask: Ask, want: int, *, ahead: bool) -> Shares:
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
        for walk in self.walks.of(ask, ahead=False):
            if want > 0:
                some = self._share(walk, ask, want, ahead=False)
                want -= sum(count for _, count in some)
                found += some
        return found

    def _share(self, walk: Walk, ask: Ask, want: int, *, ahead: bool) -> Shares:
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

    def _one_each(self, walk: Walk, ask: Ask, want: int, *, ahead: bool) -> Shares:
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
        if name == ask.avoid or name in self.claims or name in self.told or not self.walks.open(name, ask):
            return 0
        room = self.seat(name).room(ask.need, ask.pace)
        if room > 0 and self.guard is not None:  # what is taken in advance overtakes as well
            self.guard(name, ask)
        return 0 if name in self.claims else room

    # --- claims -----------------------------------------------------------------------------------------------------

    def claim(self, name: str, claim: Reservation) -> None:
        """From here on in this turn there is a claim on this worker."""
        self.claims[name] = claim
        self.walks.claims = True

    def starts_claimed(self, name: str, ask: Ask) -> int:
        """How many could start on a claimed worker, whoever claims it."""
        if name in self.told or name not in self.claims or not self.walks.open(name, ask):
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
