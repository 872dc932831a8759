"""The `Stager` of `core.ports` over the stores: what lands where, under which names, in which order.

The order of publishing is what makes it repeatable: copy everything, write the manifest, and only then drop the private
prefix. So as long as there is no manifest the private prefix is complete, and any worker can begin again from it.
What must not enter: how one kind of storage moves bytes, phases of attempts.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, NamedTuple

import structlog

from longshore_agent.adapters.staging import manifest
from longshore_agent.adapters.staging.disk import PART, translated
from longshore_agent.adapters.staging.file_store import FileStore
from longshore_agent.adapters.staging.outputs import Produced, find
from longshore_agent.adapters.staging.parallel import each, in_thread
from longshore_agent.adapters.staging.store import Found, Store, StoreError
from longshore_agent.core import uri
from longshore_agent.core.ports import StagingError
from longshore_agent.core.uri import Location
from longshore_common.errors import BadInput, Unreadable
from longshore_common.events import Start
from longshore_common.ids import AttemptId, TaskId
from longshore_common.model import Cause, OutputFile, TaskSpec

#: Transfers of one attempt, and of the whole host, at once.
WIDTH: Final = 8
PER_HOST: Final = 16
#: What lies in the private prefix of an attempt that made no files: a name that no task can use.
EMPTY: Final = uri.RESERVED

_log = structlog.get_logger()


class Fetch(NamedTuple):
    """One file to bring: from where, to which path below the directory."""

    source: Location
    path: str


class StorageStager:
    """See the port. `environ`: where credentials and endpoints come from; `stores` adds to or replaces the built-in ones."""

    def __init__(
        self, environ: Mapping[str, str], *, stores: Mapping[str, Store] | None = None, per_host: int = PER_HOST
    ) -> None:
        self._environ = environ
        self._stores: dict[str, Store] = dict(stores or {})
        self._turns = asyncio.Semaphore(per_host)
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="stager")

    async def stage_in(
        self, attempt: AttemptId, spec: TaskSpec, start: Start, input_dir: str, resource_dir: str
    ) -> int:
        """See the port. Files land by their names, folders by what is below them; two of one name are an error."""
        if not spec.inputs and not spec.resources:
            return 0
        moved = await self._bring(spec.inputs, input_dir, "input")
        return moved + await self._bring(spec.resources, resource_dir, "resource")

    async def deliver(
        self, attempt: AttemptId, task: TaskId, output_uri: str, output_dir: str
    ) -> tuple[tuple[OutputFile, ...], int]:
        """See the port. What is no regular file is skipped with a line in the log."""
        with _as_staging("stage-out"):
            private = uri.private(uri.parse_output(output_uri), attempt)
            store = self._store(private)
            produced, skipped = await in_thread(self._pool, find, output_dir)
            if skipped:
                _log.warning("outputs-skipped", attempt=attempt, number=len(skipped), some=skipped[:10])

            async def put(one: Produced) -> OutputFile:
                async with self._turns:
                    stored = await store.put(one.source, private.below(one.path))
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
            run = _Publishing(self._store(output), self._turns, output, attempt, task)
            return await run.finish(files)

    async def close(self) -> None:
        """See the port."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for store in self._stores.values():
            await store.close()

    def _store(self, place: Location) -> Store:
        if (store := self._stores.get(place.scheme)) is None:
            store = self._stores[place.scheme] = self._open(place)
        return store

    def _open(self, place: Location) -> Store:
        match place.scheme:
            case "file":
                return FileStore()
            case "s3":
                from longshore_agent.adapters.staging.s3_client import S3Settings
                from longshore_agent.adapters.staging.s3_store import S3Store

                return S3Store(S3Settings.from_environ(self._environ))

    async def _bring(self, uris: tuple[str, ...], directory: str, what: str) -> int:
        """Fetch these into `directory`; the bytes moved."""
        if not uris:
            return 0
        with _as_staging("stage-in"):
            fetches = [f for some in await each(dict.fromkeys(uris), self._plan, WIDTH) for f in some]
            if clash := uri.clashes(f.path for f in fetches):
                among = " and ".join(
                    str(f.source) for f in fetches if f.path == clash or f.path.startswith(clash + "/")
                )
                raise StoreError(
                    f"two {what}s would both be called {clash!r}: {among}: rename one, or put it in a folder"
                )
            _make_room(directory, fetches)

            async def fetch(one: Fetch) -> int:
                async with self._turns:
                    size = await self._store(one.source).fetch(one.source, f"{directory}/{one.path}")
                return size

            return sum(await each(fetches, fetch, WIDTH))

    async def _plan(self, text: str) -> list[Fetch]:
        """What one URI stands for. Unpublished outputs and manifests below a folder are not the user's."""
        place = uri.parse(text)
        if not place.folder:
            return [Fetch(place, place.name)]
        found = [f for f in await self._store(place).listing(place) if not uri.reserved(f.path)]
        if not found:
            raise StoreError(f"listing {place}: there is nothing below it: correct the name", missing=True)
        return [Fetch(place.below(f.path), uri.safe_path(f.path)) for f in found]


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


def _make_room(directory: str, fetches: list[Fetch]) -> None:
    """Make the folders that are needed, and clear away what an earlier try of this attempt left half done."""
    try:
        for folder, _, names in os.walk(directory):
            for name in names:
                if name.startswith(PART):
                    os.unlink(f"{folder}/{name}")
        for folder in {f.path.rpartition("/")[0] for f in fetches}:
            os.makedirs(f"{directory}/{folder}", exist_ok=True)
    except OSError as err:
        raise translated(err, f"preparing {directory}") from err


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
