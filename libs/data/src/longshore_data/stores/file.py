"""`file://`: a folder that every worker of a task can see at the same path, local or mounted.

What must not enter: other schemes, attempts.
"""

import errno
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import Concatenate, ParamSpec, TypeVar

from longshore_data import disk
from longshore_data.meter import UNMETERED, Meter
from longshore_data.parallel import Stopped, in_thread
from longshore_data.store import Found, Put, StoreError
from longshore_data.uri import RESERVED, Location

P = ParamSpec("P")
R = TypeVar("R")


class FileStore:
    """A `Store` over paths of this host. Threads of its own, so that a dead mount stops nothing else."""

    def __init__(self, threads: int = 8) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="file-store")

    async def listing(self, folder: Location) -> list[Found]:
        """See `Store`; links to files are followed, links to folders and special files are not."""
        return await self._do(f"listing {folder.key}", _walk, folder.key)

    async def stat(self, place: Location) -> Found:
        """See `Store`; the version is size, modification time and inode."""
        return await self._do(f"looking at {place.key}", _stat, place.key)

    async def fetch(self, source: Location, target: str, meter: Meter = UNMETERED) -> int:
        """See `Store`."""
        return await self._do(f"copying {source.key} to {target}", disk.copy_in, source.key, target, meter)

    async def put(self, path: str, target: Location, meter: Meter = UNMETERED) -> Put:
        """See `Store`; fsynced."""
        return await self._do(f"copying {path} to {target.key}", _put, path, target.key, meter)

    async def put_bytes(self, data: bytes, target: Location) -> None:
        """See `Store`; fsynced, with its folder."""
        await self._do(f"writing {target.key}", _put_bytes, data, target.key)

    async def read_bytes(self, source: Location) -> bytes:
        """See `Store`."""
        return await self._do(f"reading {source.key}", _read, source.key)

    async def copy(self, source: Location, target: Location, size: int) -> None:
        """See `Store`: a hard link, moved over the target; a copy where the disk has no links."""
        await self._do(f"publishing {source.key} as {target.key}", _copy, source.key, target.key)

    async def digest(self, source: Location) -> str:
        """See `Store`."""
        return await self._do(f"reading {source.key}", disk.hash_file, source.key)

    async def settle(self, folders: Sequence[Location]) -> None:
        """See `Store`: fsync of the folders."""
        await self._do("syncing", _settle, [folder.key for folder in folders])

    async def drop(self, folder: Location, paths: Sequence[str]) -> None:
        """See `Store`; a folder that is ours goes as a whole."""
        await self._do(f"removing {folder.key}", _drop, folder.key, paths)

    async def close(self) -> None:
        """See `Store`."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _do(
        self, doing: str, work: Callable[Concatenate[Event, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        try:
            return await in_thread(self._pool, work, *args, **kwargs)
        except OSError as err:
            raise disk.translated(err, doing) from err


def _walk(stop: Event, root: str) -> list[Found]:
    found: list[Found] = []
    folders = [""]
    while folders:
        if stop.is_set():
            raise Stopped
        prefix = folders.pop()
        with os.scandir(f"{root}/{prefix}") as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{prefix}{entry.name}/")
                elif not entry.name.startswith(disk.PART) and (seen := _regular(entry)):
                    found.append(_found(prefix + entry.name, seen))
    return found


def _regular(entry: "os.DirEntry[str]") -> os.stat_result | None:
    """What an entry is, if it is a file or a link to one; links to nowhere are like files that are not there."""
    try:
        seen = entry.stat()
    except OSError as err:
        if err.errno in (errno.ENOENT, errno.ELOOP):
            return None
        raise
    return seen if stat.S_ISREG(seen.st_mode) else None


def _stat(_stop: Event, path: str) -> Found:
    seen = os.stat(path)
    if stat.S_ISDIR(seen.st_mode):
        raise StoreError(f"{path} is a folder: end the URI in /", missing=True)
    if not stat.S_ISREG(seen.st_mode):
        raise StoreError(f"{path} is a device or a pipe: name a file")
    return _found(os.path.basename(path), seen)


def _found(path: str, seen: os.stat_result) -> Found:
    version = f"{seen.st_size}-{seen.st_mtime_ns}-{seen.st_ino}"
    return Found(path, seen.st_size, version, seen.st_mtime)


def _put(stop: Event, path: str, target: str, meter: Meter) -> Put:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    return disk.copy_out(stop, path, (target, disk.part_of(target)), meter)


def _put_bytes(stop: Event, data: bytes, target: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    disk.write_new(stop, data, target, disk.part_of(target))


def _read(_stop: Event, path: str) -> bytes:
    with disk.open_file(path) as src:
        return src.readall()


def _copy(stop: Event, source: str, target: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    disk.link(stop, source, target)


def _settle(_stop: Event, folders: list[str]) -> None:
    for folder in folders:
        disk.sync_folder(folder)


def _drop(stop: Event, folder: str, paths: Sequence[str]) -> None:
    """Where all is ours the whole folder goes, with what was half done in it; elsewhere these files and no other."""
    if f"/{RESERVED}/" in f"{folder}/":
        shutil.rmtree(folder, ignore_errors=True)
        return
    parents: set[str] = set()
    for path in paths:
        if stop.is_set():
            raise Stopped
        with suppress(FileNotFoundError):
            os.unlink(f"{folder}/{path}")
        parents.update(f"{folder}/{path[:end]}" for end, c in enumerate(path) if c == "/")
    for parent in sorted(parents, key=len, reverse=True):
        with suppress(OSError):
            os.rmdir(parent)  # only one that is empty now
