"""Where bytes from far away go: a local file, memory, a digest; what was taken can be forgotten and taken anew.

What must not enter: where the bytes come from, asyncio beyond threads.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from threading import Event
from typing import Final, Protocol

from longshore_data import disk
from longshore_data.parallel import Stopped, in_thread
from longshore_data.store import StoreError

#: Writes up to this size, in bytes, take no detour over a thread.
INLINE: Final = 256 << 10


class Sink(Protocol):
    """Where the bytes go."""

    async def write(self, data: bytes, at: int) -> None:
        """Take these bytes, the first of which is that number of the file."""
        ...

    def restart(self) -> None:
        """Forget all."""
        ...

    async def holds(self, digests: Mapping[str, bytes]) -> bool:
        """Whether what is here has these digests, by their names in hashlib."""
        ...


class FileSink:
    """An open local file; `doing` is for the words of what the disk refuses."""

    def __init__(self, path: str, pool: Executor, doing: str) -> None:
        self._path, self._pool, self._doing = path, pool, doing
        with self._told():
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)

    async def write(self, data: bytes, at: int) -> None:
        """See `Sink`."""
        with self._told():
            if len(data) <= INLINE:
                disk.write_all(self._fd, data, at)
            else:
                await in_thread(self._pool, _write_at, self._fd, data, at)

    def restart(self) -> None:
        """See `Sink`."""
        with self._told():
            os.ftruncate(self._fd, 0)

    async def holds(self, digests: Mapping[str, bytes]) -> bool:
        """See `Sink`: by reading it again, from memory most likely."""
        for name in ("sha256", "md5"):
            if name in digests:
                with self._told():
                    return await in_thread(self._pool, hash_of, self._path, name) == digests[name]
        return True

    def close(self) -> None:
        """Close the file, whatever is in it."""
        os.close(self._fd)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as err:
            raise disk.translated(err, self._doing) from err


class HashSink:
    """Keeps nothing but the sha256; takes bytes in their order only."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    async def write(self, data: bytes, at: int) -> None:
        """See `Sink`."""
        self.digest.update(data)

    def restart(self) -> None:
        """See `Sink`."""
        self.digest = hashlib.sha256()

    async def holds(self, digests: Mapping[str, bytes]) -> bool:
        """See `Sink`."""
        return digests.get("sha256", self.digest.digest()) == self.digest.digest()


class BytesSink:
    """Keeps the bytes in memory, up to `most`; takes them in their order only."""

    def __init__(self, most: int, doing: str) -> None:
        self.data = bytearray()
        self._most, self._doing = most, doing

    async def write(self, data: bytes, at: int) -> None:
        """See `Sink`."""
        if at + len(data) > self._most:
            raise StoreError(f"{self._doing}: it has more than {self._most} bytes: fetch it as a file")
        self.data += data

    def restart(self) -> None:
        """See `Sink`."""
        self.data.clear()

    async def holds(self, digests: Mapping[str, bytes]) -> bool:
        """See `Sink`."""
        return all(hashlib.new(name, self.data, usedforsecurity=False).digest() == d for name, d in digests.items())


def hash_of(stop: Event, path: str, name: str) -> bytes:
    """The digest of a local file by that algorithm of hashlib; in a thread."""
    digest = hashlib.new(name, usedforsecurity=False)
    with disk.open_regular(path) as src:
        while piece := src.read(disk.PIECE):
            if stop.is_set():
                raise Stopped
            digest.update(piece)
    return digest.digest()


def _write_at(_stop: Event, fd: int, data: bytes, offset: int) -> None:
    disk.write_all(fd, data, offset)
