"""Directories for programs: the verbs of `longshore dir`, for the SDK. What must not enter: printing."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Unpack

from longshore.dir import fetching, tending
from longshore.dir.contents import Guard
from longshore.dir.fetching import Got
from longshore.dir.marker import Home
from longshore.dir.places import Shelf
from longshore.dir.submitting import Outcome, Submitting, Wanted
from longshore.dir.tending import DirectoryTask, Standing
from longshore.reader import Reader
from longshore.showing import Rows
from longshore.specs import SpecOptions, batch_name, uri
from longshore.writer import Writer
from longshore_data.configuration import own_remotes
from longshore_data.meter import Limits
from longshore_data.storage import Storage

#: Files on their way at once.
TURNS: Final = 8
#: A path of this computer.
Directory = str | Path


class DirectoryOptions(SpecOptions, total=False):
    """How a directory runs, and how it is sent: `store` is a folder that workers reach, a URI; see `Wanted` and `Guard`."""

    batch: str
    priority: int
    again: bool
    guard: Guard


class Directories:
    """What one client does with directories; storage is what this user has configured."""

    def __init__(self, writer: Writer, reader: Reader) -> None:
        self._writer, self._reader = writer, reader

    async def submit(
        self, directories: Iterable[Directory], image: str, command: Sequence[str], store: str,
        **options: Unpack[DirectoryOptions],
    ) -> Rows[Outcome]:  # fmt: skip
        """Have these directories be tasks, each with its own outcome; a repeat goes on where the last one was cut off."""
        wanted = Wanted(
            image=image,
            command=tuple(command),
            store=uri(store, cwd=os.getcwd()),
            batch=batch_name(options.pop("batch", "default")),
            priority=options.pop("priority", 0),
            again=options.pop("again", False),
            guard=options.pop("guard", Guard()),
            running=dict(options),
        )
        async with shelf() as open_shelf:
            work = Submitting(self._writer, self._reader, open_shelf, wanted)
            return Rows(await work.many(map(Home, directories), lambda _: None))

    async def standing(self, *directories: Directory) -> Rows[DirectoryTask]:
        """How these stand. `NotFound` if one was not submitted."""
        return Rows(map(tending.described, await self._standings(directories)))

    async def _standings(self, directories: Iterable[Directory]) -> list[Standing]:
        known = [(home, home.known()) for home in map(Home, directories)]
        return await asyncio.to_thread(tending.standings, known, self._reader)

    async def get(self, directory: Directory, *, force: bool = False) -> Got:
        """Fetch what its task left and is new; `force`: also over what was changed here."""
        home = Home(directory)
        (one,) = await self._standings([directory])
        last = await asyncio.to_thread(fetching.last_left, one.known, self._reader)
        with home.locked():
            async with shelf() as open_shelf:
                return await fetching.get(home, one.marker, open_shelf, last=last, force=force)

    async def prune(self, directory: Directory, *, fetched_only: bool = False, force: bool = False) -> int:
        """Remove what is stored for it; `Refused` while its task runs. How many files went."""
        (one,) = await self._standings([directory])
        async with shelf() as open_shelf:
            asked = self._reader if fetched_only else None
            return await tending.prune(one, open_shelf, fetched_only=asked, force=force)


@asynccontextmanager
async def shelf() -> AsyncIterator[Shelf]:
    """Storage as this user has it configured."""
    storage = Storage(os.environ, own_remotes(os.environ))
    try:
        yield Shelf(storage, Limits(TURNS))
    finally:
        await storage.close()
