"""Named bytes in JetStream object-store buckets, in the format of ADR-20, so that the `nats` tool reads them.

Written with four API calls instead of nats-py's consumers and direct gets: whoever may create a consumer or direct-get
on a stream whose content it writes can have the server publish that content on any subject, in anybody's name. Messages
got by `STREAM.MSG.GET` come wrapped and can forge nothing. What must not enter: names' meaning.
"""

import asyncio
import base64
import hashlib
import json
from typing import Any, Final, TypeVar

from longshore_common.adapters.nats_wire import ApiError, Got, Lost, NoResponders, Wire, api
from longshore_common.clock import SystemClock, iso
from longshore_common.errors import NotFound, Unreachable, Unreadable

T = TypeVar("T")

#: Bytes of one chunk.
CHUNK: Final = 512 * 1024
#: Chunks under way at a time.
WINDOW: Final = 8
#: Seconds for one call.
PATIENCE: Final = 10.0
#: Most calls repeated after a broken connection or a missing answer, and seconds between.
TRIES, PAUSE = 5, 0.5
_NO_MESSAGE: Final = 10037
_NO_STREAM: Final = 10059


class NatsBlobs:
    """`Blobs` on JetStream; buckets are made by `nats_setup`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._clock = SystemClock()
        self._made = 0

    async def put(self, bucket: str, name: str, data: bytes) -> None:
        """As `Blobs.put`: chunks first, then the name, then the old chunks go; a reader sees the old or the new."""
        old = await self._info(bucket, name)
        self._made += 1
        nuid = f"{self._wire.inbox.rsplit('.', 1)[1]}{self._made}"
        chunks = [data[i : i + CHUNK] for i in range(0, len(data), CHUNK)]
        for start in range(0, len(chunks), WINDOW):
            await asyncio.gather(
                *[
                    self._publish(bucket, f"C.{nuid}", c, f"{nuid}-{start + n}")
                    for n, c in enumerate(chunks[start : start + WINDOW])
                ]
            )
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()
        await self._name(
            bucket,
            {
                "name": name, "bucket": bucket, "nuid": nuid, "size": len(data), "chunks": len(chunks),
                "digest": f"SHA-256={digest}", "options": {"max_chunk_size": CHUNK},
            },
        )  # fmt: skip
        await self._purge(bucket, old)

    async def get(self, bucket: str, name: str) -> bytes | None:
        """As `Blobs.get`; `Unreadable` if the bytes are not those of the digest."""
        info = await self._info(bucket, name)
        if info is None or info.get("deleted"):
            return None
        parts: list[bytes] = []
        seq = 0
        for _ in range(info.get("chunks", 0)):
            message = await self._message(bucket, {"seq": seq + 1, "next_by_subj": f"$O.{bucket}.C.{info['nuid']}"})
            if message is None:
                break
            seq = message["seq"]
            parts.append(base64.b64decode(message.get("data", "")))
        data = b"".join(parts)
        digest = "SHA-256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()
        if digest.rstrip("=") != info.get("digest", "").rstrip("="):
            again = await self._info(bucket, name)
            if again is None or again.get("nuid") != info["nuid"]:  # replaced while we read
                return await self.get(bucket, name)
            raise Unreadable(f"{name} in bucket {bucket} is damaged: {len(data)} bytes that do not match their digest")
        return data

    async def delete(self, bucket: str, name: str) -> None:
        """As `Blobs.delete`."""
        info = await self._info(bucket, name)
        if info is None or info.get("deleted"):
            return
        gone = info | {"deleted": True, "size": 0, "chunks": 0, "digest": ""}
        await self._name(bucket, gone)
        await self._purge(bucket, info)

    # --- the store's calls ------------------------------------------------------------------------------------------

    async def _info(self, bucket: str, name: str) -> dict[str, Any] | None:
        message = await self._message(bucket, {"last_by_subj": _meta(bucket, name)})
        return None if message is None else json.loads(base64.b64decode(message["data"]))

    async def _message(self, bucket: str, what: dict[str, Any]) -> dict[str, Any] | None:
        try:
            answer = await self._repeated(
                lambda: api(self._wire, f"STREAM.MSG.GET.OBJ_{bucket}", what, PATIENCE), bucket
            )
        except ApiError as err:
            if err.err_code == _NO_MESSAGE:
                return None
            raise Unreachable(f"bucket {bucket} does not answer: {err}") from err
        message: dict[str, Any] = answer["message"]
        return message

    async def _name(self, bucket: str, info: dict[str, Any]) -> None:
        body = json.dumps(info | {"mtime": iso(self._clock.now())}).encode()
        subject = _meta(bucket, info["name"]).removeprefix(f"$O.{bucket}.")
        self._made += 1
        await self._publish(bucket, subject, body, f"{self._wire.inbox.rsplit('.', 1)[1]}n{self._made}", rollup=True)

    async def _publish(self, bucket: str, what: str, body: bytes, once: str, *, rollup: bool = False) -> None:
        header = f"NATS/1.0\r\nNats-Msg-Id: {once}\r\n" + ("Nats-Rollup: sub\r\n" if rollup else "") + "\r\n"

        async def publish() -> Got:
            return await self._wire.ask_within(f"$O.{bucket}.{what}", body, PATIENCE, header.encode())

        error = json.loads((await self._repeated(publish, bucket)).data).get("error")
        if error:
            raise Unreachable(f"bucket {bucket} did not take {len(body)} bytes: {error.get('description')}")

    async def _purge(self, bucket: str, info: dict[str, Any] | None) -> None:
        if info is not None and info.get("nuid"):
            what = {"filter": f"$O.{bucket}.C.{info['nuid']}"}
            await self._repeated(lambda: api(self._wire, f"STREAM.PURGE.OBJ_{bucket}", what, PATIENCE), bucket)

    async def _repeated(self, call: Any, bucket: str) -> Any:
        """The call's answer, asked again where it got lost; every call here may be repeated."""
        for nth in range(TRIES):
            try:
                await self._wire.ready(asyncio.get_running_loop().time() + PATIENCE)
                return await call()
            except NoResponders as err:
                missing: Exception = err
            except (Lost, TimeoutError) as err:
                missing = err
            except ApiError as err:
                if err.err_code == _NO_STREAM:
                    raise NotFound(f"there is no bucket {bucket}") from err
                raise
            if nth + 1 < TRIES:
                await asyncio.sleep(PAUSE)
        raise Unreachable(f"bucket {bucket} does not answer: try again later") from missing


def _meta(bucket: str, name: str) -> str:
    return f"$O.{bucket}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"
