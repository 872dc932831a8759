"""Facts about this host, read from the kernel, and the kernel's count of out-of-memory kills.

What must not enter: what is made of them.
"""

import os
import shutil
import socket
from importlib.metadata import version
from pathlib import Path

from longshore_common.model import HostFacts

#: Bytes left below which a disk counts as full: a failed write leaves a few blocks.
FULL_BELOW = 64 * 1024


def facts(directory: Path, engines: tuple[str, ...], problems: tuple[str, ...]) -> HostFacts:
    """What this host offers; `disk` is what is free where attempts work, in bytes."""
    return HostFacts(
        hostname=socket.gethostname(),
        cpus=len(os.sched_getaffinity(0)),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        disk=shutil.disk_usage(directory).free,
        engines=engines,
        problems=problems,
        agent_version=version("longshore-agent"),
    )


def disk_is_full(directory: Path) -> bool:
    """Whether nothing more can be written where this directory is: less than a block for each of a few files."""
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize < FULL_BELOW or (disk.f_files > 0 and disk.f_favail == 0)


def oom_kills() -> int:
    """How many processes the kernel has killed for want of memory since it started; 0 where it does not say."""
    try:
        with open("/proc/vmstat") as file:
            for line in file:
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    except OSError:
        return 0
    return 0


def load() -> float:
    """The load average of the last minute."""
    return os.getloadavg()[0]
