"""What is asked of one kind of storage, and the one error that all kinds speak.

What must not enter: attempts, manifests, causes of a report: those are the caller's.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from longshore_common.errors import LongshoreError
from longshore_data.meter import UNMETERED, Meter
from longshore_data.uri import Location, shown


class StoreError(LongshoreError):
    """Storage said no, or nothing: `retriable` if the same call may succeed later, `missing` if the place is not there.

    The words say which URI (without a signature it may carry), which step, what the server answered, and the fix.
    `disk_full`: this host's own disk has no room for it.
    """

    def __init__(self, words: str, *, retriable: bool = False, missing: bool = False, disk_full: bool = False) -> None:
        super().__init__(shown(words))
        self.retriable, self.missing, self.disk_full = retriable, missing, disk_full


class Found(NamedTuple):
    """A file below a folder: its relative path, its size in bytes (-1: the server does not say), and what tells it from
    another file that may stand there later.

    `version`: changes when the bytes do (an ETag, or size and modification time); empty if nothing can be said.
    `modified`: Unix seconds, 0 if not known. `md5`: in hex where the storage knows it, else empty.
    """

    path: str
    size: int
    version: str = ""
    modified: float = 0.0
    md5: str = ""


class Put(NamedTuple):
    """What was stored: bytes, and their sha256 in hex."""

    size: int
    digest: str


class Store(Protocol):
    """One kind of storage. Every call raises `StoreError`, may be cancelled anywhere and repeated; nothing half is seen.

    A cancelled call ends within a second. Storage that can only be read refuses the rest with what to use instead.
    """

    async def listing(self, folder: Location) -> list[Found]:
        """Every file below `folder`, at any depth, in no order; a folder that is not there is `missing` or empty."""
        ...

    async def stat(self, place: Location) -> Found:
        """One file, `path` being its name; `missing` if it is not there or is a folder."""
        ...

    async def fetch(self, source: Location, target: str, meter: Meter = UNMETERED) -> int:
        """Copy a file to the local path `target` (its folder exists), which appears complete; bytes moved."""
        ...

    async def put(self, path: str, target: Location, meter: Meter = UNMETERED) -> Put:
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
        """Let go of connections, threads and processes."""
        ...


@runtime_checkable
class Choosy(Store, Protocol):
    """A kind of storage whose scheme has options (`uri.OPTIONS`)."""

    def with_options(self, options: tuple[str, ...]) -> Store:
        """The same storage, used as these options say (in the order written); shares connections, is never closed itself."""
        ...
