"""An attempt in containers from its start to its end: its steps one after the other, each in the journal before the next.

A task without steps is one. What must not enter: which attempts may start, what is delivered afterwards.
"""

import asyncio
import contextlib
import os
import stat
from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec import structs

from longshore_agent.adapters.folders import Folders
from longshore_agent.adapters.journal import Stepped
from longshore_agent.adapters.workdirs import Place
from longshore_agent.core import contract, verdict
from longshore_agent.core.attempts import Act, Attempt
from longshore_agent.core.ports import ContainerEnd, ContainerEngine, ContainerError, ContainerOrder, container_of
from longshore_agent.core.verdict import Exit
from longshore_agent.service.desk import Desk
from longshore_common import inside, logs
from longshore_common.clock import Clock
from longshore_common.ids import AttemptId
from longshore_common.model import Cause, Step, StepEnd

log = logs.get_logger()

#: Seconds by which the engine's account of how long a container ran may be longer than what we saw, and shorter: the end
#: of its output is waited for.
_LONGER: Final = 60.0
_SHORTER: Final = 600.0
_OOM: Final = "the kernel killed a process of it for want of memory: ask for more with --memory"


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


class _Ended(NamedTuple):
    """How a container ended, and what else than its command ended it."""

    end: ContainerEnd
    cause: Cause | None = None


class Stepping:
    """The containers of all attempts. `act` is told what is to be done to one that has just started, `drop` which of them is
    over while the attempt goes on.
    """

    def __init__(
        self, desk: Desk, engine: ContainerEngine, act: Callable[[Act], None], drop: Callable[[AttemptId], None]
    ) -> None:
        self.desk, self.engine, self._act, self._drop = desk, engine, act, drop
        self.there: set[AttemptId] = set()  # containers of an earlier life: they were given their secrets then

    def current(self, attempt: Attempt) -> AttemptId:
        """The container in which it runs, or runs next."""
        return container_of(attempt.id, min(len(attempt.steps), max(0, len(attempt.order.spec.steps) - 1)))

    async def run(self, attempt: Attempt, *, adopted: bool) -> Exit:
        """All that is left to run of it; an `adopted` one may have been started in an earlier life. `ContainerError`."""
        while (over := self._over(attempt)) is None:
            if attempt.unwanted():
                return Exit(None, None, self.desk.clock.now(), reason="it did not start")
            ended = await self._one(attempt, adopted=adopted)
            if not attempt.order.spec.steps:
                return self._exit(attempt, ended)
            await self._keep(attempt, ended)
            adopted = False
        return over

    def _over(self, attempt: Attempt) -> Exit | None:
        """What the steps that ended come to; None: the next one is to run."""
        steps, done = attempt.order.spec.steps, attempt.steps
        if not done:
            return None
        last, step = done[-1], steps[len(done) - 1]
        ignored = step.ignore_error and last.cause != "timeout-running" and not attempt.unwanted()
        code = 0 if ignored else last.exit_code
        if not code and last.cause != "timeout-running" and len(done) < len(steps) and not attempt.unwanted():
            return None
        cause = last.cause if code or last.cause == "timeout-running" else None
        peak, cpu = max(s.peak_memory for s in done), sum(s.cpu_seconds for s in done)
        end = Exit(code, done[0].started_at, last.ended_at, peak, cpu, cause=cause, reason=self._why(attempt, cause))
        image = next((s.image for s in done if s.image), "")
        return end._replace(reason=verdict.of_steps(attempt, end), image=image)

    def _exit(self, attempt: Attempt, ended: _Ended) -> Exit:
        """The end of a task without steps."""
        end, cause = ended
        used = (end.peak_memory, end.cpu_seconds)
        reason = self._why(attempt, cause)
        return Exit(end.exit_code, end.started_at, end.ended_at, *used, cause=cause, reason=reason, image=end.image)

    @staticmethod
    def _why(attempt: Attempt, cause: Cause | None) -> str:
        if cause == "timeout-running":
            return f"it ran longer than its limit of {attempt.order.spec.run_timeout:g} s"
        return _OOM if cause == "oom" else ""

    async def _one(self, attempt: Attempt, *, adopted: bool) -> _Ended:
        """One container from start to end."""
        order = await asyncio.to_thread(self._prepared, attempt) if _has_folders(attempt) else self._order(attempt)
        started = await self.engine.start(order)
        stint = Stint(self.desk.clock, started, adopted=adopted)
        for act in self.desk.attempts.started(attempt, attempt.steps[0].started_at if attempt.steps else started):
            self._act(act)
        self._tell(attempt, started)
        self.desk.wake_reports()
        if attempt.unwanted():
            await self.engine.kill(order.attempt)
        elif attempt.steps and attempt.wanted == "pause":
            await self.engine.pause(order.attempt)
        ended = await self._until_end(attempt, order.attempt, stint)
        if attempt.order.spec.steps:
            await asyncio.to_thread(self._keep_streams, attempt)
        return ended

    def _tell(self, attempt: Attempt, at: float) -> None:
        """Which step runs, if it has several."""
        if (most := len(attempt.order.spec.steps)) > 1:
            where = f"step {len(attempt.steps) + 1} of {most}"
            self.desk.attempts.pending.stepped(attempt.id, at, where, paused=attempt.wanted == "pause")

    async def _until_end(self, attempt: Attempt, name: AttemptId, stint: Stint) -> _Ended:
        """Its end, or the limit of all its steps."""
        spec = attempt.order.spec
        spent = sum(step.ended_at - step.started_at for step in attempt.steps)
        left = max(0.0, spec.run_timeout - spent - stint.lasted()) if spec.run_timeout else None
        waiting = asyncio.ensure_future(self.engine.wait(name))
        try:
            end = await asyncio.wait_for(asyncio.shield(waiting), left)
        except TimeoutError:
            with contextlib.suppress(ContainerError):
                await self.engine.stop(name, spec.grace, verdict.stop_signal(spec.stop_signal))
            return _Ended(stint.told(await waiting), "timeout-running")
        finally:
            if not waiting.done():
                waiting.cancel()
        end = stint.told(end)
        return _Ended(end, "oom" if end.oom and end.exit_code else None)

    async def _keep(self, attempt: Attempt, ended: _Ended) -> None:
        """The journal knows that this step is over before its container goes and the next one begins."""
        end, before, place = ended.end, _before(attempt), self.desk.place(attempt)
        used = (_size(place.stdout) - before[0], _size(place.stderr) - before[1], end.peak_memory, end.cpu_seconds)
        told = StepEnd(end.exit_code, end.started_at, end.ended_at, *used, image=end.image, cause=ended.cause)
        name = self.current(attempt)
        while not self.desk.note(Stepped(attempt.id, told)):  # noqa: ASYNC110  disk full: free space sends no event
            await asyncio.sleep(1)
        attempt.steps = (*attempt.steps, told)
        self._drop(name)

    # --- files ---

    def _prepared(self, attempt: Attempt) -> ContainerOrder:
        """The order of the next container, its folders made. `ContainerError` if there is no room for them."""
        place = self.desk.place(attempt)
        folders = _folders(attempt, place)
        order = self._order(attempt)
        try:
            folders.make()
            temp = folders.make_temp(len(attempt.steps))
        except OSError as err:
            raise _refused(err, "making the folders of its containers") from err
        if not attempt.order.spec.steps:
            return order._replace(binds=folders.binds(), temp_dir=temp)
        step = attempt.order.spec.steps[len(attempt.steps)]
        return order._replace(
            binds=folders.binds(), temp_dir=temp, workdir=inside.clean(step.workdir) if step.workdir else "",
            stdin=_stdin(folders, step, place), stdin_note=f"{place.root}/stdin-{len(attempt.steps)}",
        )  # fmt: skip

    def _order(self, attempt: Attempt) -> ContainerOrder:
        place = self.desk.dirs.make(attempt.place)
        here = self.desk.host._replace(slots=self.desk.attempts.width)
        order, k = attempt.order, len(attempt.steps)
        if order.spec.steps:
            order = structs.replace(order, spec=contract.of_step(order.spec, order.spec.steps[k]))
        spec = order.spec
        shared = contract.shared_environment(order, here, {})
        own = contract.own_environment(spec, attempt.start, attempt.devices, inside=True)
        env = contract.environment(shared, attempt.id, attempt.start, contract.INSIDE, own)
        if attempt.order.spec.steps:
            env["LONGSHORE_STEP"] = str(k + 1)
        dirs = place.places
        return ContainerOrder(
            container_of(attempt.id, k),
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
            before=_before(attempt),
            secrets=self._secrets(attempt, container_of(attempt.id, k)),
        )

    def _secrets(self, attempt: Attempt, name: AttemptId) -> str:
        """The folder with the values of its secrets, opened for its start; "" if it names none, or had them long ago."""
        if not attempt.order.spec.secrets or name in self.there:
            return ""
        try:
            return self.desk.opened.put(name, self.desk.secrets(attempt.order))
        except OSError as err:
            raise _refused(err, "opening its secrets") from err

    def _keep_streams(self, attempt: Attempt) -> None:
        """What the step that just ended said, into the files that it names. `ContainerError` if that cannot be."""
        place, step = self.desk.place(attempt), attempt.order.spec.steps[len(attempt.steps)]
        folders = _folders(attempt, place)
        for source, before, path in zip(
            (place.stdout, place.stderr), _before(attempt), (step.stdout, step.stderr), strict=True
        ):
            if path:
                try:
                    folders.write(source, before, inside.clean(path))
                except OSError as err:
                    raise _refused(err, f"writing {path}") from err


def _has_folders(attempt: Attempt) -> bool:
    return inside.several(attempt.order.spec)


def _folders(attempt: Attempt, place: Place) -> Folders:
    return Folders(inside.shared(attempt.order.spec), place.places)


def _before(attempt: Attempt) -> tuple[int, int]:
    """How many bytes of stdout and stderr earlier steps made."""
    return sum(step.stdout for step in attempt.steps), sum(step.stderr for step in attempt.steps)


def _stdin(folders: Folders, step: Step, place: Place) -> str:
    """What a step reads, on this host; one that is not there is found missing when it is opened."""
    if not step.stdin:
        return ""
    found = folders.resolved(inside.clean(step.stdin))
    if found is None or not stat.S_ISREG(os.lstat(found).st_mode):
        return f"{place.root}/no-such-stdin"
    return found


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def _refused(err: OSError, doing: str) -> ContainerError:
    cause: Cause = "disk-full" if err.errno == 28 else "host"
    return ContainerError(cause, f"{doing}: {err.strerror} ({err.filename or err.filename2 or ''})")
