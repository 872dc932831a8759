"""Connections to FTP servers, few to each and used again, and the words for what goes wrong.

Passive mode only, and always to the host that was asked: the address in an answer to PASV is often a private one behind a
router. What must not enter: which files, the local disk.
"""

import asyncio
import posixpath
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from longshore_data.store import StoreError
from longshore_data.stores.patience import Passing, Patience
from longshore_data.uri import Location, shown

if TYPE_CHECKING:
    from aioftp import Client

#: Connections to one server at once: public ones refuse more than a handful per client.
CONNECTIONS: Final = 4
#: Seconds for a server to say that a connection made earlier still lives.
ALIVE_WITHIN: Final = 5.0

_FIXES: Final = {
    "430": "correct the credentials of the remote",
    "530": "it wants other credentials: make a remote with them",
    "532": "it wants an account for this",
    "552": "its quota is used up: free space there",
}


class FtpSettings(NamedTuple):
    """Who we are, and for a remote also where: `host` empty, it stands in the URI."""

    user: str = "anonymous"
    password: str = "anonymous@"
    host: str = ""
    port: int = 21

    def __repr__(self) -> str:
        return f"FtpSettings({self.user!r}, host={self.host!r}, port={self.port})"


class Talk:
    """One connection that is logged in. `home`: where it was put at first, for relative paths."""

    def __init__(self, client: "Client", patience: Patience) -> None:
        self._client, self._patience = client, patience
        self._epsv = True
        self.home = "/"

    def path(self, key: str) -> str:
        """The absolute path of a place's key on the server."""
        return posixpath.join(self.home, key) if key else self.home

    async def say(self, command: str, expected: str | tuple[str, ...] = "2xx", wait: str | tuple[str, ...] = ()) -> str:
        """Send a command (empty: none) and return the last line of the answer; other codes raise aioftp's error."""
        _, lines = await self._client.command(command or None, expected, wait)
        return lines[-1].strip()

    async def data(self, command: str, at: int = 0) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a data connection and begin `command` on it, from byte `at`."""
        reader, writer = await self._passive()
        try:
            if at:
                await self.say(f"REST {at}", "3xx")
            await self.say(command, "1xx")
        except BaseException:
            writer.close()
            raise
        return reader, writer

    async def over(self) -> None:
        """Take the server's word that what went over the data connection was all."""
        await self.say("", "2xx", "1xx")

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    async def _passive(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        from aioftp import StatusCodeError

        if self._epsv:
            try:
                return await self._client.get_passive_connection("I", ["epsv"])
            except StatusCodeError as err:
                if _code(err) == "421":
                    raise
                self._epsv = False
        return await self._client.get_passive_connection("I", ["pasv"])


class Connections:
    """Up to four connections to each server."""

    def __init__(self, settings: FtpSettings, patience: Patience) -> None:
        self._settings, self._patience = settings, patience
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._idle: dict[str, list[Talk]] = {}

    @asynccontextmanager
    async def use(self, place: Location, doing: str) -> AsyncIterator[Talk]:
        """A connection to the server of `place`. One that failed in the middle is not used again; errors are translated."""
        import aioftp

        server = place.bucket or f"{self._settings.host}:{self._settings.port}"
        async with self._turns.setdefault(server, asyncio.Semaphore(CONNECTIONS)):
            talk: Talk | None = None
            kept = False
            try:
                talk = await self._living(server) or await self._made(server)
                yield talk
                kept = True
            except StoreError:
                raise
            except (aioftp.AIOFTPException, OSError, EOFError, ValueError, LookupError) as err:
                kept = isinstance(err, aioftp.StatusCodeError) and _code(err).startswith("5")
                raise translated(err, doing) from err
            finally:
                if talk is not None:
                    self._idle.setdefault(server, []).append(talk) if kept else talk.close()

    async def close(self) -> None:
        """Hang up everywhere."""
        for talks in self._idle.values():
            for talk in talks:
                talk.close()
        self._idle.clear()

    async def _living(self, server: str) -> Talk | None:
        """A connection made earlier that still answers."""
        while talks := self._idle.get(server):
            talk = talks.pop()
            answered = False
            try:
                with suppress(Exception):
                    async with asyncio.timeout(ALIVE_WITHIN):
                        await talk.say("NOOP")
                        answered = True
            finally:
                if not answered:
                    talk.close()
            if answered:
                return talk
        return None

    async def _made(self, server: str) -> Talk:
        import aioftp

        patience, settings = self._patience, self._settings
        options: Any = {"limit": 1 << 20}  # of asyncio's streams: how much is read ahead
        client = aioftp.Client(socket_timeout=patience.silence, connection_timeout=patience.connect, **options)
        talk = Talk(client, patience)
        try:
            host, _, port = server.rpartition(":") if not server.endswith("]") else (server, "", "")
            await client.connect(*((host.strip("[]"), int(port)) if host and port else (server.strip("[]"), 21)))
            _keep_alive(client)
            await client.login(settings.user, settings.password)
            with suppress(aioftp.StatusCodeError):
                await talk.say("OPTS UTF8 ON")
            with suppress(aioftp.StatusCodeError):
                talk.home = str(await client.get_current_directory()) or "/"
        except BaseException:
            talk.close()
            raise
        return talk


def translated(err: Exception, doing: str) -> StoreError:
    """The `StoreError` for what aioftp, or the line, raised while `doing`."""
    import aioftp

    match err:
        case aioftp.StatusCodeError():
            return _answered(err, doing)
        case aioftp.AIOFTPException():
            return StoreError(f"{doing}: FTP cannot name that: {_line(err)}")
        case socket.gaierror(errno=socket.EAI_NONAME):
            return StoreError(f"{doing}: there is no host of that name: correct it", retriable=True)
        case TimeoutError():
            return Passing(f"{doing}: the server was silent for too long")
        case UnicodeError():
            return StoreError(f"{doing}: the server's names are not UTF-8, which is all that we read: {_line(err)}")
        case OSError() | EOFError():
            return Passing(f"{doing}: the server cannot be reached or broke off: {_line(err)}")
    return Passing(f"{doing}: the server's answer makes no sense: {_line(err)}")


def refused(err: Exception, *codes: str) -> bool:
    """Whether `err` is an answer of the server with one of these codes."""
    return any(_code(err).startswith(code) for code in codes)


def _answered(err: Any, doing: str) -> StoreError:
    code, said = _code(err), _said(err)
    words = f"{doing}: the server answered {code} ({said})"
    crowded = code in ("530", "500") and any(word in said.lower() for word in ("too many", "max", "try again"))
    if (code.startswith("4") and code != "430") or crowded:
        return Passing(f"{words}: try again later")
    denied = "denied" in said.lower() or "permission" in said.lower()
    fix = _FIXES.get(code, "its owner must allow it" if denied else "")
    return StoreError(f"{words}: {fix}" if fix else words, missing=code == "550" and not denied)


def _code(err: Exception) -> str:
    codes = getattr(err, "received_codes", ("",))
    return str(codes[-1])


def _said(err: Any) -> str:
    lines = [err.info] if isinstance(err.info, str) else err.info
    return shown(" ".join(" ".join(lines).split()))[:300]


def _keep_alive(client: "Client") -> None:
    """Routers forget connections on which nothing is said, as on this one during a long transfer."""
    sock = client.stream.writer.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)


def _line(err: Exception) -> str:
    text = " ".join(str(err).split())
    return f"{type(err).__name__}: {text}" if text else type(err).__name__
