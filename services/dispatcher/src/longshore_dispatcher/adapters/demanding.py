"""Demand as retained hints: the leader says what changed, and all of it again now and then, for the store may be emptied.

What must not enter: how demand is counted.
"""

import asyncio
from typing import Final

import msgspec
import structlog

from longshore_common import subjects
from longshore_common.clock import Clock
from longshore_common.demand import BatchDemand, Leader
from longshore_common.errors import LongshoreError
from longshore_common.log import Retained
from longshore_dispatcher.core.demand import Crew, counting
from longshore_dispatcher.core.state import State

log = structlog.get_logger()

#: Seconds between two looks, at least and as a multiple of what the last one took: it never costs more than a twentieth.
PAUSE: Final = 1.0
RARELY: Final = 20.0
#: Seconds of counting at a stretch.
SLICE: Final = 0.003
#: Seconds after which all is said again.
AGAIN: Final = 60.0
#: Seconds before it is tried again where it could not be said.
LATER: Final = 5.0
#: Seconds the store has to take it.
PATIENCE: Final = 5.0


class Teller:
    """Says what waits, on behalf of the leader."""

    def __init__(self, retained: Retained, clock: Clock, name: str) -> None:
        self._retained = retained
        self._clock = clock
        self._name = name
        self._crew = Crew()
        self._fence = 0
        self._seq = -1
        self._all_at = 0.0
        self._told: dict[str, bytes] = {}

    async def tell(self, state: State, fence: int) -> float:
        """Say what changed since the last time, all of it if this leader never did; seconds to wait before the next time."""
        began = self._clock.steady()
        anew = fence != self._fence or began - self._all_at > AGAIN
        if state.seq == self._seq and not anew:
            return PAUSE
        self._seq = state.seq
        try:
            found = await self._count(state, fence)
        except Exception:  # a hint must not stop the work
            log.exception("demand-not-counted", seq=state.seq)
            return AGAIN
        now = {subjects.demand(batch): msgspec.json.encode(told) for batch, told in found.items()}
        took = self._clock.steady() - began
        try:
            await (self._say_all(now, fence) if anew else self._say(now))
        except LongshoreError as err:  # also credentials of before there were hints that stay
            log.warning("demand-not-told", reason=str(err))
            self._fence = 0
            return LATER
        return max(PAUSE, RARELY * took)

    async def _count(self, state: State, fence: int) -> dict[str, BatchDemand]:
        """A slice at a time: the turns of the dispatcher go first."""
        steps, began = counting(state, self._crew, fence), self._clock.steady()
        try:
            while True:
                next(steps)
                if self._clock.steady() - began > SLICE:
                    await asyncio.sleep(0)
                    began = self._clock.steady()
        except StopIteration as done:
            found: dict[str, BatchDemand] = done.value
            return found

    async def _say(self, now: dict[str, bytes]) -> None:
        changed = {subject: body for subject, body in now.items() if self._told.get(subject) != body}
        changed |= dict.fromkeys(self._told.keys() - now.keys(), b"")
        if changed:
            await self._retained.keep(changed, deadline=PATIENCE)
        self._told = now

    async def _say_all(self, now: dict[str, bytes], fence: int) -> None:
        """Everything, without what others left; whose it is comes last, so that it stands for all of it."""
        there = await self._retained.subjects(deadline=PATIENCE)
        gone = dict.fromkeys(there - now.keys() - {subjects.DEMAND_LEADER}, b"")
        if now or gone:
            await self._retained.keep(now | gone, deadline=PATIENCE)
        leader = msgspec.json.encode(Leader(fence=fence, name=self._name))
        await self._retained.keep({subjects.DEMAND_LEADER: leader}, deadline=PATIENCE)
        self._told, self._fence, self._all_at = now, fence, self._clock.steady()
