"""What the stager asks of one kind of storage, and the one error that all kinds speak.

What must not enter: attempts, manifests, causes of a report: those are the stager's.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from longshore_agent.core.uri import Location
from longshore_common.errors import LongshoreError


class StoreError(LongshoreError):
    """Storage said no, or nothing: `retriable` if the same call may succeed later, `missing` if the place is not there.

    `disk_full`: this host's own disk has no room for it.
    """

    def __init__(self, words: str, *, retriable: bool = False, missing: bool = False, disk_full: bool = False) -> None:
        super().__init__(words)
        self.retriable, self.missing, self.disk_full = retriable, missing, disk_full


class Found(NamedTuple):
    """A file below a folder: its relative path and its size in bytes."""

    path: str
    size: int


class Put(NamedTuple):
    """What was stored: bytes, and their sha256 in hex."""

    size: int
    digest: str


class Store(Protocol):
    """One kind of storage. Every call raises `StoreError`, may be cancelled anywhere and repeated; nothing half is seen."""

    async def listing(self, folder: Location) -> list[Found]:
        """Every file below `folder`, at any depth, in no order; a folder that is not there is `missing` or empty."""
        ...

    async def fetch(self, source: Location, target: str) -> int:
        """Copy a file to the local path `target` (its folder exists), which appears complete; bytes moved."""
        ...

    async def put(self, path: str, target: Location) -> Put:
        """Copy the local file `path` to `target`, replacing what is there, durably."""
        ...

    async def put_bytes(self, data: bytes, target: Location) -> None:
        """Store `data` as `target`, replacing what is there, durably."""
        ...

    async def read_bytes(self, source: Location) -> bytes:
        """All of a small file."""
        ...

    async def copy(self, source: Location, target: Location, size: int) -> None:
        """Make `target` a copy of `source` (`size` bytes) without moving its bytes through this host where possible."""
        ...

    async def digest(self, source: Location) -> str:
        """The sha256 of a file in hex."""
        ...

    async def settle(self, folders: Sequence[Location]) -> None:
        """Make what `copy` did in these folders survive a power cut."""
        ...

    async def drop(self, folder: Location, paths: Sequence[str]) -> None:
        """Remove these files below `folder`, and the folder if that leaves it empty; what is gone is fine."""
        ...

    async def close(self) -> None:
        """Let go of connections and threads."""
        ...
