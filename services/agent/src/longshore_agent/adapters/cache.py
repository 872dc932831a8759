"""Resources of this host: fetched once, kept across restarts, lent to every attempt that needs them.

An entry is a folder of its own: `<number>/tree/…`, and `<number>/index` once all of it has reached the disk; what has no
index when the agent starts is removed. `index` has the instant of the last use as its modification time. What must not
enter: attempts beyond their names, how bytes move (`Bringer`), which tasks need what.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Concatenate, Final, NamedTuple, ParamSpec, Protocol, TypeVar

import msgspec

from longshore_agent.adapters import trees
from longshore_agent.adapters.entries import Entry, Index, Wish, read, refuse_clashes
from longshore_agent.adapters.room import Room
from longshore_agent.core.shelf import Shelf
from longshore_common import logs
from longshore_common.clock import Clock
from longshore_common.model import resource_key
from longshore_data import disk
from longshore_data.meter import Meter
from longshore_data.parallel import in_thread
from longshore_data.store import StoreError
from longshore_data.transfer import Brought
from longshore_data.uri import Source

log = logs.get_logger()
#: An entry that was compared with its source so many seconds ago is taken as it is.
FRESH: Final = 5.0
#: While the source does not answer, an entry that was in use so many seconds ago is taken as it is.
TRUSTED: Final = 3600.0
_ALL: Final = 1 << 62
P = ParamSpec("P")
R = TypeVar("R")


class Bringer(Protocol):
    """What the cache needs of `longshore_data.transfer.Transfer`."""

    async def identity(self, source: Source) -> str:
        """What changes when the content does; empty if the storage does not say."""
        ...

    async def bring_one(self, source: Source, directory: str, meter: Meter) -> Brought:
        """Fetch this, with its actions done, into `directory`; what it was."""
        ...


class Way(NamedTuple):
    """How bytes come here: who brings them, and what counts a download that several attempts wait for."""

    bringer: Bringer
    make_meter: Callable[[], Meter]


class Lent(NamedTuple):
    """A resource in an attempt's directory, and the identity of its content."""

    text: str
    identity: str


class _Door:
    """Through which one at a time asks whether a source is what it was."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.error: StoreError | None = None
        self.failed_at = 0.0


class _Download:
    """One that goes on while it has users."""

    def __init__(self, task: "asyncio.Task[Entry]", meter: Meter) -> None:
        self.task, self.meter = task, meter
        self.users: list[str] = []


class Cache:
    """The resources below `base`. One object per host; calls from one event loop.

    `changed` is called when `keys` says something else than before.
    """

    def __init__(self, base: Path, room: Room, most: int, clock: Clock) -> None:
        self._base, self._room, self._clock = base, room, clock
        self._shelf = Shelf(most)
        self._entries: dict[str, Entry] = {}  # by name
        self._newest: dict[str, Entry] = {}  # by source
        self._downloads: dict[str, _Download] = {}  # by source
        self._doors: dict[str, _Door] = {}  # by source
        self._next = 0
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="cache")
        self._writing = asyncio.Lock()
        self._behind: set[asyncio.Future[None]] = set()
        self._lender = trees.Lender()
        self.changed: Callable[[], None] = lambda: None
        self._open()

    # --- what others ask ---

    def keys(self) -> tuple[str, ...]:
        """`model.resource_key` of all that is kept, in order."""
        return tuple(sorted({k for e in self._newest.values() if e.index is not None for k in e.index.keys}))

    @property
    def size(self) -> int:
        """Bytes of all that is kept."""
        return self._shelf.size

    async def lend(self, wishes: Sequence[Wish], user: str, directory: str, meter: Meter, way: Way) -> tuple[Lent, ...]:
        """Have these here, linked below `directory`, kept until `release(user)`. `StoreError`; two of one name are one."""
        taken: list[tuple[Wish, Entry]] = []
        for wish in dict.fromkeys(wishes):
            taken.append((wish, await self._taken(wish, user, meter, way)))
        refuse_clashes(taken)
        lent = []
        for wish, entry in taken:
            index = entry.index
            assert index is not None
            await self._do(f"linking {wish.text}", self._lender.lend, f"{entry.root}/tree", index.items, directory)
            lent.append(Lent(wish.text, index.identity))
        return tuple(lent)

    def hold(self, sources: Sequence[Source], user: str) -> None:
        """After a restart: `user` still has these."""
        for source in sources:
            if entry := self._newest.get(str(source)):
                self._shelf.hold(entry.name, user)

    def release(self, user: str) -> None:
        """`user` has ended: what nobody uses may go, and goes if it is superseded or room is needed."""
        idle = self._shelf.release(user)
        for name in idle:
            entry = self._entries.get(name)
            if entry is not None and self._newest.get(entry.source) is not entry:
                self._drop(entry)
        if idle:
            self.trim()

    def trim(self, wanted: int = 0) -> int:
        """Give up the least recently used that nobody uses: what is above the limits, at least `wanted` bytes; bytes freed."""
        freed = 0
        for name in self._shelf.victims(max(wanted, self._shelf.excess(self._room.lacking()))):
            entry = self._entries[name]
            freed += entry.index.size if entry.index else 0
            log.info("resource-evicted", source=entry.source)
            self._drop(entry)
        return freed

    async def spare(self) -> bool:
        """The disk is full: give up all that nobody uses, and wait until that is off it; whether it was anything."""
        names = len(self._entries)
        freed = self._room.others(_ALL) + self.trim(_ALL)
        while self._room.going:  # noqa: ASYNC110  the disk sends no event when it has room
            await asyncio.sleep(0.05)
        return freed > 0 or len(self._entries) < names

    def forget(self) -> int:
        """Every resource is fetched anew at its next use; bytes freed now (what running attempts use goes when they end)."""
        freed = 0
        for source in list(self._newest):
            entry = self._newest.pop(source)
            if entry.index is not None and not self._shelf.used(entry.name):
                freed += entry.index.size
                self._drop(entry)
        self.changed()
        return freed

    async def close(self) -> None:
        """End downloads and what is written behind; both are begun again by the next life."""
        for download in self._downloads.values():
            download.task.cancel()
        tasks = [d.task for d in self._downloads.values()]
        await asyncio.gather(*tasks, *self._behind, return_exceptions=True)
        self._pool.shutdown(wait=False, cancel_futures=True)

    # --- one resource ---

    async def _taken(self, wish: Wish, user: str, meter: Meter, way: Way) -> Entry:
        """The entry of this resource, as its source is now, held for `user`."""
        while True:
            entry = await self._asked(wish, way) or await self._awaited(str(wish.source), user, meter)
            self._shelf.hold(entry.name, user)
            if await self._as_sealed(entry):
                break
        self._use(entry, wish)
        return entry

    async def _asked(self, wish: Wish, way: Way) -> Entry | None:
        """The entry if it may be used as it is, None if a download of it is under way when this returns.

        Who waited while somebody else asked in vain gets the same answer.
        """
        source, since = str(wish.source), monotonic()
        door = self._doors.setdefault(source, _Door())
        async with door.lock:
            if source in self._downloads:
                return None
            if door.error is not None and door.failed_at >= since:
                raise door.error
            entry = self._newest.get(source)
            try:
                if entry is not None and await self._current(entry, wish, way.bringer):
                    return entry
            except StoreError as err:
                door.error, door.failed_at = err, monotonic()
                raise
            self._begin(wish, way)
            return None

    async def _current(self, entry: Entry, wish: Wish, bringer: Bringer) -> bool:
        """Whether the source is what it was; one that does not answer is taken to be so for a while."""
        if monotonic() - entry.checked < FRESH or entry.index is None:
            return entry.index is not None
        try:
            identity = await bringer.identity(wish.source)
        except StoreError as err:
            if not err.retriable or monotonic() - entry.used_at > TRUSTED:
                raise
            log.warning("resource-not-compared", source=entry.source, reason=str(err))
            entry.checked = monotonic()
            return True
        entry.checked = monotonic()
        if identity == entry.index.identity:
            return True
        log.info("resource-changed", source=entry.source)
        return False

    async def _as_sealed(self, entry: Entry) -> bool:
        """Whether no task has written to it; else it is dropped."""
        index = entry.index
        if entry.name not in self._entries or index is None:
            return False
        name = await self._do(f"looking at {entry.source}", trees.altered, f"{entry.root}/tree", index.items)
        if not name:
            return entry.name in self._entries
        if entry.name in self._entries:
            log.error("resource-altered", source=entry.source, file=name, fix="a task wrote to it: copy it first")
            self._drop(entry)
        return False

    def _use(self, entry: Entry, wish: Wish) -> None:
        """It was used now, under this name."""
        self._shelf.touch(entry.name)
        entry.used_at = monotonic()
        key = resource_key(wish.text)
        if entry.index is not None and key not in entry.index.keys:
            entry.index = msgspec.structs.replace(entry.index, keys=(*entry.index.keys, key))
            if entry.on_disk:
                self._later(self._write_index(entry))
            if self._newest.get(entry.source) is entry:
                self.changed()
        elif entry.on_disk:
            with suppress(OSError):
                os.utime(f"{entry.root}/index")

    # --- downloads ---

    def _begin(self, wish: Wish, way: Way) -> None:
        source, meter = str(wish.source), way.make_meter()
        task = asyncio.ensure_future(self._downloaded(wish, meter, way.bringer))
        self._downloads[source] = _Download(task, meter)

        def over(done: "asyncio.Task[Entry]") -> None:
            if (known := self._downloads.get(source)) is not None and known.task is done:
                del self._downloads[source]
            if not done.cancelled():
                done.exception()

        task.add_done_callback(over)

    async def _awaited(self, source: str, user: str, meter: Meter) -> Entry:
        """The end of a download that is under way; when nobody waits for it any more, it ends. The bytes count once."""
        download = self._downloads[source]
        first = not download.users
        download.users.append(user)
        meter.follow(download.meter)
        try:
            return await asyncio.shield(download.task)
        finally:
            meter.unfollow(download.meter, count=first)
            download.users.remove(user)
            if not download.users and not download.task.done():
                self._downloads.pop(source, None)
                download.task.cancel()
                await asyncio.wait([download.task], timeout=1)

    async def _downloaded(self, wish: Wish, meter: Meter, bringer: Bringer) -> Entry:
        """A new entry, complete; half of one is removed."""
        self._next += 1
        name = f"{self._next}"
        entry = Entry(name, f"{self._base}/{name}", str(wish.source))
        try:
            identity = await self._fetched(entry, wish, meter, bringer)
            items = await self._do(f"sealing {wish.text}", trees.seal, f"{entry.root}/tree")
        except BaseException:
            self._remove(entry)
            raise
        entry.index = Index(entry.source, identity, items, sum(i.size for i in items))
        entry.checked = entry.used_at = monotonic()
        before = self._newest.get(entry.source)
        self._entries[name] = self._newest[entry.source] = entry
        self._shelf.put(name, entry.index.size)
        if before is not None and not self._shelf.used(before.name):
            self._drop(before)
        if (download := self._downloads.get(entry.source)) is not None:
            for user in download.users:
                self._shelf.hold(name, user)
        self._later(self._settle(entry))
        self.trim()
        return entry

    async def _fetched(self, entry: Entry, wish: Wish, meter: Meter, bringer: Bringer) -> str:
        """Bring it; a disk that is full gets one more chance after everything that is not used has gone."""
        tree = f"{entry.root}/tree"
        try:
            os.makedirs(tree, exist_ok=True)
            return (await bringer.bring_one(wish.source, tree, meter)).version
        except OSError as err:
            raise disk.translated(err, f"making {tree}") from err
        except StoreError as err:
            if not err.disk_full or not await self.spare():
                raise
        return (await bringer.bring_one(wish.source, tree, meter)).version

    async def _settle(self, entry: Entry) -> None:
        """Have it counted by the next life as well."""
        await self._do("syncing", trees.to_disk, f"{entry.root}/tree")
        entry.on_disk = True
        await self._write_index(entry)

    async def _write_index(self, entry: Entry) -> None:
        async with self._writing:  # one at a time, each with what is true then: an older index must not win
            data = msgspec.json.encode(entry.index)
            await self._do("writing", disk.write_new, data, f"{entry.root}/index", f"{entry.root}/{disk.PART}index")

    # --- the folder ---

    def _open(self) -> None:
        """Find what earlier lives kept, the least recently used first; the rest goes."""
        self._base.mkdir(parents=True, exist_ok=True, mode=0o700)
        found: list[tuple[float, Entry]] = []
        for name in os.listdir(self._base):
            if (entry := read(str(self._base), name)) is None:
                self._room.remove(f"{self._base}/{name}")
                continue
            self._next = max(self._next, int(name))
            found.append((entry.used_at, entry))
        for used_at, entry in sorted(found, key=lambda pair: pair[0]):
            entry.used_at = monotonic() - max(0.0, self._clock.now() - used_at)
            if (older := self._newest.get(entry.source)) is not None:
                self._remove(older)
                self._shelf.drop(older.name)
                del self._entries[older.name]
            self._entries[entry.name] = self._newest[entry.source] = entry
            assert entry.index is not None
            self._shelf.put(entry.name, entry.index.size)

    def _drop(self, entry: Entry) -> None:
        """It does not count any more."""
        self._shelf.drop(entry.name)
        self._entries.pop(entry.name, None)
        if self._newest.get(entry.source) is entry:
            del self._newest[entry.source]
            self.changed()
        self._remove(entry)

    def _remove(self, entry: Entry) -> None:
        """Out of sight."""
        self._room.remove(entry.root, entry.index.size if entry.index else 0)

    def _later(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._behind.add(task)

        def over(done: "asyncio.Future[None]") -> None:
            self._behind.discard(done)
            if not done.cancelled() and (err := done.exception()) is not None:
                log.warning("resource-not-kept", reason=str(err))

        task.add_done_callback(over)

    async def _do(
        self, doing: str, work: Callable[Concatenate[Event, P], R], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        try:
            return await in_thread(self._pool, work, *args, **kwargs)
        except OSError as err:
            raise disk.translated(err, doing) from err
