"""Sweeps that the dispatcher orders: what ended tasks left is removed, and the order is answered.

An order stays in the journal until the log has the answer; one that a crash interrupted is done again, which harms
nothing. What must not enter: what counts as ours in storage (`adapters.staging.sweeping`), what is due.
"""

import asyncio
from typing import Final

from longshore_agent.adapters.journal import Errand
from longshore_agent.adapters.output_store import OutputStore
from longshore_agent.core import contract
from longshore_agent.core.ports import Stager, Sweep
from longshore_agent.service.desk import Desk
from longshore_agent.service.reporting import Reporter
from longshore_common import events as e
from longshore_common import logs
from longshore_common.errors import LongshoreError
from longshore_common.ids import TaskId, attempt_id
from longshore_data.parallel import each

log = logs.get_logger()
#: Tasks swept at once; a sweep is nothing urgent.
WIDTH: Final = 4
#: What could not be removed is told for so many at most.
TOLD: Final = 100
#: Seconds for one task.
DEADLINE: Final = 600.0


class Sweeps:
    """The sweeps of one agent, one order at a time."""

    def __init__(self, desk: Desk, reporter: Reporter, stager: Stager, store: OutputStore) -> None:
        self.desk, self.reporter, self.stager, self.store = desk, reporter, stager, store
        self._wake = asyncio.Event()
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
                if seq not in self._told and isinstance(order, e.SweepOrdered):
                    await self._do(seq, order)

    async def _do(self, seq: int, order: e.SweepOrdered) -> None:
        removed, left = 0, list[tuple[str, str]]()

        async def one(whole: tuple[e.Order, e.Start]) -> None:
            nonlocal removed
            count, failed = await self._swept(order, *whole)
            removed += count
            left.extend(failed)

        await each([(o, s) for o in order.orders for s in o.starts], one, WIDTH)
        log.info("swept", order=seq, what=order.what, removed=removed, left=len(left))
        self._told.add(seq)
        answer = e.SweepDone(life=self.reporter.life, order=seq, removed=removed, left=tuple(left[:TOLD]))
        self.reporter.tell(answer, f"swept-{seq}", lambda: self._over(seq))

    async def _swept(
        self, sweep: e.SweepOrdered, order: e.Order, start: e.Start
    ) -> tuple[int, tuple[tuple[str, str], ...]]:
        name = attempt_id(order.submission, start.index, start.n)
        try:
            async with asyncio.timeout(DEADLINE):
                if sweep.what == "logs":
                    return await self._logs(name, start.n), ()
                spec = contract.located(order.spec, start)
                return await self.stager.sweep(Sweep(sweep.what, TaskId(name.rpartition(".")[0]), name, spec))
        except TimeoutError:
            return 0, ((name, f"storage did not answer within {DEADLINE:.0f} s"),)
        except (LongshoreError, OSError) as err:
            return 0, ((name, str(err)),)
        except Exception as err:  # a defect of ours must not end the agent, for the next life would sweep again
            log.error("sweep-broke", task=name, exc_info=True)
            return 0, ((name, f"the agent could not sweep it: {err!r}"),)

    async def _logs(self, name: str, last: int) -> int:
        """Stored output of all attempts up to this one, as far as it was this worker that stored it."""
        task = name.rpartition(".")[0]
        return sum([await self.store.drop(f"{task}.{n}.{s}") for n in range(1, last + 1) for s in ("stdout", "stderr")])

    def _over(self, seq: int) -> None:
        """The log has the answer."""
        self.desk.attempts.errands.pop(seq, None)
        self._told.discard(seq)
        self.desk.note(Errand(seq))
