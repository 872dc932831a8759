"""How far the projection is, for those who wait: an event of this process, no polling.

What must not enter: how events are projected.
"""

import asyncio
from contextlib import suppress
from typing import Final

#: Seconds a reader may wait for a sequence to be projected.
PATIENCE: Final = 10.0


class Progress:
    """The projected position; `begun` is set while it is known, `urgent` while somebody waits for a later one."""

    def __init__(self) -> None:
        self.position = 0
        self.begun = asyncio.Event()
        self.urgent = asyncio.Event()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._watching: set[asyncio.Future[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether reads are answered."""
        return self.begun.is_set()

    def reach(self, position: int) -> None:
        """The projection committed up to here (a rebuild goes back); whoever waited for it is woken."""
        self.begun.set()
        self.position = position
        still = []
        for after, future in self._waiting:
            if after <= position and not future.done():
                future.set_result(None)
            elif not future.done():
                still.append((after, future))
        self._waiting = still
        if not still:
            self.urgent.clear()
        self.wake()

    def wake(self) -> None:
        """Whoever watches looks up, whether or not anything moved."""
        watching, self._watching = self._watching, set()
        for future in watching:
            if not future.done():
                future.set_result(None)

    async def passed(self, after: int, patience: float = PATIENCE) -> bool:
        """True once `after` is projected, False if it is not within `patience` seconds."""
        if after <= self.position:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((after, future))
        self.urgent.set()
        try:
            async with asyncio.timeout(patience):
                await future
        except TimeoutError:
            return False
        return True

    async def moved(self, beyond: int, patience: float = PATIENCE) -> int:
        """The projected position once it is another than `beyond`, or after `patience` seconds; it hurries nobody."""
        if self.position == beyond:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._watching.add(future)
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await future
            self._watching.discard(future)
        return self.position

    async def known(self, patience: float = PATIENCE) -> bool:
        """True once the read model answers, False if it does not within `patience` seconds."""
        try:
            async with asyncio.timeout(patience):
                await self.begun.wait()
        except TimeoutError:
            return False
        return True
