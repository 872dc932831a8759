"""When a disk counts as too full for more work: below its watermark, until a tenth more than that is free again.

What must not enter: asking the kernel, freeing anything.
"""

from typing import Final, NamedTuple

from .sizes import share

_GIB: Final = 1 << 30
#: Inodes of which at least so many must be left, where a file system counts them.
INODES: Final = 1000


class Space(NamedTuple):
    """One file system: bytes, and inodes (`files` 0: it does not count them)."""

    path: str
    free: int
    total: int
    files: int = 0
    files_free: int = 0


def low(setting: str, total: int) -> int:
    """Bytes that must be free on a disk of `total`: as set (`5%`, `20G`, `0` = never), else 2 %, between 1 and 20 GiB.

    Of a small disk at most a tenth. `BadInput` if the setting cannot be read.
    """
    if setting:
        return share(setting, total, "LONGSHORE_DISK_LOW")
    return min(20 * _GIB, max(total // 50, min(_GIB, total // 10)))


def missing(space: Space, mark: int, *, hindered: bool) -> int:
    """Bytes that must become free before work is taken (again); 0: there is room."""
    wanted = mark + mark // 10 if hindered else mark
    return max(0, wanted - space.free)


def why(space: Space, mark: int, *, hindered: bool) -> str:
    """What is wrong with this disk and what to do; empty if nothing is."""
    if missing(space, mark, hindered=hindered):
        return (
            f"disk {space.path} has {_human(space.free)} left, below its watermark of {_human(mark)}: "
            "free some, or set LONGSHORE_DISK_LOW"
        )
    if mark and space.files and space.files_free < INODES + (INODES // 10 if hindered else 0):
        return f"disk {space.path} has {space.files_free} inodes left: remove files there"
    return ""


def _human(size: int) -> str:
    for unit, step in (("GiB", _GIB), ("MiB", 1 << 20)):
        if size >= step / 10:
            return f"{size / step:.1f} {unit}"
    return f"{size} bytes"
