"""Directories of attempts: input, output, temp, resource, and the two files of what the process says.

A task that stages nothing gets a ready-made set that is used again only if it was left exactly as it was found, since
making and removing directories would cost more than starting the process. Those of failed attempts are kept beside the
others for a while, as `kept/<attempt>`, with a note on what happened. What must not enter: what is in them.
"""

import asyncio
import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final, NamedTuple

from longshore_agent.adapters.room import Room, below
from longshore_agent.core.contract import Places
from longshore_common import logs

log = logs.get_logger()

#: The note in a kept directory.
NOTE: Final = "attempt.json"
#: Work directories of failed attempts that are kept if the settings say nothing else.
KEEP: Final = 20
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
    """The work directories of one worker below `base`, and the newest `keep` of failed attempts in `kept` beside it."""

    def __init__(self, base: Path, room: Room | None = None, keep: int = KEEP) -> None:
        self.base, self.kept = base, base.parent / "kept"
        self.room, self.keep_most = room or Room(base.parent), keep
        self.room.others = self.give_up
        self._free: list[Place] = []
        self._made: dict[str, tuple[int, ...]] = {}  # name -> change times of its directories when it was made
        self._places: dict[str, Place] = {}  # the sets that are in use or free
        self._next = 0
        self._kept: dict[str, None] = {}  # the oldest first
        self._sizes: dict[str, int] = {}  # bytes of those that were measured already
        base.mkdir(parents=True, exist_ok=True, mode=0o755)

    def reset(self, keep: set[str]) -> None:
        """Remove every directory that belongs to no attempt any more, but those of failed attempts that are kept."""
        for entry in os.scandir(self.base):
            kind, _, number = entry.name.partition("-")
            if kind == "set" and number.isdigit():
                self._next = max(self._next, int(number))
            if entry.name not in keep:
                self.room.remove(entry.path)
        with contextlib.suppress(OSError):
            found = sorted(os.scandir(self.kept), key=lambda entry: entry.stat().st_mtime)
            self._kept = {entry.name: None for entry in found}
        for name in self._kept:
            self._measure(name)
        self._trim()

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
        self._forget(place)
        self.room.remove(place.root)

    def worth_keeping(self, place: Place) -> bool:
        """Whether anything is in it."""
        if not self.keep_most:
            return False
        if self._made.get(place.name) != _stamps(place):
            return os.path.isdir(place.root)
        return any(os.path.exists(path) and os.path.getsize(path) for path in (place.stdout, place.stderr))

    def keep(self, place: Place, attempt: str, note: bytes) -> None:
        """The attempt failed: put its directory aside with a note, until `clean`, newer ones or a full disk."""
        self._forget(place)
        root = f"{self.kept}/{attempt}"
        try:
            self.kept.mkdir(exist_ok=True, mode=0o700)
            with open(f"{place.root}/{NOTE}", "wb", opener=_private) as file:
                file.write(note)
            self.room.remove(root)
            os.rename(place.root, root)
            os.utime(root)
        except OSError as err:
            log.warning("directory-not-kept", attempt=attempt, reason=str(err))
            self.room.remove(place.root)
            return
        self._kept.pop(attempt, None)
        self._kept[attempt] = None
        self._measure(attempt)
        self._trim()

    @property
    def number_kept(self) -> int:
        """How many directories of failed attempts there are."""
        return len(self._kept)

    async def clean(self) -> int:
        """Remove all that are kept; the bytes that become free."""
        names = list(self._kept)
        sizes = [await asyncio.to_thread(below, f"{self.kept}/{name}") for name in names]
        freed = 0
        for name, size in zip(names, sizes, strict=True):
            if name in self._kept:
                self._sizes[name] = size
                freed += size
                self._remove_kept(name)
        while self.room.going:  # noqa: ASYNC110  a rare wish of an operator; the disk sends no event
            await asyncio.sleep(0.05)
        return freed

    def give_up(self, wanted: int) -> int:
        """Remove the oldest that are kept until so many bytes become free; how many did."""
        freed = 0
        for name in list(self._kept):
            if freed >= wanted:
                break
            freed += self._sizes.get(name, 0)
            self._remove_kept(name)
        return freed

    def _trim(self) -> None:
        for name in list(self._kept)[: max(0, len(self._kept) - self.keep_most)]:
            self._remove_kept(name)
        self.room.lacking()  # asks us to give up the oldest, if the disk is nearly full

    def _remove_kept(self, name: str) -> None:
        del self._kept[name]
        self.room.remove(f"{self.kept}/{name}", self._sizes.pop(name, 0))

    def _measure(self, name: str) -> None:
        """Find out how much it frees, in a thread: there may be a million files in it."""

        def measure() -> None:
            size = below(f"{self.kept}/{name}")
            if name in self._kept:
                self._sizes[name] = size

        self.room.later(measure)

    def _forget(self, place: Place) -> None:
        self._made.pop(place.name, None)
        self._places.pop(place.name, None)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


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
