"""Objects of S3 that can be read by addresses signed by somebody else; all that has none goes to another store.

What must not enter: signing.
"""

from collections.abc import Mapping, Sequence

from longshore_data import uri
from longshore_data.meter import UNMETERED, Meter
from longshore_data.store import Found, Put, Store
from longshore_data.uri import Location


class SignedStore:
    """A `Store`. `addresses`: by the URI of the object; `web` reads them, `other` has the rest. It closes both."""

    def __init__(self, addresses: Mapping[str, str], web: Store, other: Store) -> None:
        self._addresses = {str(uri.parse(text)): uri.parse(address) for text, address in addresses.items()}
        self._web, self._other = web, other

    def _of(self, place: Location) -> tuple[Store, Location]:
        address = self._addresses.get(str(place))
        return (self._other, place) if address is None else (self._web, address)

    async def listing(self, folder: Location) -> list[Found]:
        """See `Store`."""
        return await self._other.listing(folder)

    async def stat(self, place: Location) -> Found:
        """See `Store`."""
        store, where = self._of(place)
        return (await store.stat(where))._replace(path=place.name)

    async def fetch(self, source: Location, target: str, meter: Meter = UNMETERED) -> int:
        """See `Store`."""
        store, where = self._of(source)
        return await store.fetch(where, target, meter)

    async def put(self, path: str, target: Location, meter: Meter = UNMETERED) -> Put:
        """See `Store`."""
        return await self._other.put(path, target, meter)

    async def put_bytes(self, data: bytes, target: Location) -> None:
        """See `Store`."""
        await self._other.put_bytes(data, target)

    async def read_bytes(self, source: Location) -> bytes:
        """See `Store`."""
        store, where = self._of(source)
        return await store.read_bytes(where)

    async def copy(self, source: Location, target: Location, size: int) -> None:
        """See `Store`."""
        await self._other.copy(source, target, size)

    async def digest(self, source: Location) -> str:
        """See `Store`."""
        store, where = self._of(source)
        return await store.digest(where)

    async def settle(self, folders: Sequence[Location]) -> None:
        """See `Store`."""
        await self._other.settle(folders)

    async def drop(self, folder: Location, paths: Sequence[str]) -> None:
        """See `Store`."""
        await self._other.drop(folder, paths)

    async def close(self) -> None:
        """See `Store`."""
        await self._web.close()
        await self._other.close()
