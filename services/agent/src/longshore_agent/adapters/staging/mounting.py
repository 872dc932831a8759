"""Mounts: each fetched by itself and put where its path is, writable and the attempt's own.

What must not enter: inputs, resources, engines.
"""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Final, NamedTuple

from longshore_agent.adapters.folders import Folders, open_to_all
from longshore_common import inside
from longshore_common.errors import BadInput
from longshore_common.model import Mount
from longshore_data import uri
from longshore_data.disk import translated
from longshore_data.meter import Meter
from longshore_data.parallel import each, in_thread
from longshore_data.store import StoreError
from longshore_data.transfer import Transfer
from longshore_data.uri import Source

#: Mounts fetched at once.
WIDTH: Final = 8


def mounted(mount: Mount) -> Source:
    """What a mount asks to fetch; `BadInput` names the fix."""
    found = uri.source(mount.uri)
    if mount.directory and not found.actions and not found.place.folder:
        return found._replace(place=found.place._replace(folder=True))
    if found.place.folder and not (mount.directory or found.actions):
        raise BadInput(
            f"{mount.uri!r} is a folder and {mount.path} a file: say that it is a directory, or name one file"
        )
    return found


class Mounting(NamedTuple):
    """The mounts of one attempt. What is in `folders` from an earlier try is replaced."""

    transfer: Transfer
    folders: Folders
    pool: ThreadPoolExecutor

    async def bring(self, mounts: tuple[Mount, ...], meter: Meter) -> None:
        """Fetch all; before anything else is put into the attempt's directory. `StoreError`, `BadInput`."""
        sources = [mounted(mount) for mount in mounts]
        await self._do("preparing the folders of its containers", self._begin, len(mounts))

        async def fetch(k: int) -> None:
            await self.transfer.bring([sources[k]], self._scratch(k), meter, "mount")

        await each(range(len(mounts)), fetch, WIDTH)
        order = sorted(range(len(mounts)), key=lambda k: (inside.clean(mounts[k].path).count("/"), mounts[k].path))
        for k in order:
            await self._do(f"putting {mounts[k].path} into place", self._put, mounts[k], self._scratch(k))
        await self._do("making the folders of its containers", self._finish)

    async def note(self) -> None:
        """Note all that is there now, for who asks later what is new. `StoreError`."""
        await self._do("noting what was staged", self.folders.remember)

    def _scratch(self, k: int) -> str:
        return f"{self._scratches}/{k}"

    @property
    def _scratches(self) -> str:
        return f"{self.folders.places.tree}.mounts"

    async def _do(self, doing: str, work: object, *args: object) -> None:
        try:
            await in_thread(self.pool, work, *args)  # type: ignore[arg-type]
        except OSError as err:
            raise translated(err, doing) from err

    def _begin(self, _stop: Event, number: int) -> None:
        self.folders.clear()
        shutil.rmtree(self._scratches, ignore_errors=True)
        for k in range(number):
            os.makedirs(self._scratch(k))

    def _put(self, _stop: Event, mount: Mount, scratch: str) -> None:
        path = inside.clean(mount.path)
        place = self.folders.place_for(path)
        if not mount.directory:
            found = _single(mount, scratch)
            os.replace(found, place)
            open_to_all(place)
            return
        open_to_all(scratch)
        if not os.path.lexists(place):
            os.rename(scratch, place)
            return
        for name in os.listdir(scratch):
            if os.path.lexists(f"{place}/{name}"):
                raise StoreError(f"{mount.uri}: {name!r} is at {path} already, from another input: name another path")
            os.rename(f"{scratch}/{name}", f"{place}/{name}")

    def _finish(self, _stop: Event) -> None:
        self.folders.make()
        shutil.rmtree(self._scratches, ignore_errors=True)


def _single(mount: Mount, scratch: str) -> str:
    """The one file that came."""
    found = [str(path) for path in Path(scratch).rglob("*") if path.is_file() and not path.is_symlink()]
    if len(found) != 1:
        raise StoreError(f"{mount.uri}: {len(found)} files came for {mount.path}: say that it is a directory")
    return found[0]
