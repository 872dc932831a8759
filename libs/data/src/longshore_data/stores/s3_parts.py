"""S3 objects in parts: parallel ranges that go on where they broke off, multipart upload, multipart copy.

What must not enter: files that appear, requests of a single answer.
"""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from threading import Event
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from longshore_data import disk
from longshore_data.meter import Meter
from longshore_data.parallel import Stopped, each, in_thread
from longshore_data.store import Put, StoreError
from longshore_data.stores.s3_client import Answered, Changed, Damaged, translated
from longshore_data.stores.s3_tries import Patience, Talk, again
from longshore_data.stores.s3_wire import Span, Wire, etag, md5
from longshore_data.uri import Location

if TYPE_CHECKING:
    from aiohttp import ClientResponse

#: Parts of one object at once.
WIDTH: Final = 4
#: Bytes gathered before they go to the disk.
GATHER: Final = 1 << 20
#: Up to so many bytes are written and hashed without the detour over a thread.
INLINE: Final = 128 << 10
#: Seconds to wait for a broken upload to be cleared away; the request goes on after them.
ABORT_WITHIN: Final = 0.5
#: Bytes hashed between two looks at `stop`: few enough to stay in the cache of a core.
_HASHED: Final = 256 << 10

_SIZE = re.compile(r"bytes \d+-\d+/(\d+)")
#: What to do about an ETag that looks like an MD5 and is none.
_FIX: Final = "try again; if the ETags of this server are no MD5s, set LONGSHORE_S3_ETAGS=opaque"


class Via(NamedTuple):
    """How one object moves: the connection, threads for the disk, its meter, and what ETags are worth (`S3Settings.etags`)."""

    wire: Wire
    pool: Executor
    meter: Meter
    etags: str


class Object(NamedTuple):
    """What an answer says of an object: size, ETag, the MD5 that this ETag is (else empty), whether ranges can be had."""

    size: int
    etag: str
    md5: str
    ranged: bool


class _Part:
    """Bytes from `at` (which grows) up to `end`; `done` once all of them are in the file. `digest` is fed as they come."""

    def __init__(self, start: int, end: int) -> None:
        self.start, self.at, self.end = start, start, end
        self.digest: Any = None
        self.done = asyncio.Event()


class Download:
    """One object into one local file."""

    def __init__(self, via: Via, source: Location) -> None:
        self._via, self._source = via, source
        self._doing = f"fetching {source}"

    async def run(self, path: str, part: int) -> int:
        """Write the object to `path`; its size. The first request asks for the first part, and learns how many there are.

        Every part goes on at the byte where its connection broke. `Changed`: begin anew; `Damaged`: the MD5 differs.
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            first = _Part(0, part)
            known = await self._first(fd, first)
            rest = [_Part(at, min(at + part, known.size)) for at in range(first.end, known.size, part)]
            if not rest:
                await self._bring(fd, first, known.etag)
                await self._check(fd, known, [first])
                return known.size
            parts = [first, *rest]
            check = asyncio.ensure_future(self._check(fd, known, parts))
            try:
                await each(parts, lambda one: self._bring(fd, one, known.etag), WIDTH)
                await check
            finally:
                check.cancel()
                await asyncio.wait([check])
            return known.size
        finally:
            os.close(fd)

    async def _first(self, fd: int, first: _Part) -> Object:
        """What the object is, and as much of its first part as came with the answer.

        From a server that knows no ranges the whole object comes, anew as often as it breaks off.
        """
        patience, span = Patience(), (0, first.end)
        while True:
            known = None
            try:
                async with self._ask(None if span[1] == 0 else span) as answer:
                    known = self._described(answer)
                    first.end = min(span[1], known.size) if known.ranged else known.size
                    first.digest = hashlib.md5(usedforsecurity=False) if known.md5 else None
                    await self._pour(answer, fd, first, Patience())  # bytes that come again are no progress
                    return known
            except StoreError as err:
                if known and known.ranged:
                    return known
                await self._via.meter.moved(-first.at)
                first.at = 0
                if span[1] and isinstance(err.__cause__, Answered) and err.__cause__.status == 416:
                    span = (0, 0)  # an object of no bytes has no first byte either
                    continue
                await patience.after(err)

    async def _bring(self, fd: int, one: _Part, tag: str) -> None:
        """What is not there yet of a part of the object that has the ETag `tag`."""
        patience = Patience()
        while one.at < one.end:
            try:
                async with self._ask((one.at, one.end)) as answer:
                    if etag(answer.headers) != tag:
                        raise Changed(f"{self._doing}: the object changed meanwhile")
                    await self._pour(answer, fd, one, patience)
            except StoreError as err:
                await patience.after(err)
        one.done.set()

    async def _pour(self, answer: "ClientResponse", fd: int, one: _Part, patience: Patience) -> None:
        """The body of `answer` into the file, in few and large writes."""
        gathered: list[bytes] = []
        due = one.end - one.at
        try:
            async for chunk in answer.content.iter_any():
                due -= len(chunk)
                if due < 0:
                    raise StoreError(f"{self._doing}: the server sent more than the range that was asked for")
                gathered.append(chunk)
                patience.moved()
                await self._via.meter.moved(len(chunk))
                if one.end - one.at - due >= GATHER:
                    await self._write(fd, gathered, one)
                    gathered = []
        except Exception:
            await self._write(fd, gathered, one)  # these need not come again
            raise
        await self._write(fd, gathered, one)
        if one.at < one.end:
            raise StoreError(f"{self._doing}: the server stopped at byte {one.at} of {one.end}", retriable=True)

    async def _write(self, fd: int, gathered: list[bytes], one: _Part) -> None:
        size = sum(map(len, gathered))
        if size > INLINE:
            await in_thread(self._via.pool, _write_at, fd, gathered, one)
        elif size:
            _write_at(Event(), fd, gathered, one)
        one.at += size

    async def _check(self, fd: int, known: Object, parts: Sequence[_Part]) -> None:
        """`Damaged` if the file is not what the ETag says. Parts are hashed in their order, while later ones still come."""
        if not known.md5:
            return
        await parts[0].done.wait()
        digest = parts[0].digest
        for one in parts[1:]:
            await one.done.wait()
            await _hash(self._via.pool, fd, (one.start, one.end), digest)
        if (found := digest.hexdigest()) != known.md5:
            raise Damaged(f"{self._doing}: the MD5 of what came is {found}, its ETag {known.md5}: {_FIX}")

    def _described(self, answer: "ClientResponse") -> Object:
        headers = answer.headers
        match = _SIZE.fullmatch(headers.get("Content-Range", ""))
        size = int(match.group(1) if match else headers.get("Content-Length", "-1"))
        if size < 0:
            raise StoreError(f"{self._doing}: the server does not say how large it is", retriable=True)
        return Object(size, etag(headers), md5(headers) if self._via.etags == "md5" else "", match is not None)

    @asynccontextmanager
    async def _ask(self, span: tuple[int, int] | None) -> "AsyncIterator[ClientResponse]":
        try:
            async with self._via.wire.get(self._source, span) as answer:
                yield answer
        except Exception as err:
            raise translated(err, self._doing) from err


class Upload:
    """One large local file into one object."""

    def __init__(self, via: Via, talk: Talk, target: Location, doing: str) -> None:
        self._via, self._talk, self._target, self._doing = via, talk, target, doing
        self._place: Any = {"Bucket": target.bucket, "Key": target.key}
        self._whole = hashlib.sha256()

    async def run(self, fd: int, size: int, part: int) -> Put:
        """Upload an open file in parts, each repeated by itself; nothing remains of an upload that breaks off."""
        made = await self._talk.ask(self._doing, lambda s3: s3.create_multipart_upload(**self._place))
        upload: str = made["UploadId"]
        turn = asyncio.Lock()  # parts are hashed in their order, which is the order in which they begin

        async def one(start: int) -> str:
            end = min(size, start + part)
            async with turn:
                sums = await hashes(self._via.pool, fd, (start, end), self._whole)
            query = {"partNumber": str(start // part + 1), "uploadId": upload}
            return await send(self._via, self._target, Span(fd, start, end, sums.sha256), sums.md5, query=query)

        try:
            tags = await each(range(0, size, part), one, WIDTH)
            await self._complete(upload, tags)
        except BaseException:
            await _abort(self._talk, self._place, upload)
            raise
        return Put(size, self._whole.hexdigest())

    async def _complete(self, upload: str, tags: list[str]) -> None:
        """Make the object of its parts. If the answer to a first try was lost, the object that stands there tells."""
        parts: Any = {"Parts": [{"PartNumber": k, "ETag": f'"{tag}"'} for k, tag in enumerate(tags, 1)]}
        tries = 0

        async def complete() -> None:
            nonlocal tries
            tries += 1
            await self._talk.once(
                self._doing,
                lambda s3: s3.complete_multipart_upload(**self._place, UploadId=upload, MultipartUpload=parts),
            )

        try:
            await again(complete)
        except Changed:
            if tries == 1 or not await self._stands(tags):
                raise

    async def _stands(self, tags: list[str]) -> bool:
        """Whether the object in our place is made of these parts."""
        head = await self._talk.ask(self._doing, lambda s3: s3.head_object(**self._place))
        with suppress(ValueError):
            joined = hashlib.md5(b"".join(map(bytes.fromhex, tags)), usedforsecurity=False).hexdigest()
            return head["ETag"].strip('"') == f"{joined}-{len(tags)}"
        return False


class Sums(NamedTuple):
    """Two digests of the same bytes, in hex."""

    sha256: str
    md5: str


async def hashes(pool: Executor, fd: int, span: tuple[int, int], whole: Any = None) -> Sums:
    """What the bytes `span` of an open file hash to; `whole` is fed the same bytes."""
    sha, tag = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    await _hash(pool, fd, span, sha, tag, *([] if whole is None else [whole]))
    return Sums(sha.hexdigest(), tag.hexdigest())


async def send(via: Via, target: Location, body: Span | bytes, tag: str, **named: Any) -> str:
    """PUT `body`, whose MD5 is `tag`, as often as is worth it; the ETag. The server checks the sha256 that we signed, and
    we the MD5 that it answers, where it is one."""
    doing = f"writing {target}"

    async def once() -> str:
        try:
            headers = await via.wire.put(target, body, via.meter, **named)
        except Exception as err:
            raise translated(err, doing) from err
        if via.etags != "opaque" and md5(headers) not in ("", tag):
            words = f"{doing}: what was stored has the MD5 {md5(headers)}, what was sent {tag}: {_FIX}"
            if "query" in named:
                raise Damaged(words)  # not all servers let a part be replaced
            raise StoreError(words, retriable=True)
        return etag(headers)

    return await again(once)


async def copy_in_parts(talk: Talk, source: Location, target: Location, sizes: tuple[int, int]) -> None:
    """A copy by the server of an object of `sizes[0]` bytes in parts of `sizes[1]` bytes; its metadata goes along."""
    size, part = sizes
    doing = f"copying {source} to {target}"
    place: Any = {"Bucket": target.bucket, "Key": target.key}
    origin: Any = {"Bucket": source.bucket, "Key": source.key}
    head = await talk.ask(doing, lambda s3: s3.head_object(**origin))
    made = await talk.ask(doing, lambda s3: s3.create_multipart_upload(**place, Metadata=head["Metadata"]))
    upload = made["UploadId"]

    async def one(start: int) -> Any:
        number, span = start // part + 1, f"bytes={start}-{min(size, start + part) - 1}"
        named: Any = {"UploadId": upload, "PartNumber": number, "CopySource": origin, "CopySourceRange": span}
        answer = await talk.ask(doing, lambda s3: s3.upload_part_copy(**place, **named))
        if not (tag := answer.get("CopyPartResult", {}).get("ETag")):
            raise StoreError(
                f"{doing}: this server does not copy objects above {part} bytes: keep outputs smaller there"
            )
        return {"PartNumber": number, "ETag": tag}

    try:
        done: Any = {"Parts": await each(range(0, size, part), one, WIDTH)}
        await talk.ask(doing, lambda s3: s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload=done))
    except BaseException:
        await _abort(talk, place, upload)
        raise


async def _abort(talk: Talk, place: Any, upload: str) -> None:
    """Tell the server to forget an upload, within seconds and even when we are being cancelled; its failure is no news."""
    task = asyncio.ensure_future(talk.once("", lambda s3: s3.abort_multipart_upload(**place, UploadId=upload)))
    task.add_done_callback(lambda t: t.cancelled() or t.exception())
    with suppress(Exception):
        async with asyncio.timeout(ABORT_WITHIN):
            await asyncio.shield(task)


async def _hash(pool: Executor, fd: int, span: tuple[int, int], *digests: Any) -> None:
    if span[1] - span[0] <= INLINE:
        _feed(Event(), fd, span, digests)
    else:
        await in_thread(pool, _feed, fd, span, digests)


def _feed(stop: Event, fd: int, span: tuple[int, int], digests: Sequence[Any]) -> None:
    at, end = span
    piece = memoryview(bytearray(min(_HASHED, end - at)))
    while at < end:
        if stop.is_set():
            raise Stopped
        if not (size := os.preadv(fd, [piece[: end - at]], at)):
            raise StoreError("the file became shorter while it was read")
        for digest in digests:
            digest.update(piece[:size])
        at += size


def _write_at(_stop: Event, fd: int, gathered: list[bytes], one: _Part) -> None:
    done = os.pwritev(fd, gathered, one.at)
    if done < sum(map(len, gathered)):  # a disk that is full, or a call that was interrupted
        disk.write_all(fd, b"".join(gathered)[done:], one.at + done)
    if one.digest is not None:
        for data in gathered:
            one.digest.update(data)
