"""Copying between any two places: what has to move, why, and moving it; for the command line.

What must not enter: printing, which words a user typed, attempts.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from longshore_common.errors import BadInput
from longshore_data import uri
from longshore_data.globs import matches
from longshore_data.meter import Limits, Meter
from longshore_data.parallel import each
from longshore_data.storage import Storage
from longshore_data.store import Found, Store, StoreError
from longshore_data.uri import Location

#: Files at once.
WIDTH: Final = 16
#: Seconds by which a source must be newer to count as changed: storage keeps times to the second at worst.
CLOSE: Final = 1.0


class Selection(NamedTuple):
    """Which relative paths count: those that match any of `include` (none given: all) and none of `exclude`."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, path: str) -> bool:
        """Whether this path counts; what Longshore keeps below an output never does."""
        if uri.reserved(path):
            return False
        if self.include and not any(matches(pattern, path) for pattern in self.include):
            return False
        return not any(matches(pattern, path) for pattern in self.exclude)


#: What takes every path.
EVERYTHING: Final = Selection()


class Step(NamedTuple):
    """One file to move: from where, to where, its size in bytes (-1: not known), and why (`new`, `changed`, `asked`)."""

    source: Location
    target: Location
    size: int
    why: str


class Failure(NamedTuple):
    """A place that could not be done, and the error."""

    place: Location
    error: StoreError


class Copying:
    """Plans and does copies. `limits` are those of this host."""

    def __init__(self, storage: Storage, limits: Limits) -> None:
        self.storage, self.limits = storage, limits

    async def files(self, place: Location, selection: Selection = EVERYTHING) -> list[Found]:
        """What is at a place, by path: one file with its name, or all files below a folder that `selection` takes."""
        store = self.storage.of(place)
        if not place.folder:
            return [await store.stat(place)]
        return sorted(f for f in await store.listing(place) if selection.takes(f.path))

    async def plan_copy(self, source: Location, target: Location, selection: Selection = EVERYTHING) -> list[Step]:
        """Everything at `source`, to `target`: a folder's content into a folder, a file into a folder or as a file."""
        found = await self.files(source, selection)
        if not source.folder:
            place = target.below(uri.safe_path(source.name)) if target.folder else target
            return [Step(source, place, found[0].size, "asked")]
        if not target.folder:
            raise BadInput(f"{source} is a folder and {target} is not: end the target in /")
        if not found and not selection.include and not selection.exclude:
            raise StoreError(f"listing {source}: there is nothing below it: correct the name", missing=True)
        return [Step(source.below(f.path), target.below(uri.safe_path(f.path)), f.size, "asked") for f in found]

    async def plan_sync(
        self, source: Location, target: Location, selection: Selection, *, by_content: bool = False
    ) -> tuple[list[Step], list[str]]:
        """What makes `target` (a folder) hold what `source` (a folder) does, and which paths are only in the target.

        A file counts as changed if its size differs, else its MD5 where both sides know it, else if the source is newer;
        `by_content`: if its SHA-256 differs, which may mean reading both.
        """
        if not source.folder or not target.folder:
            raise BadInput(f"sync works on folders: end both {source} and {target} in /")
        there = {f.path: f for f in await self._listed(target, selection)}
        here = await self.files(source, selection)
        if not here and not selection.include and not selection.exclude:
            raise StoreError(f"listing {source}: there is nothing below it: correct the name", missing=True)

        async def step(found: Found) -> Step | None:
            old = there.get(found.path)
            places = source.below(found.path), target.below(uri.safe_path(found.path))
            if old is None:
                return Step(*places, found.size, "new")
            changed = _differs(found, old)
            if changed is None and by_content:
                changed = await self._contents_differ(*places)
            elif changed is None:
                changed = found.modified > old.modified + CLOSE
            return Step(*places, found.size, "changed") if changed else None

        steps = [s for s in await each(here, step, WIDTH) if s is not None]
        return steps, sorted(there.keys() - {f.path for f in here})

    async def do(
        self, steps: Sequence[Step], meter: Meter, told: Callable[[Step], None], *, verify: bool = False
    ) -> list[Failure]:
        """Move these; what failed, after trying all. `verify`: read each target back and compare its SHA-256."""
        meter.expect(sum(s.size for s in steps if s.size > 0))
        failures: list[Failure] = []

        async def one(step: Step) -> None:
            try:
                async with self.limits.turn(meter):
                    await self._move(step, meter, verify=verify)
            except StoreError as err:
                failures.append(Failure(step.source, err))
            else:
                told(step)

        await each(steps, one, WIDTH)
        return failures

    async def remove(self, folder: Location, paths: Iterable[str]) -> None:
        """Remove these files below a folder; what is gone is fine."""
        await self.storage.of(folder).drop(folder, list(paths))

    async def _listed(self, folder: Location, selection: Selection) -> list[Found]:
        try:
            return await self.files(folder, selection)
        except StoreError as err:
            if err.missing:
                return []
            raise

    async def _contents_differ(self, source: Location, target: Location) -> bool:
        digests = [await self.storage.of(place).digest(place) for place in (source, target)]
        return digests[0] != digests[1]

    async def _move(self, step: Step, meter: Meter, *, verify: bool) -> None:
        source, target = step.source, step.target
        if source == target:
            raise StoreError(f"{source} is its own target: name another")
        reader, writer = self.storage.of(source), self.storage.of(target)
        digest = ""
        if source.scheme == "file":
            digest = (await writer.put(source.key, target, meter)).digest
        elif target.scheme == "file":
            os.makedirs(os.path.dirname(target.key), exist_ok=True)
            await reader.fetch(source, target.key, meter)
        elif reader is writer and (source.bucket == target.bucket or source.scheme != "ftp"):
            await writer.copy(source, target, step.size)
            await meter.moved(max(0, step.size))
        else:
            with tempfile.TemporaryDirectory(prefix="longshore-") as scratch:
                await reader.fetch(source, f"{scratch}/file", meter)
                digest = (await writer.put(f"{scratch}/file", target)).digest
        if verify:
            await _verify(reader, writer, step, digest)


async def _verify(reader: Store, writer: Store, step: Step, digest: str) -> None:
    """Compare what is at the target now with what was sent, or with the source."""
    digest = digest or await reader.digest(step.source)
    if (got := await writer.digest(step.target)) != digest:
        words = f"{step.target} holds other bytes than {step.source}: SHA-256 {got}, not {digest}: copy it again"
        raise StoreError(words, retriable=True)


def _differs(source: Found, target: Found) -> bool | None:
    """Whether two files differ, None if what the listings say does not tell."""
    if source.size >= 0 and target.size >= 0 and source.size != target.size:
        return True
    if source.md5 and target.md5:
        return source.md5 != target.md5
    return None
