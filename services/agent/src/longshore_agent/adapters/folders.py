"""The folders that the containers of one attempt share, on this host: at which place each of their paths is here.

Tasks fill these folders, and links in them mean paths in the container; the agent, who may be root, must not follow one out
of them. Call it only while no container of the attempt runs, then nothing changes under its feet. Everything here blocks.
What must not enter: storage, engines.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from threading import Event
from typing import Final, NamedTuple

import msgspec

from longshore_agent.adapters import trees
from longshore_agent.core.contract import Places
from longshore_agent.core.ports import Bind
from longshore_common import inside
from longshore_common.damage import DAMAGED
from longshore_common.inside import INPUT, OUTPUT, TEMP, Shared
from longshore_data.parallel import Stopped

#: Links that lead to links are followed so often.
_LINKS: Final = 40
_PIECE: Final = 1 << 20


class Folders(NamedTuple):
    """What is `shared`, and the attempt's places."""

    shared: Shared
    places: Places

    def binds(self) -> tuple[Bind, ...]:
        """What each container gets besides its usual folders."""
        return tuple(Bind(self.places.tree + path, path) for path in (*self.shared.folders, *self.shared.files))

    def temp(self, step: int) -> str:
        """The /tmp of this step: shared, or empty and its own."""
        if self.shared.temp or step == 0:
            return self.places.temp
        return f"{self.places.temp}-{step}"

    def host(self, path: str) -> str | None:
        """Where a clean path in the containers is on this host; None if it is the image's."""
        for folder, place in ((INPUT, self.places.input), (OUTPUT, self.places.output)):
            if inside.below(path, folder):
                return place + path.removeprefix(folder)
        if self.shared.temp and inside.below(path, TEMP):
            return self.places.temp + path.removeprefix(TEMP)
        ours = path in self.shared.files or any(inside.below(path, folder) for folder in self.shared.folders)
        return self.places.tree + path if ours else None

    def clear(self) -> None:
        """Begin anew: nothing is in these folders, nor in those that every task has."""
        trees.remove(self.places.tree)
        for place in (self.places.input, self.places.output, self.places.temp):
            for name in os.listdir(place):
                trees.remove(f"{place}/{name}")

    def make(self) -> None:
        """Have all that is there when the first step begins; what is there already stays. `OSError`."""
        for path in self.shared.made:
            self._folder(path)
        for path in self.shared.files:
            self._file(path)

    def make_temp(self, step: int) -> str:
        """The /tmp of this step, which is there. `OSError`."""
        temp = self.temp(step)
        with suppress(FileExistsError):
            os.mkdir(temp)
        return temp

    def place_for(self, path: str) -> str:
        """Where to put a file for this path: its folder is there, and no link on the way. `OSError`."""
        self._folder(inside.parent(path))
        return self.host(path) or f"{self.places.tree}{path}"

    def resolved(self, path: str) -> str | None:
        """What a path means in a container, links followed, on this host; None if nothing of this attempt's is there."""
        todo = path.split("/")[::-1]
        here, links = "", 0
        while todo:
            segment = todo.pop()
            if segment in ("", "."):
                continue
            if segment == "..":
                here = here.rpartition("/")[0]
                continue
            aim = self._aim(f"{here}/{segment}")
            if aim is None:
                here = f"{here}/{segment}"
                continue
            links += 1
            if links > _LINKS:
                return None
            here = "" if aim.startswith("/") else here
            todo += aim.split("/")[::-1]
        place = self.host(here or "/")
        return place if place is not None and os.path.lexists(place) else None

    def written(self, path: str) -> bool:
        """Whether anything was written to a file that was laid alone into the image; it is there from the beginning."""
        try:
            return path not in self.shared.files or os.lstat(self.places.tree + path).st_mtime_ns != 0
        except OSError:
            return False

    def write(self, source: str, begin: int, path: str) -> None:
        """Put what stands in the file `source` from byte `begin` on into the file at `path`. `OSError`."""
        place = self.place_for(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with open(source, "rb") as src, open(os.open(place, flags, 0o666), "wb") as dst:
            os.fchmod(dst.fileno(), 0o666)
            src.seek(begin)
            shutil.copyfileobj(src, dst, _PIECE)

    def remember(self, stop: Event) -> None:
        """Note what is in these folders now. `OSError`."""
        found = {path: stamp for root in self._roots() for path, stamp in _stamps(stop, root)}
        with open(self._note, "wb") as file:
            file.write(msgspec.json.encode(found))

    def remembered(self) -> dict[str, tuple[int, int, int]]:
        """What was noted: a `stamp` of each file by its path on this host."""
        try:
            with open(self._note, "rb") as file:
                return msgspec.json.decode(file.read(), type=dict[str, tuple[int, int, int]])
        except (OSError, *DAMAGED):
            return {}

    @property
    def _note(self) -> str:
        return f"{self.places.tree}.staged"

    def _roots(self) -> tuple[str, ...]:
        places = (self.places.tree, self.places.input, self.places.output, self.places.temp)
        return tuple(map(os.path.realpath, places))

    def matches(self, pattern: str) -> Iterator[str]:
        """Paths in the container that a pattern of the shell means, in order; links above them are followed."""
        start = inside.still(pattern)
        rest = [s for s in inside.clean(pattern).removeprefix(start).split("/") if s]
        yield from self._matches(start, rest)

    def _matches(self, folder: str, rest: list[str]) -> Iterator[str]:
        from fnmatch import fnmatchcase

        if not rest:
            yield folder
            return
        place = self.resolved(folder)
        if place is None or not os.path.isdir(place):
            return
        for name in sorted(os.listdir(place)):
            if fnmatchcase(name, rest[0]) and (not name.startswith(".") or rest[0].startswith(".")):
                yield from self._matches(f"{folder.rstrip('/')}/{name}", rest[1:])

    def _aim(self, path: str) -> str | None:
        """What a link at this path says, None if there is no link (or nothing)."""
        place = self.host(path)
        if place is None:
            return None
        try:
            return os.readlink(place)
        except OSError:
            return None

    def _folder(self, path: str) -> None:
        """Make a folder and those above it, for everybody; `OSError` if one of them is a link or a file."""
        here = ""
        for segment in path.split("/")[1:]:
            here = f"{here}/{segment}" if segment else here
            place = self.host(here or "/") or f"{self.places.tree}{here}"
            with suppress(FileExistsError):
                os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
                os.mkdir(place)
                os.chmod(place, 0o777)
            if not stat.S_ISDIR(os.lstat(place).st_mode):
                raise NotADirectoryError(20, "no folder, or a link", here)

    def _file(self, path: str) -> None:
        place = self.place_for(path)
        with suppress(FileExistsError):
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            os.chmod(place, 0o666)
            os.utime(place, (0, 0))


def stamp(path: str) -> tuple[int, int, int]:
    """What changes when a file does: size, modification time (ns), inode. `OSError`."""
    seen = os.lstat(path)
    return seen.st_size, seen.st_mtime_ns, seen.st_ino


def _stamps(stop: Event, root: str) -> Iterator[tuple[str, tuple[int, int, int]]]:
    for folder, _, files in os.walk(root):
        if stop.is_set():
            raise Stopped
        for name in files:
            path = f"{folder}/{name}"
            if not _odd(path):
                yield path, stamp(path)


def _odd(path: str) -> bool:
    """Whether its name cannot be written down."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return True
    return False


def open_to_all(root: str) -> None:
    """Let whoever runs inside read and write all of this; links are left alone. `OSError`."""
    if os.path.islink(root):
        return
    _open(root)
    if os.path.isdir(root):
        for folder, names, files in os.walk(root):
            for name in (*names, *files):
                _open(f"{folder}/{name}")


def _open(path: str) -> None:
    mode = os.lstat(path).st_mode
    if stat.S_ISDIR(mode):
        os.chmod(path, 0o777)
    elif stat.S_ISREG(mode):
        os.chmod(path, stat.S_IMODE(mode) | 0o666)
