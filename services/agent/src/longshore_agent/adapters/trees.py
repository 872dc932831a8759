"""A folder of files that is kept and lent: sealed once, compared with what it was, linked elsewhere.

Runs in threads and looks at `stop` as it goes. What must not enter: asyncio, where the files came from.
"""

import errno
import fcntl
import os
import shutil
from contextlib import suppress
from threading import Event
from typing import Final, Literal

from msgspec import Struct

from longshore_data import disk
from longshore_data.parallel import Stopped

_FICLONE: Final = 0x40049409  # linux/fs.h
_NO_CLONES: Final = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM)
_NO_LINKS: Final = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


class Item(Struct, frozen=True, array_like=True):
    """One name below the folder, as bytes read as Latin-1 so that any name can be written as JSON.

    A file is altered if any of size, modification time (ns), inode or mode differs; not by the time of its last change,
    which every link to it moves.
    """

    path: str
    kind: Literal["file", "folder", "link"]
    size: int = 0
    modified: int = 0
    inode: int = 0
    mode: int = 0
    aim: str = ""

    @property
    def name(self) -> str:
        """The path as this host spells it."""
        return os.fsdecode(self.path.encode("latin-1"))


def seal(stop: Event, root: str) -> tuple[Item, ...]:
    """Make every file below `root` read-only; what is there. Pipes, sockets and devices are none of it."""
    items: list[Item] = []
    folders = [""]
    while folders:
        prefix = folders.pop()
        with os.scandir(f"{root}/{prefix}") as entries:
            for entry in entries:
                _look(stop)
                item = _sealed(prefix, entry)
                if item is not None:
                    items.append(item)
                if item is not None and item.kind == "folder":
                    folders.append(f"{prefix}{entry.name}/")
    return tuple(sorted(items, key=lambda i: i.path))


def altered(stop: Event, root: str, items: tuple[Item, ...]) -> str:
    """The first file below `root` that is not as it was sealed; empty if all are."""
    for item in items:
        _look(stop)
        if item.kind != "file":
            continue
        try:
            seen = os.lstat(f"{root}/{item.name}")
        except OSError:
            return item.name
        if (seen.st_size, seen.st_mtime_ns, seen.st_ino, seen.st_mode) != (
            item.size,
            item.modified,
            item.inode,
            item.mode,
        ):
            return item.name
    return ""


class Lender:
    """Puts sealed files elsewhere: as clones where the disk has such, else as hard links, else as copies."""

    def __init__(self, *, clones: bool = True) -> None:
        self._clones = clones

    def lend(self, stop: Event, root: str, items: tuple[Item, ...], target: str) -> None:
        """All of `root` below `target`, which exists; what is there by these names is replaced."""
        for item in items:
            _look(stop)
            source, place = f"{root}/{item.name}", f"{target}/{item.name}"
            if item.kind == "folder":
                os.makedirs(place, exist_ok=True)
            elif item.kind == "link":
                _clear(place)
                os.symlink(os.fsdecode(item.aim.encode("latin-1")), place)
            else:
                self._file(stop, source, place)

    def _file(self, stop: Event, source: str, place: str) -> None:
        _clear(place)
        if self._clones and self._cloned(source, place):
            return
        try:
            os.link(source, place, follow_symlinks=False)
        except OSError as err:
            if err.errno not in _NO_LINKS:
                raise
            disk.copy_in(stop, source, place)
            os.chmod(place, os.stat(source).st_mode & 0o555)

    def _cloned(self, source: str, place: str) -> bool:
        """A file of its own that shares the blocks: a task that writes to it spoils nothing."""
        made = False
        try:
            with open(source, "rb", buffering=0) as src, open(place, "xb", buffering=0) as dst:
                made = True
                fcntl.ioctl(dst.fileno(), _FICLONE, src.fileno())
                os.fchmod(dst.fileno(), os.fstat(src.fileno()).st_mode & 0o555)
            return True
        except OSError as err:
            if made:
                _clear(place)
            if err.errno not in _NO_CLONES:
                raise
            self._clones = False
            return False


def to_disk(_stop: Event, root: str) -> None:
    """Return when all below `root` survives a power cut; one call for the whole file system, as files may be many."""
    import ctypes  # a megabyte that a resting agent does not need

    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(fd):
            raise OSError(ctypes.get_errno(), "syncfs", root)
    finally:
        os.close(fd)


def remove(path: str) -> None:
    """Remove it with all below; folders that a task or an archive made read-only are no hindrance."""
    shutil.rmtree(path, ignore_errors=True)
    if os.path.lexists(path):
        _open_all(path)
        shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        os.unlink(path)  # it was a file


def _open_all(path: str) -> None:
    """Let us into every folder below, the outer ones first."""
    folders = [path]
    while folders:
        folder = folders.pop()
        with suppress(OSError):
            os.chmod(folder, 0o700)
            with os.scandir(folder) as entries:
                folders += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def _sealed(prefix: str, entry: "os.DirEntry[str]") -> Item | None:
    path = os.fsencode(prefix + entry.name).decode("latin-1")
    if entry.is_symlink():
        return Item(path, "link", aim=os.fsencode(os.readlink(entry.path)).decode("latin-1"))
    if entry.is_dir():
        os.chmod(entry.path, 0o755)
        return Item(path, "folder")
    if not entry.is_file():
        return None
    mode = entry.stat().st_mode
    os.chmod(entry.path, 0o555 if mode & 0o111 else 0o444)
    seen = os.lstat(entry.path)
    return Item(path, "file", seen.st_size, seen.st_mtime_ns, seen.st_ino, seen.st_mode)


def _clear(place: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(place)


def _look(stop: Event) -> None:
    if stop.is_set():
        raise Stopped
