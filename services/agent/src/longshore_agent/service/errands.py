"""What the dispatcher orders for the host itself: clean up, forget, prune, restart. Each is done once and answered.

An errand stays in the journal until the log has the answer; one that a crash interrupted is done again, which harms
nothing. What must not enter: how a disk or an engine is cleaned (whoever owns it does that).
"""

import asyncio
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Final

from longshore_agent.adapters.journal import Errand
from longshore_agent.core.ports import ContainerError
from longshore_agent.service.desk import Desk
from longshore_agent.service.reporting import Reporter
from longshore_common import events as e
from longshore_common import logs
from longshore_common.errors import LongshoreError
from longshore_common.model import Care

log = logs.get_logger()
#: Seconds that one errand may take.
DEADLINE: Final = 900.0
#: Does a care: (a line for people, bytes that became free).
Chore = Callable[[], Awaitable[tuple[str, int]]]


class Errands:
    """Errands of one agent, one at a time in their order. `chores` do them; `restart` is set when the agent shall."""

    def __init__(self, desk: Desk, reporter: Reporter) -> None:
        self.desk, self.reporter = desk, reporter
        self.chores: dict[Care, Chore] = {}
        self.restart = asyncio.Event()
        self._wake = asyncio.Event()
        self._earlier = set(desk.attempts.errands)  # heard in an earlier life
        self._told: set[int] = set()

    def turn(self) -> None:
        """See whether there is something to do."""
        if self.desk.attempts.errands:
            self._wake.set()

    async def run(self) -> None:
        """Do them for ever."""
        self.turn()
        while True:
            await self._wake.wait()
            self._wake.clear()
            for seq, order in list(self.desk.attempts.errands.items()):
                if seq not in self._told and isinstance(order, e.WorkerCareOrdered):
                    await self._do(seq, order)

    async def _do(self, seq: int, order: e.WorkerCareOrdered) -> None:
        if order.care == "restart" and seq not in self._earlier:
            log.info("restart-ordered", worker=self.desk.host.worker)
            self.restart.set()  # the next life answers
            return
        text, freed = await self._done(order.care)
        log.info("cared", care=order.care, text=text, freed=freed)
        self._told.add(seq)
        answer = e.WorkerCared(
            life=self.reporter.life, care=order.care, request=order.request, text=text[:1000], freed=freed
        )
        self.reporter.tell(answer, f"cared-{seq}", lambda: self._over(seq))

    async def _done(self, care: Care) -> tuple[str, int]:
        if care == "restart":
            return f"started again as version {version('longshore-agent')}", 0
        chore = self.chores.get(care)
        if chore is None:
            return f"there is nothing to {care} on this worker", 0
        try:
            async with asyncio.timeout(DEADLINE):
                return await chore()
        except TimeoutError:
            return f"{care} was given up after {DEADLINE:.0f} s; try again", 0
        except (LongshoreError, ContainerError, OSError) as err:
            return f"{care} failed: {err}", 0

    def _over(self, seq: int) -> None:
        """The log has the answer."""
        self.desk.attempts.errands.pop(seq, None)
        self._told.discard(seq)
        self.desk.note(Errand(seq))
