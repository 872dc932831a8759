"""`s3://`: objects of any S3 server.

Small objects take one request each way. Large ones go in parts, several at once, streamed, so that memory is bounded. What
must not enter: other schemes, attempts, the import of aiobotocore before the first use (see `s3_client`).
"""

import hashlib
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from longshore_data import disk
from longshore_data.meter import UNMETERED, Meter
from longshore_data.parallel import each
from longshore_data.store import Found, Put, StoreError
from longshore_data.stores.s3_client import Changed, Clients, Damaged, S3Settings, translated
from longshore_data.stores.s3_listing import below
from longshore_data.stores.s3_parts import INLINE, Download, Upload, Via, copy_in_parts, hashes, send
from longshore_data.stores.s3_tries import Talk, again
from longshore_data.stores.s3_wire import Span, Wire
from longshore_data.uri import Location

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

R = TypeVar("R")

#: Objects above this size, in bytes, go in parts of this size.
PART: Final = 16 << 20
#: Objects above this size cannot be copied by one request (a limit of S3): 5 GB.
COPY_LIMIT: Final = 5_000_000_000
#: An object has at most 10,000 parts (a limit of S3).
PARTS: Final = 9_000
#: Times that one object is moved from its beginning.
BEGINNINGS: Final = 3
#: Keys that one DeleteObjects request may name.
DROP_AT_ONCE: Final = 1000
#: The metadata name under which an object's sha256 is kept.
DIGEST: Final = "sha256"


class Sizes:
    """The limits of one store, in bytes and counts; tests make them small."""

    def __init__(self, *, part: int = PART, copy_limit: int = COPY_LIMIT, copy_part: int = 1 << 30) -> None:
        self.part, self.copy_limit, self.copy_part = part, copy_limit, copy_part


class S3Store:
    """A `Store` over one S3 endpoint. `connections`: at most so many requests at once."""

    def __init__(self, settings: S3Settings, *, connections: int = 32, sizes: Sizes | None = None) -> None:
        self._clients = Clients(connections)
        self._settings = settings
        self._talk = Talk(self._clients, settings)
        self._wire = Wire(self._clients, settings, connections)
        self._sizes = sizes or Sizes()
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="s3-store")

    async def listing(self, folder: Location) -> list[Found]:
        """See `Store`; empty if nothing is there, for S3 has no folders."""
        return await below(self._wire, folder)

    async def stat(self, place: Location) -> Found:
        """See `Store`; the version is the ETag."""
        head = await self._talk.ask(
            f"looking at {place}", lambda s3: s3.head_object(Bucket=place.bucket, Key=place.key)
        )
        return _found(place.name, head["ContentLength"], head)

    async def fetch(self, source: Location, target: str, meter: Meter = UNMETERED) -> int:
        """See `Store`: one GET; above 16 MiB parallel ranges that all must have the first answer's ETag."""
        part = disk.part_of(target)
        own = Own(meter)
        download = Download(self._via(own), source)
        try:
            size = await _begun(lambda: download.run(part, self._sizes.part), own)
            os.rename(part, target)
        except BaseException as err:
            with suppress(OSError):
                os.unlink(part)
            if isinstance(err, OSError):
                raise disk.translated(err, f"writing {target}") from err
            raise
        return size

    async def put(self, path: str, target: Location, meter: Meter = UNMETERED) -> Put:
        """See `Store`: one PUT with the digest as metadata; above 16 MiB multipart."""
        doing = f"uploading {path} to {target}"
        own = Own(meter)
        via = self._via(own)
        try:
            source = disk.open_regular(path)
        except OSError as err:
            raise disk.translated(err, f"reading {path}") from err
        with source:
            size, fd = os.fstat(source.fileno()).st_size, source.fileno()
            try:
                if size > self._sizes.part:
                    part = max(self._sizes.part, -(-size // PARTS))
                    return await _begun(lambda: Upload(via, self._talk, target, doing).run(fd, size, part), own)
                sums = await hashes(self._pool, fd, (0, size))
                body = os.pread(fd, size, 0) if size <= INLINE else Span(fd, 0, size, sums.sha256)
                await send(via, target, body, sums.md5, headers={f"x-amz-meta-{DIGEST}": sums.sha256})
            except OSError as err:
                raise disk.translated(err, f"reading {path}") from err
            return Put(size, sums.sha256)

    async def put_bytes(self, data: bytes, target: Location) -> None:
        """See `Store`."""
        await send(self._via(UNMETERED), target, data, hashlib.md5(data, usedforsecurity=False).hexdigest())

    async def read_bytes(self, source: Location) -> bytes:
        """See `Store`."""

        async def read() -> bytes:
            try:
                async with self._wire.get(source) as answer:
                    return await answer.read()
            except Exception as err:
                raise translated(err, f"reading {source}") from err

        return await again(read)

    async def copy(self, source: Location, target: Location, size: int) -> None:
        """See `Store`: by the server; above 5 GB in parts."""
        if size > self._sizes.copy_limit:
            await copy_in_parts(self._talk, source, target, (size, self._sizes.copy_part))
            return
        place: Any = {"Bucket": source.bucket, "Key": source.key}
        await self._talk.ask(
            f"copying {source} to {target}",
            lambda s3: s3.copy_object(Bucket=target.bucket, Key=target.key, CopySource=place),
        )

    async def digest(self, source: Location) -> str:
        """See `Store`: from the object's metadata, or by reading it all."""
        doing = f"reading {source}"
        head = await self._talk.ask(doing, lambda s3: s3.head_object(Bucket=source.bucket, Key=source.key))
        if known := head["Metadata"].get(DIGEST):
            return known

        async def read() -> str:
            digest = hashlib.sha256()
            try:
                async with self._wire.get(source) as answer:
                    async for chunk in answer.content.iter_any():
                        digest.update(chunk)
            except Exception as err:
                raise translated(err, doing) from err
            return digest.hexdigest()

        return await again(read)

    async def settle(self, folders: Sequence[Location]) -> None:
        """See `Store`: an answered request is durable already."""

    async def drop(self, folder: Location, paths: Sequence[str]) -> None:
        """See `Store`."""
        keys = [folder.below(path).key for path in paths]
        doing, bucket = f"removing {folder}", folder.bucket
        if len(keys) > 2 and await self._talk.ask(doing, lambda s3: _drop_together(s3, bucket, keys)):
            return

        async def one(key: str) -> None:
            await self._talk.ask(doing, lambda s3: s3.delete_object(Bucket=bucket, Key=key))

        await each(keys, one, 8)

    async def close(self) -> None:
        """See `Store`."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        await self._wire.close()
        await self._clients.close()

    def _via(self, meter: Meter) -> Via:
        return Via(self._wire, self._pool, meter, self._settings.etags)


class Own(Meter):
    """The count of one object beside that of its transfer."""

    def __init__(self, shared: Meter) -> None:
        self.done = self.total = 0
        self._shared = shared

    async def moved(self, size: int) -> None:
        """See `Meter`."""
        self.done += size
        await self._shared.moved(size)


async def _begun(work: Callable[[], Awaitable[R]], meter: Own) -> R:
    """`work` that moves one object, begun anew when what it moved is worth nothing; the meter then counts anew too."""
    for _ in range(BEGINNINGS - 1):
        try:
            return await work()
        except Changed:
            await meter.moved(-meter.done)
    try:
        return await work()
    except Damaged as err:
        raise StoreError(str(err)) from err


def _found(path: str, size: int, said: Any) -> Found:
    return Found(path, size, said["ETag"].strip('"'), said["LastModified"].timestamp())


async def _drop_together(client: "S3Client", bucket: str, keys: list[str]) -> bool:
    """Whether the server knows how to remove many at once, and did."""
    from botocore.exceptions import ClientError

    for start in range(0, len(keys), DROP_AT_ONCE):
        some: Any = [{"Key": key} for key in keys[start : start + DROP_AT_ONCE]]
        try:
            answer = await client.delete_objects(Bucket=bucket, Delete={"Objects": some, "Quiet": True})
        except ClientError:
            return False
        if answer.get("Errors"):
            return False
    return True
