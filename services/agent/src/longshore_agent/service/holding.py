"""Tells the dispatcher which resources this host keeps, so that what needs them comes here.

What must not enter: keeping them.
"""

import asyncio
from typing import Final

from longshore_agent.adapters.cache import Cache
from longshore_agent.service.reporting import Reporter
from longshore_common.events import ResourcesHeld

#: Seconds between two tellings at least.
EVERY: Final = 2.0


class Holding:
    """One per agent."""

    def __init__(self, reporter: Reporter, cache: Cache | None) -> None:
        self.reporter, self.cache = reporter, cache
        self._n = 0
        self._told: tuple[str, ...] | None = None
        self._under_way = False
        self._timer: asyncio.TimerHandle | None = None
        if cache is not None:
            cache.changed = self.changed

    def joined(self) -> None:
        """The dispatcher knows this worker anew."""
        self._told = None
        self._tell()

    def changed(self) -> None:
        """Something came or went."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY, self._tell)

    def close(self) -> None:
        """Tell no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _tell(self) -> None:
        """All that is kept, if that is news and the last telling has arrived."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        held = self.cache.keys() if self.cache is not None else ()
        if held == (self._told or ()):
            return
        if self._under_way:
            self.changed()
            return
        self._n += 1
        self._told, self._under_way = held, True
        event = ResourcesHeld(life=self.reporter.life, held=held)
        self.reporter.tell(event, f"{self.reporter.life}-resources-{self._n}", self._arrived)

    def _arrived(self) -> None:
        self._under_way = False
