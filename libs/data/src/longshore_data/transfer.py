"""A URI with its options and actions, into a directory of this host: what it stands for, what lands where.

What must not enter: how one kind of storage moves bytes, attempts, reports.
"""

import os
from collections.abc import Sequence
from typing import Final, NamedTuple

from longshore_data import uri
from longshore_data.disk import PART, translated
from longshore_data.meter import UNMETERED, Limits, Meter
from longshore_data.parallel import each
from longshore_data.storage import Storage
from longshore_data.store import StoreError
from longshore_data.uri import Location, Source

#: Files of one call at once.
WIDTH: Final = 8


class Fetch(NamedTuple):
    """One file to bring: from where, to which path below the directory, how many bytes (-1: not known)."""

    source: Location
    path: str
    size: int = -1


class Transfer:
    """Brings files. `limits` are shared with whoever else moves bytes on this host."""

    def __init__(self, storage: Storage, limits: Limits) -> None:
        self.storage, self.limits = storage, limits

    async def bring(
        self, sources: Sequence[Source], directory: str, meter: Meter = UNMETERED, what: str = "file"
    ) -> None:
        """Fetch these into `directory`, which exists. Files land by their names, folders by what is below them.

        Two of one name are a `StoreError` in which they are called `what`. A repeat after a failure does no harm.
        """
        fetches = [f for some in await each(dict.fromkeys(sources), self.plan, WIDTH) for f in some]
        if clash := uri.clashes(f.path for f in fetches):
            among = " and ".join(str(f.source) for f in fetches if f.path == clash or f.path.startswith(clash + "/"))
            raise StoreError(f"two {what}s would both be called {clash!r}: {among}: rename one, or put it in a folder")
        _make_room(directory, fetches)
        meter.expect(sum(f.size for f in fetches if f.size > 0))

        async def fetch(one: Fetch) -> None:
            async with self.limits.turns:
                await self.storage.of(one.source).fetch(one.source, f"{directory}/{one.path}", meter)

        await each(fetches, fetch, WIDTH)

    async def plan(self, source: Source) -> list[Fetch]:
        """What one URI stands for. Unpublished outputs and manifests below a folder are not the user's."""
        place = source.place
        if not place.folder:
            return [Fetch(place, place.name)]
        found = [f for f in await self.storage.of(place).listing(place) if not uri.reserved(f.path)]
        if not found:
            raise StoreError(f"listing {place}: there is nothing below it: correct the name", missing=True)
        return [Fetch(place.below(f.path), uri.safe_path(f.path), f.size) for f in found]


def _make_room(directory: str, fetches: list[Fetch]) -> None:
    """Make the folders that are needed, and clear away what an earlier try left half done."""
    try:
        for folder, _, names in os.walk(directory):
            for name in names:
                if name.startswith(PART):
                    os.unlink(f"{folder}/{name}")
        for folder in {f.path.rpartition("/")[0] for f in fetches}:
            os.makedirs(f"{directory}/{folder}", exist_ok=True)
    except OSError as err:
        raise translated(err, f"preparing {directory}") from err
