"""The api's projector without its database: the real fold over a memory that forgets nothing; a restart is a rebuild."""

import asyncio

from longshore_api.core.memory import Memory
from longshore_api.core.projection import fold
from longshore_common.errors import LongshoreError


class Projector:
    """Follows the log for ever."""

    def __init__(self, wire) -> None:
        self.wire = wire
        self.memory = Memory()

    async def run(self) -> None:
        """Until killed."""
        while True:
            try:
                async for part in self.wire.log.follow(self.memory.position):
                    fold(self.memory, part.records)
            except LongshoreError:
                await asyncio.sleep(0.5)

    def states(self, submission: int) -> dict[int, str]:
        """The state of each task."""
        found = self.memory.submissions[submission]
        states = {i: span.state for span in found.spans for i in range(span.lo, span.hi + 1)}
        return states | {index: row.state for index, row in found.rows.items()}
