"""A spawner that starts nothing: every attempt succeeds at once. For benches of everything but processes.

What must not enter: anything a real task relies on.
"""

import asyncio
from collections.abc import Callable

from longshore_agent.adapters.spawner import Hello, Message
from longshore_common.clock import SystemClock


class Noop:
    """Stands where a link to a spawner stands."""

    def __init__(self, on_events: Callable[[list[Message]], None]) -> None:
        self.hello = Hello(1, "noop", 0, [], [], [])
        self.closed = asyncio.Event()
        self._on_events = on_events
        self._clock = SystemClock()
        self._seq = 0

    def send(self, messages: list[Message]) -> None:
        """Every start of these has ended already."""
        now = self._clock.now()
        ends: list[Message] = []
        for message in messages:
            if message[0] == "s":
                self._seq += 1
                ends.append(("E", self._seq, message[1], 0, 0, now, now, 0, 0.0, 0, 0, "", 0))
        if ends:
            asyncio.get_running_loop().call_soon(self._on_events, ends)

    def close(self) -> None:
        """Nothing to let go of."""
        self.closed.set()
