"""Which task goes to which worker: by priority, then fair share, then in order of submission, from the front of ranges.

Places where something can start now are filled first, then what is fetched in advance. Only what is queued and due is
planned. What must not enter: changes of state; the plan is applied when its events come back from the log.
"""

from collections.abc import Collection, Iterable, Iterator
from heapq import heappop, heapreplace, nsmallest
from typing import Final

from longshore_common import events as e
from longshore_dispatcher.core import reserve, shares
from longshore_dispatcher.core.content import Need, variants
from longshore_dispatcher.core.deal import Ask, Places, Shares
from longshore_dispatcher.core.heads import Due, Head, Shyness, due
from longshore_dispatcher.core.lineup import Lineup, Part, Whose, go_on
from longshore_dispatcher.core.orders import Orders
from longshore_dispatcher.core.overtaking import Overtaken
from longshore_dispatcher.core.seats import AHEAD, Seat
from longshore_dispatcher.core.state import State, Submission

Decision = tuple[e.Event, str]

#: Tasks assigned in one turn; the next follows at once.
PER_TURN: Final = 2000
#: Submissions of tasks with a time limit that are looked at to fill what is claimed but not needed yet.
BACK_FILLED: Final = 20
#: Each of those who are in line gets one of so many parts of its equal part of the free places at a time.
PARTS: Final = 8
#: Seconds of work of one slot that are not worth to be shared more finely.
FINE: Final = 0.05


class Turn:
    """One plan in the making. This same turn accepts `accepted`, tells `told` otherwise and changes the tasks of
    `untouchable`; `probes` are seats of workers that are tried out.
    """

    def __init__(
        self, state: State, now: float, told: Collection[str], untouchable: Collection[int], probes: Iterable[Seat] = ()
    ) -> None:
        self.state, self.now, self.untouchable = state, now, untouchable
        self.places = Places(state, now, told, probes)
        self.orders = Orders(state)
        self.overtaken = Overtaken(state, now, self.places)
        self.due: Due = {}
        self.lineup = Lineup(state, now)
        self._heads: dict[tuple[int, Need], Head] = {}
        self._stuck: dict[tuple[Need, str], float] = {}
        self._dead: set[Need] = set()
        self._checked = (-1, False), False
        self._given: dict[tuple[str, str], int] = {}
        self._ahead = False
        self._shortest = _part(min(state.paces.values(), default=-1.0))

    def decisions(self, accepted: Iterable[Submission]) -> Iterator[Decision]:
        """Claims and assignments; afterwards `places` has what is left."""
        state = self.state
        if not len(state.roster) and not self.places.probes:
            return
        self._look_up(accepted)
        if state.queue.lines or self.lineup.extra:
            self._serve_all(ahead=False)
            if self.places.claims:
                self._serve_claims()
            self._serve_all(ahead=True)
            self.places.close()
        yield from self.overtaken.claims()
        yield from self.orders.events()

    def _serve_all(self, *, ahead: bool) -> None:
        """Places where something can start, or those in advance, for everybody."""
        self._ahead = ahead
        self._stuck.clear()
        self._dead.clear()
        self._checked = (-1, False), False
        ranks = self.lineup.ranks()
        if not self.lineup.extra and (not ahead or self._shortest >= AHEAD):
            self._look_ahead(-ranks[0])
        for rank in ranks:
            if self.orders.count < PER_TURN:
                self._serve_rank(rank)

    def _look_ahead(self, priority: int) -> None:
        """Needs for which there is no place are known before anybody is asked."""
        self._dead = {
            need for need in self.state.queue.needs if self.places.walks.hopeless(need, priority, ahead=self._ahead)
        }

    def _serve_claims(self) -> None:
        """What is claimed, for those who claim it; and what ends before it is needed."""
        claims = sorted(self.places.claims.items())
        for name, claim in claims:
            sub = self.state.submissions.get(claim.submission)
            if sub is not None and self._may_go(sub):
                head = self._head(sub.id, reserve.lot_need(sub, claim))
                if not self._claimer(name, head):
                    self._on_claimed(name, head, 1)
        for submission in nsmallest(BACK_FILLED, self.state.queue.bounded):
            sub = self.state.submissions[submission]
            within = self.now + reserve.surely(self.state, sub)
            for name, claim in claims if self._may_go(sub) else ():
                if self.now < within <= claim.until:
                    self._on_claimed(name, self._head(sub.id, sub.lots[0].need), PER_TURN)

    def _may_go(self, sub: Submission) -> bool:
        return (
            sub.accepted and not sub.waiting and not reserve.capped(self.state, sub) and sub.id not in self.untouchable
        )

    def _claimer(self, name: str, head: Head | None) -> bool:
        """Start one that was queued again on the worker that is claimed for such a task; whether there was one."""
        if head is None or self._room(head.sub) <= 0 or self.orders.count >= PER_TURN:
            return False
        groups = [group for group, _ in head.groups(self.now) if self._shy(head, group) != name]
        for variant, need in enumerate(variants(head.need)) if groups else ():
            if self.places.starts_claimed(name, Ask(head.sub, head.need, need, head.pace)) > 0:
                self.places.take(name, need, 1)
                self.orders.again(name, head.sub, head.take(groups[0], 1), variant)
                self._count(head.sub, 1)
                return True
        return False

    def _on_claimed(self, name: str, head: Head | None, most: int) -> None:
        """Start up to so many untouched ones of these on a claimed worker, whoever claims it."""
        if head is None or not head.fresh:
            return
        want = min(most, head.fresh, self._room(head.sub), PER_TURN - self.orders.count)
        for variant, need in enumerate(variants(head.need)):
            count = min(want, self.places.starts_claimed(name, Ask(head.sub, head.need, need, head.pace)))
            if count > 0:
                self.places.take(name, need, count)
                self._fresh(name, head, count, variant)
                return

    def _look_up(self, accepted: Iterable[Submission]) -> None:
        """What stands in no line yet: back-offs that are over, and submissions that this turn accepts."""
        self.due = due(self.state, self.now)
        for submission, need in self.due:
            self.lineup.put(self.state.submissions[submission], need)
        for sub in accepted:
            if not (sub.requires or sub.ties):
                for lot in sub.lots:
                    if lot.fresh.count:
                        self.lineup.put(sub, lot.need)

    # --- order ------------------------------------------------------------------------------------------------------

    def _serve_rank(self, rank: int) -> None:
        """All with one priority, whoever used least first."""
        users = self.lineup.users(rank)
        while users and self.orders.count < PER_TURN and not self._all_stuck():
            user = users[0]
            if user.batches is None:
                user.batches = self.lineup.parts(rank, user.name, self._hopeless)
            if not user.batches or self._capped("user", user.name):
                heappop(users)
                continue
            charge = self._serve(users, user.batches)
            if charge:
                user.score += charge / user.weight
                heapreplace(users, user)

    def _all_stuck(self) -> bool:
        """Whether nobody finds a place any more, whatever its need."""
        needs = self.state.queue.needs
        if self.lineup.extra or len(self._stuck) + len(self._dead) < len(needs):
            return False
        known = (len(self._stuck), self.overtaken.enough)
        if known != self._checked[0]:
            self._checked = known, all(self._hopeless(need, "") for need in needs)
        return self._checked[1]

    def _hopeless(self, need: Need, batch: str) -> bool:
        """Whether others with this need found no place in this turn, or would not, and nobody has to ask once more."""
        found = self._stuck.get((need, self.places.walks.serving(batch)))
        if found is not None:
            return not self._ahead or found <= self._shortest
        return need in self._dead and (self._ahead or self.overtaken.enough)

    def _quantum(self, users: list[Whose], batches: list[Part], head: Head) -> tuple[int, float]:
        """(tasks that the first batch may have until it is another one's turn, use that each is charged)"""
        share = shares.one(self.state.roster.total, variants(head.need)[0])
        charge = max(share * (head.pace if head.pace >= 0 else shares.UNKNOWN), 1e-12)
        use = float("inf")
        if len(users) > 1:
            use = (min(users[1:3]).score - users[0].score) * users[0].weight
        if len(batches) > 1:
            use = min(use, (min(batches[1:3]).score - batches[0].score) * batches[0].weight)
        places = self.state.roster.total.cpus // 1000 if self._ahead else self.state.roster.places
        least = max(places // (PARTS * (len(users) + len(batches))), int(FINE / head.pace) if head.pace > 0 else 1)
        return max(int(min(PER_TURN, use / charge)) + 1, least), charge

    def _capped(self, kind: str, name: str) -> bool:
        return self._cap_room(kind, name) <= 0

    def _cap_room(self, kind: str, name: str) -> int:
        most = shares.share_of(self.state, kind, name).max_running
        if not most:
            return PER_TURN
        return most - shares.placed(self.state, kind, name) - self._given.get((kind, name), 0)

    # --- serving ----------------------------------------------------------------------------------------------------

    def _serve(self, users: list[Whose], batches: list[Part]) -> float:
        """Give the first batch's first submission what it may have; the use it is charged, 0: it was none's turn."""
        batch = batches[0]
        if not batch.lines or self._capped("batch", batch.name):
            heappop(batches)
            return 0.0
        line = batch.lines[0]
        if self._hopeless(line.need, batch.name):
            _next_line(batches)
            return 0.0
        head = self._head(line.first, line.need)
        if head is None or not head.left or self._room(head.sub) <= 0:
            go_on(batch.lines)
            return 0.0
        given, charge = 0, 0.0
        place = (line.need, self.places.walks.serving(batch.name))
        known = line.need in self._dead and head.fresh > 0
        if not known and (not self._ahead or _part(head.pace) < self._stuck.get(place, 1e9)):
            want, charge = self._quantum(users, batches, head)
            given = self._give(head, min(want, self._room(head.sub), PER_TURN - self.orders.count))
        if given < 0:
            go_on(batch.lines)
            return 0.0
        if not given:
            _next_line(batches)
            self._stuck[place] = min(_part(head.pace), self._stuck.get(place, 1e9))
            if not self._ahead:
                self.overtaken.blocked(head)
            return 0.0
        batch.score += given * charge / batch.weight
        heapreplace(batches, batch)
        return given * charge

    def _head(self, submission: int, need: Need) -> Head | None:
        """What a submission has to give in this turn, of which it may have given some before."""
        key = (submission, need)
        head = self._heads.get(key)
        if head is None and submission not in self.untouchable:
            sub = self.state.submissions[submission]
            head = self._heads[key] = Head(self.state, sub, need, self.due.get(key, []))
        return head

    def _room(self, sub: Submission) -> int:
        """How many more tasks of this submission may be on workers."""
        most = min(self._cap_room("user", sub.user), self._cap_room("batch", sub.batch))
        if sub.max_running:
            most = min(most, sub.max_running - sub.placed - self.orders.given(sub.id))
        return most

    def _give(self, head: Head, want: int) -> int:
        """Place up to `want` tasks; how many found a place, -1: none, but others of the line may."""
        given, refused = 0, False
        for shyness, tasks in head.groups(self.now):
            if (more := min(want - given, tasks)) > 0:
                shy = self._shy(head, shyness)
                placed = self._again(head, more, shyness, shy)
                refused |= not placed and not shy
                given += placed
        if (more := min(want - given, head.fresh)) > 0:
            placed = 0
            for variant, found in self._find(head, more, ""):
                for seat, count in found:
                    placed += count
                    self._fresh(seat.name, head, count, variant)
            refused |= not placed
            given += placed
        return given if given or refused else -1

    def _shy(self, head: Head, shyness: Shyness) -> str:
        """Which worker they keep away from, if any: who gave them back may start them, but not take them in advance again."""
        avoid = "" if shyness.returned and not self._ahead else shyness.avoid
        return avoid if avoid and self._elsewhere(head, avoid) else ""

    def _again(self, head: Head, want: int, group: Shyness, shy: str) -> int:
        """Place tasks queued again of one group, away from the worker that they are shy of."""
        placed = 0
        for variant, found in self._find(head, want, shy):
            for seat, count in found:
                self.orders.again(seat.name, head.sub, head.take(group, count), variant)
                self._count(head.sub, count)
                placed += count
        return placed

    def _fresh(self, name: str, head: Head, count: int, variant: int) -> None:
        """Order the next untouched tasks for a worker."""
        self._count(head.sub, count)
        for run in head.cut(count):
            self.orders.fresh(name, head.sub, run, variant)

    def _count(self, sub: Submission, count: int) -> None:
        for whose in (("user", sub.user), ("batch", sub.batch)):
            self._given[whose] = self._given.get(whose, 0) + count

    def _find(self, head: Head, want: int, avoid: str) -> Iterator[tuple[int, Shares]]:
        """(number of the variant, places), the most wanted variant first."""
        pace = head.pace if _part(head.pace) < AHEAD else -1.0
        plenty = self.state.queue.tasks > self.state.roster.total.cpus // 1000
        for variant, need in enumerate(variants(head.need)):
            ask = Ask(head.sub, head.need, need, pace, avoid, plenty)
            found = self.places.prefetch(ask, want) if self._ahead else self.places.start(ask, want)
            yield variant, found
            want -= sum(count for _, count in found)
            if want <= 0:
                return

    def _elsewhere(self, head: Head, avoid: str) -> bool:
        """Whether another worker, busy or not, could run it."""
        return any(name != avoid for name in self.overtaken.able(head))


def _next_line(batches: list[Part]) -> None:
    """The first line of the first batch gets nothing more in this turn."""
    heappop(batches[0].lines)
    if not batches[0].lines:
        heappop(batches)


def _part(pace: float) -> float:
    """Seconds a task runs, as far as it matters for how much is taken in advance: all longer ones are alike."""
    return pace if 0 <= pace < AHEAD else AHEAD
