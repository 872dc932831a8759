"""Directories of attempts: input, output, temp, resource, and the two files of what the process says.

A task that stages nothing gets a ready-made set that is used again only if it was left exactly as it was found, since
making and removing directories would cost more than starting the process. What must not enter: what is in them.
"""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path
from typing import Final, NamedTuple

from longshore_agent.core.contract import Places

_DIRS: Final = ("input", "output", "temp", "resource")


class Place(NamedTuple):
    """One attempt's directory `root` below the worker's, and where things are in it."""

    name: str
    root: str
    stdout: str
    stderr: str
    places: Places


#: The place of attempts that have no process.
NOWHERE: Final = Place("", "", "", "", Places("", "", "", ""))


class WorkDirs:
    """The work directories of one worker below `base`."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self._free: list[Place] = []
        self._made: dict[str, tuple[int, ...]] = {}  # name -> change times of its directories when it was made
        self._places: dict[str, Place] = {}  # the sets that are in use or free
        self._next = 0
        base.mkdir(parents=True, exist_ok=True, mode=0o755)

    def reset(self, keep: set[str]) -> None:
        """Remove every directory that belongs to no attempt any more."""
        for entry in os.scandir(self.base):
            kind, _, number = entry.name.partition("-")
            if kind == "set" and number.isdigit():
                self._next = max(self._next, int(number))
            if entry.name not in keep:
                shutil.rmtree(entry.path, ignore_errors=True)

    def named(self, name: str) -> Place:
        """The place of this name, whether it exists or not."""
        known = self._places.get(name)
        if known is not None:
            return known
        root = f"{self.base}/{name}"
        return Place(name, root, f"{root}/stdout", f"{root}/stderr", Places(*(f"{root}/{d}" for d in _DIRS)))

    def take(self) -> Place:
        """A pristine set; `OSError` if the disk has no room for another."""
        if self._free:
            return self._free.pop()
        self._next += 1
        place = self.make(f"set-{self._next}")
        self._made[place.name] = _stamps(place)
        self._places[place.name] = place
        return place

    def make(self, name: str) -> Place:
        """Directories for one attempt under its own name; existing ones stay as they are."""
        place = self.named(name)
        for directory in (place.root, *place.places):
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory)
        return place

    def give_back(self, place: Place) -> None:
        """The attempt is over: use its set again if it is untouched, else remove it."""
        if self._made.get(place.name) == _stamps(place) and all(map(_unused, (place.stdout, place.stderr))):
            self._free.append(place)
            return
        self._made.pop(place.name, None)
        self._places.pop(place.name, None)
        shutil.rmtree(place.root, ignore_errors=True)


def _stamps(place: Place) -> tuple[int, ...]:
    """The instants (ns) at which a place's directories last changed."""
    try:
        return tuple(os.stat(d).st_ctime_ns for d in place.places)
    except OSError:
        return ()


def _unused(path: str) -> bool:
    """Whether the file holds nothing and nobody has it open: only then a lease for writing is granted."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        if os.fstat(fd).st_size:
            os.unlink(path)
            return True
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        return True
    except OSError:
        os.unlink(path)  # a process that escaped may still write to it; the next one gets a file of its own
        return True
    finally:
        os.close(fd)
