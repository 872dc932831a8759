"""Staging, delivering and publishing: one task per attempt that has data, beside what runs.

What must not enter: how bytes move (`core.ports.Stager`), processes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, Literal, TypeVar

from msgspec import structs

from longshore_agent.adapters import outputs
from longshore_agent.adapters.journal import Exited, Phased
from longshore_agent.adapters.output_store import OutputStore
from longshore_agent.adapters.workdirs import Place
from longshore_agent.core import contract, reuse, verdict
from longshore_agent.core.attempts import Attempt, changed
from longshore_agent.core.ports import UNKNOWN, ContainerEngine, ContainerError, Stager, StagingError
from longshore_agent.service.acting import as_its_user
from longshore_agent.service.desk import Desk
from longshore_agent.service.patience import PAUSES, TRIES, Allowance, pause
from longshore_agent.service.progress import Progress
from longshore_agent.service.reusing import Reusing
from longshore_common import inside, logs
from longshore_common.errors import BadInput, LongshoreError, Unreachable
from longshore_common.events import Ended
from longshore_common.ids import AttemptId, TaskId, attempt_id
from longshore_common.model import Cause, Collected, Output, OutputFile, TaskSpec, Usage
from longshore_data import manifest, uri
from longshore_data.manifest import Origin
from longshore_data.meter import Meter

log = logs.get_logger()
#: Attempts that fetch at once, at least, and at most.
FETCH_LEAST: Final = 4
FETCH_MOST: Final = 32
#: Results are precious: storage that is away is tried again for so many seconds if the task sets no limit.
PATIENCE: Final = 600.0
#: Uploaded files that a report names.
TOLD: Final = 500
#: Seconds for clearing away what a published task needs no more.
TIDYING: Final = 30.0
T = TypeVar("T")


class Transfers:
    """The running transfers of all attempts."""

    def __init__(self, desk: Desk, stager: Stager, engine: ContainerEngine, store: OutputStore) -> None:
        self.desk, self.stager, self.engine, self.store = desk, stager, engine, store
        self.progress = Progress(desk)
        self.reusing = Reusing(desk, stager, engine)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._fetching = 0
        desk.release = stager.release

    def turn(self) -> None:
        """Begin every transfer that is due."""
        attempts = self.desk.attempts
        most = max(FETCH_LEAST, min(FETCH_MOST, attempts.width)) - self._fetching
        chosen = attempts.next_to_stage(most) if attempts.to_stage and most > 0 else []
        if chosen:
            self._begin_staging(chosen)
        for attempt in attempts.next_to_publish():
            self._start(attempt, self._publish(attempt))

    def resume(self) -> None:
        """After a restart: go on with what was being delivered or published; what was staged still uses its resources."""
        for attempt in list(self.desk.attempts.held.values()):
            if attempt.place and attempt.order.spec.resources and attempt.phase not in ("accepted", "staging"):
                self.stager.hold(attempt.id, contract.located(attempt.order.spec, attempt.start))
            if attempt.phase == "delivering":
                self.deliver(attempt)
            elif attempt.phase == "publishing":
                self._start(attempt, self._publish(attempt))

    def deliver(self, attempt: Attempt) -> None:
        """Its process is over and something of it is to be kept."""
        self._start(attempt, self._deliver(attempt))

    def cancel(self, attempt: Attempt) -> None:
        """Nobody wants the transfer of this attempt any more; its directories go."""
        task = self._tasks.get(attempt.id)
        if task is None:
            self.desk.leave(attempt)
        else:
            task.cancel()
            task.add_done_callback(lambda _: self.desk.leave(attempt))
        self.desk.wake_reports()

    async def close(self) -> None:
        """Stop all transfers where they are; the journal knows them."""
        self.progress.close()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.store.close()

    def _start(self, attempt: Attempt, work: Coroutine[None, None, None]) -> None:
        if attempt.id in self._tasks:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(self._guarded(attempt, work))
        self._tasks[attempt.id] = task
        task.add_done_callback(lambda _: self._done(attempt))

    def _done(self, attempt: Attempt) -> None:
        self._tasks.pop(attempt.id, None)
        self.desk.turn_soon()

    async def _guarded(self, attempt: Attempt, work: Coroutine[None, None, None]) -> None:
        """A defect of ours fails one attempt, not the agent."""
        try:
            await as_its_user(self.desk, self.stager, attempt, work)
        except StagingError as err:
            self._fail(attempt, err.cause, err.reason, definite=err.definite)
        except ContainerError as err:
            self._fail(attempt, err.cause, err.reason)
        except Exception as err:
            log.error("transfer-broke", attempt=attempt.id, phase=attempt.phase, exc_info=True)
            self._fail(attempt, "host", f"the agent could not finish {attempt.phase}: {err!r}")

    def _fail(self, attempt: Attempt, cause: Cause, reason: str, *, definite: bool = False) -> None:
        """What failed on its own account keeps its cause; a transfer that failed after it is only mentioned."""
        result = attempt.result
        if result is not None and result.outcome == "failed":
            self.desk.end(attempt, changed(result, reason=f"{result.reason}; its output was not kept: {reason}"))
            return
        result = verdict.failed(attempt, cause, reason, self.desk.clock.now())
        self.desk.end(attempt, changed(result, definite=definite))

    # --- in ---

    def _begin_staging(self, chosen: list[Attempt]) -> None:
        now = self.desk.clock.now()
        for attempt in chosen:
            attempt.place = f"a-{attempt.id}"
        names, places = tuple(a.id for a in chosen), tuple(a.place for a in chosen)
        if not self.desk.note(Phased("staging", names, now, places)):
            self.desk.attempts.to_stage.extendleft(reversed(chosen))
            return
        for attempt in chosen:
            self.desk.attempts.staging(attempt, now)
            self._fetching += 1
            self._start(attempt, self._stage(attempt))
        self.desk.wake_reports()

    async def _stage(self, attempt: Attempt) -> None:
        limit = attempt.order.spec.download_timeout
        try:
            async with Allowance(limit) as allowance:
                fetched = await self._fetch(attempt, allowance)
        except TimeoutError as err:
            raise StagingError("timeout-staging", f"fetching its inputs took longer than {limit:g} s") from err
        finally:
            self._fetching -= 1
            self.progress.over(attempt)
        if fetched is None:
            await self._reuse(attempt)
            return
        size, attempt.origin = fetched
        now, origin, digest = self.desk.clock.now(), attempt.origin, attempt.digest
        self.desk.note(Phased("ready", (attempt.id,), now, size=size, origin=origin, digest=digest))
        self.desk.attempts.staged(attempt, size)

    async def _reuse(self, attempt: Attempt) -> None:
        """Deliver what an earlier attempt made, as if this one had run."""
        source = attempt.reuses.source if attempt.reuses else ""
        empty, now = outputs.EMPTY, self.desk.clock.now()
        usage = Usage(staging_at=attempt.staging_at, finished_at=now)
        result = Ended(attempt.id, "succeeded", 0, usage=usage, stdout=empty, stderr=empty, reused=source)
        if attempt.id in self.desk.attempts.held and reuse.skipped(attempt, result):
            self.desk.note(Exited(result, attempt.reuses))
            log.info("reused", attempt=attempt.id, source=source)
            await self._deliver(attempt)

    async def _prepared(self, attempt: Attempt) -> tuple[TaskSpec, Place]:
        """Where it will work, and in which image."""
        try:
            spec = contract.located(attempt.order.spec, attempt.start)
            place = self.desk.dirs.make(attempt.place)
        except BadInput as err:
            raise StagingError("stage-in", str(err)) from err
        except OSError as err:
            raise StagingError("disk-full" if err.errno == 28 else "host", f"no directory to work in: {err}") from err
        for image in inside.images(spec):
            await self.engine.prepare(structs.replace(spec, container=image))
        return spec, place

    async def _fetch(self, attempt: Attempt, allowance: Allowance) -> tuple[int, Origin] | None:
        """Bytes moved, and what they were; None if what it would make is there already (`attempt.reuses`)."""
        spec, place = await self._prepared(attempt)
        if not (spec.use_cache and spec.output):
            return await self._bring(attempt, spec, place, allowance)
        attempt.reuses = await self.reusing.found(attempt, spec)
        if attempt.reuses is not None:
            return None
        fetched = await self._bring(attempt, spec, place, allowance)
        if not await self.reusing.unchanged(attempt, spec):
            attempt.digest = ""
        return fetched

    async def _bring(self, attempt: Attempt, spec: TaskSpec, place: Place, allowance: Allowance) -> tuple[int, Origin]:
        """What storage may allow later is tried a few times."""
        if not (spec.inputs or spec.resources or spec.checkpoint or inside.several(spec)):
            return 0, UNKNOWN
        tries = 0
        while True:
            meter = allowance.watch(self.stager.meter())
            self.progress.begin(attempt, "staging", meter)
            try:
                origin = await self.stager.stage_in(attempt.id, spec, attempt.start, place.places, meter)
                return meter.done, origin
            except StagingError as err:
                tries += 1
                if not err.retriable or tries >= TRIES:
                    raise
                full = err.cause == "disk-full"
                self._tell_why(attempt, "staging", err.reason)
            if not (full and await self.stager.spare()):
                await asyncio.sleep(pause(tries))

    # --- out ---

    async def _deliver(self, attempt: Attempt) -> None:
        result = attempt.result
        if result is None:
            return
        self.desk.attempts.delivering(attempt, self.desk.clock.now())
        self.desk.wake_reports()
        result = attempt.result = await self._stored(attempt, result)
        if not self.desk.leaves(attempt, result):
            self.desk.end(attempt, result)
        elif result.cause == "evicted":
            self.desk.end(attempt, changed(result, checkpoint=await self._patiently(attempt, self._save)))
        else:
            await self._deliver_files(attempt, result)

    async def _deliver_files(self, attempt: Attempt, result: Ended) -> None:
        spec = attempt.order.spec
        if result.outcome != "succeeded" and spec.collects:
            await self.desk.said()  # whoever was given up as lost is told so before it puts its files over another's
            collected = await self._patiently(attempt, self._collect)
            result = attempt.result = _with_collected(result, collected)
        files, size = await self._patiently(attempt, self._put) if spec.output is not None else ((), 0)
        if result.outcome == "succeeded":
            self.desk.attempts.delivered(attempt, files, size)
            self.desk.wake_reports()
            return
        reason = result.reason
        if files:
            place = uri.private(uri.parse_output(self._output(attempt)), attempt.id)
            reason = f"{reason}; what it left in its output is in {place}"
        usage = _delivered(result, size + result.usage.delivered_bytes)
        self.desk.end(attempt, changed(result, reason=reason, usage=usage, files=len(files) + result.files))

    async def _collect(self, attempt: Attempt, meter: Meter) -> tuple[Collected, ...]:
        """What its collects name goes where they say; the same again, if it is interrupted."""
        spec = contract.located(attempt.order.spec, attempt.start)
        return await self.stager.collect(attempt.id, spec, self.desk.place(attempt).places, meter)

    async def _put(self, attempt: Attempt, meter: Meter) -> tuple[tuple[OutputFile, ...], int]:
        if attempt.reuses is not None:
            return await self.stager.reuse(attempt.id, attempt.reuses, self._output(attempt))
        place = self.desk.place(attempt)
        return await self.stager.deliver(attempt.id, self._output(attempt), place.places.output, meter)

    async def _save(self, attempt: Attempt, meter: Meter) -> bool:
        """Its checkpoint, for the next attempt; False if it had not made any."""
        path = uri.safe_path(attempt.order.spec.checkpoint.strip("/"))
        place = self.desk.place(attempt)
        return await self.stager.save(attempt.id, self._output(attempt), f"{place.places.temp}/{path}", meter)

    def _output(self, attempt: Attempt) -> str:
        return contract.located(attempt.order.spec, attempt.start).output or ""

    async def _patiently(self, attempt: Attempt, call: Callable[[Attempt, Meter], Awaitable[T]]) -> T:
        """Repeat a call that may succeed later, within the attempt's upload limit."""
        limit = attempt.order.spec.upload_timeout
        tries = 0
        try:
            async with Allowance(limit or PATIENCE) as allowance:
                while True:
                    meter = allowance.watch(self.stager.meter(up=True))
                    self.progress.begin(attempt, "delivering", meter)
                    try:
                        return await call(attempt, meter)
                    except StagingError as err:
                        if not err.retriable:
                            raise
                        last = err
                        self._tell_why(attempt, "delivering", err.reason)
                    tries += 1
                    await asyncio.sleep(pause(tries))
        except TimeoutError as err:
            if limit:
                raise StagingError("timeout-delivering", f"delivering took longer than {limit:g} s") from err
            raise StagingError("stage-out", last.reason if tries else f"delivering took over {PATIENCE:g} s") from err
        except BadInput as err:
            raise StagingError("stage-out", str(err)) from err
        finally:
            self.progress.over(attempt)

    def _tell_why(self, attempt: Attempt, state: Literal["staging", "delivering"], reason: str) -> None:
        log.warning("transfer-waits", attempt=attempt.id, phase=state, reason=reason)
        self.desk.attempts.waits(attempt, state, self.desk.clock.now(), reason)
        self.desk.wake_reports()

    async def _publish(self, attempt: Attempt) -> None:
        order = attempt.order
        whose = attempt_id(order.submission, attempt.start.index, order.publish_of) if order.publish_of else attempt.id
        files = None if order.publish_of else attempt.files
        result = attempt.result or Ended(attempt.id, "succeeded")
        command = manifest.command_digest(order.spec.command, shell=order.spec.shell)
        origin = structs.replace(attempt.origin, image=result.image, command=command)

        async def publish(attempt: Attempt, _meter: Meter) -> int:
            return await self.stager.publish(whose, _task(attempt), self._output(attempt), files, origin)

        result = await self._collected(attempt, result)
        count = await self._patiently(attempt, publish) if order.spec.output is not None else 0
        if order.spec.output is not None and (attempt.start.n > 1 or order.publish_of or order.spec.checkpoint):
            await self._tidy(attempt, whose)
        usage = _delivered(result, attempt.delivered_bytes + result.usage.delivered_bytes)
        result = changed(result, usage=usage, files=count + result.files)
        if attempt.digest:
            result = changed(result, digest=attempt.digest, output=self._output(attempt))
        self.desk.end(attempt, result)

    async def _collected(self, attempt: Attempt, result: Ended) -> Ended:
        """With leave to publish, what its collects name goes where they say: nobody else's is put over it any more."""
        order = attempt.order
        if not order.spec.collects:
            return result
        if order.publish_of:
            raise StagingError("stage-out", f"what attempt {order.publish_of} was to upload was lost with its worker")
        return _with_collected(result, await self._patiently(attempt, self._collect))

    async def _tidy(self, attempt: Attempt, whose: AttemptId) -> None:
        """What the task needs no more; what cannot be removed now is left to a sweep."""
        try:
            async with asyncio.timeout(TIDYING):
                await self.stager.tidy(whose, self._output(attempt))
        except (StagingError, TimeoutError) as err:
            log.warning("not-tidied", attempt=attempt.id, reason=str(err) or f"it took longer than {TIDYING:g} s")

    async def _stored(self, attempt: Attempt, result: Ended) -> Ended:
        """The result with both outputs; what is larger than a report goes to the store first."""
        place = self.desk.place(attempt)
        stdout, stderr = result.stdout, result.stderr
        if stdout is None:
            stdout = await self._keep(attempt, "stdout", place.stdout)
        if stderr is None:
            stderr = await self._keep(attempt, "stderr", place.stderr)
        return changed(result, stdout=stdout, stderr=stderr)

    async def _keep(self, attempt: Attempt, stream: str, path: str) -> Output:
        """Compress and store an output piece by piece; without the store its tail and digest are all that is kept."""
        name = f"{attempt.id}.{stream}"
        reading = outputs.Reading(path)
        try:
            while (piece := await asyncio.to_thread(reading.piece)) is not None:
                await self._put_piece(f"{name}.{piece.k}.gz", piece.data)
            return await asyncio.to_thread(reading.summary, self.store.address(name, reading.count))
        except (LongshoreError, OSError) as err:
            log.error("output-not-stored", attempt=attempt.id, stream=stream, reason=str(err))
            return await asyncio.to_thread(reading.summary, "")
        finally:
            reading.close()

    async def _put_piece(self, name: str, data: bytes) -> None:
        """Store one piece; while the store is away this waits as reports do, for an hour."""
        for seconds in (*PAUSES, *(PAUSES[-1],) * 120):
            try:
                await self.store.put(name, data)
                return
            except Unreachable as err:
                log.warning("output-waits", object=name, reason=str(err))
                await asyncio.sleep(seconds)
        raise Unreachable("the object store did not answer for an hour")


def _task(attempt: Attempt) -> TaskId:
    return TaskId(attempt.id[: attempt.id.rindex(".")])


def _with_collected(result: Ended, collected: tuple[Collected, ...]) -> Ended:
    """The result with what was uploaded beside its output: the first files, the number and the bytes of all."""
    size = sum(one.size for one in collected)
    return changed(
        result, collected=collected[:TOLD], files=result.files + len(collected), usage=_delivered(result, size)
    )


def _delivered(result: Ended, size: int) -> object:
    known = {name: getattr(result.usage, name) for name in result.usage.__struct_fields__}
    return type(result.usage)(**{**known, "delivered_bytes": size})
