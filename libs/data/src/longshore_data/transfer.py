"""A URI with its options and actions, into a directory of this host: what it stands for, what lands where.

Steps that need names only are done to the listing, so that nothing is fetched in vain. A source with a step that needs the
bytes is fetched into a folder of its own below the directory, unpacked there, and moved into place: so sources never mix,
and what an earlier try left behind is known by its name. What must not enter: how one kind of storage moves bytes,
attempts, reports.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Event
from typing import Concatenate, Final, NamedTuple, ParamSpec, TypeVar

from longshore_data import actions, tree, uri
from longshore_data.actions import Action
from longshore_data.disk import PART, translated
from longshore_data.meter import UNMETERED, Limits, Meter
from longshore_data.parallel import each, in_thread
from longshore_data.rewriting import rewrite
from longshore_data.storage import Storage
from longshore_data.store import Choosy, Found, Store, StoreError
from longshore_data.uri import Location, Source

P = ParamSpec("P")
R = TypeVar("R")

#: Files of one call at once.
WIDTH: Final = 16
#: Seconds after which the size of a single file is asked for, so that its progress has a total; most have come by then.
ASK_AFTER: Final = 1.0


class Fetch(NamedTuple):
    """One file to bring: from where, to which path below the directory, how many bytes (-1: not known)."""

    source: Location
    path: str
    size: int = -1


class Plan(NamedTuple):
    """What one source stands for: the files to fetch, under the names they get by the steps before any unpacking."""

    source: Source
    fetches: tuple[Fetch, ...]
    rest: tuple[Action, ...]

    @property
    def scratch(self) -> str:
        """The name of the folder in which the rest is done."""
        return PART + hashlib.blake2b(str(self.source).encode(errors="surrogateescape"), digest_size=12).hexdigest()


class Brought(NamedTuple):
    """What landed: the identity of its source (see `identity`), and how many files and bytes are there now."""

    version: str
    files: int
    bytes: int


class _Landing(NamedTuple):
    """One file of a plan on its way: from which store, to which path below the directory."""

    plan: Plan
    fetch: Fetch
    store: Store
    path: str


class Transfer:
    """Brings files. `limits` are shared with whoever else moves bytes on this host."""

    def __init__(self, storage: Storage, limits: Limits) -> None:
        self.storage, self.limits = storage, limits
        self._threads: ThreadPoolExecutor | None = None

    async def bring(
        self, sources: Sequence[Source], directory: str, meter: Meter = UNMETERED, what: str = "file"
    ) -> None:
        """Fetch these into `directory`, which exists and is no other call's meanwhile.

        Files land by their names, folders by what is below them.

        Two of one name are a `StoreError` in which they are called `what`. A repeat after a failure does no harm.
        """
        await self._bring([await self.plan(s) for s in dict.fromkeys(sources)], directory, meter, what)

    async def bring_one(self, source: Source, directory: str, meter: Meter = UNMETERED) -> Brought:
        """The same for one source; what landed. A source that changes meanwhile is a `StoreError`, retriable."""
        found = await self._found(source, sizes=True)
        version = _identity(source, found)
        landed = await self._bring([await self._planned(source, found)], directory, meter, "file")
        if (now := await self.identity(source)) != version:
            raise StoreError(f"fetching {source}: it changed meanwhile ({version} to {now}): try again", retriable=True)
        return landed._replace(version=version)

    async def identity(self, source: Source) -> str:
        """What changes when the content, the options or the actions do; moves nothing. Empty: the storage does not say."""
        return _identity(source, await self._found(source, sizes=True))

    async def content(self, source: Source) -> str:
        """The same for whoever compares work: files that storage knows the MD5 of are the same wherever they lie."""
        return _content(source, await self._found(source, sizes=True))

    async def plan(self, source: Source) -> Plan:
        """What one source stands for. Unpublished outputs and manifests below a folder are not the user's."""
        return await self._planned(source, await self._found(source, sizes=source.place.scheme == "file"))

    async def close(self) -> None:
        """Let go of the threads; storage is closed by its owner."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _found(self, source: Source, *, sizes: bool) -> list[Found]:
        """The files there, by the listing; a single one is looked at only if `sizes` are asked for."""
        place, store = source.place, self._store(source)
        if not place.folder:
            return [(await store.stat(place))._replace(path=place.name) if sizes else Found(place.name, -1)]
        found = [
            f for f in await store.listing(place) if not any(s.startswith(actions.OURS) for s in f.path.split("/"))
        ]
        if not found:
            raise StoreError(f"listing {place}: there is nothing below it: correct the name", missing=True)
        return found

    async def _planned(self, source: Source, found: list[Found]) -> Plan:
        place = source.place
        first, rest = actions.names_first(source.actions)
        names = await _names(first, [uri.safe_path(f.path) for f in found])
        if not any(names):
            raise _nothing_left(source, [f.path for f in found])
        fetches = [
            Fetch(place.below(f.path) if place.folder else place, name, f.size)
            for f, name in zip(found, names, strict=True)
            if name is not None
        ]
        return Plan(source, tuple(fetches), rest)

    async def _bring(self, plans: Sequence[Plan], directory: str, meter: Meter, what: str) -> Brought:
        direct = [(f.path, str(f.source)) for p in plans if not p.rest for f in p.fetches]
        tree.refuse_clashes(direct, what)
        for plan in plans:
            tree.refuse_clashes([(f.path, str(f.source)) for f in plan.fetches], "file")
        places = [place for plan in plans for place in self._places(plan)]
        await self._do(f"preparing {directory}", tree.prepare, directory, {p.path.rpartition("/")[0] for p in places})
        ahead = meter.total - meter.done
        meter.expect(sum(p.fetch.size for p in places if p.fetch.size > 0))
        try:
            sizes = await each(places, lambda place: self._fetch(place, directory, meter), WIDTH)
            ready = [(p, await self._unpacked(p, f"{directory}/{p.scratch}")) for p in plans if p.rest]
            inside = [(leaf.path, str(p.source)) for p, found in ready for leaf in found if leaf.kind != "folder"]
            tree.refuse_clashes(direct + inside, what)
            for plan, found in ready:
                doing = f"moving what {plan.source} holds into place"
                await self._do(doing, tree.move_into, f"{directory}/{plan.scratch}", directory, found)
        except BaseException:
            meter.expect(ahead - (meter.total - meter.done))  # whoever tries again expects all of it again
            await self._forget([f"{directory}/{p.scratch}" for p in plans if p.rest])
            raise
        kept = [leaf.size for _, found in ready for leaf in found if leaf.kind != "folder"]
        moved = [size for size, place in zip(sizes, places, strict=True) if not place.plan.rest]
        return Brought("", len(kept) + len(moved), sum(kept) + sum(moved))

    def _places(self, plan: Plan) -> list[_Landing]:
        home = f"{plan.scratch}/tree/" if plan.rest else ""
        store = self._store(plan.source)
        return [_Landing(plan, one, store, home + one.path) for one in plan.fetches]

    async def _fetch(self, place: _Landing, directory: str, meter: Meter) -> int:
        one, store = place.fetch, place.store
        target = f"{directory}/{place.path}"
        async with self.limits.turn(meter):
            if one.size >= 0:
                size = await store.fetch(one.source, target, meter)
                if one.source.bucket and size != one.size:  # servers; files of a disk may grow
                    words = (
                        f"fetching {one.source}: {size} bytes came where the list said {one.size}: it changed meanwhile"
                    )
                    raise StoreError(words, retriable=True)
                return size
            asking = asyncio.ensure_future(_ask(store, one.source, meter))
            try:
                size = await store.fetch(one.source, target, meter)
            finally:
                asking.cancel()
                await asyncio.wait([asking])
            if asking.cancelled() or not asking.result():
                meter.expect(size)
            return size

    async def _unpacked(self, plan: Plan, scratch: str) -> list[tree.Leaf]:
        """What is in a scratch folder after the steps, in the order written."""
        for step in plan.rest:
            doing = f"|{step} of {plan.source}"
            found = await self._do(doing, tree.leaves, f"{scratch}/tree")
            if step.unpacks:
                width = min(4, os.cpu_count() or 1) if step.word == "gunzip" else 1
                chosen = await self._do(doing, tree.chosen, step.word, found)
                await each(enumerate(chosen), partial(self._unpack_one, doing, scratch, step), width)
                await self._do(doing, tree.gather, scratch, chosen)
                continue
            paths = [leaf.path for leaf in found if leaf.kind != "folder" or step.word == "mv"]
            names = await _names((step,), paths)
            if not any(names):
                raise _nothing_left(plan.source, paths)
            await self._do(doing, tree.rearrange, scratch, list(zip(paths, names, strict=True)))
        return await self._do(f"looking at what {plan.source} holds", tree.checked, scratch)

    async def _unpack_one(self, doing: str, scratch: str, step: Action, one: tuple[int, str]) -> None:
        number, path = one
        await self._do(doing, tree.unpack_one, scratch, step.word, path, number)

    async def _do(
        self, doing: str, work: Callable[Concatenate[Event, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(4, thread_name_prefix="transfer")
        try:
            return await in_thread(self._threads, work, *args, **kwargs)
        except OSError as err:
            raise translated(err, doing) from err
        except StoreError as err:
            raise StoreError(
                f"{doing}: {err}", retriable=err.retriable, missing=err.missing, disk_full=err.disk_full
            ) from err

    async def _forget(self, scratches: Sequence[str]) -> None:
        """Remove what was unpacked in vain; the next call does if this one has no time for it."""
        with suppress(asyncio.TimeoutError, asyncio.CancelledError, StoreError):
            async with asyncio.timeout(0.3):
                for scratch in scratches:
                    await self._do(f"removing {scratch}", tree.drop, scratch)

    def _store(self, source: Source) -> Store:
        store = self.storage.of(source.place)
        return store.with_options(source.options) if source.options and isinstance(store, Choosy) else store


async def _names(steps: Sequence[Action], paths: Sequence[str]) -> list[str | None]:
    """What each path becomes by these steps, all of them on names; None: it goes."""
    names: list[str | None] = list(paths)
    for step in steps:
        here = [name for name in names if name is not None]
        if found := actions.expression(step):
            made: list[str | None] = list(await rewrite(found, here)) if here else []
        else:
            made = [actions.renamed(step, name) for name in here]
        for before, after in zip(here, made, strict=True):
            if after is not None and after != before:
                actions.check_path(step, before, after)
        became = iter(made)
        names = [None if name is None else next(became) for name in names]
    return names


async def _ask(store: Store, place: Location, meter: Meter) -> bool:
    """Tell the meter how much is to come, if that is not over soon; whether it was told."""
    await asyncio.sleep(ASK_AFTER)
    try:
        size = (await store.stat(place)).size
    except StoreError:
        return False
    meter.expect(max(0, size))
    return size >= 0


def _identity(source: Source, found: Sequence[Found]) -> str:
    """A digest of the versions of all files, and of what is done to them; empty if one of them has no version."""
    if not all(f.version or f.md5 for f in found):
        return ""
    digest = hashlib.blake2b(str(source).encode(errors="surrogateescape"), digest_size=16)
    for one in sorted(found):
        said = "\0".join((one.path, str(one.size), one.version, one.md5, ""))
        digest.update(said.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _content(source: Source, found: Sequence[Found]) -> str:
    """A digest of what lands and as what; empty if nothing tells one of the files from another that may lie there later."""
    if not all(f.version or f.md5 for f in found):
        return ""
    folder = "/" if source.place.folder else ""
    done = "\0".join((*sorted(source.options), "|", *map(str, source.actions), folder))
    digest = hashlib.blake2b(done.encode(errors="surrogateescape"), digest_size=16)
    for one in sorted(found):
        told = ("md5", one.md5) if one.md5 else (str(source.place), one.version)
        digest.update("\0".join((one.path, str(one.size), *told, "")).encode(errors="surrogateescape"))
    return digest.hexdigest()


def _nothing_left(source: Source, paths: Sequence[str]) -> StoreError:
    some = ", ".join(repr(path) for path in paths[:3])
    return StoreError(f"{source}: of {len(paths)} files ({some}…) none is left: correct the |glob:", missing=True)
