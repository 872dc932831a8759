"""Who was heard when: workers by their beats and reports, the leading dispatcher by its own.

Instants come from the caller, of a clock that nobody sets: one set forward by a day would make everybody silent.
What must not enter: what follows from silence; that is decided from the state.
"""

import math
from typing import Final

from longshore_dispatcher.core.state import State

#: All workers are looked at so often within the time after which a silent one is lost.
LOOKS: Final = 60


class Heard:
    """When each worker was last heard of, as far as this leader knows."""

    def __init__(self, lost_after: float) -> None:
        self._lost_after = lost_after
        self._last: dict[str, float] = {}
        self._since = 0.0
        self._looked = -math.inf
        self._silent: list[str] = []

    def elected(self, now: float) -> None:
        """A new leader has heard nobody yet: all get the full time from here."""
        self._since = now
        self._looked = -math.inf
        self._last.clear()

    def worker(self, name: str, now: float) -> None:
        """A beat or report of this worker."""
        self._last[name] = now

    def silent(self, state: State, now: float) -> list[str]:
        """Workers that should be up and were not heard for too long."""
        if now - self._since <= self._lost_after:
            return []
        before = now - self._lost_after
        if not 0 <= now - self._looked < self._lost_after / LOOKS:
            self._looked = now
            self._silent = [name for name, worker in state.workers.items() if worker.state == "up"]
        # a turn comes with every report; who was not silent at the last look is looked at again soon enough
        self._silent = [name for name in self._silent if self._last.get(name, self._since) < before]
        return list(self._silent)


class Lead:
    """Whether this dispatcher leads, and when it should stand for election."""

    def __init__(self, name: str, after: float, renew_after: float = float("inf")) -> None:
        self.name = name
        self._after = after
        self._renew_after = renew_after
        self.fence = 0
        self._heard = 0.0
        self._resigned = False
        self._restarted = True
        self._since = 0.0

    def leads(self, state: State) -> bool:
        """Whether the last election in the log is ours."""
        return self.fence > 0 and state.leader == self.fence

    def started(self, now: float) -> None:
        """From now on silence counts."""
        self._heard = now

    def heard(self, now: float, *, resigned: bool) -> None:
        """The leader's beat, by which it may say that it leads no more."""
        self._heard, self._resigned = now, resigned

    def stale(self, state: State, now: float) -> bool:
        """Whether it leads by an election so long ago that the front of the log could not be trimmed for it."""
        return self.leads(state) and now - self._since > self._renew_after

    def elected(self, fence: int, now: float) -> None:
        """We appended the election at this sequence."""
        self._since = now
        self.fence, self._resigned, self._restarted = fence, False, False

    def deposed(self, now: float) -> None:
        """Somebody else leads."""
        self.fence, self._heard, self._resigned, self._restarted = 0, now, False, False

    def should_stand(self, state: State, now: float) -> bool:
        """Nobody leads: there never was a leader, it was this one before its restart, it resigned, or it is silent."""
        if self.fence:
            return False  # it leads, or its own election has not come back yet
        own = self._restarted and state.leader_name in ("", self.name)
        return own or self._resigned or now - self._heard > self._after
