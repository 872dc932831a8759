"""What users may pass on to the engine: the options of `docker run` that do not open the host, as API fields.

Pure. What must not enter: limits that the task's own spec has, talking to the engine.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from longshore_agent.core.ports import ContainerError
from longshore_common.errors import BadInput


class Extra(msgspec.Struct, kw_only=True):
    """Additions to the request that creates a container: to its top level, its HostConfig, and its environment."""

    config: dict[str, Any] = {}
    host: dict[str, Any] = {}
    env: dict[str, str] = {}


_OPENS: Final = "it opens the host; the operator of a worker can allow it there (LONGSHORE_ALLOW_OPTIONS)"
_ALONE: Final = "output is kept as bytes and nobody types: leave it out"
#: Refused, with what to do instead.
REFUSED: Final = {
    **dict.fromkeys(("--privileged", "--device", "--pid", "--userns", "--uts", "--cgroupns"), _OPENS),
    "--volumes-from": "another container's folders are not yours; stage the data as --input or --resource",
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
#: What the operator may allow users; without that, `--cap-add`, `--ipc` and `--security-opt` take harmless values only.
ALLOWABLE: Final = (
    "--privileged", "--cap-add", "--device", "--pid", "--ipc", "--userns", "--uts", "--cgroupns", "--security-opt",
)  # fmt: skip
#: Capabilities that engines give by default: we drop them all, users may take these back.
CAPABILITIES: Final = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
        "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
SHORT: Final = {"-e": "--env", "-w": "--workdir", "-v": "--volume", "-h": "--hostname", "--net": "--network"}
_UNITS: Final = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class Permissions(msgspec.Struct, frozen=True):
    """What the operator of this worker opens to its users: host folders (`/ref`, or `/scratch:rw` to write), options."""

    volumes: tuple[str, ...] = ()
    options: frozenset[str] = frozenset()


#: Nothing beyond what every worker allows.
CLOSED: Final = Permissions()


def permissions(volumes: str, options: str) -> Permissions:
    """From the settings, lists with commas. `BadInput` for what cannot be allowed."""
    folders, names = _list(volumes), _list(options)
    for name in names:
        if name not in ALLOWABLE:
            raise BadInput(f"LONGSHORE_ALLOW_OPTIONS: {name!r} cannot be allowed; these can: {', '.join(ALLOWABLE)}")
    for folder in folders:
        if not folder.startswith("/") or ".." in folder.split("/"):
            raise BadInput(f"LONGSHORE_VOLUMES: {folder!r} is no absolute folder: write /folder or /folder:rw")
    return Permissions(folders, frozenset(names))


def _list(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def bind(source: str, target: str, *, read_only: bool = False) -> dict[str, Any]:
    """A folder of the host inside a container; unlike `Binds`, a mount takes any character in its paths."""
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only}


def parse(options: Sequence[str], allowed: Permissions = CLOSED) -> Extra:
    """The options as additions to a create request; `ContainerError` (launch) for what is unknown or opens the host."""
    extra = Extra()
    words = iter(_words(options))
    for name in words:
        name, given, value = name.partition("=") if name.startswith("--") else (name, "", "")
        name = SHORT.get(name, name)
        if name in REFUSED and name not in allowed.options:
            raise _refusal(name)
        if (name in FLAGS or name in _OPEN_FLAGS) and not given:
            if field := {**FLAGS, **_OPEN_FLAGS}[name]:
                extra.host[field[0]] = field[1]
            continue
        take = _taker(name, allowed)
        if not given and (value := next(words, "")) == "":
            raise ContainerError("launch", f"the container option {name} needs a value: write {name}=VALUE")
        take(extra, value)
    return extra


def _taker(name: str, allowed: Permissions) -> Callable[[Extra, str], None]:
    """What an option with a value does."""
    if name == "--volume":
        return lambda extra, value: _volume(extra, value, allowed.volumes)
    if name in allowed.options and name in _OPEN_VALUES:
        return _OPEN_VALUES[name]
    if name not in _VALUES:
        raise _refusal(name)
    return _VALUES[name]


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
    folders = {a.removesuffix(":rw").rstrip("/"): a.endswith(":rw") for a in allowed}
    holding = [folder for folder in folders if source == folder or source.startswith(folder + "/")]
    writable = any(folders[folder] for folder in holding)
    modes = ("", "ro", "rw") if writable else ("", "ro")
    if not holding or ".." in source.split("/") or not target.startswith("/") or mode not in modes:
        offered = " or ".join(f if w else f"{f} (read-only)" for f, w in folders.items()) or "no folder of this worker"
        raise ContainerError(
            "launch", f"-v {value}: the operator allows {offered}; stage other data as --input or --resource"
        )
    extra.host.setdefault("Mounts", []).append(bind(source, target, read_only=not (writable and mode == "rw")))


def _capability(extra: Extra, value: str) -> None:
    name = value.upper().removeprefix("CAP_")
    if name not in CAPABILITIES:
        raise ContainerError(
            "launch", f"--cap-add {value}: {_OPENS}; without that there are {', '.join(sorted(CAPABILITIES))}"
        )
    extra.host.setdefault("CapAdd", []).append(name)


def _device(extra: Extra, value: str) -> None:
    path, _, rest = value.partition(":")
    inside, _, how = rest.partition(":")
    device = {"PathOnHost": path, "PathInContainer": inside or path, "CgroupPermissions": how or "rwm"}
    extra.host.setdefault("Devices", []).append(device)


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
    "--cap-add": _capability,
    "--cap-drop": _host_list("CapDrop"),
    "--add-host": _host_list("ExtraHosts"),
    "--dns": _host_list("Dns"),
}
#: What these do where the operator allows them.
_OPEN_FLAGS: Final[dict[str, tuple[str, Any] | None]] = {"--privileged": ("Privileged", True)}
_OPEN_VALUES: Final[dict[str, Callable[[Extra, str], None]]] = {
    "--cap-add": _host_list("CapAdd"),
    "--security-opt": _host_list("SecurityOpt"),
    "--device": _device,
    "--pid": _host("PidMode"),
    "--ipc": _host("IpcMode"),
    "--userns": _host("UsernsMode"),
    "--uts": _host("UTSMode"),
    "--cgroupns": _host("CgroupnsMode"),
}
