"""A remote of any kind that rclone knows, asked by way of `rclone_daemon`.

Where a server can copy within itself, publishing moves no bytes; where it cannot, rclone takes them through this host.
What must not enter: other schemes, attempts, how rclone is run.
"""

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from longshore_data import disk
from longshore_data.meter import UNMETERED, Meter
from longshore_data.parallel import each, in_thread
from longshore_data.store import Found, Put, StoreError
from longshore_data.stores.rclone_daemon import RcloneDaemon, RcloneError
from longshore_data.uri import RESERVED, Location

#: Seconds for a question, for a listing, and of a transfer in which not one byte moves.
ASK: Final = 120.0
LIST: Final = 1800.0
STALLED: Final = 300.0
#: Seconds between two looks at how far a transfer is.
LOOK: Final = 0.25
#: Bytes a second below which a copy within the server is given up: it shows no progress.
SLOWEST: Final = 1 << 20

_NO = re.compile(
    r"permission denied|forbidden|unauthorized|unable to authenticate|authenticationfailed|authorizationfailure|"
    r"access ?denied|invalidaccesskeyid|signaturedoesnotmatch|login (?:failed|incorrect|authentication failed)|"
    r"authentication fail|\b40[0135]\b|\b530\b|didn't find (?:backend|section)|unknown (?:option|flag)|ssh-agent|"
    r"obscured|knownhosts|host key mismatch|certificate|quota",
    re.IGNORECASE,
)
_PASSING = re.compile(
    r"connection (?:refused|reset|lost|timed out)|connection to .* lost|broken pipe|time(?:d )?-?out|deadline exceeded|\beof\b|"
    r"no such host|no route to host|network is unreachable|server misbehaving|too many|try again|temporar|"
    r"use of closed|closed network|connection closed|\b(?:408|421|423|425|426|429|450|5[0-2][0-9])\b|slow ?down|"
    r"service unavailable|server error|bad gateway|source file is being updated|corrupted on transfer",
    re.IGNORECASE,
)


class RcloneStore:
    """A `Store` over the remotes of one configuration. `daemon` is whoever's that made it."""

    def __init__(self, daemon: RcloneDaemon) -> None:
        self._daemon = daemon
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="rclone-store")
        self._digests: dict[str, tuple[str, ...]] = {}
        self._groups: list[str] = []
        self._grouped = 0

    async def listing(self, folder: Location) -> list[Found]:
        """See `Store`; folders that are not there are `missing`, or empty where servers know no folders."""
        async with self._asking(f"listing {folder}"):
            told = await self._told(folder)
            fs, remote = _at(folder)
            options = {"recurse": True, "filesOnly": True, "noMimeType": True} | told
            answer = await self._daemon.call("operations/list", LIST, fs=fs, remote=remote, opt=options)
        skip = len(remote) + 1 if remote else 0
        return [_found(entry, entry["Path"][skip:]) for entry in answer["list"] or ()]

    async def stat(self, place: Location) -> Found:
        """See `Store`; the version is size and modification time, and the md5 if the server keeps it."""
        doing = f"looking at {place}"
        async with self._asking(doing):
            told = await self._told(place)
            fs, remote = _at(place)
            answer = await self._daemon.call("operations/stat", ASK, fs=fs, remote=remote, opt=told)
        entry = answer["item"]
        if entry is None:
            raise StoreError(f"{doing}: it is not there: correct the name", missing=True)
        if entry["IsDir"]:
            raise StoreError(f"{doing}: it is a folder: end the URI in /", missing=True)
        return _found(entry, place.name)

    async def fetch(self, source: Location, target: str, meter: Meter = UNMETERED) -> int:
        """See `Store`."""
        part = disk.part_of(target)
        folder, _, name = part.rpartition("/")
        fs, remote = _at(source)
        try:
            async with self._asking(f"fetching {source}", here=True):
                await self._daemon.limit(down=meter.limit)
                way = {"srcFs": fs, "srcRemote": remote, "dstFs": folder, "dstRemote": name}
                counted = await self._move(meter, **way, _config={"Inplace": True})
            os.chmod(part, 0o644)
            size = os.path.getsize(part)
            await meter.moved(size - counted)
            os.rename(part, target)
        except OSError as err:
            raise disk.translated(err, f"writing {target}") from err
        finally:
            with suppress(OSError):
                os.unlink(part)
        return size

    async def put(self, path: str, target: Location, meter: Meter = UNMETERED) -> Put:
        """See `Store`; the file is hashed here while rclone sends it, and must not change meanwhile."""
        doing = f"uploading {path} to {target}"
        try:
            before = _state(path)
            async with self._asking(doing):
                await self._daemon.limit(up=meter.limit)
                hashing = asyncio.ensure_future(in_thread(self._pool, disk.hash_file, path))
                try:
                    counted = await self._send(path, target, meter)
                    digest = await hashing
                finally:
                    await _given_up(hashing)
            after = _state(path)
        except OSError as err:
            raise disk.translated(err, f"reading {path}") from err
        if after != before:
            raise StoreError(f"{doing}: the file changed meanwhile", retriable=True)
        await meter.moved(before[0] - counted)
        return Put(before[0], digest)

    async def put_bytes(self, data: bytes, target: Location) -> None:
        """See `Store`."""
        async with self._asking(f"writing {target}"), _scratch() as path:
            Path(path).write_bytes(data)
            await self._send(path, target, UNMETERED)

    async def read_bytes(self, source: Location) -> bytes:
        """See `Store`."""
        fs, remote = _at(source)
        async with self._asking(f"reading {source}"), _scratch() as path:
            folder, _, name = path.rpartition("/")
            await self._move(UNMETERED, srcFs=fs, srcRemote=remote, dstFs=folder, dstRemote=name)
            return Path(path).read_bytes()

    async def copy(self, source: Location, target: Location, size: int) -> None:
        """See `Store`: by the server where it can, else through this host."""
        (fs, remote), (to_fs, to_remote) = _at(source), _at(target)
        async with self._asking(f"publishing {source} as {target}"):
            deadline = max(STALLED, size / SLOWEST)
            await self._daemon.call(
                "operations/copyfile", deadline, srcFs=fs, srcRemote=remote, dstFs=to_fs, dstRemote=to_remote
            )

    async def digest(self, source: Location) -> str:
        """See `Store`: from the server where it knows it, else by reading it all."""
        fs, remote = _at(source)
        async with self._asking(f"reading {source}"):
            known = "sha256" in await self._kept(source)
            answer = await self._daemon.call(
                "operations/hashsumfile", LIST, fs=fs, remote=remote, hashType="sha256", download=not known
            )
            if not answer.get("hash"):
                answer = await self._daemon.call(
                    "operations/hashsumfile", LIST, fs=fs, remote=remote, hashType="sha256", download=True
                )
        return str(answer["hash"])

    async def settle(self, folders: Sequence[Location]) -> None:
        """See `Store`: a server that has answered is believed."""

    async def drop(self, folder: Location, paths: Sequence[str]) -> None:
        """See `Store`; what is below our own folder goes as a whole, by one call."""
        fs, remote = _at(folder)
        async with self._asking(f"removing {folder}"):
            if len(paths) > 2 and remote.split("/")[-2:-1] == [RESERVED] and await self._purge(fs, remote):
                return
            await each([_at(folder.below(path)) for path in paths], self._delete, 8)
            if "/" in remote:  # a container or a share is not ours to remove
                with suppress(RcloneError):  # not empty, gone, or a server without folders
                    await self._daemon.call("operations/rmdirs", ASK, fs=fs, remote=remote)

    async def close(self) -> None:
        """See `Store`; the daemon is its maker's."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _send(self, path: str, target: Location, meter: Meter) -> int:
        folder, _, name = path.rpartition("/")
        fs, remote = _at(target)
        return await self._move(meter, srcFs=folder or "/", srcRemote=name, dstFs=fs, dstRemote=remote)

    async def _move(self, meter: Meter, **way: object) -> int:
        """Copy one file, looking at its progress every now and then; how many bytes the meter was told of meanwhile."""
        group = self._groups.pop() if self._groups else self._new_group()
        job = asyncio.ensure_future(self._daemon.call("operations/copyfile", None, _group=group, **way))
        now = asyncio.get_running_loop().time
        counted, moved_at = 0, now()
        try:
            while not (await asyncio.wait([job], timeout=LOOK))[0]:
                size = await self._moved(group)
                if size > counted:
                    await meter.moved(size - counted)
                    counted, moved_at = size, now()
                elif now() > moved_at + STALLED:
                    raise TimeoutError
            await job
        except BaseException:
            await _given_up(job)
            await meter.moved(-counted)
            raise
        self._groups.append(group)
        return counted

    async def _moved(self, group: str) -> int:
        """Bytes of the one transfer of this group."""
        answer = await self._daemon.call("core/stats", ASK, group=group)
        return sum(int(t.get("bytes") or 0) for t in answer.get("transferring") or ())

    def _new_group(self) -> str:
        self._grouped += 1
        return f"transfer-{id(self)}-{self._grouped}"

    async def _kept(self, place: Location) -> tuple[str, ...]:
        """The digests that this remote knows without reading files."""
        if place.scheme not in self._digests:
            fs, _ = _at(place)
            answer = await self._daemon.call("operations/fsinfo", ASK, fs=fs)
            slow = answer["Features"].get("SlowHash")
            self._digests[place.scheme] = () if slow else tuple(answer["Hashes"] or ())
        return self._digests[place.scheme]

    async def _told(self, place: Location) -> dict[str, Any]:
        """What to ask for about files: their md5, if it costs nothing."""
        return {"showHash": True, "hashTypes": ["md5"]} if "md5" in await self._kept(place) else {}

    async def _delete(self, place: tuple[str, str]) -> None:
        try:
            await self._daemon.call("operations/deletefile", ASK, fs=place[0], remote=place[1])
        except RcloneError as err:
            if err.status != 404:
                raise

    async def _purge(self, fs: str, remote: str) -> bool:
        try:
            await self._daemon.call("operations/purge", LIST, fs=fs, remote=remote)
        except RcloneError as err:
            return err.status == 404
        return True

    @asynccontextmanager
    async def _asking(self, doing: str, *, here: bool = False) -> AsyncIterator[None]:
        """Keep rclone running meanwhile, and say its errors as ours. `here`: bytes land on this host's disk."""
        try:
            async with self._daemon.use():
                yield
        except RcloneError as err:
            raise translated(err, doing, here=here) from err
        except StoreError as err:
            raise StoreError(f"{doing}: {err}", retriable=err.retriable) from err
        except TimeoutError as err:
            raise StoreError(f"{doing}: nothing moves; is the server well?", retriable=True) from err


def translated(err: RcloneError, doing: str, *, here: bool = False) -> StoreError:
    """The `StoreError` for what rclone answered while `doing`."""
    words = f"{doing}: rclone says: {err.words}"
    full = here and "no space left on device" in err.words
    if err.status == 404 or "ContainerNotFound" in err.words:
        return StoreError(f"{words}: correct the name", missing=True)
    if full:
        return StoreError(f"{words}: free space on this host", retriable=True, disk_full=True)
    if err.status == 503 or (_PASSING.search(err.words) and not _NO.search(err.words)):
        return StoreError(words, retriable=True)
    return StoreError(f"{words}: correct the name or the remote, and share it again")


def _at(place: Location) -> tuple[str, str]:
    """What rclone calls it: a remote's root, and the path below it; a leading slash is the server's own root."""
    key = place.key.removesuffix("/")
    return (f"{place.scheme}:/", key.lstrip("/")) if place.key.startswith("/") else (f"{place.scheme}:", key)


def _found(entry: dict[str, Any], path: str) -> Found:
    time = str(entry.get("ModTime") or "")
    modified = 0.0
    with suppress(ValueError):
        modified = datetime.fromisoformat(time).timestamp()
    md5 = str((entry.get("Hashes") or {}).get("md5", ""))
    return Found(path, int(entry["Size"]), f"{entry['Size']}-{time}{'-' * bool(md5)}{md5}", modified, md5)


def _state(path: str) -> tuple[int, int, int]:
    seen = os.lstat(path)
    return seen.st_size, seen.st_mtime_ns, seen.st_ino


@asynccontextmanager
async def _scratch() -> AsyncIterator[str]:
    """The path of a small file of ours, in a folder of its own."""
    folder = tempfile.mkdtemp(prefix="longshore-small-")
    try:
        yield f"{folder}/small"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _given_up(task: "asyncio.Future[Any]") -> None:
    """Cancel what still runs; whatever it says is of no interest."""
    task.cancel()
    await asyncio.wait([task], timeout=1)
    if task.done() and not task.cancelled():
        task.exception()
