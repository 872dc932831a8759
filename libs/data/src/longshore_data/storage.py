"""All kinds of storage behind one door: the store of a place, opened at its first use.

What must not enter: what is moved, and where to.
"""

from collections.abc import Callable, Mapping
from typing import Final

from longshore_common.errors import BadInput
from longshore_data.remotes import Remotes
from longshore_data.store import Store
from longshore_data.uri import Location

_READ_ONLY: Final = ("http", "https", "run+fastq", "run+submitted")


class Storage:
    """Opens stores. `environ`: AWS_… and our own LONGSHORE_… settings; `stores` replaces what would be opened, by scheme."""

    def __init__(
        self, environ: Mapping[str, str], remotes: Remotes | None = None, *, stores: Mapping[str, Store] | None = None
    ) -> None:
        self._environ = environ
        self._remotes = remotes or Remotes()
        self._stores: dict[str, Store] = dict(stores or {})

    @property
    def remotes(self) -> Remotes:
        """The remotes that are schemes here."""
        return self._remotes

    async def configure(self, remotes: Remotes) -> None:
        """Other remotes from here on; stores of remotes are opened anew, transfers under way end as they may."""
        self._remotes = remotes
        for scheme in [s for s in self._stores if s not in _OPENERS]:
            await self._stores.pop(scheme).close()

    def of(self, place: Location) -> Store:
        """The store of this place; `BadInput` if its scheme is neither built in nor a remote."""
        if (store := self._stores.get(place.scheme)) is None:
            opener = _OPENERS.get(place.scheme, _remote)
            store = self._stores[place.scheme] = opener(self, place.scheme)
        return store

    async def close(self) -> None:
        """Close all that was opened."""
        for store in self._stores.values():
            await store.close()
        self._stores.clear()


def _file(storage: Storage, scheme: str) -> Store:
    from longshore_data.stores.file import FileStore

    return FileStore()


def _s3(storage: Storage, scheme: str) -> Store:
    from longshore_data.stores.s3 import S3Store
    from longshore_data.stores.s3_client import S3Settings

    if scheme in storage.remotes.names:
        return S3Store(S3Settings.from_remote(storage.remotes.section(scheme)))
    return S3Store(S3Settings.from_environ(storage._environ))


def _remote(storage: Storage, scheme: str) -> Store:
    section = storage.remotes.section(scheme)
    if section["type"] == "s3":
        return _s3(storage, scheme)
    raise BadInput(f"{scheme}:// is a remote of type {section['type']}, which this version cannot reach yet")


_OPENERS: Final[dict[str, Callable[[Storage, str], Store]]] = {"file": _file, "s3": _s3}
