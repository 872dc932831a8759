"""What a container used: peak memory in bytes and CPU seconds, and whether the kernel killed in it for want of memory.

Where this process may (it is root on the engine's host and the engine drives cgroups itself) each container gets a
parent group of its own, which outlives it: exact numbers, nothing polled. Elsewhere the container's own group is read
while it runs. What must not enter: the engine.
"""

import os
from collections.abc import Collection
from contextlib import suppress
from typing import Final

from longshore_agent.adapters import cgroups
from longshore_agent.adapters.cgroups import PARENT, ROOT, Used

#: Bytes by which a watched parent group is smaller than its container.
_AHEAD: Final = 64 << 10


def parent(name: str, driver: str) -> str | None:
    """The cgroup parent for a container of this name, None where we could not make and remove it."""
    if driver != "cgroupfs" or os.geteuid() != 0 or not os.access(ROOT, os.W_OK):
        return None
    return f"/{PARENT}/{name}"


def of_group(group: str) -> Used:
    """What the group at this path below the hierarchy used so far."""
    return cgroups.used(_directories(group))


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


def oom(group: str) -> bool:
    """Whether the kernel killed for want of memory in this group or below it; version 1 tells of the group alone."""
    return cgroups.oom_kills(_directories(group)) > 0


class Watch:
    """An event of version 1 that the kernel counts when a parent group runs out of memory."""

    def __init__(self, event: int) -> None:
        self._event, self._happened = event, False

    def happened(self) -> bool:
        """Whether it did since the watch began; to be asked before the group is removed."""
        with suppress(BlockingIOError):
            self._happened |= os.eventfd_read(self._event) > 0
        return self._happened

    def close(self) -> None:
        """Watch no longer."""
        os.close(self._event)


def watch(group: str, memory: int) -> Watch | None:
    """Have this parent group run out of memory a moment before the container in it, and watch for that.

    None where that is not possible, or not needed (version 2 counts what happens below).
    """
    at = f"{ROOT}/memory{group}"
    if cgroups.unified():
        return None
    event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    try:
        os.makedirs(at, exist_ok=True)
        source = os.open(f"{at}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        try:
            limited = cgroups.write(f"{at}/memory.limit_in_bytes", str(max(memory - _AHEAD, memory // 2)))
            if limited and cgroups.write(f"{at}/cgroup.event_control", f"{event} {source}"):
                return Watch(event)
        finally:
            os.close(source)
    except OSError:
        pass
    os.close(event)
    return None


def remove(group: str) -> None:
    """Remove a parent group without processes, and what engines left below it, in every hierarchy; what is busy is left."""
    names = [""] if cgroups.unified() else os.listdir(ROOT)
    for name in names:
        for directory, _, _ in os.walk(f"{ROOT}/{name}{group}", topdown=False):
            with suppress(OSError):
                os.rmdir(directory)


def sweep(prefix: str, keep: Collection[str]) -> None:
    """Remove the parent groups whose names begin with `prefix` and whose containers are gone, `keep` excepted."""
    for base in (f"{ROOT}/{PARENT}", f"{ROOT}/memory/{PARENT}"):
        with suppress(OSError):
            for name in os.listdir(base):
                if name.startswith(prefix) and name not in keep:
                    remove(f"/{PARENT}/{name}")


def _directories(group: str) -> tuple[str, ...]:
    return (f"{ROOT}{group}",) if cgroups.unified() else (f"{ROOT}/memory{group}", f"{ROOT}/cpuacct{group}")
