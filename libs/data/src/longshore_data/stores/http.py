"""`http://` and `https://`: files of web servers, to be read only.

What must not enter: sessions and answers (`http_client`), ranges and resuming (`http_parts`), credentials.
"""

import gzip
import os
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import copy
from threading import Event
from typing import Final

from longshore_data import disk
from longshore_data.meter import UNMETERED, Meter
from longshore_data.parallel import Stopped, in_thread
from longshore_data.store import Found, Put, StoreError
from longshore_data.stores.http_client import Facts, HttpClient, facts, refusal
from longshore_data.stores.http_parts import Download, Width
from longshore_data.stores.patience import Patience, insist
from longshore_data.stores.sinks import BytesSink, FileSink, HashSink, Sink
from longshore_data.uri import Location, shown

#: With @aria2: five connections, for files of 1 MiB and more.
ARIA2: Final = Width(lanes=5, above=1 << 20, part=4 << 20)
#: One connection, bytes in their order.
ONE: Final = Width(lanes=1)
#: `read_bytes` takes no more, in bytes.
SMALL: Final = 64 << 20
#: Answers to HEAD that say nothing about GET: servers and signatures that know no HEAD give them.
_NO_HEAD: Final = (400, 401, 403, 404, 405, 406, 501)


class HttpStore:
    """A `Store` over any web server. `environ`: SSL_CERT_FILE; `width`: how large files are split."""

    def __init__(
        self, environ: Mapping[str, str], *, patience: Patience | None = None, width: Width | None = None
    ) -> None:
        self._patience, self._width = patience or Patience(), width or Width()
        self._client = HttpClient(environ, self._patience)
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="http-store")

    def with_options(self, options: tuple[str, ...]) -> "HttpStore":
        """See `Choosy`: @aria2 means five connections."""
        if "aria2" not in options:
            return self
        view = copy(self)
        view._width = ARIA2
        return view

    async def listing(self, folder: Location) -> list[Found]:
        """See `Store`: refused."""
        raise StoreError(f"listing {_uri(folder)}: web servers have no folders: name one file")

    async def stat(self, place: Location) -> Found:
        """See `Store`: by HEAD, or by asking for the first byte. The version is the ETag, else time of change and size."""
        return await insist(lambda: self._stat(place), self._patience)

    async def fetch(self, source: Location, target: str, meter: Meter = UNMETERED) -> int:
        """See `Store`: above 64 MiB by four parallel ranges; goes on where it broke off; stated digests are checked."""
        part = disk.part_of(target)
        doing = f"fetching {_uri(source)} to {target}"
        sink = FileSink(part, self._pool, doing)
        try:
            try:
                seen = await self._run(source, sink, self._width, meter)
            finally:
                sink.close()
            size = seen.size
            if seen.encoding and not source.name.endswith((".gz", ".tgz", ".bgz")):
                size = await self._decode(seen.encoding, part, doing)
            os.rename(part, target)
        except OSError as err:
            raise disk.translated(err, doing) from err
        finally:
            with suppress(OSError):
                os.unlink(part)
        return size

    async def put(self, path: str, target: Location, meter: Meter = UNMETERED) -> Put:
        """See `Store`: refused."""
        raise _read_only(target)

    async def put_bytes(self, data: bytes, target: Location) -> None:
        """See `Store`: refused."""
        raise _read_only(target)

    async def read_bytes(self, source: Location) -> bytes:
        """See `Store`; 64 MiB at most."""
        sink = BytesSink(SMALL, f"reading {_uri(source)}")
        seen = await self._run(source, sink, ONE, UNMETERED)
        if seen.encoding and not source.name.endswith((".gz", ".tgz", ".bgz")):
            return gzip.decompress(bytes(sink.data))
        return bytes(sink.data)

    async def copy(self, source: Location, target: Location, size: int) -> None:
        """See `Store`: refused."""
        raise _read_only(target)

    async def digest(self, source: Location) -> str:
        """See `Store`: by reading it all."""
        sink = HashSink()
        await self._run(source, sink, ONE, UNMETERED)
        return sink.digest.hexdigest()

    async def settle(self, folders: Sequence[Location]) -> None:
        """See `Store`: nothing was written."""

    async def drop(self, folder: Location, paths: Sequence[str]) -> None:
        """See `Store`: refused."""
        raise _read_only(folder)

    async def close(self) -> None:
        """See `Store`."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        await self._client.close()

    async def _run(self, source: Location, sink: Sink, width: Width, meter: Meter) -> Facts:
        doing = f"fetching {_uri(source)}"
        return await Download(self._client, source, sink, width).run(self._patience, meter, doing)

    async def _stat(self, place: Location) -> Found:
        doing = f"looking at {_uri(place)}"
        async with self._client.ask("HEAD", place, {}, doing) as answer:
            seen = facts(answer)
            if answer.status == 200 and "Content-Length" in answer.headers and not seen.encoding:
                return _found(place, seen)
            if answer.status >= 400 and answer.status not in _NO_HEAD:
                raise await refusal(answer, doing)
        async with self._client.ask("GET", place, {"Range": "bytes=0-0"}, doing) as answer:
            seen = facts(answer)
            if answer.status >= 300 and not (answer.status == 416 and seen.size == 0):
                raise await refusal(answer, doing)
            return _found(place, seen._replace(size=-1) if seen.encoding else seen)

    async def _decode(self, encoding: str, part: str, doing: str) -> int:
        """Undo an encoding that we asked the server not to use; the size in bytes."""
        if encoding != "gzip":
            raise StoreError(f"{doing}: the server sent it encoded as {encoding}, unasked: use another source")
        try:
            return await in_thread(self._pool, _gunzip, part)
        except (EOFError, zlib.error, gzip.BadGzipFile) as err:
            raise StoreError(f"{doing}: it says it is encoded as gzip and is not: {err}", retriable=True) from err


def _uri(place: Location) -> str:
    return shown(str(place))


def _found(place: Location, seen: Facts) -> Found:
    md5 = seen.digests["md5"].hex() if "md5" in seen.digests else ""
    return Found(place.name, seen.size, seen.version, seen.modified, md5)


def _read_only(place: Location) -> StoreError:
    words = f"writing to {_uri(place)}: {place.scheme}:// can only be read: choose s3://, file:// or a remote"
    return StoreError(words)


def _gunzip(stop: Event, path: str) -> int:
    plain = f"{path}-plain"
    try:
        with gzip.open(path, "rb") as src, open(plain, "wb", buffering=0) as dst:
            while piece := src.read(disk.PIECE):
                if stop.is_set():
                    raise Stopped
                disk.write_all(dst.fileno(), piece)
            size = dst.tell()
        os.rename(plain, path)
    finally:
        with suppress(OSError):
            os.unlink(plain)
    return size
