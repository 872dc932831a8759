"""Where things of directories lie in a store, and contents that several of them share.

    <store>/<user>/directories/<key>/inputs.tar.zst       small files, folders, links of one directory
    <store>/<user>/directories/<key>/results/…            what its task left in /rundir
    <store>/<user>/contents/<sha256>/data                 a large file, once for all directories that hold it
    <store>/<user>/contents/<sha256>/used-by/<name>       who uses it; the last one to go removes it
    <store>/<user>/contents/<sha256>/removed-by/<name>    who looks, at this moment, whether it is the last one

Who shares writes its name first and looks for removers then; who removes writes that first and looks for users then. So of
two that do it at the same time at least one sees the other, and no content goes that a task still needs. What must not
enter: what is sent, and why.
"""

import asyncio
import hashlib
from typing import Final, NamedTuple

from longshore.dir.contents import Leaf
from longshore_common.errors import BadInput
from longshore_data import uri
from longshore_data.meter import UNMETERED, Limits
from longshore_data.storage import Storage
from longshore_data.store import Found, StoreError
from longshore_data.uri import Location

_USERS: Final = "used-by"
_REMOVERS: Final = "removed-by"
_DATA: Final = "data"
#: So many of the users of a content are remembered.
_ASKED: Final = 100


class Own(NamedTuple):
    """The folder of one directory in a store."""

    place: Location

    @property
    def inputs(self) -> Location:
        """Its small files, packed."""
        return self.place.below("inputs.tar.zst")

    @property
    def results(self) -> Location:
        """What its task left."""
        return self.place.below("results", folder=True)

    @property
    def name(self) -> str:
        """What it is called where it shares; nobody finds the folder by it."""
        return hashlib.sha256(self.place.name.encode()).hexdigest()[:24]

    def alone(self, digest: str) -> Location:
        """A large file that it shares with nobody."""
        return self.place.below(f"contents/{digest}")

    def shared(self, digest: str) -> Location:
        """The folder of a content that all directories of this user share."""
        root = self.place.key.rpartition("/")[0].rpartition("/")[0]
        return self.place._replace(key=f"{root}/contents/{digest}")


def own(store: str, user: str, key: str) -> Own:
    """The folder for a directory of this user below `store` (a URI). `BadInput` if nothing can be stored there."""
    try:
        place = uri.parse_output(store)
    except BadInput as err:
        raise BadInput(f"directories cannot be stored there: {err}") from err
    return Own(place.below(f"{user}/directories/{key}", folder=True))


def at(place: str) -> Own:
    """The folder that a marker names."""
    return Own(uri.parse_output(place))


class Shelf:
    """Storage as directories use it."""

    def __init__(self, storage: Storage, limits: Limits) -> None:
        self.storage, self.limits = storage, limits
        self._sharing: dict[str, asyncio.Lock] = {}  # what several directories send at once is sent by one of them
        self._users: dict[str, list[str]] = {}

    async def put(self, path: str, place: Location) -> str:
        """Store a local file; the sha256 of what was stored."""
        async with self.limits.turns:
            return (await self.storage.of(place).put(path, place, UNMETERED)).digest

    async def put_bytes(self, data: bytes, place: Location) -> None:
        """Store these bytes."""
        async with self.limits.turns:
            await self.storage.of(place).put_bytes(data, place)

    async def there(self, place: Location) -> int:
        """The size of a file that is there, -1 if there is none."""
        try:
            return (await self.storage.of(place).stat(place)).size
        except StoreError as err:
            if err.missing:
                return -1
            raise

    async def listed(self, folder: Location) -> list[Found]:
        """What is below a folder; nothing if that is not there."""
        try:
            return await self.storage.of(folder).listing(folder)
        except StoreError as err:
            if err.missing:
                return []
            raise

    async def share(self, of: Own, leaf: Leaf, digest: str) -> tuple[Location, bool]:
        """Where this content is once it is there, and whether it had to be sent."""
        folder = of.shared(digest)
        place = folder.below(_DATA)
        await self._write(folder.below(f"{_USERS}/{of.name}"))
        if await self.listed(folder.below(_REMOVERS, folder=True)):
            place = of.alone(digest)  # somebody removes it at this moment, or was cut off while doing so
        async with self._sharing.setdefault(str(place), asyncio.Lock()):
            if await self.there(place) == leaf.size:
                return place, False
            if await self.put(leaf.real, place) != digest:
                await self.storage.of(place).drop(*_split(place))
                raise StoreError(f"{leaf.path} changed while it was sent: repeat this", retriable=True)
            return place, True

    async def unshare(self, of: Own, digest: str) -> None:
        """This directory uses the content no more; the last one to say so removes it. A repeat does the rest."""
        folder = of.shared(digest)
        await self._drop(folder.below(f"{_USERS}/{of.name}"))
        if await self._still_used(folder):
            return
        remover = folder.below(f"{_REMOVERS}/{of.name}")
        await self._write(remover)
        users = [found.path for found in await self.listed(folder.below(_USERS, folder=True))]
        if not users:
            await self._drop(folder.below(_DATA))
        self._users[folder.key] = users[:_ASKED]
        await self._drop(remover)

    async def _still_used(self, folder: Location) -> bool:
        """Whether one of those that were seen to use it does so now: then that one will look, later, for all others.

        So a thousand directories that share one content are not listed a thousand times when all of them go.
        """
        seen = self._users.get(folder.key, [])
        while seen:
            name = seen.pop()
            if await self.there(folder.below(f"{_USERS}/{name}")) >= 0:
                seen.append(name)
                return True
        return False

    async def remove(self, of: Own, shared: tuple[str, ...]) -> int:
        """Remove all that is stored for a directory; how many files were its own. A repeat does the rest."""
        found = [found.path for found in await self.listed(of.place)]
        for digest in shared:
            await self.unshare(of, digest)
        if found:
            above, name = _parted(of.place)
            await self.storage.of(above).drop(above, [f"{name}/{path}" for path in found])
        return len(found)

    async def _write(self, place: Location) -> None:
        """An empty file; on a disk somebody may remove its folder, once empty, before it is there."""
        try:
            await self.storage.of(place).put_bytes(b"", place)
        except StoreError as err:
            if not err.missing:
                raise
            await self.storage.of(place).put_bytes(b"", place)

    async def _drop(self, place: Location) -> None:
        """Remove a file of a shared content, and on a disk the folders that are empty then."""
        path: list[str] = []
        while path[:1] != ["contents"]:
            place, name = _parted(place)
            path.insert(0, name)
        await self.storage.of(place).drop(place, ["/".join(path)])


def _split(place: Location) -> tuple[Location, list[str]]:
    above, name = _parted(place)
    return above, [name]


def _parted(place: Location) -> tuple[Location, str]:
    """The folder that holds it, and what it is called there."""
    return place._replace(key=place.key.rpartition("/")[0], folder=True), place.name
