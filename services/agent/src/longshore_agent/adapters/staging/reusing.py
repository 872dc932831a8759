"""Outputs of an earlier attempt, as the outputs of this one: looked at again, copied inside the storage.

What must not enter: who computed the same before.
"""

from typing import Final, NamedTuple

from longshore_agent.adapters.staging.publishing import EMPTY, read_manifest
from longshore_common.errors import BadInput
from longshore_common.ids import AttemptId, TaskId
from longshore_common.model import OutputFile
from longshore_data import uri
from longshore_data.manifest import Entry
from longshore_data.meter import UNMETERED, Limits
from longshore_data.parallel import each
from longshore_data.storage import Storage
from longshore_data.store import StoreError
from longshore_data.uri import Location

#: Files looked at or copied at once.
WIDTH: Final = 8


class Reusing(NamedTuple):
    """The outputs of the succeeded attempt `source` in the folder `place`."""

    storage: Storage
    limits: Limits
    source: AttemptId
    place: Location

    async def holds(self) -> bool:
        """Whether all of them are there, with the sizes and digests that they were published with."""
        return await self._entries() is not None

    async def copy(self, attempt: AttemptId, output: Location) -> tuple[OutputFile, ...]:
        """Put them into the private prefix of `attempt`, by the storage's own copies; `StoreError` if they are gone."""
        entries = await self._entries()
        if entries is None:
            raise StoreError(f"the outputs of {self.source} in {self.place}, to be used again, are not there any more")
        store, private = self.storage.of(output), uri.private(output, attempt)

        async def one(entry: Entry) -> OutputFile:
            async with self.limits.turn(UNMETERED):
                await store.copy(self.place.below(entry.path), private.below(entry.path), entry.size)
            return OutputFile(entry.path, entry.size, entry.sha256)

        files = await each(entries, one, WIDTH)
        if not files:
            await store.put_bytes(b"", private.below(EMPTY))
        return tuple(files)

    async def _entries(self) -> tuple[Entry, ...] | None:
        """The files of the manifest, None if it is another attempt's or one of them is not as it says."""
        store = self.storage.of(self.place)
        known = await read_manifest(store, self.place, TaskId(self.source.rpartition(".")[0]))
        if known is None or known.attempt != self.source:
            return None

        async def same(entry: Entry) -> bool:
            place = self.place.below(uri.safe_path(entry.path))
            try:
                found = await store.stat(place)
                return found.size == entry.size and await store.digest(place) == entry.sha256
            except StoreError as err:
                if not err.missing:
                    raise
                return False

        try:
            held = all(await each(known.files, same, WIDTH))
        except BadInput:
            return None
        return known.files if held else None


def of(storage: Storage, limits: Limits, source: AttemptId, place: str, output: str) -> Reusing | None:
    """None if the storage cannot copy from there to `output`."""
    here, there = uri.parse_output(output), uri.parse_output(place)
    return Reusing(storage, limits, source, there) if here.scheme == there.scheme else None
