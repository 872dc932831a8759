"""What a container used: peak memory in bytes and CPU seconds, from the kernel's cgroups, versions 1 and 2.

Where this process may (it is root on the engine's host and the engine drives cgroups itself) each container gets a
parent group of its own, which outlives it: exact numbers, nothing polled. Elsewhere the container's own group is read
while it runs. What must not enter: the engine.
"""

import os
from collections.abc import Collection
from contextlib import suppress
from typing import Final, NamedTuple

ROOT: Final = "/sys/fs/cgroup"
PARENT: Final = "longshore"


class Used(NamedTuple):
    """Peak memory in bytes and CPU seconds; 0 where the kernel does not tell."""

    peak_memory: int = 0
    cpu_seconds: float = 0.0

    def at_least(self, other: "Used") -> "Used":
        """The greater of both: neither ever falls."""
        return Used(max(self.peak_memory, other.peak_memory), max(self.cpu_seconds, other.cpu_seconds))


def parent(name: str, driver: str) -> str | None:
    """The cgroup parent for a container of this name, None where we could not make and remove it."""
    if driver != "cgroupfs" or os.geteuid() != 0 or not os.access(ROOT, os.W_OK):
        return None
    return f"/{PARENT}/{name}"


def of_group(group: str) -> Used:
    """What the group at this path below the hierarchy used so far."""
    if os.path.exists(f"{ROOT}/cgroup.controllers"):
        peak = _number(f"{ROOT}{group}/memory.peak") or _number(f"{ROOT}{group}/memory.current")
        return Used(peak, _field(f"{ROOT}{group}/cpu.stat", "usage_usec") / 1e6)
    peak = _number(f"{ROOT}/memory{group}/memory.max_usage_in_bytes")
    return Used(peak, _number(f"{ROOT}/cpuacct{group}/cpuacct.usage") / 1e9)


def of_container(container: str) -> Used:
    """What a running container used so far, found where the usual drivers put its group; zeros if nowhere."""
    for group in (
        f"/docker/{container}",
        f"/system.slice/docker-{container}.scope",
        f"/machine.slice/libpod-{container}.scope",
        f"/libpod_parent/libpod-{container}",
    ):
        used = of_group(group)
        if used != Used():
            return used
    return Used()


def remove(group: str) -> None:
    """Remove an empty parent group, in every hierarchy; what is gone or busy is left."""
    names = [""] if os.path.exists(f"{ROOT}/cgroup.controllers") else os.listdir(ROOT)
    for name in names:
        with suppress(OSError):
            os.rmdir(f"{ROOT}/{name}{group}")


def sweep(prefix: str, keep: Collection[str]) -> None:
    """Remove the parent groups whose names begin with `prefix` and whose containers are gone, `keep` excepted."""
    for base in (f"{ROOT}/{PARENT}", f"{ROOT}/memory/{PARENT}"):
        with suppress(OSError):
            for name in os.listdir(base):
                if name.startswith(prefix) and name not in keep:
                    remove(f"/{PARENT}/{name}")


def _number(path: str) -> int:
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def _field(path: str, name: str) -> int:
    try:
        with open(path) as file:
            return next(int(line.split()[1]) for line in file if line.startswith(name + " "))
    except (OSError, ValueError, StopIteration):
        return 0
