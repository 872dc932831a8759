"""The agent's end of the spawner's socket: frames of tuples, and what becomes of them when one side goes away.

To the spawner: ("s", attempt, argv, env, cwd, stdout, stderr, uid, gid, timeout[, more]) start; ("d", attempt) drop if
not started; ("x", attempt, grace[, signum]) drop, or that signal (SIGTERM) and then SIGKILL; ("k", attempt, signum);
("l", limit); ("a", seq) ends up to seq are recorded. From it: ("H", version, id, pid, running, queued, ended) at first;
("S", attempt, pid, at) started; ("D", attempt) dropped; ("E", seq, attempt, pid, status, started, ended, peak, cpu, read,
written, why, errno) ended, `why` being "timeout" or, with status -1, the reason it could not be started. `more` and signum
came with version 2; `more` is a dict: `groups` directories of control groups to be in, `cpus` to run on, `limits` pairs of
rlimit and value, `stop` and `grace` for its time limit. What must not enter: decisions.
"""

import asyncio
import marshal
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from longshore_agent.adapters import spawner_main

Message = tuple[Any, ...]
#: A path of a UNIX socket can be no longer; longer ones are reached through their directory.
_LONGEST: Final = 100


class Hello(NamedTuple):
    """What a spawner says first: its identity, and all it holds. `running` are (attempt, pid, started at)."""

    version: int
    id: str
    pid: int
    running: list[tuple[str, int, float]]
    queued: list[str]
    ended: list[Message]


class Link(asyncio.Protocol):
    """One connection. `on_events` gets each frame after the hello; `closed` is set when the spawner is gone."""

    def __init__(self, on_events: Callable[[list[Message]], None]) -> None:
        self.hello: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()
        self.closed = asyncio.Event()
        self._on_events = on_events
        self._buffer = bytearray()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio: the socket is there."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Of asyncio: the socket is gone."""
        if not self.hello.done():
            self.hello.set_exception(ConnectionResetError("the spawner hung up"))
        self.closed.set()

    def data_received(self, data: bytes) -> None:
        """Of asyncio: take whole frames and pass them on."""
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) >= at + 4:
            end = at + 4 + int.from_bytes(buffer[at : at + 4], "big")
            if len(buffer) < end:
                break
            messages: list[Message] = marshal.loads(bytes(buffer[at + 4 : end]))
            at = end
            if not self.hello.done():
                self.hello.set_result(Hello(*messages.pop(0)[1:7]))  # a later version may say more
            if messages:
                self._on_events(messages)
        del buffer[:at]

    def send(self, messages: Sequence[Message]) -> None:
        """One frame; nothing happens if the spawner is gone (its next hello tells what it has)."""
        if self._transport is None or self._transport.is_closing() or not messages:
            return
        body = marshal.dumps(list(messages), 2)
        self._transport.write(len(body).to_bytes(4, "big") + body)

    def close(self) -> None:
        """Hang up; the processes go on."""
        if self._transport is not None:
            self._transport.close()


async def connect(path: Path, on_events: Callable[[list[Message]], None]) -> Link:
    """A link whose hello has come. `OSError` if nobody serves at `path`, or does not speak within 5 s."""
    loop = asyncio.get_running_loop()
    with _reachable(path) as address:
        _, link = await loop.create_unix_connection(lambda: Link(on_events), address)
    try:
        await asyncio.wait_for(asyncio.shield(link.hello), 5)
    except TimeoutError as err:
        link.close()
        link.hello.cancel()
        raise ConnectionAbortedError(f"the spawner at {path} does not answer") from err
    return link


def start_detached(path: Path) -> None:
    """Start a spawner of our own that outlives us; if another was faster, ours ends by itself."""
    log = os.open(path.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        subprocess.Popen(
            command(),
            env={"LONGSHORE_SPAWNER_SOCKET": str(path), "PATH": os.environ.get("PATH", os.defpath)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        ).returncode = 0  # it is not ours to wait for
    finally:
        os.close(log)


def command() -> list[str]:
    """The argv of a spawner: no site packages, so that it starts in 20 ms and stays small."""
    return [sys.executable, "-I", "-S", spawner_main.__file__]


class _reachable:
    """An address of at most 100 bytes for a socket's path, as long as the context lasts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) <= _LONGEST:
            return str(self._path)
        self._fd = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._fd}/{self._path.name}"

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)
