"""A directory's files into storage: large ones once by content, all the rest as one archive, in bounded memory.

The archive is made on this disk and then sent, so that it can be sent in parts and again. What must not enter: the log.
"""

import asyncio
import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from typing import IO, Any, Final, NamedTuple, cast

from longshore.dir.contents import Contents, Leaf
from longshore.dir.marker import Seen
from longshore.dir.places import Own, Shelf
from longshore_common.errors import BadInput
from longshore_common.model import Mount
from longshore_data.parallel import each
from longshore_data.store import StoreError

#: Where a directory is in its container.
RUNDIR: Final = "/rundir"
#: Bytes from which on a file is stored by itself, under the digest of its content.
LARGE: Final = 1 << 20
#: So many files at most are: the largest. Each is named in the task.
MOST_LARGE: Final = 200
#: Bytes of files up to which their archive is made in memory; a header has about so many.
LITTLE: Final = 1 << 20
_HEADER: Final = 1024
#: Large files on their way at once.
WIDTH: Final = 4
_PIECE: Final = 1 << 20


class Sent(NamedTuple):
    """What a task mounts to have a directory's files; what was sent for it, and how much was there already.

    `volumes` instead of mounts for a directory that is empty.
    """

    mounts: tuple[Mount, ...]
    volumes: tuple[str, ...]
    digest: str
    shared: tuple[str, ...]
    files: dict[str, Seen]
    bytes: int = 0
    known: int = 0


class Digests:
    """Digests of files that several directories link to, so that each is read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int, int], str] = {}

    def of(self, leaf: Leaf) -> str:
        """The sha256 of a file in hex; blocks."""
        key = (*leaf.inode, leaf.size, leaf.modified)
        if key not in self._known:
            digest = hashlib.sha256()
            with open(leaf.real, "rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
            self._known[key] = digest.hexdigest()
        return self._known[key]


def apart(files: Sequence[Leaf]) -> list[Leaf]:
    """Which files are stored by themselves: large ones, but no programs, which would lose their mode in some storage."""
    large = [leaf for leaf in files if leaf.size >= LARGE and not leaf.executable]
    return sorted(sorted(large, key=lambda leaf: -leaf.size)[:MOST_LARGE])


async def send(
    contents: Contents, of: Own, shelf: Shelf, digests: Digests, promised: Callable[[tuple[str, ...]], None]
) -> Sent:
    """Have these in storage. `BadInput` if a file cannot be read; `StoreError`, retriable if one changed meanwhile.

    `promised` is told the digests of what will be shared, before the first of it is.
    """
    large = apart(contents.files)
    rest = [leaf for leaf in contents.leaves if leaf not in set(large)]
    described = [(leaf, await asyncio.to_thread(_read, digests, leaf)) for leaf in large]
    promised(tuple(sorted({digest for _, digest in described})))
    once = list({digest: leaf for leaf, digest in described}.items())

    async def one(item: tuple[str, Leaf]) -> tuple[str, tuple[str, bool]]:
        digest, leaf = item
        place, new = await shelf.share(of, leaf, digest)
        return digest, (str(place), new)

    shared = dict(await each(once, one, WIDTH))
    packed, size = await _send_rest(rest, of, shelf) if rest else ({}, 0)
    seen = {leaf.path: Seen(leaf.size, leaf.modified, digest) for leaf, digest in described}
    seen |= {leaf.path: Seen(leaf.size, leaf.modified, packed[leaf.path]) for leaf in rest if leaf.path in packed}
    mounts = [Mount(uri=f"{of.inputs}|untar", path=RUNDIR, directory=True)] if rest else []
    mounts += [Mount(uri=shared[digest][0], path=f"{RUNDIR}/{leaf.path}") for leaf, digest in described]
    new = sum(leaf.size for digest, leaf in once if shared[digest][1])
    return Sent(
        mounts=tuple(mounts),
        volumes=() if rest else (RUNDIR,),
        digest=_whole(contents, seen),
        shared=tuple(sorted(shared)),
        files=seen,
        bytes=size + new,
        known=sum(leaf.size for leaf in large) - new,
    )


def _read(digests: Digests, leaf: Leaf) -> str:
    try:
        return digests.of(leaf)
    except OSError as err:
        raise BadInput(f"{leaf.path} cannot be read: {err.strerror}") from err


def _whole(contents: Contents, seen: dict[str, Seen]) -> str:
    """What changes when anything does that a task could see."""
    digest = hashlib.sha256()
    for leaf in contents.leaves:
        what = seen[leaf.path].digest if leaf.path in seen else leaf.link or "folder"
        digest.update(f"{leaf.path}\0{'x' if leaf.executable else '-'}\0{what}\n".encode())
    return digest.hexdigest()


async def _send_rest(leaves: Sequence[Leaf], of: Own, shelf: Shelf) -> tuple[dict[str, str], int]:
    """Store these as one archive; the digest of each file, and the archive's size."""
    if sum(leaf.size for leaf in leaves) + _HEADER * len(leaves) <= LITTLE:
        archive = io.BytesIO()
        digests = await asyncio.to_thread(_pack, leaves, archive)
        await shelf.put_bytes(archive.getvalue(), of.inputs)
        return digests, len(archive.getvalue())
    with tempfile.TemporaryDirectory(prefix="longshore-dir-") as scratch:
        path = f"{scratch}/inputs.tar.zst"
        digests = await asyncio.to_thread(_pack_into, leaves, path)
        await shelf.put(path, of.inputs)
        return digests, os.path.getsize(path)


def _pack_into(leaves: Sequence[Leaf], path: str) -> dict[str, str]:
    with open(path, "wb") as file:
        return _pack(leaves, file)


def _pack(leaves: Sequence[Leaf], out: IO[bytes]) -> dict[str, str]:
    import zstandard

    digests: dict[str, str] = {}
    with (
        zstandard.ZstdCompressor(level=1).stream_writer(out, closefd=False) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for leaf in leaves:
            head = _head(leaf)
            if leaf.link or leaf.folder:
                tar.addfile(head)
            else:
                digests[leaf.path] = _add(tar, head, leaf)
    return digests


def _head(leaf: Leaf) -> tarfile.TarInfo:
    head = tarfile.TarInfo(leaf.path)
    head.mode, head.mtime = 0o755 if leaf.executable or leaf.folder else 0o644, leaf.modified // 1_000_000_000
    if leaf.folder:
        head.type = tarfile.DIRTYPE
    elif leaf.link:
        head.type, head.linkname = tarfile.SYMTYPE, leaf.link
    else:
        head.size = leaf.size
    return head


def _add(tar: tarfile.TarFile, head: tarfile.TarInfo, leaf: Leaf) -> str:
    changed = StoreError(f"{leaf.path} changed while it was read: repeat this", retriable=True)
    try:
        file = open(leaf.real, "rb")  # noqa: SIM115 -- closed below; the error is only about opening
    except OSError as err:
        raise BadInput(f"{leaf.path} cannot be read: {err.strerror}") from err
    with file:
        reading = _Hashing(file)
        try:
            tar.addfile(head, cast(Any, reading))
        except OSError as err:  # it became shorter
            raise changed from err
        now = os.fstat(file.fileno())
    if (now.st_size, now.st_mtime_ns) != (leaf.size, leaf.modified):
        raise changed
    return reading.digest.hexdigest()


class _Hashing:
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self.digest.update(piece)
        return piece
