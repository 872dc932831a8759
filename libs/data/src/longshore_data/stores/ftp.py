"""`ftp://`, and remotes of type ftp: files of an FTP server, anonymously unless a remote has credentials.

What must not enter: connections and words for errors (`ftp_client`), how listings read (`ftp_listing`).
"""

import asyncio
import hashlib
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import Any, Final, TypeVar

from longshore_data import disk
from longshore_data.meter import UNMETERED, Meter
from longshore_data.parallel import each, in_thread
from longshore_data.store import Found, Put
from longshore_data.stores import ftp_listing
from longshore_data.stores.ftp_client import CONNECTIONS, Connections, FtpSettings, Talk, refused
from longshore_data.stores.ftp_listing import Line
from longshore_data.stores.ftp_parts import Download, facts
from longshore_data.stores.patience import Passing, Patience, insist
from longshore_data.stores.sinks import BytesSink, FileSink, HashSink
from longshore_data.uri import Location

R = TypeVar("R")

#: Bytes of one piece of an upload.
PIECE: Final = 1 << 20
#: `read_bytes` takes no more, in bytes.
SMALL: Final = 64 << 20


class FtpStore:
    """A `Store` over FTP servers. `settings.host`: the one server of a remote, whose places have no host."""

    def __init__(self, settings: FtpSettings | None = None, *, patience: Patience | None = None) -> None:
        self._patience = patience or Patience()
        self._connections = Connections(settings or FtpSettings(), self._patience)
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="ftp-store")

    def with_options(self, options: tuple[str, ...]) -> "FtpStore":
        """See `Choosy`: @aria2 changes nothing, for public FTP servers give few connections to a client."""
        return self

    async def listing(self, folder: Location) -> list[Found]:
        """See `Store`: by MLSD, else by LIST, which tells no version. Links to files are followed, others are not."""
        files: list[Found] = []
        folders = [""]
        while folders:
            below = await each(folders, lambda path: self._folder(folder, path), CONNECTIONS)
            files += [found for some, _ in below for found in some]
            folders = [path for _, some in below for path in some]
        return files

    async def stat(self, place: Location) -> Found:
        """See `Store`; the version is size and time of change."""

        async def ask(talk: Talk) -> Found:
            size, stamp = await facts(talk, talk.path(place.key))
            return ftp_listing.found(place.name, size, stamp)

        return await self._do(f"looking at {place}", place, ask)

    async def fetch(self, source: Location, target: str, meter: Meter = UNMETERED) -> int:
        """See `Store`: goes on where it broke off, if the file is still the same."""
        part = disk.part_of(target)
        doing = f"fetching {source} to {target}"
        sink = FileSink(part, self._pool, doing)
        try:
            try:
                size = await Download(self._connections, source, sink).run(self._patience, meter, f"fetching {source}")
            finally:
                sink.close()
            os.rename(part, target)
        except OSError as err:
            raise disk.translated(err, doing) from err
        finally:
            with suppress(OSError):
                os.unlink(part)
        return size

    async def put(self, path: str, target: Location, meter: Meter = UNMETERED) -> Put:
        """See `Store`: under a name of ours, renamed when the server has it all."""
        doing = f"uploading {path} to {target}"

        async def once(talk: Talk) -> Put:
            with _opened(path) as source:
                digest = hashlib.sha256()

                async def piece() -> bytes:
                    data: bytes = await in_thread(self._pool, _read, source)
                    digest.update(data)
                    return data

                size = await self._store(talk, target, piece, meter)
                return Put(size, digest.hexdigest())

        return await self._do(doing, target, once)

    async def put_bytes(self, data: bytes, target: Location) -> None:
        """See `Store`."""

        async def once(talk: Talk) -> None:
            pieces = iter((data, b""))

            async def piece() -> bytes:
                return next(pieces)

            await self._store(talk, target, piece, UNMETERED)

        await self._do(f"writing {target}", target, once)

    async def read_bytes(self, source: Location) -> bytes:
        """See `Store`; 64 MiB at most."""
        doing = f"reading {source}"
        sink = BytesSink(SMALL, doing)
        await Download(self._connections, source, sink).run(self._patience, UNMETERED, doing)
        return bytes(sink.data)

    async def copy(self, source: Location, target: Location, size: int) -> None:
        """See `Store`: through this host, for FTP knows no copy."""
        with tempfile.TemporaryDirectory(prefix="longshore-") as scratch:
            await self.fetch(source, f"{scratch}/file")
            await self.put(f"{scratch}/file", target)

    async def digest(self, source: Location) -> str:
        """See `Store`: by reading it all."""
        sink = HashSink()
        await Download(self._connections, source, sink).run(self._patience, UNMETERED, f"reading {source}")
        return sink.digest.hexdigest()

    async def settle(self, folders: Sequence[Location]) -> None:
        """See `Store`: FTP has no word for it."""

    async def drop(self, folder: Location, paths: Sequence[str]) -> None:
        """See `Store`."""

        async def remove(talk: Talk) -> None:
            parents = {""}
            for path in paths:
                parents.update(path[:end] for end, c in enumerate(path) if c == "/")
                await _try(talk, f"DELE {talk.path(folder.below(path).key)}")
            for parent in sorted(parents, key=len, reverse=True):
                await _try(talk, f"RMD {talk.path(folder.below(parent).key if parent else folder.key)}")

        await self._do(f"removing {folder}", folder, remove)

    async def close(self) -> None:
        """See `Store`."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        await self._connections.close()

    async def _do(self, doing: str, place: Location, work: Callable[[Talk], Awaitable[R]]) -> R:
        async def once() -> R:
            async with self._connections.use(place, doing) as talk:
                return await work(talk)

        return await insist(once, self._patience)

    async def _folder(self, root: Location, prefix: str) -> tuple[list[Found], list[str]]:
        """The files and the folders of one folder, their paths relative to `root`."""
        place = root.below(prefix.removesuffix("/"), folder=True) if prefix else root

        async def read(talk: Talk) -> list[Line]:
            await talk.say(f"CWD {talk.path(place.key)}")
            lines = await _lines(talk)
            return [await _followed(talk, line) if line.kind == "link" else line for line in lines]

        lines = await self._do(f"listing {place}", place, read)
        lines = [line for line in lines if not line.name.startswith(disk.PART)]
        files = [ftp_listing.found(prefix + ln.name, ln.size, ln.stamp) for ln in lines if ln.kind == "file"]
        return files, [f"{prefix}{line.name}/" for line in lines if line.kind == "dir"]

    async def _store(self, talk: Talk, target: Location, piece: Callable[[], Awaitable[bytes]], meter: Meter) -> int:
        """Send pieces until an empty one, then let the target appear; the size. Nothing stays of what fails."""
        path = talk.path(target.key)
        folder, _, name = path.rpartition("/")
        key = hashlib.blake2b(f"{socket.gethostname()} {os.getpid()} {name}".encode(), digest_size=12).hexdigest()
        part = f"{folder}/{disk.PART}{key}"
        size = 0
        _, writer = await _begin(talk, part)
        try:
            while data := await piece():
                writer.write(data)
                async with asyncio.timeout(self._patience.silence):
                    await writer.drain()
                size += len(data)
                await meter.moved(len(data))
            writer.close()
            async with asyncio.timeout(self._patience.silence):
                await writer.wait_closed()
            await talk.over()
            await _appear(talk, part, path, size)
        except BaseException:
            writer.close()
            await meter.moved(-size)
            raise
        return size


async def _lines(talk: Talk) -> list[Line]:
    """What stands in the folder where the connection is."""
    for command in ("MLSD", "LIST -a", "LIST"):
        try:
            reader, writer = await talk.data(command)
        except Exception as err:
            if command == "LIST" or not refused(err, "5"):
                raise
            continue
        try:
            text = (await _all(reader)).decode()
        finally:
            writer.close()
        await talk.over()
        read = ftp_listing.mlsd if command == "MLSD" else ftp_listing.listed
        return [line for raw in text.split("\n") if raw and (line := read(raw.rstrip("\r"))) is not None]
    raise AssertionError("LIST either answers or raises")


async def _all(reader: asyncio.StreamReader) -> bytes:
    data = bytearray()
    while True:
        async with asyncio.timeout(60):
            piece = await reader.read(1 << 16)
        if not piece:
            return bytes(data)
        data += piece


async def _followed(talk: Talk, link: Line) -> Line:
    """The file a link leads to, under the link's name; what leads elsewhere is no file."""
    try:
        size, stamp = await facts(talk, link.name)
    except Exception as err:
        if refused(err, "5"):
            return link._replace(kind="other")
        raise
    return Line(link.name, "file" if size >= 0 else "other", size, stamp)


async def _begin(talk: Talk, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A data connection that stores `path`, whose folders are made if that was what is missing."""
    try:
        return await talk.data(f"STOR {path}")
    except Exception as err:
        if not refused(err, "55", "45"):
            raise
    folder = path.rpartition("/")[0]
    for end in [k for k, c in enumerate(folder) if c == "/" and k] + [len(folder)]:
        await _try(talk, f"MKD {folder[:end]}")
    return await talk.data(f"STOR {path}")


async def _appear(talk: Talk, part: str, path: str, size: int) -> None:
    """Give what was stored its name, if all of it is there; some servers rename over nothing that exists."""
    stored, _ = await facts(talk, part)
    if stored not in (-1, size):
        raise Passing(f"storing {path}: the server has {stored} bytes of {size}")
    for last in (False, True):
        await talk.say(f"RNFR {part}", "3xx")
        try:
            await talk.say(f"RNTO {path}")
        except Exception as err:
            if last or not refused(err, "5"):
                await _try(talk, f"DELE {part}")
                raise
            await _try(talk, f"DELE {path}")
        else:
            return


async def _try(talk: Talk, command: str) -> None:
    """A command whose refusal for good is no news."""
    try:
        await talk.say(command)
    except Exception as err:
        if not refused(err, "5"):
            raise


def _opened(path: str) -> Any:
    try:
        return disk.open_regular(path)
    except OSError as err:
        raise disk.translated(err, f"reading {path}") from err


def _read(_stop: Event, source: Any) -> bytes:
    data: bytes = source.read(PIECE)
    return data
