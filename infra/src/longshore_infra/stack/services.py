"""The parts that are our own services: commands and environments, as their entry points ask for them.

What must not enter: imports of the services (they are processes), starting or watching them.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from longshore_common.errors import Refused
from longshore_infra.stack.keys import Keys, creds_file
from longshore_infra.stack.layout import SOCKET_PATH_BYTES, Layout
from longshore_infra.supervisor.plan import Part

#: Stopping goes from the ends of the work to its middle: who asks for work, who runs it, who decides, who stores.
AGENTS, SPAWNERS, SERVICES, NATS = 10, 20, 30, 40
#: Fewer arenas and earlier return of memory: a service is one thread most of the time.
_LEAN = {"MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "131072", "PYTHONUNBUFFERED": "1"}
#: What each part is told by us or not at all, whatever the environment of `up` says.
_OURS = (
    "NATS_URL", "NATS_CREDS", "DATABASE_URL", "LONGSHORE_STATE_DIR", "LONGSHORE_NATS_SERVER", "LONGSHORE_LISTEN",
    "LONGSHORE_ACCOUNT_SEED_FILE", "LONGSHORE_ACCOUNT_PUBLIC", "LONGSHORE_JOIN_SECRET_FILE", "LONGSHORE_API_TOKEN_FILE",
    "LONGSHORE_ATTEMPT", "LONGSHORE_OWNER_FILE",
)  # fmt: skip


class Places(NamedTuple):
    """Where the stack's servers listen."""

    nats_url: str
    database_url: str
    api_listen: str  # host:port

    @property
    def api_url(self) -> str:
        """The HTTP root."""
        return f"http://{self.api_listen}"


def names(workers: int) -> list[str]:
    """The embedded workers' names."""
    return [f"local-{i}" for i in range(1, workers + 1)]


def services(layout: Layout, keys: Keys, places: Places, environ: Mapping[str, str]) -> list[Part]:
    """api, dispatcher and recruiter."""
    base = {k: v for k, v in environ.items() if k not in _OURS and not k.startswith("AWS_")} | _LEAN
    api = {
        "DATABASE_URL": places.database_url,
        "LONGSHORE_LISTEN": places.api_listen,
        "LONGSHORE_ACCOUNT_SEED_FILE": str(keys.account_seed),
        "LONGSHORE_ACCOUNT_PUBLIC": keys.account,
        "LONGSHORE_JOIN_SECRET_FILE": str(layout.secrets / "join"),
        "LONGSHORE_API_TOKEN_FILE": str(layout.secrets / "api-token"),
        "LONGSHORE_WORKER_NATS_URL": places.nats_url,
        "LONGSHORE_OWNER_FILE": str(keys.owner),
    }
    if keys.operator_seed is not None:
        api |= {
            "LONGSHORE_OPERATOR_SEED_FILE": str(keys.operator_seed),
            "LONGSHORE_SYSTEM_CREDS": str(keys.system_creds),
        }
    if environ.get("LONGSHORE_ARCHIVE"):  # of the services the api alone reaches storage, and only for this
        api |= {k: v for k, v in environ.items() if k.startswith("AWS_")}
    own: list[tuple[str, str, dict[str, str]]] = [
        ("api", "api", api),
        ("dispatcher", "dispatch", {"LONGSHORE_NAME": "dispatcher"}),
        ("recruiter", "recruit", {}),
    ]
    return [
        Part(
            name=name,
            command=[*command(name), "run"],
            env=base | {"NATS_URL": places.nats_url, "NATS_CREDS": str(creds_file(layout, role))} | more,
            cwd=str(layout.root),
            stop_order=SERVICES,
        )
        for name, role, more in own
    ]


def workers(layout: Layout, places: Places, concurrency: int, count: int, environ: Mapping[str, str]) -> list[Part]:
    """A spawner and an agent for each local worker; AWS_* settings of the environment reach them."""
    base = {k: v for k, v in environ.items() if k not in _OURS} | _LEAN
    parts = []
    for worker in names(count):
        directory, socket = layout.worker(worker), spawner_socket(layout, worker)
        directory.mkdir(mode=0o700, exist_ok=True)
        shared = {"LONGSHORE_SPAWNER_SOCKET": str(socket)}
        parts.append(
            Part(
                name=f"spawner-{worker}",
                command=[*command("agent"), "spawner"],
                env=base | shared,
                cwd=str(directory),
                stop_order=SPAWNERS,
                patience=12,
            )
        )
        agent = {
            "NATS_URL": places.nats_url,
            "LONGSHORE_API_URL": places.api_url,
            "LONGSHORE_JOIN_SECRET_FILE": str(layout.secrets / "join"),
            "LONGSHORE_WORKER_DIR": str(directory),
            "LONGSHORE_WORKER": worker,
            "LONGSHORE_CONCURRENCY": "auto" if concurrency < 0 else str(concurrency),
            "LONGSHORE_STOP": "kill",  # `down` stops containers too; the supervisor asks an agent to stop at no other time
        }
        parts.append(
            Part(
                name=worker,
                command=[*command("agent"), "run"],
                env=base | shared | agent,
                cwd=str(directory),
                stop_order=AGENTS,
                patience=10,
            )
        )
    return parts


def command(service: str) -> list[str]:
    """How to start `longshore-<service>` of this installation; `Refused` names the package that is missing."""
    script = Path(sys.prefix, "bin", f"longshore-{service}")
    if not script.exists():
        raise Refused(f"{script} is missing: install the package longshore-{service} here, or run `make setup` again")
    return [sys.executable, str(script)]


def spawner_socket(layout: Layout, worker: str) -> Path:
    """Where a worker's spawner listens; `Refused` if the state directory's path is too long for a Unix socket."""
    path = layout.spawner_socket(worker)
    if len(str(path).encode()) > SOCKET_PATH_BYTES:
        raise Refused(f"{layout.root} is too long a path for the sockets in it: choose one of at most 80 bytes")
    return path
