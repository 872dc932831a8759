"""The state directory: where each thing is, who may read it, and the two files that tell about the stack as a whole.

What must not enter: what is inside the files of others.
"""

import fcntl
import os
import socket
from pathlib import Path

import msgspec

from longshore_common.errors import Refused
from longshore_infra.supervisor.files import read_json, sign
from longshore_infra.supervisor.plan import Report

#: A Unix socket's path must fit in sockaddr_un (108 bytes with its end).
SOCKET_PATH_BYTES = 107


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """The loopback ports of this stack, chosen at its first start, kept while they are free."""

    nats: int
    postgres: int
    api: int


class Layout:
    """Paths of one state directory; nothing is created before `create`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.keys, self.creds, self.secrets = root / "keys", root / "creds", root / "secrets"
        self.nats, self.postgres = root / "nats", root / "postgres"
        self.workers, self.logs, self.run = root / "workers", root / "logs", root / "run"
        self.stack_file, self.client_file = root / "stack.json", root / "client.json"
        self.lock_file, self.report_file = self.run / "supervisor.lock", self.run / "parts.json"

    def create(self) -> None:
        """Make the directories, 0700; a new root is 0711 if we are root, whose PostgreSQL runs as another user."""
        if not self.root.exists():
            self.root.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True)
        for each in (self.keys, self.creds, self.secrets, self.nats, self.workers, self.logs, self.run):
            each.mkdir(mode=0o700, exist_ok=True)
            each.chmod(0o700)

    def worker(self, name: str) -> Path:
        """The directory of one local worker."""
        return self.workers / name

    def log(self, part: str) -> Path:
        """The JSON lines of one part."""
        return self.logs / f"{part}.jsonl"

    def spawner_socket(self, worker: str) -> Path:
        """Where the spawner of a worker listens."""
        return self.run / f"{worker}.sock"

    def report(self) -> Report | None:
        """What the supervisor last said; None if there never was one."""
        return read_json(self.report_file, Report)

    def running(self) -> int | None:
        """The pid of whoever holds this stack (supervisor, or an `up` that prepares it), None if nobody does."""
        try:
            handle = os.open(self.lock_file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(os.pread(handle, 32, 0) or b"0")
        else:
            return None
        finally:
            os.close(handle)

    def lock(self) -> int:
        """Hold this stack until the returned descriptor is closed everywhere; `Refused` if somebody does already."""
        handle = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            pid = int(os.pread(handle, 32, 0) or b"0")
            os.close(handle)
            raise Refused(
                f"a stack already runs in {self.root} (supervisor pid {pid}): stop it with `longshore down`, "
                f"or set LONGSHORE_STATE_DIR or --state-dir to another directory"
            ) from err
        sign(handle)
        return handle


def choose_ports(kept: Ports | None) -> Ports:
    """Free loopback ports; those of the last start again where they are still free."""
    with socket.socket() as a, socket.socket() as b, socket.socket() as c:  # all held at once, so that they differ
        taken = [
            _bind(sock, wanted)
            for sock, wanted in zip((a, b, c), (kept.nats, kept.postgres, kept.api) if kept else (0, 0, 0), strict=True)
        ]
    return Ports(nats=taken[0], postgres=taken[1], api=taken[2])


def _bind(sock: socket.socket, wanted: int) -> int:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart must not lose its ports to TIME_WAIT
    try:
        sock.bind(("127.0.0.1", wanted))
    except OSError:
        sock.bind(("127.0.0.1", 0))
    port: int = sock.getsockname()[1]
    return port
