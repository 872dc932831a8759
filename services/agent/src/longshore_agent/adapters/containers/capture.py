"""The output of a container into two files, as bytes, apart, and from the beginning however often we are restarted.

The engine keeps the output itself (driver `local`, which keeps bytes where `json-file` makes them text); we follow it
and skip what the files already hold. What must not enter: the life of containers.
"""

import asyncio
import os
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from aiohttp import ClientError, ClientTimeout

if TYPE_CHECKING:
    from aiodocker import Docker

_HEADER: Final = struct.Struct(">BxxxL")
STDOUT: Final = 1
STDERR: Final = 2
#: Bytes a second that an engine gives at least.
SLOWEST: Final = 10e6


class Demultiplexer:
    """Cuts the engine's stream of frames into what belongs to stdout and to stderr."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> dict[int, bytes]:
        """The complete frames so far, joined per stream; the rest waits for more."""
        buffer = self._buffer
        buffer += data
        parts: dict[int, list[bytes]] = {}
        at = 0
        while len(buffer) - at >= _HEADER.size:
            stream, size = _HEADER.unpack_from(buffer, at)
            end = at + _HEADER.size + size
            if end > len(buffer):
                break
            parts.setdefault(STDERR if stream == STDERR else STDOUT, []).append(bytes(buffer[at + _HEADER.size : end]))
            at = end
        del buffer[:at]
        return {stream: b"".join(some) for stream, some in parts.items()}


class Capture:
    """Follows one container's output. `lost` says why some of it is not in the files, empty if all of it is.

    `ordered` False: this engine (Podman 4) mixes up lines for who follows, so all of it is read again at the end. `before`:
    bytes that the files hold of others; `paths` are of stdout and stderr, as these are.
    """

    def __init__(
        self,
        docker: "Docker",
        name: str,
        paths: tuple[str, str],
        *,
        ordered: bool = True,
        before: tuple[int, int] = (0, 0),
    ) -> None:
        self._docker, self._name, self._ordered = docker, name, ordered
        self._paths = dict(zip((STDOUT, STDERR), paths, strict=True))
        self._before = dict(zip((STDOUT, STDERR), before, strict=True))
        self.lost = ""

    async def run(self) -> None:
        """Until the container has ended and all its output is in the files. A broken connection is made again."""
        while not await self._follow():
            await asyncio.sleep(0.5)
            if not await self._exists():
                return

    async def rest(self) -> None:
        """What the follower may have missed, once the container has ended: the engine at times closes the stream of one
        that is just ending before it sent anything. At most 5 seconds, more for much; `lost` says if that was in vain.
        """
        whole, much = False, 0
        if not self._ordered and not self.lost:
            much = sum(os.path.getsize(path) for path in self._paths.values() if os.path.exists(path))
            self._forget()
        with suppress(TimeoutError):
            async with asyncio.timeout(5 + much / SLOWEST):
                whole = await self._follow(on=False)
        if not whole:
            self.lost = self.lost or "the engine did not answer when the output was read to its end"

    async def _follow(self, *, on: bool = True) -> bool:
        """Whether the engine told us the end of the output, rather than that the connection broke."""
        from aiodocker import DockerError

        files = {
            stream: os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) for stream, path in self._paths.items()
        }
        skip = {stream: max(0, os.fstat(fd).st_size - self._before[stream]) for stream, fd in files.items()}
        cutter = Demultiplexer()
        try:
            async with self._docker._query(
                f"containers/{self._name}/logs",
                params={"stdout": 1, "stderr": 1, "follow": int(on)},
                timeout=ClientTimeout(sock_connect=5),
            ) as answer:
                try:
                    while chunk := await answer.content.readany():
                        for stream, data in cutter.feed(chunk).items():
                            old = min(skip[stream], len(data))
                            skip[stream] -= old
                            self._write(files[stream], data[old:])
                finally:
                    answer.close()
            return True
        except DockerError as err:
            return err.status == 404
        except (ClientError, OSError, TimeoutError):
            return False
        finally:
            for fd in files.values():
                os.close(fd)

    def _forget(self) -> None:
        for stream, path in self._paths.items():
            with suppress(FileNotFoundError):
                os.truncate(path, self._before[stream])

    def _write(self, fd: int, data: bytes) -> None:
        """A full disk must not stop the container: what does not fit is lost, and `lost` says so."""
        try:
            while data and not self.lost:
                data = data[os.write(fd, data) :]
        except OSError as err:
            self.lost = f"output could not be kept: {os.strerror(err.errno or 0)}"

    async def _exists(self) -> bool:
        from aiodocker import DockerError

        with suppress(ClientError, OSError, TimeoutError):
            try:
                await self._docker.containers.container(self._name).show()
            except DockerError as err:
                return err.status != 404
        return True


def task(capture: Capture) -> "asyncio.Task[Any]":
    """`capture` running by itself; its failure is asked for by whoever awaits it."""
    return asyncio.create_task(capture.run(), name="container output")
