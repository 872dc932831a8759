"""Control groups of the kernel, versions 1 and 2: made, limited, read, emptied and removed.

A group is a path below the hierarchy, such as `/longshore/bare-1a2b-7.0.1`, and one directory (version 2) or one per
controller (version 1). What must not enter: attempts, engines, what a figure means.
"""

import os
import signal
from collections.abc import Collection
from contextlib import suppress
from typing import Final, NamedTuple

ROOT: Final = "/sys/fs/cgroup"
PARENT: Final = "longshore"
#: Controllers we use, and the names under which version 1 mounts them.
_CONTROLLERS: Final = ("memory", "cpu", "pids")
_V1: Final = (*_CONTROLLERS, "cpuacct", "freezer")
_PERIOD: Final = 100_000  # microseconds of the CPU quota
#: Where the processes of a delegated group go, which may have either processes or groups with controllers below it.
_LEAF: Final = "longshore-own"


class Used(NamedTuple):
    """Peak memory in bytes, CPU seconds; 0 where the kernel does not tell. `peak_memory` has the file cache in it."""

    peak_memory: int = 0
    cpu_seconds: float = 0.0

    def at_least(self, other: "Used") -> "Used":
        """The greater of both: neither ever falls."""
        return Used(max(self.peak_memory, other.peak_memory), max(self.cpu_seconds, other.cpu_seconds))


class Limits(NamedTuple):
    """Bytes of memory (no swap beyond it), CPUs' worth of time, processes and threads; 0 = no limit."""

    memory: int = 0
    cpus: float = 0.0
    pids: int = 0


class Ground(NamedTuple):
    """Where this process may make groups: directories that exist, and what of `Limits` takes effect there."""

    bases: tuple[str, ...]
    enforces: frozenset[str]

    def directories(self, name: str) -> tuple[str, ...]:
        """Those of the group of this name, whether it exists or not."""
        return tuple(f"{base}/{name}" for base in self.bases)

    def make(self, name: str, limits: Limits) -> tuple[str, ...]:
        """A group with these limits; its directories. One that exists gets the limits. `OSError`; nothing is left then."""
        made = self.directories(name)
        try:
            for directory in made:
                with suppress(FileExistsError):
                    os.mkdir(directory)
                _limit(directory, limits)
        except OSError:
            remove(made)
            raise
        return made

    def names(self) -> set[str]:
        """All groups here."""
        found: set[str] = set()
        for base in self.bases:
            found.update(entry.name for entry in os.scandir(base) if entry.is_dir())
        return found


def unified() -> bool:
    """Whether this host has version 2 alone (a hybrid has its controllers in version 1)."""
    return os.path.exists(f"{ROOT}/cgroup.controllers")


def ground(pid: int) -> "Ground | None":
    """Where groups for children of process `pid` may be made: at the root of the hierarchy, or (version 2) in the group
    that was delegated to that process. None if nowhere.
    """
    if not unified():
        return _ground_v1()
    for base in _bases(pid):
        with suppress(OSError):
            if found := _ground_v2(base, pid):
                return found
    return None


def may_be_had(pid: int) -> bool:
    """Whether `ground` is likely to find some; nothing is changed."""
    return bool(_bases(pid)) if unified() else os.access(f"{ROOT}/memory", os.W_OK)


def _bases(pid: int) -> list[str]:
    """Groups of version 2 in which we may make others."""
    own = own_group(pid).rstrip("/").removesuffix(f"/{_LEAF}")  # an earlier life moved it there
    files = ("cgroup.subtree_control", "cgroup.procs")
    bases = dict.fromkeys((ROOT, f"{ROOT}{own}"))
    return [base for base in bases if all(os.access(f"{base}/{name}", os.W_OK) for name in files)]


def own_group(pid: int) -> str:
    """The path of a process's group in version 2; empty if that cannot be read."""
    with suppress(OSError), open(f"/proc/{pid}/cgroup") as file:
        return next((line[3:].rstrip("\n") for line in file if line.startswith("0::")), "")
    return ""


def empty(directories: Collection[str]) -> int:
    """SIGKILL to every process of a group, frozen ones too; how many were met. They may need a moment to be gone."""
    met: set[int] = set()
    for directory in directories:
        write(f"{directory}/cgroup.kill", "1")
        while fresh := members(directory) - met:
            met |= fresh
            for pid in fresh:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        write(f"{directory}/freezer.state", "THAWED")
    return len(met)


def members(directory: str) -> set[int]:
    """The processes of a group."""
    with suppress(OSError, ValueError), open(f"{directory}/cgroup.procs") as file:
        return {int(line) for line in file}
    return set()


def remove(directories: Collection[str]) -> bool:
    """Remove an empty group; whether it is gone."""
    gone = True
    for directory in directories:
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            continue
        except OSError:
            gone = False
    return gone


def used(directories: Collection[str]) -> Used:
    """What a group used so far: the highest mark of its memory, with file cache, and CPU time."""
    found = Used()
    for at in directories:
        peak = (
            number(f"{at}/memory.peak") or number(f"{at}/memory.max_usage_in_bytes") or number(f"{at}/memory.current")
        )
        cpu = field(f"{at}/cpu.stat", "usage_usec") / 1e6 or number(f"{at}/cpuacct.usage") / 1e9
        found = found.at_least(Used(peak, cpu))
    return found


def resident(directories: Collection[str]) -> int:
    """Bytes that a group has of its own at this moment, file cache left out."""
    for at in directories:
        path = f"{at}/memory.stat"
        own = field(path, "total_rss") or field(path, "anon")
        if own:
            return own + (field(path, "total_shmem") or field(path, "shmem"))
    return 0


def oom_kills(directories: Collection[str]) -> int:
    """How many processes of a group the kernel has killed for want of memory."""
    return max(
        (
            field(f"{at}/memory.events", "oom_kill") or field(f"{at}/memory.oom_control", "oom_kill")
            for at in directories
        ),
        default=0,
    )


def number(path: str) -> int:
    """The one number in a file of the kernel; 0 if there is none."""
    with suppress(OSError, ValueError), open(path) as file:
        return int(file.read())
    return 0


def field(path: str, name: str) -> int:
    """The number behind a name in a file of lines; 0 if there is none."""
    with suppress(OSError, ValueError, StopIteration), open(path) as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name + " "))
    return 0


def write(path: str, text: str) -> bool:
    """Write to a file of the kernel if it is there and lets us; whether it did."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, text.encode())
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _must(path: str, text: str) -> None:
    """Write to a file of the kernel. `OSError`."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _limit(at: str, limits: Limits) -> None:
    """Set in this directory what its controller knows of."""
    if limits.memory and os.path.exists(f"{at}/memory.max"):
        _must(f"{at}/memory.max", str(limits.memory))
        write(f"{at}/memory.swap.max", "0")
    elif limits.memory and os.path.exists(f"{at}/memory.limit_in_bytes"):
        _must(f"{at}/memory.limit_in_bytes", str(limits.memory))
        write(f"{at}/memory.memsw.limit_in_bytes", str(limits.memory))
    if limits.cpus:
        quota = max(1000, int(limits.cpus * _PERIOD))
        if os.path.exists(f"{at}/cpu.max"):
            _must(f"{at}/cpu.max", f"{quota} {_PERIOD}")
        elif os.path.exists(f"{at}/cpu.cfs_quota_us"):
            _must(f"{at}/cpu.cfs_quota_us", str(quota))
    if limits.pids and os.path.exists(f"{at}/pids.max"):
        _must(f"{at}/pids.max", str(limits.pids))


def _ground_v1() -> "Ground | None":
    """At the root, beside the engines' groups: below the agent's own they would die when a unit of it is stopped."""
    bases: dict[str, str] = {}  # mounts of several controllers have several names
    enforces = set()
    for controller in _V1:
        at = f"{ROOT}/{controller}"
        if not os.access(at, os.W_OK):
            continue
        with suppress(OSError):
            os.makedirs(f"{at}/{PARENT}", exist_ok=True)
            bases.setdefault(os.path.realpath(at), f"{at}/{PARENT}")
            enforces.add(controller)
    return Ground(tuple(bases.values()), frozenset(enforces)) if "memory" in enforces else None


def _ground_v2(base: str, pid: int) -> "Ground | None":
    """`base`/longshore with the controllers we use handed down to it; None if memory is not among them. `OSError`."""
    if "memory" not in _handed_down(base):
        _move_own(base, pid)
        if "memory" not in _handed_down(base):
            return None
    os.makedirs(f"{base}/{PARENT}", exist_ok=True)
    given = _handed_down(f"{base}/{PARENT}")
    return Ground((f"{base}/{PARENT}",), given) if "memory" in given else None


def _handed_down(at: str) -> frozenset[str]:
    """Those of our controllers that groups below this one have, once they are asked for: memory first.

    Memory is refused to a group with processes. The others are not, but would make it one of threads, with no way back.
    """
    if write(f"{at}/cgroup.subtree_control", "+memory"):
        for controller in _CONTROLLERS:
            write(f"{at}/cgroup.subtree_control", f"+{controller}")
    with open(f"{at}/cgroup.subtree_control") as file:
        return frozenset(file.read().split()) & frozenset(_CONTROLLERS)


def _move_own(base: str, pid: int) -> None:
    """Make room: our own processes go one group deeper. `OSError` if others are there too, which are not ours to move."""
    there = members(base)
    if not there <= {pid, os.getpid()} and base != ROOT:
        raise PermissionError("others than the agent and its spawner are in that group")
    os.makedirs(f"{base}/{_LEAF}", exist_ok=True)
    for each in there:
        _must(f"{base}/{_LEAF}/cgroup.procs", str(each))
