"""What the cache of resources keeps on the disk: one folder per entry, with an index of what is in it.

What must not enter: when entries come and go, asyncio.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from longshore_agent.adapters import trees
from longshore_common.damage import DAMAGED
from longshore_data import uri
from longshore_data.store import StoreError
from longshore_data.uri import Source


class Index(Struct, frozen=True):
    """What an entry is: its source, the identity that had when it was fetched, all its names, and as what it is asked for."""

    source: str
    identity: str
    items: tuple[trees.Item, ...]
    size: int
    keys: tuple[str, ...] = ()


class Wish(NamedTuple):
    """A resource as a task names it, and what that means."""

    text: str
    source: Source


class Entry:
    """A folder of the cache; `index` is None until the download is complete."""

    def __init__(self, name: str, root: str, source: str) -> None:
        self.name, self.root, self.source = name, root, source
        self.index: Index | None = None
        self.checked = float("-inf")
        self.used_at = 0.0  # monotonic; as it is read from the disk, Unix seconds
        self.on_disk = False


def read(base: str, name: str) -> Entry | None:
    """The entry of a folder, None if it is not one, or half of one."""
    root = f"{base}/{name}"
    try:
        used_at = os.stat(f"{root}/index").st_mtime
        index = msgspec.json.decode(Path(root, "index").read_bytes(), type=Index)
    except (OSError, *DAMAGED):
        return None
    if not name.isdigit() or not os.path.isdir(f"{root}/tree"):
        return None
    entry = Entry(name, root, index.source)
    entry.index, entry.used_at, entry.on_disk = index, used_at, True
    return entry


def refuse_clashes(taken: Iterable[tuple[Wish, Entry]]) -> None:
    """`StoreError` if two of these would put something of one name."""
    files = [(i.name, w.text) for w, e in taken if e.index for i in e.index.items if i.kind != "folder"]
    if clash := uri.clashes(path for path, _ in files):
        among = " and ".join(dict.fromkeys(text for path, text in files if f"{path}/".startswith(f"{clash}/")))
        raise StoreError(
            f"two resources would both be called {clash!r}: {among}: add |mv:folder or |rename:name to one of them"
        )
