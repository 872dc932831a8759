"""Making an attempt's outputs visible, so that anybody may begin again at any point.

The order is what makes it repeatable: copy everything, write the manifest, and only then drop the private prefix. So as
long as there is no manifest the private prefix is complete, and any worker can begin again from it. What must not enter:
how one kind of storage moves bytes, phases of attempts.
"""

from typing import Final, NamedTuple

from longshore_common.errors import Unreadable
from longshore_common.ids import AttemptId, TaskId
from longshore_common.model import OutputFile
from longshore_data import manifest, uri
from longshore_data.manifest import Manifest, Origin
from longshore_data.meter import UNMETERED, Limits
from longshore_data.parallel import each
from longshore_data.store import Found, Store, StoreError
from longshore_data.uri import Location

#: Copies of one attempt at once.
WIDTH: Final = 8
#: What lies in the private prefix of an attempt that made no files: a name that no task can use.
EMPTY: Final = uri.RESERVED


class Publishing(NamedTuple):
    """The publication of one attempt's outputs."""

    store: Store
    limits: Limits
    output: Location
    attempt: AttemptId
    task: TaskId
    origin: Origin

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
        whole = manifest.encode(self.attempt, self.task, files, self.origin)
        await self.store.put_bytes(whole, uri.manifest(self.output, self.task))
        await self._drop(files)
        return len(files)

    async def _copy(self, file: OutputFile) -> None:
        async with self.limits.turn(UNMETERED):
            source = uri.private(self.output, self.attempt).below(file.path)
            await self.store.copy(source, self.output.below(uri.safe_path(file.path)), file.size)

    async def _drop(self, files: tuple[OutputFile, ...]) -> None:
        await self.store.drop(uri.private(self.output, self.attempt), [f.path for f in files] or [EMPTY])

    async def _left(self) -> tuple[OutputFile, ...] | None:
        """What lies in the private prefix, None if there is none or another publisher is just clearing it away."""
        private = uri.private(self.output, self.attempt)
        found = await found_below(self.store, private)
        if not found:
            return None

        async def described(one: Found) -> OutputFile:
            return OutputFile(one.path, one.size, await self.store.digest(private.below(one.path)))

        files = tuple(await each([f for f in found if f.path != EMPTY], described, WIDTH))
        known = await read_manifest(self.store, self.output, self.task)
        if known and known.attempt == self.attempt and len(known.files) > len(files) and manifest.holds(known, files):
            return None
        return files

    async def _done_before(self, files: tuple[OutputFile, ...] | None) -> int:
        """The private prefix is not there: fine if this attempt's manifest is."""
        known = await read_manifest(self.store, self.output, self.task)
        if known is None or known.attempt != self.attempt or (files is not None and not manifest.holds(known, files)):
            private = uri.private(self.output, self.attempt)
            raise StoreError(
                f"the outputs of attempt {self.attempt} are gone: neither {private} nor their manifest is there"
            )
        done = tuple(OutputFile(e.path, e.size, e.sha256) for e in known.files)
        await self._drop(done)
        return len(done)


async def read_manifest(store: Store, output: Location, task: TaskId) -> Manifest | None:
    """The manifest of a task, None if there is none that can be read."""
    try:
        return manifest.decode(await store.read_bytes(uri.manifest(output, task)))
    except Unreadable:
        return None
    except StoreError as err:
        if not err.missing:
            raise
        return None


async def found_below(store: Store, folder: Location) -> list[Found]:
    """What lies below a folder; nothing if it is not there."""
    try:
        return await store.listing(folder)
    except StoreError as err:
        if not err.missing:
            raise
        return []


async def drop_below(store: Store, folder: Location) -> int:
    """Remove all of a folder of ours; how many files there were."""
    found = await found_below(store, folder)
    await store.drop(folder, [f.path for f in found])
    return len(found)


def _parents(path: str) -> list[str]:
    """The folders between an output and one of its files: `a/b/c` -> `a`, `a/b`."""
    return [path[:end] for end, c in enumerate(path) if c == "/"]
