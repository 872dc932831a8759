"""The `Stager` of `core.ports` over the stores: what lands where, under which names.

What must not enter: how one kind of storage moves bytes, phases of attempts, retries over minutes.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Final

import structlog

from longshore_agent.adapters.cache import Cache, Way
from longshore_agent.adapters.entries import Wish
from longshore_agent.adapters.folders import Folders
from longshore_agent.adapters.staging import collecting, reusing
from longshore_agent.adapters.staging.checkpoints import Checkpoints
from longshore_agent.adapters.staging.mounting import Mounting, mounted
from longshore_agent.adapters.staging.outputs import Produced, find
from longshore_agent.adapters.staging.publishing import EMPTY, Publishing, drop_below
from longshore_agent.adapters.staging.sweeping import Sweeper
from longshore_agent.core.attempt import Published
from longshore_agent.core.contract import Places
from longshore_agent.core.ports import UNKNOWN, StagingError, Sweep
from longshore_common import inside
from longshore_common.errors import BadInput
from longshore_common.events import Start
from longshore_common.ids import AttemptId, TaskId
from longshore_common.model import Cause, Collected, OutputFile, TaskSpec
from longshore_data import uri
from longshore_data.manifest import Identity, Origin
from longshore_data.meter import UNMETERED, Limits, Meter
from longshore_data.parallel import each, in_thread
from longshore_data.storage import Storage
from longshore_data.store import StoreError
from longshore_data.transfer import Transfer

#: Transfers of one attempt at once.
WIDTH: Final = 8

_log = structlog.get_logger()


class StorageStager:
    """See the port. `limits` are the host's; default: 16 files at once, any bandwidth. Without a `cache` each attempt
    fetches its resources itself.
    """

    def __init__(self, storage: Storage, limits: Limits | None = None, cache: Cache | None = None) -> None:
        self.storage, self.cache = storage, cache
        self._limits = limits or Limits()
        self._transfer = Transfer(storage, self._limits)
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="stager")

    @property
    def transfer(self) -> Transfer:
        """What brings files here, for others who need some under the same limits."""
        return self._transfer

    def meter(self, *, up: bool = False) -> Meter:
        """See the port."""
        return Meter(self._limits.up if up else self._limits.down)

    async def stage_in(
        self, attempt: AttemptId, spec: TaskSpec, start: Start, places: Places, meter: Meter = UNMETERED
    ) -> Origin:
        """See the port. Files land by their names, folders by what is below them; two of one name are an error."""
        uris = (*spec.inputs, *spec.resources, *(mount.uri for mount in spec.mounts))
        here = any(text.startswith("file") for text in uris)
        with _as_staging("stage-in", shared=not here):
            mounting = Mounting(self._transfer, Folders(inside.shared(spec), places), self._pool)
            if inside.several(spec):
                await mounting.bring(spec.mounts, meter)
            if spec.checkpoint and spec.output and start.n > 1:
                path = f"{places.temp}/{uri.safe_path(spec.checkpoint.strip('/'))}"
                await self._checkpoints(_task(attempt), spec.output).restore(path, meter, (spec.uid, spec.gid))
            origin = Origin(
                inputs=await self._inputs(spec, places.input, meter),
                resources=await self._resources(attempt, spec, places.resource, meter),
            )
            if any(collect.new for collect in spec.collects):
                await mounting.note()
            return origin

    async def _inputs(self, spec: TaskSpec, directory: str, meter: Meter) -> tuple[Identity, ...]:
        """Their identities are asked for only if somebody will: one that changed meanwhile is not told."""
        if not spec.inputs:
            return ()
        sources = [uri.source(u) for u in spec.inputs]
        before = await each(sources, self._transfer.identity, WIDTH) if spec.use_cache else []
        await self._transfer.bring(sources, directory, meter, "input")
        after = await each(sources, self._transfer.identity, WIDTH) if spec.use_cache else []
        return tuple(Identity(u, b) for u, b, a in zip(spec.inputs, before, after, strict=False) if b and a == b)

    async def _resources(
        self, attempt: AttemptId, spec: TaskSpec, directory: str, meter: Meter
    ) -> tuple[Identity, ...]:
        wishes = [Wish(text, uri.source(text)) for text in spec.resources]
        if not wishes:
            return ()
        if self.cache is None or self.storage.acts:  # what one user may see is not lent to others
            await self._transfer.bring([w.source for w in wishes], directory, meter, "resource")
            return ()
        lent = await self.cache.lend(wishes, attempt, directory, meter, Way(self._transfer, self.meter))
        return tuple(Identity(one.text, one.identity) for one in lent)

    async def contents(self, spec: TaskSpec) -> tuple[str, ...]:
        """See the port."""
        with _as_staging("stage-in"):
            sources = [uri.source(text) for text in (*spec.inputs, *spec.resources)]
            sources += [mounted(mount) for mount in spec.mounts]
            return tuple(await each(sources, self._transfer.content, WIDTH))

    async def reusable(self, earlier: Published, output_uri: str) -> bool:
        """See the port."""
        with _as_staging("stage-in"):
            found = reusing.of(self.storage, self._limits, *earlier, output_uri)
            return found is not None and await found.holds()

    async def reuse(
        self, attempt: AttemptId, earlier: Published, output_uri: str
    ) -> tuple[tuple[OutputFile, ...], int]:
        """See the port."""
        with _as_staging("stage-out"):
            found = reusing.of(self.storage, self._limits, *earlier, output_uri)
            files = await found.copy(attempt, uri.parse_output(output_uri)) if found else ()
            return files, sum(f.size for f in files)

    async def deliver(
        self, attempt: AttemptId, output_uri: str, output_dir: str, meter: Meter = UNMETERED
    ) -> tuple[tuple[OutputFile, ...], int]:
        """See the port. What is no regular file is skipped with a line in the log."""
        with _as_staging("stage-out"):
            private = uri.private(uri.parse_output(output_uri), attempt)
            store = self.storage.of(private)
            produced, skipped = await in_thread(self._pool, find, output_dir)
            if skipped:
                _log.warning("outputs-skipped", attempt=attempt, number=len(skipped), some=skipped[:10])
            meter.expect(sum(one.size for one in produced))

            async def put(one: Produced) -> OutputFile:
                async with self._limits.turn(meter):
                    stored = await store.put(one.source, private.below(one.path), meter)
                return OutputFile(one.path, stored.size, stored.digest)

            files = await each(produced, put, WIDTH)
            if not files:
                await store.put_bytes(b"", private.below(EMPTY))
            return tuple(files), sum(f.size for f in files)

    async def collect(
        self, attempt: AttemptId, spec: TaskSpec, places: Places, meter: Meter = UNMETERED
    ) -> tuple[Collected, ...]:
        """See the port."""
        with _as_staging("stage-out"):
            folders = Folders(inside.shared(spec), places)
            found = await in_thread(self._pool, collecting.find, spec.collects, folders)
            if found.passed:
                _log.info("collects-passed-over", attempt=attempt, number=len(found.passed), some=found.passed[:10])
            meter.expect(sum(one.size for one in found.files))

            async def put(one: collecting.Left) -> Collected:
                async with self._limits.turn(meter):
                    stored = await self.storage.of(one.target).put(one.source, one.target, meter)
                return Collected(one.path, str(one.target), stored.size, stored.digest)

            return tuple(await each(found.files, put, WIDTH))

    async def save(self, attempt: AttemptId, output_uri: str, path: str, meter: Meter = UNMETERED) -> bool:
        """See the port."""
        with _as_staging("stage-out"):
            return await self._checkpoints(_task(attempt), output_uri).save(attempt, path, meter)

    async def publish(
        self,
        attempt: AttemptId,
        task: TaskId,
        output_uri: str,
        files: tuple[OutputFile, ...] | None,
        origin: Origin = UNKNOWN,
    ) -> int:
        """See the port. Two that publish the same attempt at once do no harm either: both copy the same bytes."""
        with _as_staging("stage-out"):
            output = uri.parse_output(output_uri)
            run = Publishing(self.storage.of(output), self._limits, output, attempt, task, origin)
            return await run.finish(files)

    async def tidy(self, attempt: AttemptId, output_uri: str) -> None:
        """See the port."""
        with _as_staging("stage-out"):
            output = uri.parse_output(output_uri)
            task = _task(attempt)
            await self._checkpoints(task, output_uri).drop()
            for n in range(1, int(attempt.rpartition(".")[2])):
                await drop_below(self.storage.of(output), uri.private(output, f"{task}.{n}"))

    async def sweep(self, sweep: Sweep) -> tuple[int, tuple[tuple[str, str], ...]]:
        """See the port."""
        sweeper = Sweeper(self.storage, sweep)
        await sweeper.run()
        return sweeper.removed, tuple(sweeper.left)

    async def spare(self) -> bool:
        """See the port."""
        return self.cache is not None and await self.cache.spare()

    def acting(self, values: Mapping[str, str]) -> AbstractAsyncContextManager[None]:
        """See the port."""
        return self.storage.acting(values)

    def hold(self, attempt: AttemptId, spec: TaskSpec) -> None:
        """See the port."""
        if self.cache is not None:
            self.cache.hold([uri.source(text) for text in spec.resources], attempt)

    def release(self, attempt: AttemptId) -> None:
        """See the port."""
        if self.cache is not None:
            self.cache.release(attempt)

    async def close(self) -> None:
        """See the port."""
        if self.cache is not None:
            await self.cache.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        await self.storage.close()

    def _checkpoints(self, task: TaskId, output_uri: str) -> Checkpoints:
        output = uri.parse_output(output_uri)
        return Checkpoints(self.storage.of(output), self._limits, output, task, self._pool)


def _task(attempt: AttemptId) -> TaskId:
    return TaskId(attempt.rpartition(".")[0])


@contextmanager
def _as_staging(cause: Cause, *, shared: bool = False) -> Iterator[None]:
    """Errors of storage and of words become the port's `StagingError`, which says whether a retry can help.

    `shared`: every host sees the same there, so what is missing here is missing everywhere.
    """
    try:
        yield
    except BadInput as err:
        raise StagingError(cause, f"{err} (a retry cannot help)") from err
    except StoreError as err:
        help_ = "a retry may help" if err.retriable else "a retry cannot help"
        raise StagingError(
            "disk-full" if err.disk_full else cause,
            f"{err} ({help_})",
            retriable=err.retriable,
            definite=shared and err.missing and not err.retriable,
        ) from err
