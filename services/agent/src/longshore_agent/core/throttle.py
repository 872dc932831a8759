"""Fewer starts while tasks wait for the disk: slots follow the share of time that the processors wait for I/O.

What must not enter: reading that share, killing anything: what runs goes on, and slots above what is allowed stay empty.
"""

from collections import deque
from typing import Final

#: Samples (about a second apart) whose mean counts.
WINDOW: Final = 5
#: Percent of waiting from which one task fewer may run, and from which none is added.
HIGH: Final = 70.0
HOLD: Final = 40.0
#: Seconds between two slots that come back: at first, and at most after the pressure has returned again and again.
SPREAD: Final = 2.0
SPREAD_MOST: Final = 60.0
#: Seconds after which a pressure that returns is a new one.
CALM: Final = 600.0


class Throttle:
    """How many may run of the slots that are wanted; all of them until waiting was measured high.

    From HIGH on, one fewer than run now, and the next step only after a window of its own: what a step changed must be
    seen first. From HOLD on nothing changes. Below it slots come back one by one, so that their first reads do not meet at
    the disk; each time the pressure returns within CALM they come back at half the pace.
    """

    def __init__(self) -> None:
        self.allowed: int | None = None  # None: no limit
        self.waiting = 0.0  # the mean of the window, percent
        self._samples: deque[float] = deque(maxlen=WINDOW)
        self._spread = SPREAD
        self._changed = -CALM
        self._rising = True

    def sample(self, waiting: float, at: float, slots: int, running: int) -> bool:
        """Take in one measurement (percent, instant in seconds); whether `allowed` changed. Never below one slot."""
        self._samples.append(waiting)
        self.waiting = sum(self._samples) / len(self._samples)
        before = self.allowed
        if self.waiting >= HIGH and len(self._samples) == WINDOW:
            self._lower(at, slots, running)
        elif self.waiting < HOLD and self.allowed is not None:
            self._raise(at, slots)
        return self.allowed != before

    def limit(self, slots: int) -> int:
        """How many of so many slots may be used now."""
        return slots if self.allowed is None else min(slots, self.allowed)

    def _lower(self, at: float, slots: int, running: int) -> None:
        if self._rising:
            self._spread = min(SPREAD_MOST, self._spread * 2) if at - self._changed < CALM else SPREAD
        self._rising = False
        self.allowed = max(1, min(self.limit(slots), running) - 1)
        self._changed = at
        self._samples.clear()

    def _raise(self, at: float, slots: int) -> None:
        assert self.allowed is not None
        if at - self._changed < self._spread:
            return
        self._rising, self._changed = True, at
        self.allowed += 1
        if self.allowed >= slots:
            self.allowed = None
