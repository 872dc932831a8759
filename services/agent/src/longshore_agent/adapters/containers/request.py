"""The request that creates an attempt's container: labels, command, directories, limits, whose files they are.

What must not enter: talking to the engine, the life of containers.
"""

import hashlib
import os
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from longshore_agent.adapters.containers import options, usage
from longshore_agent.core.contract import INSIDE, argv
from longshore_agent.core.ports import ContainerError, ContainerOrder

ATTEMPT: Final = "longshore.attempt"
WORKER: Final = "longshore.worker"
SCOPE: Final = "longshore.scope"
STDOUT: Final = "longshore.stdout"
STDERR: Final = "longshore.stderr"
DATA: Final = "/data"


class Host(NamedTuple):
    """What the request depends on besides the order.

    `kind`: docker or podman. `driver`: of cgroups. `rootless`: root inside is the engine's user outside. `scope`: tells
    this agent's containers from those of another one on the same engine. `volumes`: folders that users may mount.
    """

    kind: str
    driver: str
    rootless: bool
    scope: str
    volumes: Sequence[str] = ()
    network: str = "bridge"


def name(scope: str, attempt: str) -> str:
    """The container's name: the same for every start of the agent, so that a repeat finds it."""
    return f"longshore-{hashlib.blake2b(scope.encode(), digest_size=5).hexdigest()}-{attempt}"


def user(uid: int | None, gid: int | None, *, rootless: bool) -> str:
    """Who runs inside: whom the task names; else the image's choice, where the agent can read and remove what that makes.

    An agent that is not root could not remove files of a container's root, so there its own user is taken instead; a task
    that must be root inside says --uid 0, and its work directory is then left to the operator.
    """
    if uid is not None:
        return str(uid) if gid is None else f"{uid}:{gid}"
    if os.geteuid() == 0 or rootless:
        return ""
    return f"{os.geteuid()}:{os.getegid() if gid is None else gid}"


def config(order: ContainerOrder, host: Host) -> dict[str, Any]:
    """The body of the create request. `ContainerError` (launch) for options that are not to be had."""
    spec = order.spec
    extra = options.parse(spec.container_options, host.volumes)
    body: dict[str, Any] = {
        "Image": spec.container,
        "Cmd": argv(spec),
        "Env": [f"{key}={value}" for key, value in {**order.env, **_free(extra.env)}.items()],
        "Labels": {
            ATTEMPT: order.attempt, WORKER: order.worker, SCOPE: host.scope, STDOUT: order.stdout, STDERR: order.stderr,
        },
        "AttachStdin": False, "AttachStdout": False, "AttachStderr": False, "Tty": False,
        "HostConfig": {"NetworkMode": host.network, **_limits(order), **_kept(host), **extra.host},
    }  # fmt: skip
    if who := user(spec.uid, spec.gid, rootless=host.rootless):
        body["User"] = who
    if group := usage.parent(name(host.scope, order.attempt), host.driver):
        body["HostConfig"]["CgroupParent"] = group
    labels = {**extra.config.pop("Labels", {}), **body["Labels"]}
    body["HostConfig"]["Mounts"] = [*_mounts(order), *extra.host.get("Mounts", [])]
    return {**body, **extra.config, "Labels": labels}


def make_room(order: ContainerOrder) -> None:
    """Give the attempt's directories to who runs inside, so that an unprivileged user of the image can write there."""
    uid, gid = order.spec.uid, order.spec.gid
    try:
        for folder in (order.output_dir, order.temp_dir):
            if uid is not None and os.geteuid() == 0:
                os.chown(folder, uid, -1 if gid is None else gid)
            else:
                os.chmod(folder, 0o1777)
    except OSError as err:
        raise ContainerError("host", f"preparing {order.output_dir}: {os.strerror(err.errno or 0)}") from err


def _limits(order: ContainerOrder) -> dict[str, Any]:
    spec = order.spec
    limits: dict[str, Any] = {}
    if spec.cpus:
        limits["NanoCpus"] = int(spec.cpus * 1e9)
    if spec.memory:
        limits["Memory"] = limits["MemorySwap"] = spec.memory
    if spec.gpus:
        limits["DeviceRequests"] = [{"Count": spec.gpus, "Capabilities": [["gpu"]]}]
    return limits


def _kept(host: Host) -> dict[str, Any]:
    """How the engine keeps output: all of it, as bytes. Podman's own way does so already."""
    if host.kind != "docker":
        return {}
    return {"LogConfig": {"Type": "local", "Config": {"max-size": "1000g", "max-file": "1", "compress": "false"}}}


def _mounts(order: ContainerOrder) -> list[dict[str, Any]]:
    mounts = [
        options.bind(order.input_dir, INSIDE.input),
        options.bind(order.output_dir, INSIDE.output),
        options.bind(order.temp_dir, INSIDE.temp),
        options.bind(order.resource_dir, INSIDE.resource, read_only=True),
    ]
    return [*mounts, options.bind(DATA, DATA)] if os.path.isdir(DATA) else mounts


def _free(env: dict[str, str]) -> dict[str, str]:
    """What users may set: all but what tells a task who it is."""
    return {key: value for key, value in env.items() if not key.startswith("LONGSHORE_")}
