"""What users may pass on to the engine: the options of `docker run` that do not open the host, as API fields.

Pure. What must not enter: limits that the task's own spec has, talking to the engine.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from longshore_agent.core.ports import ContainerError


class Extra(msgspec.Struct, kw_only=True):
    """Additions to the request that creates a container: to its top level, its HostConfig, and its environment."""

    config: dict[str, Any] = {}
    host: dict[str, Any] = {}
    env: dict[str, str] = {}


_OPENS: Final = "it opens the host; ask the operator for a worker that offers what the task needs"
_ALONE: Final = "output is kept as bytes and nobody types: leave it out"
#: Refused, with what to do instead.
REFUSED: Final = {
    **dict.fromkeys(
        ("--privileged", "--cap-add", "--device", "--pid", "--userns", "--uts", "--cgroupns", "--volumes-from"), _OPENS
    ),
    **dict.fromkeys(("--tty", "-t", "-it", "-ti", "--interactive", "-i", "--detach", "-d", "--log-driver"), _ALONE),
    **dict.fromkeys(("--user", "-u"), "say --uid and --gid at submit"),
    **dict.fromkeys(("--memory", "-m"), "say --memory at submit, so that it is counted"),
    **dict.fromkeys(("--publish", "-p"), "tasks serve nothing"),
    "--cpus": "say --cpus at submit, so that they are counted",
    "--gpus": "say --gpus at submit, so that they are counted",
    "--cgroup-parent": "the worker measures there",
    "--restart": "retries are the task's: say --retry at submit",
    "--name": "containers are named after their attempt; say -n at submit for the task's name",
    "--mount": "say -v, or stage the data as --input or --resource",
}
#: Without a value and without effect, or with this one.
FLAGS: Final[dict[str, tuple[str, Any] | None]] = {
    "--rm": None, "--init": ("Init", True), "--read-only": ("ReadonlyRootfs", True),
}  # fmt: skip
SHORT: Final = {"-e": "--env", "-w": "--workdir", "-v": "--volume", "-h": "--hostname", "--net": "--network"}
_UNITS: Final = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def bind(source: str, target: str, *, read_only: bool = False) -> dict[str, Any]:
    """A folder of the host inside a container; unlike `Binds`, a mount takes any character in its paths."""
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only}


def parse(options: Sequence[str], volumes: Sequence[str] = ()) -> Extra:
    """The options as additions to a create request; `ContainerError` (launch) for what is unknown or opens the host.

    `volumes`: host folders that the operator allows to be mounted, read-only, by `-v`.
    """
    extra = Extra()
    words = iter(_words(options))
    for name in words:
        name, given, value = name.partition("=") if name.startswith("--") else (name, "", "")
        name = SHORT.get(name, name)
        if name in FLAGS and not given:
            if field := FLAGS[name]:
                extra.host[field[0]] = field[1]
            continue
        if name not in _VALUES and name != "--volume":
            raise _refusal(name)
        if not given and (value := next(words, "")) == "":
            raise ContainerError("launch", f"the container option {name} needs a value: write {name}=VALUE")
        if name == "--volume":
            _volume(extra, value, volumes)
        else:
            _VALUES[name](extra, value)
    return extra


def _words(options: Sequence[str]) -> Iterator[str]:
    """Options one by one, also where name and value came as one text (`--network host`) or grown together (`-eA=1`)."""
    for option in options:
        short = option[:2]
        if option.startswith("-") and " " in option.partition("=")[0]:
            name, _, value = option.partition(" ")
            yield name
            yield value.strip()
        elif short in SHORT and len(option) > 2 and option not in REFUSED:
            yield short
            yield option[2:].removeprefix("=")
        else:
            yield option


def _refusal(name: str) -> ContainerError:
    if why := REFUSED.get(name):
        return ContainerError("launch", f"the container option {name} is refused: {why}")
    known = ", ".join(sorted([*_VALUES, *FLAGS, "--volume"]))
    return ContainerError("launch", f"the container option {name!r} is not known; known are {known}")


def _env(extra: Extra, value: str) -> None:
    name, equals, text = value.partition("=")
    if not equals or not name:
        raise ContainerError("launch", f"--env {value!r}: write NAME=VALUE; a worker has no value of yours to pass on")
    extra.env[name] = text


def _network(extra: Extra, value: str) -> None:
    if value.startswith("container:"):
        raise ContainerError(
            "launch", f"--network {value}: another container's network is not yours; use bridge, host or none"
        )
    extra.host["NetworkMode"] = value


def _ipc(extra: Extra, value: str) -> None:
    if value not in ("private", "none", "shareable"):
        raise ContainerError("launch", f"--ipc {value}: it opens the host; for more shared memory say --shm-size")
    extra.host["IpcMode"] = value


def _security(extra: Extra, value: str) -> None:
    if value not in ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"):
        raise ContainerError("launch", f"--security-opt {value}: only no-new-privileges is allowed")
    extra.host.setdefault("SecurityOpt", []).append("no-new-privileges")


def _size(value: str) -> int:
    number, unit = value.rstrip("bBkKmMgG"), value[len(value.rstrip("bBkKmMgG")) :].lower()
    unit = unit.removesuffix("b") if len(unit) > 1 else unit
    if not number.isascii() or not number.isdigit() or unit not in _UNITS:
        raise ContainerError("launch", f"{value!r} is not a size: write 64m or 1g")
    return int(number) * _UNITS[unit]


def _number(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise ContainerError("launch", f"{value!r} is not a whole number") from None


def _ulimit(extra: Extra, value: str) -> None:
    name, equals, limits = value.partition("=")
    soft, _, hard = limits.partition(":")
    if not equals:
        raise ContainerError("launch", f"--ulimit {value!r}: write NAME=SOFT[:HARD]")
    limit = {"Name": name, "Soft": _number(soft), "Hard": _number(hard or soft)}
    extra.host.setdefault("Ulimits", []).append(limit)


def _tmpfs(extra: Extra, value: str) -> None:
    path, _, how = value.partition(":")
    extra.host.setdefault("Tmpfs", {})[path] = how


def _label(extra: Extra, value: str) -> None:
    name, _, text = value.partition("=")
    if name.startswith("longshore."):
        raise ContainerError("launch", f"--label {name}: labels that begin with longshore. are Longshore's own")
    extra.config.setdefault("Labels", {})[name] = text


def _volume(extra: Extra, value: str, allowed: Sequence[str]) -> None:
    source, _, rest = value.partition(":")
    target, _, mode = rest.partition(":")
    parts = source.split("/")
    inside = any(source == a.rstrip("/") or source.startswith(a.rstrip("/") + "/") for a in allowed)
    if not inside or ".." in parts or not target.startswith("/") or mode not in ("", "ro"):
        offered = " or ".join(allowed) or "no folder on this worker"
        raise ContainerError(
            "launch",
            f"-v {value}: the operator allows {offered} (read-only); stage other data as --input or --resource",
        )
    extra.host.setdefault("Mounts", []).append(bind(source, target, read_only=True))


def _config(field: str) -> Callable[[Extra, str], None]:
    return lambda extra, value: extra.config.update({field: value})


def _host(field: str, convert: Callable[[str], Any] = str) -> Callable[[Extra, str], None]:
    return lambda extra, value: extra.host.update({field: convert(value)})


def _host_list(field: str) -> Callable[[Extra, str], None]:
    return lambda extra, value: extra.host.setdefault(field, []).append(value)


_VALUES: Final[dict[str, Callable[[Extra, str], None]]] = {
    "--env": _env,
    "--network": _network,
    "--entrypoint": lambda extra, value: extra.config.update(Entrypoint=[value]),
    "--workdir": _config("WorkingDir"),
    "--hostname": _config("Hostname"),
    "--stop-signal": _config("StopSignal"),
    "--shm-size": _host("ShmSize", _size),
    "--pids-limit": _host("PidsLimit", _number),
    "--cpuset-cpus": _host("CpusetCpus"),
    "--oom-score-adj": _host("OomScoreAdj", _number),
    "--ipc": _ipc,
    "--security-opt": _security,
    "--ulimit": _ulimit,
    "--tmpfs": _tmpfs,
    "--label": _label,
    "--cap-drop": _host_list("CapDrop"),
    "--add-host": _host_list("ExtraHosts"),
    "--dns": _host_list("Dns"),
}
