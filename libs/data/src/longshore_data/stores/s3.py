"""`s3://`: objects of any S3 server.

Small objects take one request each way. Large ones go in parts, several at once, few enough to bound memory. What must
not enter: other schemes, attempts, the import of aiobotocore before the first use (see `s3_client`).
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from threading import Event
from typing import TYPE_CHECKING, Any, Final, TypeVar

from longshore_data import disk
from longshore_data.meter import UNMETERED, Meter
from longshore_data.parallel import each, in_thread
from longshore_data.store import Found, Put
from longshore_data.stores.s3_client import BrokeOff, Clients, S3Settings, translated
from longshore_data.stores.s3_parts import Download, Upload, copy_in_parts
from longshore_data.uri import Location

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

R = TypeVar("R")

#: Objects above this size, in bytes, go in parts of this size.
PART: Final = 16 << 20
#: Files up to this size, in bytes, are read and written without the detour over a thread.
INLINE: Final = 256 << 10
#: Objects above this size cannot be copied by one request (a limit of S3): 5 GB.
COPY_LIMIT: Final = 5_000_000_000
#: Tries of one whole object, when its body breaks off; requests have their own in `s3_client`.
BODY_TRIES: Final = 3
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
        self._settings = settings
        self._clients = Clients(connections)
        self._sizes = sizes or Sizes()
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="s3-store")
        self._parts = asyncio.Semaphore(8)  # in memory at once: 8 x 16 MiB

    async def listing(self, folder: Location) -> list[Found]:
        """See `Store`; empty if nothing is there, for S3 has no folders."""
        prefix = f"{folder.key}/" if folder.key else ""
        found: list[Found] = []
        async with self._talk(f"listing {folder}") as client:
            async for page in client.get_paginator("list_objects_v2").paginate(Bucket=folder.bucket, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    if path := entry["Key"][len(prefix) :]:
                        found.append(
                            Found(path, entry["Size"], entry["ETag"].strip('"'), entry["LastModified"].timestamp())
                        )
        return [f for f in found if not f.path.endswith("/")]

    async def stat(self, place: Location) -> Found:
        """See `Store`; the version is the ETag."""
        async with self._talk(f"looking at {place}") as client:
            head = await client.head_object(Bucket=place.bucket, Key=place.key)
            return Found(place.name, head["ContentLength"], head["ETag"].strip('"'), head["LastModified"].timestamp())

    async def fetch(self, source: Location, target: str, meter: Meter = UNMETERED) -> int:
        """See `Store`: one GET; above 16 MiB parallel ranges that all must have the first answer's ETag."""
        part = disk.part_of(target)
        try:
            size = await _again(lambda: self._fetch(source, part))
            await meter.moved(size)
            os.rename(part, target)
        except OSError as err:
            raise disk.translated(err, f"writing {target}") from err
        finally:
            with suppress(OSError):
                os.unlink(part)
        return size

    async def put(self, path: str, target: Location, meter: Meter = UNMETERED) -> Put:
        """See `Store`: one PUT with the digest as metadata; above 16 MiB multipart."""
        doing = f"uploading {path} to {target}"
        try:
            source = disk.open_regular(path)
        except OSError as err:
            raise disk.translated(err, f"reading {path}") from err
        with source:
            size = os.fstat(source.fileno()).st_size
            async with self._talk(doing) as client:
                if size > self._sizes.part:
                    upload = Upload(client, target, self._pool, self._parts)
                    return await upload.run(source, max(self._sizes.part, -(-size // 9_000)))
                data, digest = await self._read(source, size)
                await client.put_object(Bucket=target.bucket, Key=target.key, Body=data, Metadata={DIGEST: digest})
                return Put(len(data), digest)

    async def put_bytes(self, data: bytes, target: Location) -> None:
        """See `Store`."""
        async with self._talk(f"writing {target}") as client:
            await client.put_object(Bucket=target.bucket, Key=target.key, Body=data)

    async def read_bytes(self, source: Location) -> bytes:
        """See `Store`."""

        async def read() -> bytes:
            async with self._talk(f"reading {source}") as client:
                answer = await client.get_object(Bucket=source.bucket, Key=source.key)
                async with answer["Body"] as body:
                    data: bytes = await body.read()
                    return data

        return await _again(read)

    async def copy(self, source: Location, target: Location, size: int) -> None:
        """See `Store`: by the server; above 5 GB in parts."""
        async with self._talk(f"publishing {source} as {target}") as client:
            if size > self._sizes.copy_limit:
                await copy_in_parts(client, source, target, (size, self._sizes.copy_part))
            else:
                place: Any = {"Bucket": source.bucket, "Key": source.key}
                await client.copy_object(Bucket=target.bucket, Key=target.key, CopySource=place)

    async def digest(self, source: Location) -> str:
        """See `Store`: from the object's metadata, or by reading it all."""
        async with self._talk(f"reading {source}") as client:
            head = await client.head_object(Bucket=source.bucket, Key=source.key)
            if known := head["Metadata"].get(DIGEST):
                return known
            digest = hashlib.sha256()
            answer = await client.get_object(Bucket=source.bucket, Key=source.key)
            async with answer["Body"] as body:
                while chunk := await body.read(1 << 20):
                    digest.update(chunk)
            return digest.hexdigest()

    async def settle(self, folders: Sequence[Location]) -> None:
        """See `Store`: an answered request is durable already."""

    async def drop(self, folder: Location, paths: Sequence[str]) -> None:
        """See `Store`."""
        keys = [folder.below(path).key for path in paths]
        async with self._talk(f"removing {folder}") as client:
            if len(keys) > 2 and await _drop_together(client, folder.bucket, keys):
                return
            await each(keys, lambda key: client.delete_object(Bucket=folder.bucket, Key=key), 8)

    async def close(self) -> None:
        """See `Store`."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        await self._clients.close()

    @asynccontextmanager
    async def _talk(self, doing: str) -> "AsyncIterator[S3Client]":
        client = await self._clients.get(self._settings)
        try:
            yield client
        except Exception as err:
            raise translated(err, doing) from err

    async def _fetch(self, source: Location, part: str) -> int:
        async with self._talk(f"fetching {source}") as client:
            answer = await client.get_object(Bucket=source.bucket, Key=source.key)
            size = answer["ContentLength"]
            if size > self._sizes.part:
                return await Download(client, source, self._pool, self._parts).run(answer, part, self._sizes.part)
            async with answer["Body"] as body:
                data = await body.read()
            if len(data) <= INLINE:
                _write(Event(), part, data)
            else:
                await in_thread(self._pool, _write, part, data)
            return size

    async def _read(self, source: Any, size: int) -> tuple[bytes, str]:
        if size <= INLINE:
            return _read_hashed(Event(), source)
        return await in_thread(self._pool, _read_hashed, source)


async def _again(work: Callable[[], Awaitable[R]]) -> R:
    """`work`, repeated when a body broke off in the middle, which botocore does not repeat."""
    for tried in range(1, BODY_TRIES):
        try:
            return await work()
        except BrokeOff:
            await asyncio.sleep(0.2 * tried)
    return await work()


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


def _write(_stop: Event, path: str, data: bytes) -> None:
    with open(path, "wb", buffering=0) as out:
        disk.write_all(out.fileno(), data)


def _read_hashed(_stop: Event, source: Any) -> tuple[bytes, str]:
    data: bytes = source.readall()
    return data, hashlib.sha256(data).hexdigest()
