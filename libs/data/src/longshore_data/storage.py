"""All kinds of storage behind one door: the store of a place, opened at its first use.

What must not enter: what is moved, and where to.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from longshore_data.remotes import Remotes
from longshore_data.store import Store
from longshore_data.uri import Location

if TYPE_CHECKING:
    from longshore_data.stores.rclone_daemon import RcloneDaemon


class Storage:
    """Opens stores. `environ`: AWS_… and our own LONGSHORE_… settings; `stores` replaces what would be opened, by scheme."""

    def __init__(
        self, environ: Mapping[str, str], remotes: Remotes | None = None, *, stores: Mapping[str, Store] | None = None
    ) -> None:
        self._environ = environ
        self._remotes = remotes or Remotes()
        self._stores: dict[str, Store] = dict(stores or {})
        self._former: list[Store] = []
        self._rclone: RcloneDaemon | None = None

    @property
    def remotes(self) -> Remotes:
        """The remotes that are schemes here."""
        return self._remotes

    async def configure(self, remotes: Remotes) -> None:
        """Other remotes from here on: their stores are opened anew; transfers under way end as they began."""
        before, self._remotes = self._remotes, remotes
        if before.text() == remotes.text():
            return
        for scheme in {*before.names, *remotes.names} & self._stores.keys():
            self._former.append(self._stores.pop(scheme))
        if self._rclone is not None:
            former, self._rclone = self._rclone, None
            await former.retire()

    def of(self, place: Location) -> Store:
        """The store of this place; `BadInput` if its scheme is neither built in nor a remote."""
        if (store := self._stores.get(place.scheme)) is None:
            opener = _OPENERS.get(place.scheme, _remote)
            store = self._stores[place.scheme] = opener(self, place.scheme)
        return store

    async def close(self) -> None:
        """Close all that was opened."""
        stores = [*self._stores.values(), *self._former]
        self._stores.clear()
        self._former.clear()
        for store in stores:
            await store.close()
        if self._rclone is not None:
            await self._rclone.close()

    def rclone(self) -> "RcloneDaemon":
        """The one rclone for all remotes; it starts at its first call."""
        from longshore_data.stores.rclone_daemon import RcloneDaemon

        if self._rclone is None:
            self._rclone = RcloneDaemon(self._remotes, self._environ)
        return self._rclone


def _file(storage: Storage, scheme: str) -> Store:
    from longshore_data.stores.file import FileStore

    return FileStore()


def _s3(storage: Storage, scheme: str) -> Store:
    from longshore_data.stores.s3 import S3Store
    from longshore_data.stores.s3_client import S3Settings

    if scheme in storage.remotes.names:
        return S3Store(S3Settings.from_remote(storage.remotes.section(scheme)))
    return S3Store(S3Settings.from_environ(storage._environ))


def _http(storage: Storage, scheme: str) -> Store:
    from longshore_data.stores.http import HttpStore

    return HttpStore(storage._environ)


def _ftp(storage: Storage, scheme: str) -> Store:
    from longshore_data.stores.ftp import FtpStore

    return FtpStore()


def _runs(storage: Storage, scheme: str) -> Store:
    from longshore_data.stores.ena import EnaStore, Nets
    from longshore_data.stores.http import HttpStore
    from longshore_data.stores.patience import Patience

    nets = Nets({way: storage.of(Location(way, "", "")) for way in ("https", "ftp")})
    nets["report"] = HttpStore(storage._environ, patience=Patience(tries=3, silence=30.0))
    return EnaStore(storage._environ, nets)


def _remote(storage: Storage, scheme: str) -> Store:
    from longshore_data.stores.s3_remote import S3Remote, ours

    section = storage.remotes.section(scheme)
    if ours(section):
        return S3Remote(_s3(storage, scheme))

    from longshore_data.stores.rclone import RcloneStore

    return RcloneStore(storage.rclone())


_OPENERS: Final[dict[str, Callable[[Storage, str], Store]]] = {
    "file": _file,
    "s3": _s3,
    "http": _http,
    "https": _http,
    "ftp": _ftp,
    "run+fastq": _runs,
    "run+submitted": _runs,
}
