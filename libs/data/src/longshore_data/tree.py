"""A directory that sources are brought into, and the scratch folders in it in which what was fetched is unpacked.

A scratch folder holds `tree`, what the source is so far, and for a moment what a step makes of it. Everything here blocks
and runs in threads. What must not enter: asyncio, storage, the meaning of patterns.
"""

import os
import re
import shutil
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from threading import Event
from typing import Final, NamedTuple

from longshore_data import unpack, uri
from longshore_data.disk import PART
from longshore_data.parallel import Stopped
from longshore_data.store import StoreError

_NAMES: Final = {
    "gunzip": re.compile(r".+\.(gz|bgz|tgz)", re.IGNORECASE | re.DOTALL),
    "untar": re.compile(r".+\.(tar(\.(gz|bgz|bz2|xz|zst))?|tgz|tbz2?|txz|tzst)", re.IGNORECASE | re.DOTALL),
    "unzip": re.compile(r".+\.zip", re.IGNORECASE | re.DOTALL),
}


class Leaf(NamedTuple):
    """What is no folder, or an empty one: its relative path, its size in bytes, and what it is."""

    path: str
    size: int
    kind: str  # file, link, folder


def prepare(stop: Event, directory: str, folders: Iterable[str]) -> None:
    """Clear away what an earlier try left half done below `directory`, and make these folders."""
    for folder, names, files in os.walk(directory):
        if stop.is_set():
            raise Stopped
        for name in [n for n in names if n.startswith(PART)]:
            names.remove(name)
            shutil.rmtree(f"{folder}/{name}")
        for name in files:
            if name.startswith(PART):
                os.unlink(f"{folder}/{name}")
    for name in folders:
        os.makedirs(f"{directory}/{name}", exist_ok=True)


def leaves(stop: Event, root: str) -> list[Leaf]:
    """All below `root`, in order of their paths; links are not followed."""
    found: list[Leaf] = []
    folders = [""]
    while folders:
        if stop.is_set():
            raise Stopped
        prefix = folders.pop()
        empty = True
        with os.scandir(f"{root}/{prefix}") as entries:
            for entry in entries:
                empty = False
                path = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{path}/")
                elif entry.is_symlink():
                    found.append(Leaf(path, 0, "link"))
                else:
                    found.append(Leaf(path, entry.stat(follow_symlinks=False).st_size, "file"))
        if empty and prefix:
            found.append(Leaf(prefix[:-1], 0, "folder"))
    return sorted(found)


def chosen(_stop: Event, word: str, found: Sequence[Leaf]) -> list[str]:
    """Which files a step unpacks: those named so, or else the only one there is, for its name may say nothing."""
    files = [leaf.path for leaf in found if leaf.kind == "file"]
    named = [path for path in files if _NAMES[word].fullmatch(path.rpartition("/")[2])]
    if named or len(files) == 1:
        return named or files
    some = ", ".join(repr(path) for path in files[:3])
    raise StoreError(f"none of {len(files)} files ({some}…) is named like one to {word}")


def unpack_one(stop: Event, scratch: str, word: str, path: str, number: int) -> None:
    """Put what one file of `scratch`/tree holds into `scratch`/made-`number`, for `gather`; the file goes.

    Several may do so at once: what one of them makes may be called as another's file is until that is unpacked.
    """
    made, source = f"{scratch}/made-{number}", f"{scratch}/tree/{path}"
    shutil.rmtree(made, ignore_errors=True)
    os.mkdir(made)
    if word == "gunzip":
        unpack.gunzip(stop, source, f"{made}/{_without_gz(path.rpartition('/')[2])}")
    elif word == "untar":
        unpack.untar(stop, source, made)
    else:
        unpack.unzip(stop, source, made)
    os.unlink(source)


def gather(stop: Event, scratch: str, paths: Sequence[str]) -> None:
    """Move what the files at these paths held to where they were, where nothing may be called so already."""
    tree = f"{scratch}/tree"
    if len(paths) == 1 and "/" not in paths[0] and not os.listdir(tree):
        os.rmdir(tree)
        os.rename(f"{scratch}/made-0", tree)
        return
    there = [(leaf.path, "before the step") for leaf in leaves(stop, tree) if leaf.kind != "folder"]
    moves: list[tuple[str, list[tuple[str, str]]]] = []
    for number, path in enumerate(paths):
        folder, slash, _ = path.rpartition("/")
        new = leaves(stop, f"{scratch}/made-{number}")
        there += [(f"{folder}{slash}{leaf.path}", path) for leaf in new if leaf.kind != "folder"]
        moves.append((f"{scratch}/made-{number}", [(leaf.path, f"{folder}{slash}{leaf.path}") for leaf in new]))
    refuse_clashes(there, "file")
    for made, names in moves:
        _move(stop, made, tree, names)
        shutil.rmtree(made)


def rearrange(stop: Event, scratch: str, names: Sequence[tuple[str, str | None]]) -> None:
    """Give the files of `scratch`/tree these names (old, new); None: the file goes, as folders do that are not named."""
    refuse_clashes([(new, old) for old, new in names if new is not None], "file")
    tree, made = f"{scratch}/tree", f"{scratch}/made"
    os.mkdir(made)
    _move(stop, tree, made, [(old, new) for old, new in names if new is not None])
    shutil.rmtree(tree)
    os.rename(made, tree)


def move_into(stop: Event, scratch: str, directory: str, found: Sequence[Leaf]) -> None:
    """Move what `scratch`/tree holds to `directory`, over files an earlier try may have put there; then scratch is gone."""
    tree, whole = f"{scratch}/tree", set()
    for name in os.listdir(tree):
        if not os.path.lexists(f"{directory}/{name}"):
            os.rename(f"{tree}/{name}", f"{directory}/{name}")
            whole.add(name)
    rest = [leaf.path for leaf in found if leaf.path.partition("/")[0] not in whole]
    _move(stop, tree, directory, [(path, path) for path in rest])
    shutil.rmtree(scratch)


def drop(_stop: Event, scratch: str) -> None:
    """Remove a scratch folder, if it is there."""
    with suppress(OSError):
        shutil.rmtree(scratch)


def checked(stop: Event, scratch: str) -> list[Leaf]:
    """What `scratch`/tree holds in the end; `StoreError` if a link in it leads out, or a name is ours."""
    found = leaves(stop, f"{scratch}/tree")
    unpack.check_links(f"{scratch}/tree", [leaf.path for leaf in found if leaf.kind == "link"])
    for leaf in found:
        if any(s.startswith(uri.RESERVED) for s in leaf.path.split("/")):
            raise StoreError(f"{leaf.path!r}: names with {uri.RESERVED} in front are ours: leave it out with |glob:!")
    return found


def refuse_clashes(paths: Sequence[tuple[str, str]], what: str) -> None:
    """`StoreError` if two of these paths (and where each is from) cannot live together; they are called `what`."""
    if clash := uri.clashes(path for path, _ in paths):
        among = [origin for path, origin in paths if path == clash or path.startswith(clash + "/")]
        raise StoreError(
            f"two {what}s would both be called {clash!r}: {' and '.join(among[:4])}: rename one, or put it in a folder"
        )


def _move(stop: Event, source: str, target: str, names: Sequence[tuple[str, str]]) -> None:
    known: set[str] = set()
    for old, new in names:
        if stop.is_set():
            raise Stopped
        if (folder := new.rpartition("/")[0]) not in known:
            known.add(folder)
            os.makedirs(f"{target}/{folder}", exist_ok=True)
        if stat.S_ISDIR(os.lstat(f"{source}/{old}").st_mode):
            os.makedirs(f"{target}/{new}", exist_ok=True)
        else:
            os.rename(f"{source}/{old}", f"{target}/{new}")


def _without_gz(name: str) -> str:
    base, dot, end = name.rpartition(".")
    if base and dot and end.lower() in ("gz", "bgz", "tgz"):
        return f"{base}.tar" if end.lower() == "tgz" else base
    return name
