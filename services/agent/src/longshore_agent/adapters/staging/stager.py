"""The `Stager` of `core.ports` over the stores: what lands where, under which names, in which order.

The order of publishing is what makes it repeatable: copy everything, write the manifest, and only then drop the private
prefix. So as long as there is no manifest the private prefix is complete, and any worker can begin again from it.
What must not enter: how one kind of storage moves bytes, phases of attempts.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, NamedTuple

import structlog

from longshore_agent.adapters.staging.outputs import Produced, find
from longshore_agent.core.contract import Places
from longshore_agent.core.ports import StagingError
from longshore_common.errors import BadInput, Unreadable
from longshore_common.events import Start
from longshore_common.ids import AttemptId, TaskId
from longshore_common.model import Cause, OutputFile, TaskSpec
from longshore_data import manifest, uri
from longshore_data.meter import UNMETERED, Limits, Meter
from longshore_data.parallel import each, in_thread
from longshore_data.storage import Storage
from longshore_data.store import Found, Store, StoreError
from longshore_data.transfer import Transfer
from longshore_data.uri import Location

#: Transfers of one attempt at once.
WIDTH: Final = 8
#: What lies in the private prefix of an attempt that made no files: a name that no task can use.
EMPTY: Final = uri.RESERVED

_log = structlog.get_logger()


class StorageStager:
    """See the port. `limits` are the host's; default: 16 files at once, any bandwidth."""

    def __init__(self, storage: Storage, limits: Limits | None = None) -> None:
        self._storage = storage
        self._limits = limits or Limits()
        self._transfer = Transfer(storage, self._limits)
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="stager")

    def meter(self, *, up: bool = False) -> Meter:
        """See the port."""
        return Meter(self._limits.up if up else self._limits.down)

    async def stage_in(
        self, attempt: AttemptId, spec: TaskSpec, start: Start, places: Places, meter: Meter = UNMETERED
    ) -> None:
        """See the port. Files land by their names, folders by what is below them; two of one name are an error."""
        with _as_staging("stage-in"):
            if spec.inputs:
                await self._transfer.bring([uri.source(u) for u in spec.inputs], places.input, meter, "input")
            if spec.resources:
                await self._transfer.bring([uri.source(u) for u in spec.resources], places.resource, meter, "resource")

    async def deliver(
        self, attempt: AttemptId, output_uri: str, output_dir: str, meter: Meter = UNMETERED
    ) -> tuple[tuple[OutputFile, ...], int]:
        """See the port. What is no regular file is skipped with a line in the log."""
        with _as_staging("stage-out"):
            private = uri.private(uri.parse_output(output_uri), attempt)
            store = self._storage.of(private)
            produced, skipped = await in_thread(self._pool, find, output_dir)
            if skipped:
                _log.warning("outputs-skipped", attempt=attempt, number=len(skipped), some=skipped[:10])

            async def put(one: Produced) -> OutputFile:
                async with self._limits.turns:
                    stored = await store.put(one.source, private.below(one.path), meter)
                return OutputFile(one.path, stored.size, stored.digest)

            files = await each(produced, put, WIDTH)
            if not files:
                await store.put_bytes(b"", private.below(EMPTY))
            return tuple(files), sum(f.size for f in files)

    async def publish(
        self, attempt: AttemptId, task: TaskId, output_uri: str, files: tuple[OutputFile, ...] | None
    ) -> int:
        """See the port. Two that publish the same attempt at once do no harm either: both copy the same bytes."""
        with _as_staging("stage-out"):
            output = uri.parse_output(output_uri)
            run = _Publishing(self._storage.of(output), self._limits.turns, output, attempt, task)
            return await run.finish(files)

    async def close(self) -> None:
        """See the port."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        await self._storage.close()


class _Publishing(NamedTuple):
    """The publication of one attempt's outputs."""

    store: Store
    turns: asyncio.Semaphore
    output: Location
    attempt: AttemptId
    task: TaskId

    async def finish(self, files: tuple[OutputFile, ...] | None) -> int:
        """Begin, or begin again; the number of files."""
        if files is None:
            files = await self._left()
        if files is None:
            return await self._done_before(None)
        try:
            await each(files, self._copy, WIDTH)
        except StoreError as err:
            if not err.missing:
                raise
            return await self._done_before(files)
        parents = sorted({parent for f in files for parent in _parents(f.path)})
        await self.store.settle([self.output, *(self.output.below(p, folder=True) for p in parents)] if files else [])
        await self.store.put_bytes(
            manifest.encode(self.attempt, self.task, files), uri.manifest(self.output, self.task)
        )
        await self._drop(files)
        return len(files)

    async def _copy(self, file: OutputFile) -> None:
        async with self.turns:
            source = uri.private(self.output, self.attempt).below(file.path)
            await self.store.copy(source, self.output.below(uri.safe_path(file.path)), file.size)

    async def _drop(self, files: tuple[OutputFile, ...]) -> None:
        await self.store.drop(uri.private(self.output, self.attempt), [f.path for f in files] or [EMPTY])

    async def _left(self) -> tuple[OutputFile, ...] | None:
        """What lies in the private prefix, None if there is none or another publisher is just clearing it away."""
        private = uri.private(self.output, self.attempt)
        try:
            found = await self.store.listing(private)
        except StoreError as err:
            if not err.missing:
                raise
            return None
        if not found:
            return None

        async def described(one: Found) -> OutputFile:
            return OutputFile(one.path, one.size, await self.store.digest(private.below(one.path)))

        files = tuple(await each([f for f in found if f.path != EMPTY], described, WIDTH))
        known = await self._manifest()
        if known and known.attempt == self.attempt and len(known.files) > len(files) and manifest.holds(known, files):
            return None
        return files

    async def _done_before(self, files: tuple[OutputFile, ...] | None) -> int:
        """The private prefix is not there: fine if this attempt's manifest is."""
        known = await self._manifest()
        if known is None or known.attempt != self.attempt or (files is not None and not manifest.holds(known, files)):
            private = uri.private(self.output, self.attempt)
            raise StoreError(
                f"the outputs of attempt {self.attempt} are gone: neither {private} nor their manifest is there"
            )
        done = tuple(OutputFile(e.path, e.size, e.sha256) for e in known.files)
        await self._drop(done)
        return len(done)

    async def _manifest(self) -> manifest.Manifest | None:
        try:
            return manifest.decode(await self.store.read_bytes(uri.manifest(self.output, self.task)))
        except Unreadable:
            return None
        except StoreError as err:
            if not err.missing:
                raise
            return None


def _parents(path: str) -> list[str]:
    """The folders between an output and one of its files: `a/b/c` -> `a`, `a/b`."""
    return [path[:end] for end, c in enumerate(path) if c == "/"]


@contextmanager
def _as_staging(cause: Cause) -> Iterator[None]:
    """Errors of storage and of words become the port's `StagingError`, which says whether a retry can help."""
    try:
        yield
    except BadInput as err:
        raise StagingError(cause, f"{err} (a retry cannot help)") from err
    except StoreError as err:
        help_ = "a retry may help" if err.retriable else "a retry cannot help"
        raise StagingError(
            "disk-full" if err.disk_full else cause, f"{err} ({help_})", retriable=err.retriable
        ) from err
