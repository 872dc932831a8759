"""How much of a disk must stay free, and who gives something up first.

What must not enter: what is kept.
"""

import os
from collections.abc import Callable


class Room:
    """The disk below `path`; `floor` bytes of it shall stay free. `others` frees so many bytes of less worth, if it can."""

    def __init__(self, path: str, floor: int) -> None:
        self.path, self.floor = path, floor
        self.others: Callable[[int], int] = lambda _: 0

    def lacking(self) -> int:
        """Bytes that are missing to the floor, after others gave up what they could."""
        missing = self.floor - free(self.path)
        if missing > 0:
            missing -= self.others(missing)
        return max(0, missing)


def free(path: str) -> int:
    """Bytes that this user may still write there."""
    seen = os.statvfs(path)
    return seen.f_bavail * seen.f_frsize


def whole(path: str) -> int:
    """The size of the disk in bytes."""
    seen = os.statvfs(path)
    return seen.f_blocks * seen.f_frsize


def below(path: str) -> int:
    """Bytes that removing `path` frees: files that have no other name elsewhere."""
    total, folders = 0, [path]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    seen = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif seen.st_nlink == 1:
                        total += seen.st_blocks * 512
        except OSError:
            continue  # it goes away while we look
    return total
