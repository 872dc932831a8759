"""Facts about this host, read from the kernel.

What must not enter: what is made of them.
"""

import os
import shutil
import socket
from importlib.metadata import version
from pathlib import Path

from longshore_agent.core.watermark import Space
from longshore_common.model import HostFacts

#: Bytes left below which a disk counts as full: a failed write leaves a few blocks.
FULL_BELOW = 64 * 1024


def facts(directory: Path, engines: tuple[str, ...], problems: tuple[str, ...]) -> HostFacts:
    """What this host offers, but for its GPUs; `disk` is what is free where attempts work, in bytes."""
    return HostFacts(
        hostname=socket.gethostname(),
        cpus=len(os.sched_getaffinity(0)),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        disk=shutil.disk_usage(directory).free,
        engines=engines,
        problems=problems,
        agent_version=version("longshore-agent"),
        numa=len(numa_nodes()) or 1,
    )


def numa_nodes() -> tuple[tuple[int, ...], ...]:
    """Hardware threads of each memory node that this process may use; empty where the kernel does not say."""
    allowed = os.sched_getaffinity(0)
    nodes = []
    for path in sorted(Path("/sys/devices/system/node").glob("node[0-9]*"), key=lambda p: int(p.name[4:])):
        try:
            threads = tuple(c for c in _numbers((path / "cpulist").read_text()) if c in allowed)
        except OSError:
            continue
        if threads:
            nodes.append(threads)
    return tuple(nodes)


def _numbers(text: str) -> list[int]:
    """0, 1, 2, 8 of the kernel's `0-2,8`."""
    numbers: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            numbers += range(int(first), int(last or first) + 1)
    return numbers


def space(directory: Path) -> Space:
    """How full the file system of this directory is, as an ordinary user may fill it."""
    disk = os.statvfs(directory)
    sizes = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    return Space(str(directory), *sizes, disk.f_files, disk.f_favail)


def disk_is_full(directory: Path) -> bool:
    """Whether nothing more can be written where this directory is: less than a block for each of a few files."""
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize < FULL_BELOW or (disk.f_files > 0 and disk.f_favail == 0)


def load() -> float:
    """The load average of the last minute."""
    return os.getloadavg()[0]
