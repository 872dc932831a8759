"""What a task left in its output directory: which files count, and why others do not.

Runs in a thread. What must not enter: storage, the log.
"""

import os
import stat
from threading import Event
from typing import NamedTuple

from longshore_data import disk, uri
from longshore_data.parallel import Stopped
from longshore_data.store import StoreError

#: What the output directory is called inside a container: links made there are absolute and begin with it.
INSIDE = "/output"


class Produced(NamedTuple):
    """A file to deliver: its path relative to the output, where its bytes are (a link is followed), and how many."""

    path: str
    source: str
    size: int = 0


def find(stop: Event, root: str, inside: str = INSIDE) -> tuple[list[Produced], list[str]]:
    """Every regular file below `root` in the order of names, and a note on each thing that is skipped.

    Links to regular files inside are followed; links that lead out, to folders or nowhere are skipped, as are pipes,
    sockets and devices. `StoreError` for names that no storage can hold. `inside`: what `root` is called in the container.
    """
    top = os.path.realpath(root)
    produced: list[Produced] = []
    skipped: list[str] = []
    folders = [""]
    while folders:
        if stop.is_set():
            raise Stopped
        prefix = folders.pop()
        for entry in _entries(top, prefix):
            path = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                folders.append(path + "/")
            elif entry.is_file(follow_symlinks=False):
                produced.append(Produced(_named(path), entry.path, entry.stat(follow_symlinks=False).st_size))
            elif source := _linked(top, inside, entry):
                produced.append(Produced(_named(path), source, os.stat(source).st_size))
            else:
                skipped.append(f"{path!r}: {_kind(entry)}")
    return sorted(produced), skipped


def _entries(top: str, prefix: str) -> list["os.DirEntry[str]"]:
    folder = f"{top}/{prefix}"
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as err:
        raise disk.translated(err, f"listing {folder}") from err


def _named(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise StoreError(
            f"the output {path!r} has a name that is not UTF-8, which no storage can hold: rename it"
        ) from None
    if uri.reserved(path):
        raise StoreError(f"the output {path!r}: names with {uri.RESERVED} are Longshore's own: rename it")
    return path


def _linked(top: str, inside: str, entry: "os.DirEntry[str]") -> str | None:
    """The regular file inside `top` that a link means, if it means one."""
    if not entry.is_symlink():
        return None
    try:
        aim = os.readlink(entry.path)
        if aim.startswith(inside + "/"):
            aim = top + aim.removeprefix(inside)
        source = os.path.realpath(os.path.join(os.path.dirname(entry.path), aim), strict=True)
        ours = source.startswith(top + "/") and stat.S_ISREG(os.lstat(source).st_mode)
    except OSError:
        return None
    return source if ours else None


def _kind(entry: "os.DirEntry[str]") -> str:
    if entry.is_symlink():
        return "a link to no regular file inside the output"
    mode = entry.stat(follow_symlinks=False).st_mode
    names = (
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((name for test, name in names if test(mode)), "no regular file")
