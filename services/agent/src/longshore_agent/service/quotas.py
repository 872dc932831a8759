"""Holds attempts to the disk they asked for: what their work directories hold is measured now and then, and who has more
than its request is killed, with the reason.

Measured are inputs, outputs, $TEMP and output streams; not resources, which are shared, nor what a container writes into
its own layer. Between two looks a task can write past its request by what its disk takes in that time. What must not
enter: attempts that ask for no disk.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from longshore_agent.adapters.room import below
from longshore_agent.core.attempt import Act, Attempt
from longshore_agent.service.desk import Desk
from longshore_common import logs
from longshore_common.ids import AttemptId

log = logs.get_logger()
#: Seconds between two looks at an attempt, and how many times as long as its last look took: a directory of a million
#: files is not counted all the time.
EVERY: Final = 1.0
RESTS: Final = 20


class Quotas:
    """One per agent; `act` does what is to be done to processes."""

    def __init__(self, desk: Desk, act: Callable[[list[Act]], None]) -> None:
        self.desk, self.act = desk, act
        self._due: dict[AttemptId, float] = {}

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            await asyncio.sleep(EVERY)
            for attempt in self._running():
                await self._look(attempt)

    def _running(self) -> list[Attempt]:
        """Those that asked for disk and are due for a look."""
        attempts, now = self.desk.attempts, self.desk.clock.steady()
        found = []
        for name, ask in attempts.asking.items():
            attempt = attempts.held.get(name)
            if "disk" in ask and attempt is not None and attempt.phase == "running" and attempt.place:
                found.append(attempt)
        self._due = {a.id: self._due.get(a.id, now) for a in found}
        return [a for a in found if self._due[a.id] <= now]

    async def _look(self, attempt: Attempt) -> None:
        began = self.desk.clock.steady()
        held = await asyncio.to_thread(below, self.desk.place(attempt).root)
        ended = self.desk.clock.steady()
        self._due[attempt.id] = ended + max(EVERY, RESTS * (ended - began))
        asked = attempt.order.spec.disk
        if held <= asked or attempt.phase != "running" or attempt.id in self.desk.overdrawn:
            return
        reason = f"its files took {held} bytes of disk, it asked for {asked}: ask for more with --disk"
        log.warning("disk-overdrawn", attempt=attempt.id, held=held, asked=asked)
        self.desk.overdrawn[attempt.id] = reason
        self.act([Act("terminate", attempt)])
