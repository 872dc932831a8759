"""What a directory's task left in storage, into the directory: only what is new, and nothing outside it.

A file that was changed here since it was sent or fetched is kept. What must not enter: the log, printing.
"""

import asyncio
import hashlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from longshore.dir.marker import FOLDER, Fetched, Files, Home, Marker, Seen, said
from longshore.dir.places import Own, Shelf, at
from longshore.dir.sending import RUNDIR
from longshore.reader import Reader
from longshore.records import Task
from longshore_common.errors import BadInput, LongshoreError
from longshore_data import uri
from longshore_data.parallel import each
from longshore_data.store import Found, StoreError
from longshore_data.uri import Location

#: Files at once.
WIDTH: Final = 8
_PIECE: Final = 1 << 20
#: Of an attempt that left so many files, workers tell no more.
_TOLD: Final = 500


class Got(NamedTuple):
    """What became of the files there are: how many came, and bytes; how many were here; which were kept, and which failed.

    `earlier`: how many were left by earlier attempts and by the last one not.
    """

    new: int = 0
    bytes: int = 0
    here: int = 0
    kept: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    retriable: bool = False
    earlier: int = 0


class _One(NamedTuple):
    path: str
    result: str  # new, here, kept, failed
    fetched: Fetched | None = None
    size: int = 0
    text: str = ""
    retriable: bool = False


async def get(
    home: Home, marker: Marker, shelf: Shelf, *, last: Collection[str] | None = None, force: bool = False
) -> Got:
    """Fetch what is new; a repeat does the rest. `force`: also over what was changed here; `last`: see `last_left`."""
    own, files = at(marker.place), home.files()
    every = await shelf.listed(own.results)
    found = [f for f in every if _counts(f, last)]
    work = _Fetching(home, shelf, files, force=force)
    done = await each(found, lambda one: work.one(own.results, one), WIDTH)
    fetched = {**files.fetched, **{one.path: one.fetched for one in done if one.fetched is not None}}
    if fetched != files.fetched:
        home.write_files(msgspec.structs.replace(files, fetched=fetched))
    return Got(
        new=sum(one.result == "new" for one in done),
        bytes=sum(one.size for one in done),
        here=sum(one.result == "here" for one in done),
        kept=tuple(one.path for one in done if one.result == "kept"),
        failed=tuple(one.text for one in done if one.result == "failed"),
        retriable=any(one.retriable for one in done),
        earlier=len(every) - len(found),
    )


def last_left(task: Task, reader: Reader) -> frozenset[str] | None:
    """The paths that the last attempt of a task left; None if that is all there is, or not known.

    Attempts leave their files in one place: what an earlier one left, and the last one did not, is still there.
    """
    attempt = str(task.attempt or "").rpartition(".")[2]
    if not task.ended or not attempt.isdigit() or int(attempt) < 2:
        return None
    (*_, attempt_of) = reader.attempts(task.id)
    paths = [one.path.removeprefix(f"{RUNDIR}/") for one in attempt_of.collected]
    return frozenset(paths) if paths and len(paths) < _TOLD else None


def _counts(found: Found, last: Collection[str] | None) -> bool:
    return not uri.reserved(found.path) and (last is None or found.path in last)


async def unfetched(shelf: Shelf, own: Own, files: Files, last: Collection[str] | None = None) -> int:
    """How many of the files that are stored were never fetched as they are now."""
    found = [f for f in await shelf.listed(own.results) if _counts(f, last)]
    return sum(_version(f) != (files.fetched[f.path].version if f.path in files.fetched else None) for f in found)


class _Fetching:
    def __init__(self, home: Home, shelf: Shelf, files: Files, *, force: bool) -> None:
        self.root, self.shelf, self.files, self.force = os.path.realpath(home.path), shelf, files, force

    async def one(self, folder: Location, found: Found) -> _One:
        """This file; an error is an outcome, so that the others come."""
        try:
            target = safe(self.root, found.path)
            return await self._one(folder.below(found.path), found, target)
        except LongshoreError as err:
            again = isinstance(err, StoreError) and err.retriable
            return _One(found.path, "failed", text=f"{found.path}: {said(err)}", retriable=again)
        except OSError as err:
            return _One(found.path, "failed", text=f"{found.path} cannot be written: {err.strerror}")

    async def _one(self, place: Location, found: Found, target: str) -> _One:
        known, version, now = self.files.fetched.get(found.path), _version(found), _seen(target)
        if now is not None and known is not None and known.version == version:
            untouched = (now.size, now.modified) == (known.here.size, known.here.modified)
            if untouched or not self.force:
                return _One(found.path, "here")
        if now is not None and not self._ours(found.path, now):
            if now.size == found.size and await self._same(place, target):
                return _One(found.path, "here", Fetched(version, now))
            if not self.force:
                return _One(found.path, "kept")
        if now is not None and await self._came_back(place, found, now):
            return _One(found.path, "here", Fetched(version, now))
        return await self._fetch(place, found, target)

    async def _came_back(self, place: Location, found: Found, now: Seen) -> bool:
        """Whether it is what was sent, which is still here."""
        sent = self.files.sent.get(found.path)
        if sent is None or sent.size != found.size or not self._as_sent(found.path, now):
            return False
        return await self.shelf.storage.of(place).digest(place) == sent.digest

    async def _fetch(self, place: Location, found: Found, target: str) -> _One:
        await asyncio.to_thread(os.makedirs, os.path.dirname(target), exist_ok=True)
        async with self.shelf.limits.turns:
            size = await self.shelf.storage.of(place).fetch(place, target)
        if found.size >= 0 and size != found.size and place.scheme != "file":
            raise StoreError(f"{size} bytes came of {found.size}: it changed meanwhile: repeat this", retriable=True)
        now = _seen(target)
        assert now is not None
        return _One(found.path, "new", Fetched(_version(found), now), size)

    def _ours(self, path: str, now: Seen) -> bool:
        """Whether the file here is as it was sent, or as it was fetched."""
        known = self.files.fetched.get(path)
        as_fetched = known is not None and (known.here.size, known.here.modified) == (now.size, now.modified)
        return as_fetched or self._as_sent(path, now)

    def _as_sent(self, path: str, now: Seen) -> bool:
        sent = self.files.sent.get(path)
        return sent is not None and (sent.size, sent.modified) == (now.size, now.modified)

    async def _same(self, place: Location, target: str) -> bool:
        return await self.shelf.storage.of(place).digest(place) == await asyncio.to_thread(_digest, target)


def safe(root: str, path: str) -> str:
    """Where a stored file belongs below `root` (a real path). `BadInput` if that would be elsewhere, or is ours."""
    uri.safe_path(path)
    if path.startswith(FOLDER):
        raise BadInput(f"names with {FOLDER} in front are ours: it is left where it is")
    target = f"{root}/{path}"
    parent = os.path.realpath(os.path.dirname(target))
    if parent != root and not parent.startswith(f"{root}/"):
        raise BadInput(f"its folder here is a link to {parent}, outside the directory: it is left where it is")
    if os.path.isdir(target):
        raise BadInput("it is a folder here: move that away")
    return target


def _version(found: Found) -> str:
    return found.version or f"{found.size}-{found.modified}"


def _seen(path: str) -> Seen | None:
    """The file here now; None if there is none. A link counts as what it means."""
    try:
        seen = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Seen(seen.st_size, seen.st_mtime_ns)


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
