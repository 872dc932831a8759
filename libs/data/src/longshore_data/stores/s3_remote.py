"""A remote of type s3: the very same as `s3://`, under a name of its own, whose first segment is the bucket.

Sections that ask for what our own client does not do are left to rclone. What must not enter: requests to S3.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from longshore_data.meter import UNMETERED, Meter
from longshore_data.store import Found, Put, Store, StoreError
from longshore_data.uri import Location

#: Whose servers our client knows: path style at an endpoint, or Amazon's own.
_PROVIDERS: Final = frozenset({
    "", "aws", "minio", "ceph", "other", "rclone", "seaweedfs", "cloudflare", "wasabi", "digitalocean", "scaleway",
})  # fmt: skip
#: What our client does as the section says, and what only tunes rclone.
_KNOWN: Final = frozenset({
    "type", "provider", "env_auth", "access_key_id", "secret_access_key", "session_token", "region", "endpoint",
    "force_path_style", "location_constraint", "no_check_bucket", "upload_cutoff", "chunk_size", "copy_cutoff",
    "upload_concurrency", "list_chunk", "list_version", "list_url_encode", "use_multipart_etag", "disable_checksum",
    "no_head", "no_head_object", "memory_pool_flush_time", "memory_pool_use_mmap", "disable_http2", "description",
    "encoding", "decompress", "use_already_exists", "use_multipart_uploads",
})  # fmt: skip
_DEFAULTS: Final = {"acl": "private", "bucket_acl": "private", "storage_class": "standard"}


def ours(section: Mapping[str, str]) -> bool:
    """Whether `S3Store` can do what this section of an rclone configuration asks for; if not, rclone can."""
    if section.get("type") != "s3" or section.get("provider", "").lower() not in _PROVIDERS:
        return False
    if not section.get("endpoint") and section.get("provider", "").lower() not in ("", "aws"):
        return False
    return all(key in _KNOWN or not value or _DEFAULTS.get(key) == value.lower() for key, value in section.items())


class S3Remote:
    """A `Store` that gives `name://bucket/key` to a store of `s3://bucket/key`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def listing(self, folder: Location) -> list[Found]:
        """See `Store`."""
        return await self._store.listing(_bucket(folder))

    async def stat(self, place: Location) -> Found:
        """See `Store`."""
        return await self._store.stat(_bucket(place))

    async def fetch(self, source: Location, target: str, meter: Meter = UNMETERED) -> int:
        """See `Store`."""
        return await self._store.fetch(_bucket(source), target, meter)

    async def put(self, path: str, target: Location, meter: Meter = UNMETERED) -> Put:
        """See `Store`."""
        return await self._store.put(path, _bucket(target), meter)

    async def put_bytes(self, data: bytes, target: Location) -> None:
        """See `Store`."""
        await self._store.put_bytes(data, _bucket(target))

    async def read_bytes(self, source: Location) -> bytes:
        """See `Store`."""
        return await self._store.read_bytes(_bucket(source))

    async def copy(self, source: Location, target: Location, size: int) -> None:
        """See `Store`."""
        await self._store.copy(_bucket(source), _bucket(target), size)

    async def digest(self, source: Location) -> str:
        """See `Store`."""
        return await self._store.digest(_bucket(source))

    async def settle(self, folders: Sequence[Location]) -> None:
        """See `Store`."""
        await self._store.settle([_bucket(folder) for folder in folders])

    async def drop(self, folder: Location, paths: Sequence[str]) -> None:
        """See `Store`."""
        await self._store.drop(_bucket(folder), paths)

    async def close(self) -> None:
        """See `Store`."""
        await self._store.close()


def _bucket(place: Location) -> Location:
    """The same place, its first segment being the bucket."""
    bucket, _, key = place.key.strip("/").partition("/")
    if not bucket:
        raise StoreError(f"{place} names no bucket: write {place.scheme}://bucket/key")
    return Location(place.scheme, bucket, key, place.folder)
