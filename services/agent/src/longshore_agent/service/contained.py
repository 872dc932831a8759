"""The lane of containers: one task per container that starts it, waits for its end, and survives the agent by adoption.

What must not enter: engines' APIs (`core.ports.ContainerEngine`), bare commands.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Final

from longshore_agent.adapters.journal import Phased
from longshore_agent.core import contract, verdict
from longshore_agent.core.attempts import Act, Attempt
from longshore_agent.core.ports import ContainerEnd, ContainerEngine, ContainerError, ContainerOrder
from longshore_agent.core.verdict import Exit
from longshore_agent.service.desk import Desk
from longshore_common import logs
from longshore_common.clock import Clock
from longshore_common.ids import AttemptId
from longshore_common.model import Cause

log = logs.get_logger()


#: Seconds by which the engine's account of how long a container ran may be longer than what we saw, and shorter: the end
#: of its output is waited for.
_LONGER: Final = 60.0
_SHORTER: Final = 600.0


class Stint:
    """How long a container has been running, whoever sets the clock: measured from when its start was seen here.

    Of an `adopted` one only the engine knows when it started, by the clock; more than no time at all has passed since.
    """

    def __init__(self, clock: Clock, started: float, *, adopted: bool) -> None:
        self._clock, self._started, self._adopted = clock, started, adopted
        self._begun = clock.steady() - (max(0.0, clock.now() - started) if adopted else 0.0)

    def lasted(self) -> float:
        """Seconds until now."""
        return self._clock.steady() - self._begun

    def told(self, end: ContainerEnd) -> ContainerEnd:
        """The end with instants that are as far apart as it lasted, where the engine's cannot be right."""
        lasted, said = self.lasted(), end.ended_at - self._started
        if self._adopted or lasted - _SHORTER <= said <= lasted + _LONGER:
            return end
        return end._replace(started_at=self._started, ended_at=self._started + lasted)


class ContainedLane:
    """Containers of this host."""

    def __init__(self, desk: Desk, engine: ContainerEngine) -> None:
        self.desk, self.engine = desk, engine
        self._tasks: set[asyncio.Task[None]] = set()

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
        there = set(await self.engine.adopt(self.desk.host.worker))
        for attempt in mine:
            if attempt.id in there or attempt.phase == "launched":
                self._go(self._run(attempt, adopted=True))
            else:
                reason = "its container is gone, so how it ended is unknown"
                self.desk.end(attempt, verdict.failed(attempt, "host", reason, self.desk.clock.now()))
        for name in there - {a.id for a in mine}:
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
        try:
            if act.deed == "terminate":
                await self._terminate(act)
            elif act.deed == "freeze":
                await self.engine.pause(act.attempt.id)
            elif act.deed == "thaw":
                await self.engine.unpause(act.attempt.id)
            elif (number := verdict.signal_number(act.signal)) is not None:
                await self.engine.signal(act.attempt.id, number)
        except ContainerError as err:
            log.warning("container-refused", attempt=act.attempt.id, deed=act.deed, reason=err.reason)

    async def _terminate(self, act: Act) -> None:
        if act.grace > 0:
            await self.engine.stop(act.attempt.id, act.grace, verdict.stop_signal(act.signal))
        else:
            await self.engine.kill(act.attempt.id)

    async def stop_all(self) -> None:
        """The agent stops for good: remove every container it holds, and say so."""
        for attempt in [
            a for a in self.desk.attempts.held.values() if a.contained and a.phase in ("launched", "running")
        ]:
            await self._forget(attempt.id)
            reason = "the agent of its host was stopped"
            self.desk.end(attempt, verdict.failed(attempt, "evicted", reason, self.desk.clock.now()))

    async def _run(self, attempt: Attempt, *, adopted: bool = False) -> None:
        """One container from start to end; an `adopted` one may have been started in an earlier life."""
        try:
            end = await self._to_its_end(attempt, adopted=adopted)
        except ContainerError as err:
            end = Exit(None, attempt.started_at, self.desk.clock.now(), cause=err.cause, reason=err.reason)
        except Exception as err:
            log.error("container-broke", attempt=attempt.id, exc_info=True)
            reason = f"the agent lost its container: {err!r}"
            end = Exit(None, attempt.started_at, self.desk.clock.now(), cause="host", reason=reason)
        if attempt.phase in ("launched", "running") and attempt.id in self.desk.attempts.held:
            self.desk.over(attempt, end)
        self.desk.turn_soon()
        await self._forget(attempt.id)

    async def _to_its_end(self, attempt: Attempt, *, adopted: bool) -> Exit:
        if attempt.unwanted():
            return Exit(None, None, self.desk.clock.now(), reason="it did not start")
        started = await self.engine.start(self._order(attempt))
        stint = Stint(self.desk.clock, started, adopted=adopted)
        for act in self.desk.attempts.started(attempt, started):
            self.act(act)
        self.desk.wake_reports()
        if attempt.unwanted():
            await self.engine.kill(attempt.id)
        limit = attempt.order.spec.run_timeout
        left = max(0.0, limit - stint.lasted()) if limit else None
        waiting = asyncio.ensure_future(self.engine.wait(attempt.id))
        try:
            end = await asyncio.wait_for(asyncio.shield(waiting), left)
        except TimeoutError:
            with contextlib.suppress(ContainerError):
                spec = attempt.order.spec
                await self.engine.stop(attempt.id, spec.grace, verdict.stop_signal(spec.stop_signal))
            reason = f"it ran longer than its limit of {limit:g} s"
            return _exit(stint.told(await waiting), "timeout-running", reason)
        finally:
            if not waiting.done():
                waiting.cancel()
        end = stint.told(end)
        if end.oom and end.exit_code:
            return _exit(end, "oom", "the kernel killed a process of it for want of memory: ask for more with --memory")
        return _exit(end)

    def _order(self, attempt: Attempt) -> ContainerOrder:
        place = self.desk.dirs.make(attempt.place)
        here = self.desk.host._replace(slots=self.desk.attempts.width)
        shared = contract.shared_environment(attempt.order, here, {})
        spec = attempt.order.spec
        own = contract.own_environment(spec, attempt.start, attempt.devices, inside=True)
        env = contract.environment(shared, attempt.id, attempt.start, contract.INSIDE, own)
        dirs = place.places
        return ContainerOrder(
            attempt.id,
            self.desk.host.worker,
            spec,
            env,
            dirs.input,
            dirs.output,
            dirs.temp,
            dirs.resource,
            place.stdout,
            place.stderr,
            contract.memory(spec, attempt.start),
            attempt.devices,
        )

    async def _forget(self, name: AttemptId) -> None:
        """Remove a container; one that cannot be removed now is removed by the next start of the agent."""
        try:
            await self.engine.forget(name)
        except ContainerError as err:
            log.warning("container-not-removed", attempt=name, reason=err.reason)


def _exit(end: ContainerEnd, cause: Cause | None = None, reason: str = "") -> Exit:
    used = (end.peak_memory, end.cpu_seconds)
    return Exit(end.exit_code, end.started_at, end.ended_at, *used, cause=cause, reason=reason, image=end.image)
