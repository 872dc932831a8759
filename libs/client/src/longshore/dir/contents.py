"""What a directory holds that is to be sent, and whether that is more than was meant. Blocks; moves nothing.

A link to a file outside is sent as that file, so that many directories may link to one reference; a link to somewhere
inside stays a link. What must not enter: storage, markers.
"""

import os
import stat
from pathlib import Path
from typing import Final, NamedTuple

from longshore.dir.ignoring import Ignore
from longshore.dir.marker import FOLDER
from longshore.quantities import shown_size
from longshore_common.errors import BadInput, Refused

#: How much is sent without being asked twice.
MOST_BYTES: Final = 2 << 30
MOST_FILES: Final = 100_000


class Guard(NamedTuple):
    """The most that may be sent: bytes, and files."""

    size: int = MOST_BYTES
    files: int = MOST_FILES


class Leaf(NamedTuple):
    """A file, link or empty folder: its relative path, where its bytes are, and for a link its target."""

    path: str
    real: str
    size: int = 0
    modified: int = 0
    inode: tuple[int, int] = (0, 0)
    executable: bool = False
    link: str = ""
    folder: bool = False


class Contents(NamedTuple):
    """All that is to be sent, by path, and the paths of what nobody can send: sockets, pipes, devices."""

    leaves: tuple[Leaf, ...]
    special: tuple[str, ...] = ()

    @property
    def files(self) -> list[Leaf]:
        """The files alone."""
        return [leaf for leaf in self.leaves if not leaf.link and not leaf.folder]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(leaf.size for leaf in self.leaves)


def look(directory: Path, ignore: Ignore, guard: Guard) -> Contents:
    """What is to be sent of a directory. `BadInput` if it is none, or holds what cannot be; `Refused` if it is too much."""
    if not directory.is_dir():
        raise BadInput(f"{directory} is no directory")
    walk = _Walk(os.path.realpath(directory), ignore, guard)
    try:
        walk.all()
    except OSError as err:
        raise BadInput(f"{err.filename or directory} cannot be read: {err.strerror}") from err
    found = Contents(tuple(sorted(walk.leaves)), tuple(sorted(walk.special)))
    if found.size > guard.size:
        raise Refused(_too_large(found, guard))
    return found


def _too_large(found: Contents, guard: Guard) -> str:
    largest = sorted(found.files, key=lambda leaf: -leaf.size)[:3]
    those = ", ".join(f"{leaf.path} ({shown_size(leaf.size)})" for leaf in largest)
    return (
        f"it holds {shown_size(found.size)}, more than {shown_size(guard.size)}; the largest are {those}: "
        "leave files out by lines in .longshoreignore, or allow it with --max-size"
    )


class _Walk:
    def __init__(self, root: str, ignore: Ignore, guard: Guard) -> None:
        self.root, self.ignore, self.guard = root, ignore, guard
        self.leaves: list[Leaf] = []
        self.special: list[str] = []

    def all(self) -> None:
        folders = [""]
        while folders:
            prefix = folders.pop()
            before = len(folders) + len(self.leaves)
            with os.scandir(f"{self.root}/{prefix}") as entries:
                for entry in entries:
                    path = prefix + _named(entry.name, prefix)
                    plain = entry.is_dir(follow_symlinks=False)
                    if entry.name.startswith(FOLDER) or self.ignore.skips(path, folder=plain):
                        continue
                    if plain:
                        folders.append(f"{path}/")
                    else:
                        self._leaf(path, entry)
            if prefix and len(folders) + len(self.leaves) == before:
                self.leaves.append(Leaf(prefix[:-1], "", folder=True))
            if len(self.leaves) > self.guard.files:
                raise Refused(
                    f"it holds more than {self.guard.files:,} files: leave some out by lines in .longshoreignore, "
                    "or allow it with --max-files"
                )

    def _leaf(self, path: str, entry: "os.DirEntry[str]") -> None:
        if entry.is_symlink() and self._stays(entry.path):
            self.leaves.append(Leaf(path, entry.path, link=os.readlink(entry.path)))
            return
        try:
            seen = os.stat(entry.path)
        except FileNotFoundError as err:
            raise BadInput(f"{path} is a link to nowhere: remove it, or leave it out by .longshoreignore") from err
        if stat.S_ISDIR(seen.st_mode):
            raise BadInput(
                f"{path} is a link to a folder outside: copy that here, or leave the link out by .longshoreignore"
            )
        if not stat.S_ISREG(seen.st_mode):
            self.special.append(path)
            return
        real = os.path.realpath(entry.path)
        about = (seen.st_size, seen.st_mtime_ns, (seen.st_dev, seen.st_ino))
        self.leaves.append(Leaf(path, real, *about, bool(seen.st_mode & 0o111)))

    def _stays(self, place: str) -> bool:
        """Whether a link means something inside the directory, whatever that is called elsewhere."""
        if os.readlink(place).startswith("/"):
            return False
        return f"{os.path.realpath(place)}/".startswith(f"{self.root}/") and os.path.exists(place)


def _named(name: str, prefix: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError as err:
        raise BadInput(f"{prefix + name!r} is no UTF-8 name: rename it, or leave its folder out") from err
    if "\n" in name or "\r" in name:
        raise BadInput(f"{prefix + name!r} has a line end in its name: rename it, or leave its folder out")
    return name
