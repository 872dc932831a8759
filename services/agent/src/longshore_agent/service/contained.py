"""The lane of containers: one task per container that starts it, waits for its end, and survives the agent by adoption.

What must not enter: engines' APIs (`core.ports.ContainerEngine`), bare commands.
"""

import asyncio
from collections.abc import Coroutine

from longshore_agent.adapters.journal import Phased
from longshore_agent.core import verdict
from longshore_agent.core.attempts import Act, Attempt
from longshore_agent.core.ports import ContainerEngine, ContainerError
from longshore_agent.core.verdict import Exit
from longshore_agent.service.desk import Desk
from longshore_agent.service.stepping import Stepping
from longshore_common import logs
from longshore_common.errors import BadInput
from longshore_common.ids import AttemptId

log = logs.get_logger()


class ContainedLane:
    """Containers of this host."""

    def __init__(self, desk: Desk, engine: ContainerEngine) -> None:
        self.desk, self.engine = desk, engine
        self._tasks: set[asyncio.Task[None]] = set()
        self.stepping = Stepping(desk, engine, self.act, lambda name: self._go(self._forget(name)))

    def launch(self, attempts: list[Attempt]) -> None:
        """Start these; they are `launched` in the core already."""
        names, places = tuple(a.id for a in attempts), tuple(a.place for a in attempts)
        if not self.desk.note(Phased("launched", names, self.desk.clock.now(), places)):
            for attempt in reversed(attempts):
                self.desk.attempts.withdrawn(attempt)
            return
        for attempt in attempts:
            self._go(self._run(attempt))

    async def resume(self) -> None:
        """After a restart: go on with containers that are here, end those that are not, remove those nobody holds."""
        mine = [a for a in self.desk.attempts.held.values() if a.contained and a.phase in ("launched", "running")]
        there = self.stepping.there = set(await self.engine.adopt(self.desk.host.worker))
        self.desk.opened.reset(there)
        for attempt in mine:
            if self.stepping.current(attempt) in there or attempt.phase == "launched" or attempt.steps:
                self._go(self._run(attempt, adopted=True))
            else:
                reason = "its container is gone, so how it ended is unknown"
                self.desk.end(attempt, verdict.failed(attempt, "host", reason, self.desk.clock.now()))
        for name in there - {self.stepping.current(a) for a in mine}:
            self._go(self._forget(name))

    def act(self, act: Act) -> None:
        """Do what is wanted of a container."""
        if act.deed not in ("cancel", "withdraw"):
            self._go(self._act(act))

    async def close(self) -> None:
        """Stop waiting; the containers run on."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _go(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _act(self, act: Act) -> None:
        name = self.stepping.current(act.attempt)
        try:
            if act.deed == "terminate":
                await self._terminate(name, act)
            elif act.deed == "freeze":
                await self.engine.pause(name)
            elif act.deed == "thaw":
                await self.engine.unpause(name)
            elif (number := verdict.signal_number(act.signal)) is not None:
                await self.engine.signal(name, number)
        except ContainerError as err:
            log.warning("container-refused", attempt=act.attempt.id, deed=act.deed, reason=err.reason)

    async def _terminate(self, name: AttemptId, act: Act) -> None:
        if act.grace > 0:
            await self.engine.stop(name, act.grace, verdict.stop_signal(act.signal))
        else:
            await self.engine.kill(name)

    async def stop_all(self) -> None:
        """The agent stops for good: remove every container it holds, and say so."""
        for attempt in [
            a for a in self.desk.attempts.held.values() if a.contained and a.phase in ("launched", "running")
        ]:
            await self._forget(self.stepping.current(attempt))
            reason = "the agent of its host was stopped"
            self.desk.end(attempt, verdict.failed(attempt, "evicted", reason, self.desk.clock.now()))

    async def _run(self, attempt: Attempt, *, adopted: bool = False) -> None:
        """One container from start to end; an `adopted` one may have been started in an earlier life."""
        try:
            end = await self.stepping.run(attempt, adopted=adopted)
        except ContainerError as err:
            end = Exit(None, attempt.started_at, self.desk.clock.now(), cause=err.cause, reason=err.reason)
        except BadInput as err:
            self.desk.end(attempt, verdict.lacks_secret(attempt, err, self.desk.clock.now()))
            return
        except Exception as err:
            log.error("container-broke", attempt=attempt.id, exc_info=True)
            reason = f"the agent lost its container: {err!r}"
            end = Exit(None, attempt.started_at, self.desk.clock.now(), cause="host", reason=reason)
        if attempt.phase in ("launched", "running") and attempt.id in self.desk.attempts.held:
            self.desk.over(attempt, end)
        self.desk.turn_soon()
        await self._forget(self.stepping.current(attempt))

    async def _forget(self, name: AttemptId) -> None:
        """Remove a container; one that cannot be removed now is removed by the next start of the agent."""
        self.desk.opened.remove(name)
        try:
            await self.engine.forget(name)
        except ContainerError as err:
            log.warning("container-not-removed", attempt=name, reason=err.reason)
