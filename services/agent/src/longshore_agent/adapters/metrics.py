"""What this host is doing, read from the kernel: processors, memory, disks, mounts, network; as the beat tells it.

Sizes are bytes, rates bytes a second, shares percent; rates are means since the last reading. Only what is there once is
counted: physical disks and interfaces, each device's first mount. What must not enter: what is made of it, GPUs (`gpus`).
"""

import os
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from longshore_agent.adapters.aside import Aside

_SECTOR: Final = 512
#: File systems without a device of their own that tasks store things on.
_SHARED: Final = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "ceph",
    "lustre",
    "beegfs",
    "gpfs",
    "glusterfs",
    "zfs",
    "9p",
    "virtiofs",
)
_NOT_OURS: Final = ("/boot", "/snap", "/var/lib/docker", "/var/lib/containers", "/etc", "/proc", "/sys", "/dev", "/run")
#: Read anew every so many readings: mounts fill slowly.
_MOUNTS_EVERY: Final = 5


class Counters(NamedTuple):
    """Counts since the host started, at an instant (seconds)."""

    at: float
    processor: tuple[float, ...]
    disks: dict[str, tuple[int, int]]
    network: dict[str, tuple[int, int]]


class Waiting:
    """The share of time that processors wait for I/O, since the last question."""

    def __init__(self) -> None:
        self._last = processor()

    def percent(self) -> float:
        """0 if no time has passed."""
        last, self._last = self._last, processor()
        return _shares(last, self._last)["iowait"]


class Metrics:
    """Readings of one host, each against the one before."""

    def __init__(self, now: float) -> None:
        self._last = _counters(now)
        self._mounts: Aside[dict[str, dict[str, int]]] = Aside(usage, {}, "mounts")
        self._n = 0

    def read(self, now: float) -> dict[str, Any]:
        """What the beat tells under `host`, without GPUs and slots. A repeat at the same instant has rates of 0."""
        last, self._last = self._last, _counters(now)
        this = self._last
        if self._n % _MOUNTS_EVERY == 0:
            self._mounts.refresh()
        self._n += 1
        return {
            "at": round(now, 3),
            "cpu": _shares(last.processor, this.processor),
            "memory": memory(),
            "load": [round(x, 2) for x in os.getloadavg()],
            "disks": _rates(last, this, last.disks, this.disks, ("read", "write")),
            "mounts": self._mounts.known,
            "network": _rates(last, this, last.network, this.network, ("in", "out")),
        }


def usage() -> dict[str, dict[str, int]]:
    """How full each of `mounts` is, in bytes; a file server that is away makes this wait."""
    found = {}
    for path in mounts():
        try:
            disk = os.statvfs(path)
        except OSError:
            continue
        if disk.f_blocks:
            total = disk.f_blocks * disk.f_frsize
            found[path] = {"used": total - disk.f_bfree * disk.f_frsize, "total": total}
    return found


def mounts(table: str = "/proc/mounts") -> list[str]:
    """Where file systems are mounted that tasks may fill, each device once, at its shortest path."""
    found: dict[str, str] = {}
    with open(table, errors="surrogateescape") as file:
        for line in file:
            device, path, kind = line.split(" ")[:3]
            path = path.encode().decode("unicode_escape") if "\\" in path else path  # a space is written \040
            if kind in ("squashfs", "iso9660") or not (device.startswith("/dev/") or kind in _SHARED):
                continue
            if any(path == no or path.startswith(f"{no}/") for no in _NOT_OURS):
                continue
            if device not in found or len(path) < len(found[device]):
                found[device] = path
    return sorted(found.values())


def memory() -> dict[str, int]:
    """Bytes: `used` is what no task could have without swapping."""
    values = {}
    with open("/proc/meminfo") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if name in ("MemTotal", "MemAvailable", "SwapTotal", "SwapFree"):
                values[name] = int(rest.split()[0]) * 1024
    total, free = values.get("MemTotal", 0), values.get("MemAvailable", 0)
    return {"used": total - free, "total": total, "swap": values.get("SwapTotal", 0) - values.get("SwapFree", 0)}


def processor() -> tuple[float, ...]:
    """Ticks of all processors: user, nice, system, idle, iowait, irq, softirq, steal."""
    with open("/proc/stat") as file:
        return tuple(map(float, file.readline().split()[1:9]))


def _shares(last: tuple[float, ...], this: tuple[float, ...]) -> dict[str, float]:
    user, nice, system, _, iowait, irq, softirq, _ = gone = [max(0.0, b - a) for a, b in zip(last, this, strict=True)]
    whole = sum(gone) or 1.0
    shares = {"user": user + nice, "system": system + irq + softirq, "iowait": iowait}
    return {name: round(100 * ticks / whole, 1) for name, ticks in shares.items()}


def _counters(now: float) -> Counters:
    return Counters(now, processor(), dict(disks()), dict(network()))


def _rates(
    last: Counters,
    this: Counters,
    before: dict[str, tuple[int, int]],
    after: dict[str, tuple[int, int]],
    names: tuple[str, str],
) -> dict[str, dict[str, int]]:
    seconds = this.at - last.at
    rates = {}
    for name, counts in after.items():
        old = before.get(name, counts)
        pairs = zip(names, old, counts, strict=True)
        rates[name] = {what: int(max(0, b - a) / seconds) if seconds > 0 else 0 for what, a, b in pairs}
    return rates


def disks() -> Iterator[tuple[str, tuple[int, int]]]:
    """Bytes read and written of whole disks, without partitions, loops and what is made of several."""
    with open("/proc/diskstats") as file:
        for line in file:
            fields = line.split()
            name = fields[2]
            if not name.startswith(("loop", "ram", "zram", "sr", "fd", "dm-", "md")) and _is_disk(name):
                yield name, (int(fields[5]) * _SECTOR, int(fields[9]) * _SECTOR)


def _is_disk(name: str) -> bool:
    return os.path.exists(f"/sys/block/{name.replace('/', '!')}/device")


def network() -> Iterator[tuple[str, tuple[int, int]]]:
    """Bytes in and out of network cards; where there are none (in a container) of what leads to the world."""
    counts = {}
    with open("/proc/net/dev") as file:
        for line in list(file)[2:]:
            name, _, rest = line.partition(":")
            fields = rest.split()
            counts[name.strip()] = (int(fields[0]), int(fields[8]))
    cards = [name for name in counts if os.path.exists(f"/sys/class/net/{name}/device")]
    for name in cards or _outward():
        if name in counts:
            yield name, counts[name]


def _outward() -> list[str]:
    """Interfaces with a default route."""
    with open("/proc/net/route") as file:
        return sorted({line.split()[0] for line in list(file)[1:] if line.split()[1] == "00000000"})
