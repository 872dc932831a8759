"""An HTTP server that can be told to fail in every way that was met in the wild, and an FTP server in a process of its own."""

import asyncio
import contextlib
import ipaddress
import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


class Fault(NamedTuple):
    """What one request meets instead of what it asked for. `cut`/`hang`: after so many bytes of the body (-1: not)."""

    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    cut: int = -1
    hang: int = -1


@dataclass
class Served:
    """One path. `length`: what Content-Length says where it is not true (-1: the truth, -2: no such header)."""

    data: bytes = b""
    etag: str = '"one"'
    modified: str = ""
    ranges: bool = True
    careless: bool = False  # If-Range means nothing to it
    head: bool = True
    chunked: bool = False
    length: int = -1
    headers: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]


class HttpServer:
    """Serves `paths` on loopback; what was asked is in `requests`."""

    def __init__(self) -> None:
        self.paths: dict[str, Served] = {}
        self.requests: list[Request] = []
        self.port = 0
        self.open = 0
        self.room = 99  # requests at once; those beyond are sent away
        self.together = 0  # bodies are sent only once so many requests are open
        self._opened = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, tls: ssl.SSLContext | None = None) -> "HttpServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self._scheme = "https" if tls else "http"
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def url(self, path: str) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}{path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
        self.requests.append(Request(method, target, headers))
        async with self._opened:
            self.open += 1
            self._opened.notify_all()
        try:
            served = self.paths.get(target.partition("?")[0])
            if served is None:
                return await self._answer(writer, method, 404, {"Content-Length": "0"}, b"", Fault())
            if self.open > self.room:
                return await self._answer(writer, method, 503, {"Content-Length": "0"}, b"", Fault())
            fault = served.faults.pop(0) if served.faults else Fault()
            if fault.status:
                said = {"Content-Length": str(len(fault.body)), **dict(fault.headers)}
                return await self._answer(writer, method, fault.status, said, fault.body, fault)
            if method == "HEAD" and not served.head:
                return await self._answer(writer, method, 405, {"Content-Length": "0"}, b"", fault)
            return await self._file(writer, method, served, headers, fault)
        finally:
            self.open -= 1

    async def _file(
        self, writer: asyncio.StreamWriter, method: str, served: Served, asked: dict[str, str], fault: Fault
    ) -> bool:
        data, status, said = served.data, 200, dict(served.headers)
        if served.etag:
            said["ETag"] = served.etag
        if served.modified:
            said["Last-Modified"] = served.modified
        condition = asked.get("if-range")
        fresh = condition is None or served.careless or condition in (served.etag, served.modified)
        if served.ranges and "range" in asked and fresh and not served.chunked:
            first, _, last = asked["range"].removeprefix("bytes=").partition("-")
            start, end = int(first), min(len(data), int(last or len(data)) + 1)
            status = 206 if start < len(data) else 416
            said["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}" if status == 206 else f"bytes */{len(data)}"
            data = data[start:end] if status == 206 else b""
        if served.chunked:
            said["Transfer-Encoding"] = "chunked"
            data = b"".join(
                b"%x\r\n%s\r\n" % (len(p), p) for p in (data[k : k + 1000] for k in range(0, len(data), 1000))
            )
            data += b"0\r\n\r\n"
        elif served.length != -2:
            said["Content-Length"] = str(len(data) if served.length == -1 else served.length)
        return await self._answer(writer, method, status, said, data, fault)

    async def _answer(
        self, writer: asyncio.StreamWriter, method: str, status: int, said: dict[str, str], body: bytes, fault: Fault
    ) -> bool:
        head = [f"HTTP/1.1 {status} Told", *(f"{k}: {v}" for k, v in said.items())]
        writer.write(("\r\n".join(head) + "\r\n\r\n").encode("latin-1"))
        if method == "HEAD":
            await writer.drain()
            return True
        if self.together:
            await writer.drain()
            async with self._opened:
                await self._opened.wait_for(lambda: self.open >= self.together)
            self.together = 0
        stop = max(fault.cut, fault.hang)
        writer.write(body if stop < 0 else body[:stop])
        await writer.drain()
        if fault.hang >= 0:
            await asyncio.Event().wait()
        if fault.cut >= 0:
            return False
        return "Transfer-Encoding" in said or said.get("Content-Length") == str(len(body))


def certified(folder: Path) -> tuple[ssl.SSLContext, str]:
    """TLS of a server at 127.0.0.1 whose authority nobody knows, and the file with the authority's certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of its own")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(Encoding.PEM)
    (folder / "ca.pem").write_bytes(pem)
    (folder / "both.pem").write_bytes(
        pem + key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context, str(folder / "ca.pem")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class FtpServer:
    """pyftpdlib over a directory, in a process of its own. `how`: see `ftp_server.py`; `log` are the commands it got."""

    def __init__(self, root: Path, **how: object) -> None:
        self.root, self.how, self.port = root, how, free_port()
        self.process: subprocess.Popen[bytes] | None = None
        root.mkdir(parents=True, exist_ok=True)

    def start(self) -> "FtpServer":
        how = {"root": str(self.root), "port": self.port, "log": str(self.root) + ".log", **self.how}
        command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("ftp_server.py")), json.dumps(how)]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdin=quiet, stdout=quiet)
        deadline = time.monotonic() + 30
        while True:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            assert self.process.poll() is None, "the FTP server did not start"
            assert time.monotonic() < deadline, "the FTP server does not answer"
            time.sleep(0.02)

    def commands(self) -> Sequence[str]:
        with contextlib.suppress(FileNotFoundError):
            return Path(str(self.root) + ".log").read_text().splitlines()
        return []

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None
