"""All kinds of storage behind one door: the store of a place, opened at its first use.

What must not enter: what is moved, and where to.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

import msgspec

from longshore_data.remotes import Remotes
from longshore_data.store import Store
from longshore_data.uri import Location

if TYPE_CHECKING:
    from longshore_data.stores.rclone_daemon import RcloneDaemon


#: The variable that holds signed addresses, as JSON by the URI of the object.
ADDRESSES: Final = "SIGNED_ADDRESSES"


class _Own:
    """A store of `s3://` for those who act with these variables; open while any of them does."""

    def __init__(self, owner: "Storage", values: Mapping[str, str]) -> None:
        self.owner, self.values = owner, values
        self.users = 0
        self.store: Store | None = None


#: With which variables the work of this context reaches `s3://`, if not with those of the process.
_ACTING: Final[ContextVar[_Own | None]] = ContextVar("acting", default=None)


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
        self._own: dict[tuple[tuple[str, str], ...], _Own] = {}

    @asynccontextmanager
    async def acting(self, values: Mapping[str, str]) -> AsyncIterator[None]:
        """Whatever is asked of `s3://` inside is asked with these variables (AWS_…, signed addresses) and no others."""
        key = tuple(sorted(values.items()))
        own = self._own.setdefault(key, _Own(self, values))
        own.users += 1
        token = _ACTING.set(own)
        try:
            yield
        finally:
            _ACTING.reset(token)
            own.users -= 1
            if not own.users:
                del self._own[key]
                if own.store is not None:
                    await own.store.close()

    @property
    def acts(self) -> bool:
        """Whether this context reaches `s3://` with variables of its own: what it may see, others may not."""
        own = _ACTING.get()
        return own is not None and own.owner is self

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
        if place.scheme == "s3" and (own := _ACTING.get()) is not None and own.owner is self:
            own.store = own.store or _s3_as(self._environ, own.values)
            return own.store
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


def _s3_as(environ: Mapping[str, str], values: Mapping[str, str]) -> Store:
    """As somebody else than the process: nothing of its keys, nor of where they count, is left."""
    from longshore_data.stores.s3 import S3Store
    from longshore_data.stores.s3_client import S3Settings

    kept = environ
    if "AWS_ACCESS_KEY_ID" in values:
        kept = {name: value for name, value in environ.items() if not name.startswith("AWS_")}
    s3 = S3Store(S3Settings.from_environ({**kept, **values}))
    if ADDRESSES not in values:
        return s3

    from longshore_data.stores.http import HttpStore
    from longshore_data.stores.s3_signed import SignedStore

    return SignedStore(msgspec.json.decode(values[ADDRESSES], type=dict[str, str]), HttpStore(environ), s3)


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
