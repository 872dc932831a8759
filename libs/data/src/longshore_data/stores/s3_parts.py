"""Large S3 objects in parts: parallel ranges, multipart upload, multipart copy.

What must not enter: when to use them, error words, small objects.
"""

import asyncio
import hashlib
import os
from concurrent.futures import Executor
from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING, Any, Final

from longshore_data import disk
from longshore_data.parallel import each, in_thread
from longshore_data.store import Put
from longshore_data.stores.s3_client import BrokeOff
from longshore_data.uri import Location

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

#: Parts of one object at once.
WIDTH: Final = 4
#: Bytes gathered before they go to the disk.
GATHER: Final = 2 << 20
#: Seconds to wait for a broken upload to be cleared away; the request goes on after them.
ABORT_WITHIN: Final = 0.5


class Download:
    """One large object into one local file, by ranges where the server honours them, in one stream where not."""

    def __init__(self, client: "S3Client", source: Location, pool: Executor, parts: asyncio.Semaphore) -> None:
        self._client, self._pool, self._parts = client, pool, parts
        self._place: dict[str, str] = {"Bucket": source.bucket, "Key": source.key}

    async def run(self, answer: Any, path: str, part: int) -> int:
        """Write the object to `path`; `answer` is that of a GET of all of it, its body unread. The size in bytes.

        The first body serves the first part and is then broken off, so no request is lost on finding out the size.
        """
        size, etag = int(answer["ContentLength"]), answer["ETag"]
        starts = range(0, size, part)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        ranged = None
        try:
            ranged = await self._honours_ranges(starts[1], min(size, starts[1] + part), etag)
            if ranged is None:
                await self._pour(answer, fd, 0, size)
                return size

            async def one(start: int) -> None:
                end = min(size, start + part)
                async with self._parts:
                    match start:
                        case 0:
                            await self._pour(answer, fd, 0, end)
                        case _ if start == starts[1]:
                            await self._pour(ranged, fd, start, end)
                        case _:
                            await self._pour(await self._ask(start, end, etag), fd, start, end)

            await each(starts, one, WIDTH)
            return size
        finally:
            for opened in (answer, ranged):
                if opened is not None:
                    opened["Body"].close()
            os.close(fd)

    async def _ask(self, start: int, end: int, etag: str) -> Any:
        place: Any = self._place
        return await self._client.get_object(**place, Range=f"bytes={start}-{end - 1}", IfMatch=etag)

    async def _honours_ranges(self, start: int, end: int, etag: str) -> Any | None:
        """The answer to the second range, or None if the server sends everything whatever is asked."""
        answer = await self._ask(start, end, etag)
        if answer["ContentLength"] == end - start:
            return answer
        answer["Body"].close()
        return None

    async def _pour(self, answer: Any, fd: int, start: int, end: int) -> None:
        """The body of `answer` into the file from `start` up to `end`, in few and large writes."""
        body, at = answer["Body"], start
        try:
            while at < end:
                data = await _gather(body, end - at)
                if not data:
                    raise BrokeOff(f"the server sent {at} bytes where {end} were due")
                await in_thread(self._pool, _write_at, fd, data, at)
                at += len(data)
        finally:
            body.close()


class Upload:
    """One large local file into one object."""

    def __init__(self, client: "S3Client", target: Location, pool: Executor, parts: asyncio.Semaphore) -> None:
        self._client, self._pool, self._parts = client, pool, parts
        self._place: dict[str, str] = {"Bucket": target.bucket, "Key": target.key}
        self._hash = hashlib.sha256()

    async def run(self, source: Any, part: int) -> Put:
        """Upload `source` (an open file) in parts of `part` bytes; nothing remains of an upload that breaks off."""
        place: Any = self._place
        upload: str = (await self._client.create_multipart_upload(**place))["UploadId"]
        try:
            size, etags = await self._send(source, part, upload)
            done: Any = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(etags.items())]
            await self._client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": done})
        except BaseException:
            await _abort(self._client, place, upload)
            raise
        return Put(size, self._hash.hexdigest())

    async def _send(self, source: Any, part: int, upload: str) -> tuple[int, dict[int, str]]:
        place: Any = self._place
        etags: dict[int, str] = {}
        turn = asyncio.Lock()  # parts are read, and hashed, in their order
        size = number = 0

        async def lane(_lane: int) -> None:
            nonlocal size, number
            while True:
                async with self._parts:
                    async with turn:
                        data = await in_thread(self._pool, self._read, source, part)
                        number, size = number + 1, size + len(data)
                        mine = number
                    if not data:
                        return
                    answer = await self._client.upload_part(**place, UploadId=upload, PartNumber=mine, Body=data)
                    etags[mine] = answer["ETag"]

        await each(range(WIDTH), lane, WIDTH)
        return size, etags

    def _read(self, _stop: Event, source: Any, part: int) -> bytes:
        pieces: list[bytes] = []
        missing = part
        while missing and (piece := source.read(missing)):
            pieces.append(piece)
            missing -= len(piece)
        data = b"".join(pieces) if len(pieces) != 1 else pieces[0]
        self._hash.update(data)
        return data


async def _gather(body: Any, due: int) -> bytes:
    """The next bytes of a body, 2 MiB or all that are due; fewer only at its end."""
    chunks: list[bytes] = []
    missing = min(GATHER, due)
    while missing and (chunk := await body.read(missing)):
        chunks.append(chunk)
        missing -= len(chunk)
    return b"".join(chunks)


async def copy_in_parts(client: "S3Client", source: Location, target: Location, sizes: tuple[int, int]) -> None:
    """A copy by the server of an object of `sizes[0]` bytes in parts of `sizes[1]` bytes; its metadata goes along."""
    size, part = sizes
    place: Any = {"Bucket": target.bucket, "Key": target.key}
    origin: Any = {"Bucket": source.bucket, "Key": source.key}
    head = await client.head_object(**origin)
    upload = (await client.create_multipart_upload(**place, Metadata=head["Metadata"]))["UploadId"]

    async def one(start: int) -> Any:
        span = f"bytes={start}-{min(size, start + part) - 1}"
        number = start // part + 1
        answer = await client.upload_part_copy(
            **place, UploadId=upload, PartNumber=number, CopySource=origin, CopySourceRange=span
        )
        return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}

    try:
        done = await each(range(0, size, part), one, WIDTH)
        await client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": done})
    except BaseException:
        await _abort(client, place, upload)
        raise


async def _abort(client: "S3Client", place: Any, upload: str) -> None:
    """Tell the server to forget an upload, within seconds and even when we are being cancelled; its failure is no news."""
    task = asyncio.ensure_future(client.abort_multipart_upload(**place, UploadId=upload))
    task.add_done_callback(lambda t: t.cancelled() or t.exception())
    with suppress(Exception):
        async with asyncio.timeout(ABORT_WITHIN):
            await asyncio.shield(task)


def _write_at(_stop: Event, fd: int, data: bytes, offset: int) -> None:
    disk.write_all(fd, data, offset)
