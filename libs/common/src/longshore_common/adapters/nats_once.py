"""One event appended over one plain socket: for a process that writes once and goes, such as a user's command.

Importing asyncio and nats-py costs more than everything else such a command does. Protocol: the client protocol of NATS,
text lines over TCP or TLS. What must not enter: reading the log, fences, anything that stays connected.
"""

import base64
import os
import socket
import time
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import urlsplit

import msgspec

from longshore_common import codec, subjects
from longshore_common.clock import SystemClock, iso
from longshore_common.damage import DAMAGED
from longshore_common.errors import BadInput, LongshoreError, Refused, Unreachable
from longshore_common.log import Entry

#: Seconds for which a server that refuses connections is tried: it may be starting again.
REFUSED_FOR: Final = 3.0
#: Seconds between attempts: the first, and the most after doubling.
BACK_OFF: Final = (0.05, 1.0)
_TOO_LARGE: Final = 10054


class _Trouble(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Ack(msgspec.Struct):
    seq: int = 0
    error: _Trouble | None = None


class _Info(msgspec.Struct):
    nonce: str = ""
    max_payload: int = 1024 * 1024
    tls_required: bool = False


class _Again(Exception):
    """It may or may not be in: repeat with the same id."""


def append_once(
    url: str, creds: str | None, entry: Entry, *, deadline: float = 10, refused_for: float = REFUSED_FOR
) -> int:
    """Append one event as the user `entry.name` and return its sequence once it is on disk.

    Repeats with the same id for up to `deadline` seconds, `refused_for` where nobody listens, so a lost acknowledgement
    never makes two. `Unreachable` after that, `Refused` if the credentials do not allow it, `BadInput` if the event is
    too large or the address is none.
    """
    until = time.monotonic() + deadline
    refused_until = min(until, time.monotonic() + refused_for)
    pause = BACK_OFF[0]
    while True:
        why: Exception | None = None
        for server in url.split(","):
            try:
                with _Line(server, creds, until) as line:
                    return line.append(entry)
            except (_Again, OSError) as err:
                why = err
        now = time.monotonic()
        if now >= until or (isinstance(why, ConnectionRefusedError) and now >= refused_until):
            raise Unreachable(f"the log at {url} does not answer ({why}): start it, or repeat later") from why
        time.sleep(min(pause, max(until - now, 0)))
        pause = min(pause * 2, BACK_OFF[1])


class _Line:
    """A connection for one exchange."""

    def __init__(self, server: str, creds: str | None, until: float) -> None:
        at = urlsplit(server if "://" in server else f"nats://{server}")
        try:
            where = (at.hostname or "127.0.0.1", at.port or 4222)
        except ValueError as err:
            raise BadInput(f"{server!r} is no NATS address; it looks like nats://host:4222") from err
        self._until = until
        self._creds = creds
        self._socket = socket.create_connection(where, timeout=self._left())
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file: BinaryIO = self._socket.makefile("rb")
        try:
            self.info = self._read_info()
            if self.info.tls_required or at.scheme == "tls":
                self._encrypt(where[0])
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> "_Line":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def append(self, entry: Entry) -> int:
        """Introduce ourselves, send, and return what the stream acknowledges."""
        inbox = f"{subjects.inbox('user', entry.name)}.{os.urandom(8).hex()}"
        body, more = codec.encode(entry.event)
        most = min(codec.MAX_MESSAGE, self.info.max_payload - 4096)
        if len(body) > most:
            raise BadInput(f"one event is {len(body):,} bytes, more than the {most:,} of a message: send it in parts")
        source = f"/longshore/user/{entry.name}"
        now = iso(SystemClock().now())
        headers = codec.attributes(entry.event, entry.id, source, now, entry.traceparent) | more
        head = ("NATS/1.0\r\n" + "".join(f"{key}: {value}\r\n" for key, value in headers.items()) + "\r\n").encode()
        sizes = f"{len(head)} {len(head) + len(body)}"
        send = f"SUB {inbox} 1\r\nHPUB {subjects.of(entry.event, entry.name)} {inbox} {sizes}\r\n".encode()
        self._send(self._connect(source) + send + head + body + b"\r\n")
        return self._sequence(self._answer())

    def _connect(self, source: str) -> bytes:
        options: dict[str, Any] = {
            "verbose": False, "pedantic": False, "lang": "python", "version": "0", "protocol": 1, "headers": True,
            "no_responders": True, "name": source,
        }  # fmt: skip
        if self._creds is not None:
            jwt, seed = _credentials(self._creds)
            options |= {"jwt": jwt, "sig": _signed(seed, self.info.nonce, self._creds)}
        return b"CONNECT " + msgspec.json.encode(options) + b"\r\n"

    def _answer(self) -> bytes:
        """The body that comes to our inbox; b"" if nobody listens on the subject."""
        while True:
            words = self._read_line().split()
            match words[:1]:
                case [b"MSG"]:
                    return self._read(int(words[-1]))
                case [b"HMSG"]:
                    head, whole = int(words[-2]), int(words[-1])
                    return self._read(whole)[head:]
                case [b"PING"]:
                    self._send(b"PONG\r\n")
                case [b"-ERR"]:
                    raise _translated(b" ".join(words[1:]).decode(errors="replace").strip("'"))
                case _:
                    continue  # INFO and +OK

    def _sequence(self, answer: bytes) -> int:
        if not answer:
            raise _Again("there is no log: start the api, which makes it")
        try:
            ack = msgspec.json.decode(answer, type=_Ack)
        except DAMAGED as err:
            raise _Again(f"the log answered {answer[:80]!r}") from err
        if ack.error is not None and ack.error.err_code == _TOO_LARGE:
            raise BadInput(f"the log refuses the event: {ack.error.description}; send it in parts")
        if ack.error is not None or not ack.seq:
            raise _Again(ack.error.description if ack.error else "no sequence came")
        return ack.seq

    def _read_info(self) -> _Info:
        kind, _, text = self._read_line().partition(b" ")
        if kind != b"INFO":
            raise BadInput(f"what answers there is no NATS server: it begins with {kind[:40]!r}")
        return msgspec.json.decode(text, type=_Info)

    def _encrypt(self, host: str) -> None:
        import ssl

        self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=host)
        self._file = self._socket.makefile("rb")

    def _send(self, data: bytes) -> None:
        self._socket.settimeout(self._left())
        self._socket.sendall(data)

    def _read_line(self) -> bytes:
        self._socket.settimeout(self._left())
        line = self._file.readline()
        if not line:
            raise _Again("the connection broke")
        return line.rstrip(b"\r\n")

    def _read(self, size: int) -> bytes:
        self._socket.settimeout(self._left())
        data = self._file.read(size)
        if len(data) < size:
            raise _Again("the connection broke")
        return data

    def _left(self) -> float:
        return min(max(self._until - time.monotonic(), 0.05), 5.0)


def _translated(text: str) -> LongshoreError | _Again:
    lower = text.lower()
    if "authorization" in lower or "authentication" in lower or "permissions" in lower:
        return Refused(f"NATS says {text!r}: these credentials do not allow it, or no longer")
    if "maximum payload" in lower:
        return BadInput(f"NATS says {text!r}: send it in parts")
    return _Again(text)


def _credentials(path: str) -> tuple[str, str]:
    """(JWT, seed) of a credentials file."""
    try:
        text = Path(path).read_text()
    except OSError as err:
        raise BadInput(f"the credentials file {path} cannot be read: {err.strerror}") from err
    try:
        jwt = text.split("BEGIN NATS USER JWT-----")[1].split("---")[0].strip()
        seed = text.split("BEGIN USER NKEY SEED-----")[1].split("---")[0].strip()
    except IndexError as err:
        raise BadInput(f"{path} is no NATS credentials file: it needs a user JWT and an nkey seed") from err
    return jwt, seed


def _signed(seed: str, nonce: str, path: str) -> str:
    import nkeys

    try:
        pair = nkeys.from_seed(bytearray(seed.encode()))
        return base64.urlsafe_b64encode(pair.sign(nonce.encode())).rstrip(b"=").decode()
    except (ValueError, nkeys.NkeysError) as err:
        raise BadInput(f"{path} holds no usable seed ({type(err).__name__}): ask for new credentials") from err
