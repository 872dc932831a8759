"""A real nats-server for tests, on a free port in a directory of the caller.

    async with running(tmp_path) as server:              # operator mode; plain=True for none
        creds = server.creds("worker", "w1")             # path of a credentials file of that role
        transport = await server.connect("dispatch")     # closed with the server
        server.kill(); server.start()                    # kill -9, and the same port and data again

`running` also makes the stream and buckets (`ready=False` leaves the server empty) and `worker(name)` the consumer.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from longshore_common import subjects
from longshore_common.adapters import nats_keys, nats_setup
from longshore_common.adapters.nats_log import NatsTransport, connect
from longshore_common.errors import Unreachable
from longshore_common.events import Role


class NatsServer:
    """One nats-server process; `url` and files below `directory` stay the same over restarts."""

    def __init__(self, directory: Path, *, plain: bool = False, claims: bool = False) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.plain = plain
        self._claims = str(directory / "claims") if claims else ""
        self.port = _free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.operator_seed = nats_keys.make_seed("operator")
        self.account_seed = nats_keys.make_seed("account")
        self.signing_seed = nats_keys.make_seed("account")
        self.account = nats_keys.public_key(self.account_seed)
        self.system_seed = nats_keys.make_seed("account")
        self.system = nats_keys.public_key(self.system_seed)
        self.operator = nats_keys.operator_jwt(self.operator_seed, self.system)
        self.revoked: dict[str, int] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self._opened: list[NatsTransport] = []
        self._conf = directory / "nats.conf"
        self._conf.write_text(self._text())

    def _text(self) -> str:
        text = (
            f"listen: 127.0.0.1:{self.port}\nmax_payload: 8MB\n"
            f'jetstream {{ store_dir: "{self.directory}/js", sync_interval: always }}\n'
        )
        if self.plain:
            return text
        ours = nats_keys.account_jwt(
            self.operator_seed,
            nats_keys.Holder("longshore", self.account),
            signing_keys=(nats_keys.public_key(self.signing_seed),),
            revoked=self.revoked,
        )
        system = nats_keys.account_jwt(self.operator_seed, nats_keys.Holder("SYS", self.system), jetstream=False)
        accounts = {self.account: ours, self.system: system}
        return text + nats_keys.server_conf(self.operator, self.system, accounts, self._claims)

    def revoke(self, public_key: str, at: int) -> None:
        """Void what this user was issued up to `at` (Unix seconds), by the reload an operator would do."""
        self.revoked[public_key] = at
        self._conf.write_text(self._text())
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGHUP)

    def start(self) -> None:
        """Start, or start again after `kill`; returns when the port answers, at most 10 s."""
        with (self.directory / "nats.log").open("ab") as out:
            self.process = subprocess.Popen(
                [str(Path(sys.prefix) / "bin" / "nats-server"), "-c", str(self._conf)], stdout=out, stderr=out
            )
        for _ in range(2_000):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            if self.process.poll() is not None:
                raise Unreachable((self.directory / "nats.log").read_text()[-2000:])
            time.sleep(0.005)

    def kill(self) -> None:
        """kill -9, as a power cut."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if self.process is not None:
            os.kill(self.process.pid, number)
            self.process.wait(10)
            self.process = None

    def creds(self, role: Role, name: str = "") -> str | None:
        """The path of a credentials file of this role, made at first use; None on a plain server."""
        if self.plain:
            return None
        path = self.directory / f"{role}-{name}.creds"
        if not path.exists():
            seed = nats_keys.make_seed("user")
            user = nats_keys.Holder(name or role, nats_keys.public_key(seed))
            jwt = nats_keys.user_jwt(self.signing_seed, self.account, user, subjects.permissions(role, name))
            path.touch(0o600)
            path.write_text(nats_keys.creds_text(jwt, seed))
        return str(path)

    def system_creds(self) -> str:
        """The path of a credentials file by which the account's claims are told."""
        path = self.directory / "system.creds"
        seed = nats_keys.make_seed("user")
        holder = nats_keys.Holder("api", nats_keys.public_key(seed))
        jwt = nats_keys.user_jwt(self.system_seed, self.system, holder, subjects.telling_claims())
        path.touch(0o600)
        path.write_text(nats_keys.creds_text(jwt, seed))
        return str(path)

    async def connect(self, role: Role, name: str = "") -> NatsTransport:
        """A transport of this role; closed when the server stops."""
        transport = await connect(self.url, creds=self.creds(role, name), role=role, name=name, deadline=20)
        self._opened.append(transport)
        return transport

    async def worker(self, name: str) -> NatsTransport:
        """A transport of a worker whose consumer and bucket exist."""
        await nats_setup.ensure_worker(await self.connect("api"), name)
        return await self.connect("worker", name)

    async def close(self) -> None:
        """Close every transport and stop the process."""
        await asyncio.gather(*[t.close() for t in self._opened])
        self._end(signal.SIGTERM)


@contextlib.asynccontextmanager
async def running(
    directory: Path, *, plain: bool = False, ready: bool = True, claims: bool = False
) -> AsyncIterator[NatsServer]:
    """A server with the log made, stopped at the end. With `claims` it keeps what it is told of accounts."""
    server = NatsServer(directory, plain=plain, claims=claims)
    server.start()
    try:
        if ready:
            await nats_setup.ensure_log(await server.connect("api"))
        yield server
    finally:
        await server.close()


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port
