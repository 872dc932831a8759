"""The request that creates an attempt's container: labels, command, directories, limits, whose files they are.

What must not enter: talking to the engine, the life of containers.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from longshore_agent.adapters import opened
from longshore_agent.adapters.containers import options, usage
from longshore_agent.adapters.containers.connection import Engine
from longshore_agent.adapters.containers.options import Permissions
from longshore_agent.core.contract import INSIDE, argv
from longshore_agent.core.ports import ContainerError, ContainerOrder
from longshore_common import inside

ATTEMPT: Final = "longshore.attempt"
WORKER: Final = "longshore.worker"
SCOPE: Final = "longshore.scope"
STDOUT: Final = "longshore.stdout"
STDERR: Final = "longshore.stderr"
IMAGE: Final = "longshore.image"
BEFORE: Final = "longshore.before"
DATA: Final = "/data"
SHELL: Final = "/bin/sh"


class Host(NamedTuple):
    """What the request depends on besides the order.

    `scope`: tells this agent's containers from those of another one on the same engine. `allowed`: what the operator opens.
    `network`: of containers that name none.
    """

    engine: Engine
    scope: str
    allowed: Permissions = Permissions()
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


def config(order: ContainerOrder, host: Host, image: str) -> dict[str, Any]:
    """The body of the create request. `ContainerError` (launch) for what is not to be had."""
    spec = order.spec
    extra = options.parse(spec.container_options, host.allowed)
    body: dict[str, Any] = {
        "Image": image,
        "Cmd": argv(spec),
        "Env": [f"{key}={value}" for key, value in {**order.env, **_free(extra.env)}.items()],
        "Labels": {
            ATTEMPT: order.attempt, WORKER: order.worker, SCOPE: host.scope, STDOUT: order.stdout, STDERR: order.stderr,
            IMAGE: spec.container or "", BEFORE: f"{order.before[0]} {order.before[1]}",
        },
        "AttachStdin": False, "AttachStdout": False, "AttachStderr": False, "Tty": False,
        "HostConfig": {
            "NetworkMode": host.network, **extra.host, **_limits(order, host), **_kept(host), **_rights(extra),
        },
    }  # fmt: skip
    if who := user(spec.uid, spec.gid, rootless=host.engine.rootless):
        body["User"] = who
    if group := usage.parent(name(host.scope, order.attempt), host.engine.driver):
        body["HostConfig"]["CgroupParent"] = group
    labels = {**extra.config.pop("Labels", {}), **body["Labels"]}
    body["HostConfig"]["Mounts"] = [*_mounts(order), *extra.host.get("Mounts", [])]
    own: dict[str, Any] = {"OpenStdin": True, "StdinOnce": True} if order.stdin else {}
    if order.workdir:
        own["WorkingDir"] = order.workdir
    return {**body, **extra.config, **own, "Labels": labels}


def before(labels: Mapping[str, str]) -> tuple[int, int]:
    """How many bytes of stdout and stderr were there before a container with these labels."""
    out, _, err = labels.get(BEFORE, "").partition(" ")
    return (int(out), int(err)) if err else (0, 0)


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


def _rights(extra: options.Extra) -> dict[str, Any]:
    """No capability but those asked for, and no way to more by a program that is set-uid; unless the operator opened it."""
    if extra.host.get("Privileged"):
        return {}
    given: list[str] = extra.host.get("SecurityOpt", [])
    secure = given if any(o.startswith("no-new-privileges") for o in given) else ["no-new-privileges", *given]
    if "no-new-privileges=false" in given or "no-new-privileges:false" in given:
        secure = [o for o in given if not o.startswith("no-new-privileges")]
    return {"CapDrop": ["ALL"], "SecurityOpt": secure}


def _limits(order: ContainerOrder, host: Host) -> dict[str, Any]:
    spec = order.spec
    limits: dict[str, Any] = {}
    if spec.cpus:
        limits["NanoCpus"] = int(spec.cpus * 1e9)
    if order.memory:
        limits["Memory"] = limits["MemorySwap"] = order.memory
    if order.devices.cpus:
        limits["CpusetCpus"] = ",".join(map(str, order.devices.cpus))
        if nodes := memory_nodes(order.devices.cpus):
            limits["CpusetMems"] = nodes
    if spec.gpus or order.devices.gpus:
        limits["DeviceRequests"] = [_gpus(order, host)]
    return limits


def _gpus(order: ContainerOrder, host: Host) -> dict[str, Any]:
    """The request for GPUs: those set aside, else any of that number. Podman would start without and say nothing."""
    if host.engine.kind == "podman":
        raise ContainerError(
            "launch",
            "Podman gives no GPUs by this way and would not say so: run tasks with --gpus on a worker with Docker",
        )
    request: dict[str, Any] = {"Driver": "", "Capabilities": [["gpu"]]}
    if order.devices.gpus:
        return {**request, "DeviceIDs": list(order.devices.gpus)}
    return {**request, "Count": order.spec.gpus}


def memory_nodes(cpus: Sequence[int], root: str = "/sys/devices/system/node") -> str:
    """The NUMA nodes beside these CPUs, as the kernel writes lists; empty where that leaves nothing out."""
    near, nodes = [], 0
    with suppress(OSError):
        for entry in sorted(os.listdir(root)):
            if not entry.startswith("node") or not entry[4:].isdigit():
                continue
            nodes += 1
            with open(f"{root}/{entry}/cpulist") as file:
                if not _numbers(file.read()).isdisjoint(cpus):
                    near.append(int(entry[4:]))
    return ",".join(map(str, sorted(near))) if 0 < len(near) < nodes else ""


def _numbers(text: str) -> set[int]:
    """The numbers of a list of the kernel, such as 0-3,8."""
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def _kept(host: Host) -> dict[str, Any]:
    """How the engine keeps output: all of it, as bytes, in a file."""
    if host.engine.kind == "podman":
        return {"LogConfig": {"Type": "k8s-file", "Config": {}}}
    return {"LogConfig": {"Type": "local", "Config": {"max-size": "1000g", "max-file": "1", "compress": "false"}}}


def _mounts(order: ContainerOrder) -> list[dict[str, Any]]:
    mounts = [
        options.bind(order.input_dir, INSIDE.input),
        options.bind(order.output_dir, INSIDE.output),
        options.bind(order.temp_dir, INSIDE.temp),
        options.bind(order.resource_dir, INSIDE.resource, read_only=True),
        *(options.bind(one.source, one.path) for one in order.binds),
    ]
    if order.secrets:
        mounts.append(options.bind(order.secrets, opened.INSIDE, read_only=True))
    taken = any(inside.below(one.path, DATA) for one in order.binds)
    return [*mounts, options.bind(DATA, DATA)] if os.path.isdir(DATA) and not taken else mounts


def with_secrets(body: dict[str, Any], entrypoint: Sequence[str]) -> dict[str, Any]:
    """The same request, begun by the script that makes secrets variables; `entrypoint` is the image's own."""
    inner = body.get("Entrypoint", entrypoint)
    start = f"{opened.INSIDE}/{opened.START}"
    return {**body, "Entrypoint": [SHELL, start], "Cmd": [*inner, *body["Cmd"]]}


def _free(env: dict[str, str]) -> dict[str, str]:
    """What users may set: all but what tells a task who it is."""
    return {key: value for key, value in env.items() if not key.startswith("LONGSHORE_")}
