"""What sbatch was asked for, read from its options once: checked, in bytes and seconds. Pure.

What must not enter: the environment, files, the log.
"""

import re
from typing import Final, NamedTuple

from longshore_common.errors import BadInput
from longshore_slurm import amounts
from longshore_slurm.options import Read

_TOKEN: Final = re.compile(r"[^a-z0-9_-]+")
_NICE: Final = 100
_GPU_FREE: Final = ("none", "0")


class Resources(NamedTuple):
    """What a job asks of its host; 0 = nothing. `custom`: licenses and generic resources that are no GPUs."""

    cpus: float = 0
    memory: int = 0
    gpus: int = 0
    disk: int = 0
    custom: dict[str, float] = {}
    tasks: int = 1
    cpus_per_task: int = 0


class Signal(NamedTuple):
    """A signal, and how many seconds before the time limit it is sent."""

    name: str
    seconds: float


def resources(options: Read) -> Resources:
    """The request; `BadInput` for more than one node."""
    _one_node(options.last("nodes"))
    tasks = _number(options, "ntasks") or _number(options, "ntasks-per-node") or 1
    per_task = _number(options, "cpus-per-task")
    gpus, custom = _generic(options)
    gpus = gpus or _gpus(options, tasks)
    cpus = tasks * (per_task or 1) if per_task or tasks > 1 else 0
    cpus = max(cpus, _number(options, "mincpus"), gpus * _number(options, "cpus-per-gpu"))
    memory = _memory(options, max(cpus, 1), max(gpus, 1))
    disk = amounts.memory(options.last("tmp") or "0")
    return Resources(float(cpus), memory, gpus, disk, {**custom, **_licenses(options)}, tasks, per_task)


def _one_node(text: str | None) -> None:
    least = (text or "1").partition("-")[0]
    if not least.isdigit():
        raise BadInput(f"Invalid node count: {text!r}")
    if int(least) > 1:
        raise BadInput(f"--nodes={text}: a job runs on one worker here: ask for --nodes=1, or submit an array")


def _number(options: Read, name: str) -> int:
    text = options.last(name)
    if text is None:
        return 0
    if not text.isdigit():
        raise BadInput(f"Invalid numeric value {text!r} for --{name}")
    return int(text)


def _memory(options: Read, cpus: int, gpus: int) -> int:
    for name, times in (("mem", 1), ("mem-per-cpu", cpus), ("mem-per-gpu", gpus)):
        if (text := options.last(name)) is not None:
            return amounts.memory(text) * times
    return 0


def _gpus(options: Read, tasks: int) -> int:
    for name, times in (("gpus", 1), ("gpus-per-node", 1), ("gpus-per-task", tasks)):
        if (text := options.last(name)) is not None:
            return times * sum(_count(piece) for piece in text.split(","))
    return 0


def _count(piece: str) -> int:
    """`2`, `a100:2`, `a100` (one)."""
    last = piece.rpartition(":")[2]
    return int(last) if last.isdigit() else 1


def _generic(options: Read) -> tuple[int, dict[str, float]]:
    gpus, custom = 0, dict[str, float]()
    for piece in options.listed("gres"):
        kind, _, rest = piece.partition(":")
        if kind.lower() in _GPU_FREE:
            continue
        if kind == "gpu":
            gpus += _count(rest or "1")
        else:
            custom[token(kind)] = float(_count(rest or "1"))
    return gpus, custom


def _licenses(options: Read) -> dict[str, float]:
    found = {}
    for piece in options.listed("licenses"):
        name, _, count = piece.replace("=", ":").partition(":")
        found[token(name.partition("@")[0])] = float(_count(count or "1"))
    return found


def token(name: str) -> str:
    """A name of Slurm's as one of ours, such as a partition as a batch: lower case, other signs as `-`."""
    found = _TOKEN.sub("-", name.lower()).strip("-_")[:63]
    if not found:
        raise BadInput(f"{name!r} can name nothing here: use letters, digits, '-' and '_'")
    return found


def signal(text: str | None) -> Signal | None:
    """`[B:]USR2[@30]`; sixty seconds before the end where no time is given."""
    if not text:
        return None
    word = text.rpartition(":")[2]
    name, _, before = word.partition("@")
    if before and not before.isdigit():
        raise BadInput(f"Invalid --signal specification: {text!r}")
    return Signal(name, float(before or 60))


def priority(options: Read) -> int:
    """Higher goes first: `--priority`, else the opposite of `--nice`."""
    if (text := options.last("priority")) is not None and text.lstrip("-").isdigit():
        return int(text)
    if not options.has("nice"):
        return 0
    text = options.last("nice") or str(_NICE)
    if not text.lstrip("-").isdigit():
        raise BadInput(f"Invalid --nice value: {text!r}")
    return -int(text)
