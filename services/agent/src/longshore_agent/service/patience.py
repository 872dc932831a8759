"""How long a transfer may take, and how often it is tried again.

What must not enter: what is transferred.
"""

import asyncio
from typing import Final

from longshore_data.meter import Meter

#: Seconds before each further try of something that storage may allow later; the last of them for ever after.
PAUSES: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
#: Tries of a fetch within one attempt: then another worker, or a later attempt, shall try.
TRIES: Final = 4


def pause(tries: int) -> float:
    """Seconds to wait after so many tries."""
    return PAUSES[min(max(1, tries), len(PAUSES)) - 1]


class Allowance:
    """A time limit (`async with`, `TimeoutError`) that stands still while a watched transfer only waits for its turn.

    `seconds` 0: none.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._limit = asyncio.timeout(seconds or None)
        self._left = seconds
        self._meter: Meter | None = None

    async def __aenter__(self) -> "Allowance":
        await self._limit.__aenter__()
        return self

    async def __aexit__(self, *why: object) -> bool | None:
        if self._meter is not None:
            self._meter.on_idle = None
        return await self._limit.__aexit__(*why)  # type: ignore[arg-type, func-returns-value]

    def watch(self, meter: Meter) -> Meter:
        """From here on the waiting of this transfer does not count, and that of the one before does not matter."""
        if self._meter is not None:
            self._meter.on_idle = None
            self._idle(now=False)
        self._meter = meter
        meter.on_idle = lambda now: self._idle(now=now)
        return meter

    def _idle(self, *, now: bool) -> None:
        if not self.seconds or self._limit.expired():
            return
        clock = asyncio.get_running_loop().time
        if now:
            self._left = (self._limit.when() or clock()) - clock()
            self._limit.reschedule(None)
        elif self._limit.when() is None:
            self._limit.reschedule(clock() + self._left)
