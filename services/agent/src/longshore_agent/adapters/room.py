"""How much of a worker's disk must stay free, who gives something up first, and how things leave it.

What is removed is out of sight at once and off the disk a little later, in a thread: a folder of a million files keeps
nobody waiting. What must not enter: what is kept, and for whom.
"""

import os
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from longshore_agent.adapters import trees


class Room:
    """The disk below `directory`; `floor` bytes of it shall stay free. `others` frees so many bytes of less worth.

    What an earlier life had no time to remove goes first.
    """

    def __init__(self, directory: Path, floor: int = 0) -> None:
        self.directory, self.floor = directory, floor
        self.others: Callable[[int], int] = lambda _: 0
        self.going = 0  # bytes that are out of sight and still on the disk
        self._gone = directory / "gone"
        self._next = 0
        self._queue: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._made = False
        with suppress(OSError):
            for name in os.listdir(self._gone):
                self._next = max(self._next, int(name) if name.isdigit() else 0)
                self._take(str(self._gone / name), 0)

    def lacking(self) -> int:
        """Bytes that are missing to the floor, after others gave up what they could."""
        if not self.floor:
            return 0
        missing = self.floor - free(str(self.directory)) - self.going
        if missing > 0:
            missing -= self.others(missing)
        return max(0, missing)

    def remove(self, path: str, size: int = 0) -> None:
        """Take `path` (about `size` bytes) away; nothing happens if it is not there."""
        self._next += 1
        away = f"{self._gone}/{self._next}"
        try:
            if not self._made:
                os.makedirs(self._gone, exist_ok=True, mode=0o700)
                self._made = True
            os.rename(path, away)
        except FileNotFoundError:
            return
        except OSError:
            away = path
        self._take(away, size)

    def _take(self, path: str, size: int) -> None:
        with self._lock:
            self.going += size

        def take() -> None:
            trees.remove(path)
            with self._lock:
                self.going -= size

        self.later(take)

    def later(self, work: Callable[[], None]) -> None:
        """Do this in the thread that removes things; it must not raise."""
        self._queue.put(work)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="removal", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            self._queue.get()()


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
