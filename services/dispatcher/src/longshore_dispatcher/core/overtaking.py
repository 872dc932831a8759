"""Tasks that fit nowhere now while smaller ones behind them do: they get a claim before they are overtaken.

What must not enter: order, and what a claim means (`reserve`, `deal`).
"""

from collections.abc import Collection, Iterator
from itertools import islice
from typing import Final

from longshore_common import events as e
from longshore_common.ids import SubmissionId
from longshore_dispatcher.core import reserve
from longshore_dispatcher.core.claims import Reservation
from longshore_dispatcher.core.content import Need, variants
from longshore_dispatcher.core.deal import Ask, Places
from longshore_dispatcher.core.heads import Head
from longshore_dispatcher.core.seats import able, lacking, serves
from longshore_dispatcher.core.state import State

Decision = tuple[e.Event, str]

#: Of those that fit nowhere, so many are looked at per turn, the first in order.
STUCK: Final = 4
#: Claims made per turn.
PER_TURN: Final = 2
#: Workers compared for a claim.
COMPARED: Final = 16
#: Seconds of a wait that is too short for a claim, unless nothing of a submission ran for `PATIENCE` seconds.
SHORT, PATIENCE = 1.0, 10.0


class Overtaken:
    """Who fits nowhere in this turn, and the claims that are made and given up."""

    def __init__(self, state: State, now: float, places: Places) -> None:
        self._state, self._now, self._places = state, now, places
        self._stuck: list[Head] = []
        self._seen: set[tuple[int, Need]] = set()
        self._new: list[e.PlaceReserved] = []

    @property
    def enough(self) -> bool:
        """Whether no more of them are looked at in this turn."""
        return len(self._seen) >= STUCK

    def blocked(self, head: Head) -> None:
        """This one found no place where it could start now."""
        key = (head.sub.id, head.need)
        plain = all(need.plain for need in variants(head.need))
        if plain or self.enough or key in self._seen or self._has_claim(head):
            return
        self._seen.add(key)
        if self._may_claim():
            self._stuck.append(head)
            self._places.guard = self._before

    def claims(self) -> Iterator[Decision]:
        """The claims of this turn."""
        for event in self._new:
            yield event, ""

    def able(self, head: Head) -> Iterator[str]:
        """Workers that take work and could ever run it, busy or not."""
        state = self._state
        for kind, members in state.roster.kinds.items():
            if kind.batch in ("*", head.sub.batch):
                for name in members.names:
                    worker = state.workers[name]
                    if worker.takes_work and worker.concurrency and able(worker, head.sub.batch, head.need):
                        yield name

    def _has_claim(self, head: Head) -> bool:
        return any(
            claim.submission == head.sub.id and reserve.lot_need(head.sub, claim) == head.need
            for claim in self._places.claims.values()
        )

    def _before(self, name: str, ask: Ask) -> None:
        """A task is about to start on a worker, or to be taken there in advance: those that could run there, too, and were
        before it claim a place.
        """
        worker = self._state.workers[name]
        for head in [head for head in self._stuck if head.sub is not ask.sub or head.need != ask.lot]:
            if self._may_claim() and able(worker, head.sub.batch, head.need):
                self._stuck.remove(head)
                if head.left:  # it may have been taken in advance meanwhile
                    self._claim(head)
        if not self._stuck or not self._may_claim():
            self._places.guard = None

    def _may_claim(self) -> bool:
        return len(self._places.claims) < reserve.limit(self._state) and len(self._new) < PER_TURN

    def _claim(self, head: Head) -> None:
        """Where it will soonest fit, if that is not in a moment."""
        best: tuple[float, str] | None = None
        need = next(need for need in variants(head.need) if any(True for _ in self._could(head, need)))
        for name in islice(self._could(head, need), COMPARED):
            if name in self._places.claims or name in self._places.told:
                continue
            if self._places.seat(name).room(need, head.pace) > 0:
                return  # it is taken in advance there, as the first to be
            at = reserve.soonest(self._state, self._places.seat(name), need, self._now)
            if at is not None and (best is None or (at, name) < best):
                best = at, name
        if best is None or (best[0] - self._now < SHORT and not self._starves(head)):
            return
        until, name = best
        state, sub = self._state, head.sub
        self._places.claim(name, Reservation(sub.id, head.index, state.seq, self._now, until))
        reason = f"it fits nowhere now, and there in about {max(0.0, until - self._now):.0f} s"
        self._new.append(
            e.PlaceReserved(submission=SubmissionId(sub.id), index=head.index, worker=name, reason=reason, until=until)
        )

    def _could(self, head: Head, need: Need) -> Iterator[str]:
        """Workers that could run this variant, those with the most left first as far as their rows tell."""
        state = self._state
        kinds = [kind for kind in sorted(state.roster.kinds) if kind.batch in ("*", head.sub.batch)]
        for kind in kinds:
            members = state.roster.kinds[kind]
            seen: set[str] = set()
            for at in sorted(members.by_size.rows, reverse=True)[:COMPARED]:
                seen.update(members.by_size.rows[at])
                yield from self._running(members.by_size.rows[at], head, need)
            yield from self._running([name for name in members.names if name not in seen], head, need)

    def _running(self, names: Collection[str], head: Head, need: Need) -> Iterator[str]:
        for name in sorted(names):
            worker = self._state.workers[name]
            open_ = worker.takes_work and worker.concurrency
            if open_ and serves(worker, head.sub.batch, need) and not lacking(worker.facts, need):
                yield name

    def _starves(self, head: Head) -> bool:
        """Whether nothing of its submission is on a worker although it waits for long."""
        return not head.sub.placed and self._now - head.sub.at > PATIENCE
