"""Where output goes that is too large for a report: the worker's bucket beside the log, or a folder in storage if one is set.

Both hold gzip members `<attempt>.<stream>.<k>.gz`, named together by one address. Credentials for storage stay on this host,
so the api asks the agent for bytes of them. What must not enter: what is stored, and when.
"""

import asyncio
import gzip
import os
from typing import Protocol

from longshore_agent.adapters.outputs import PIECE
from longshore_common.errors import BadInput, Unreachable
from longshore_common.log import Blobs
from longshore_data import uri
from longshore_data.storage import Storage
from longshore_data.store import StoreError


class OutputStore(Protocol):
    """Keeps pieces by name. `Unreachable` if trying again may help, another `LongshoreError` if not."""

    async def put(self, name: str, data: bytes) -> None:
        """Store one piece, replacing what had its name."""
        ...

    def address(self, name: str, pieces: int) -> str:
        """Where an output of so many pieces is, for a report."""
        ...

    async def drop(self, name: str) -> int:
        """Remove all pieces of an output, the last one first, so that a repeat finds what is left; how many there were."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class BucketStore:
    """The worker's own bucket in the log's object store; the api reads it there."""

    def __init__(self, blobs: Blobs, bucket: str) -> None:
        self._blobs, self._bucket = blobs, bucket

    async def put(self, name: str, data: bytes) -> None:
        """See `OutputStore`."""
        await self._blobs.put(self._bucket, name, data)

    def address(self, name: str, pieces: int) -> str:
        """nats:<bucket>/<name>#<pieces>"""
        return f"nats:{self._bucket}/{name}#{pieces}"

    async def drop(self, name: str) -> int:
        """See `OutputStore`."""
        count = 0
        while await self._blobs.get(self._bucket, f"{name}.{count}.gz") is not None:
            count += 1
        for k in reversed(range(count)):
            await self._blobs.delete(self._bucket, f"{name}.{k}.gz")
        return count

    async def close(self) -> None:
        """Nothing is open."""


class FolderStore:
    """A folder on S3, on a disk that hosts share, or on a remote, with this worker's own credentials.

    `storage` is the agent's, which knows the remotes; without one, of our own.
    """

    def __init__(self, folder: str, storage: Storage | None = None) -> None:
        try:
            self._folder = uri.parse_output(folder)
        except BadInput as err:
            raise BadInput(f"LONGSHORE_OUTPUT_STORE is a folder such as s3://bucket/logs/: {err}") from err
        self._storage = storage or Storage(os.environ)
        self._own = storage is None

    async def put(self, name: str, data: bytes) -> None:
        """See `OutputStore`."""
        try:
            await self._storage.of(self._folder).put_bytes(data, self._folder.below(name))
        except StoreError as err:
            if err.retriable:
                raise Unreachable(str(err)) from err
            raise

    def address(self, name: str, pieces: int) -> str:
        """<folder>/<name>#<pieces>"""
        return f"{self._folder.below(name)}#{pieces}"

    async def read(self, address: str, offset: int, limit: int) -> bytes:
        """At most `limit` bytes from `offset`, within one piece; `BadInput` for an address outside the folder."""
        place, _, _ = address.rpartition("#")
        name = place.removeprefix(str(self._folder))
        if name == place or "/" in name:
            raise BadInput(f"{address} is not below {self._folder}, where this worker stores output")
        store = self._storage.of(self._folder)
        data = await store.read_bytes(self._folder.below(f"{name}.{offset // PIECE}.gz"))
        raw = await asyncio.to_thread(gzip.decompress, data)
        return raw[offset % PIECE :][:limit]

    async def drop(self, name: str) -> int:
        """See `OutputStore`."""
        count = 0
        try:
            while True:
                await self._storage.of(self._folder).stat(self._folder.below(f"{name}.{count}.gz"))
                count += 1
        except StoreError as err:
            if not err.missing:
                raise
        for k in reversed(range(count)):
            await self._storage.of(self._folder).drop(self._folder, [f"{name}.{k}.gz"])
        return count

    async def close(self) -> None:
        """See `OutputStore`."""
        if self._own:
            await self._storage.close()
