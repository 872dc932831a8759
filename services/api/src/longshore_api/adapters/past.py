"""The lists as they were: a connection whose temporary tables hold what has changed since, folded from the archive.

Whatever nothing was said of since is read from the read model of now; only the rest is replayed, with the projector's
own fold, so that a look back costs what happened to what was open then and not the length of the log. Every question
first looks whether something has changed since the last one, in the same snapshot. What must not enter: HTTP, routes.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import asyncpg
import structlog

from longshore_api.adapters import past_tables as p
from longshore_api.adapters import tables as t
from longshore_api.adapters.reader import SETTINGS, Reader
from longshore_api.adapters.store import Store, away, recorded
from longshore_api.core.memory import Memory
from longshore_api.core.needs import needs, unknown_submissions
from longshore_api.core.past import Moment, Scope
from longshore_api.core.projection import replay, weight
from longshore_api.core.rows import Changes, Tuple
from longshore_common.clock import Clock
from longshore_common.errors import BadInput, LongshoreError, Unreachable

log = structlog.get_logger()

#: Seconds in which a look back must be ready; a question waits at most the second of them before it is to be repeated.
DEADLINE: Final = 300.0
PATIENCE: Final = 10.0
#: Looks back that are kept, each a connection, and the seconds without a question after which one goes.
KEPT: Final = 4
IDLE: Final = 300.0
#: Events read at once; rows folded before others get their turn, and before they are written.
_EVENTS: Final = 1_000
_WRITTEN: Final = 40_000

_SETTINGS: Final = {
    **SETTINGS, "application_name": "longshore-past", "work_mem": "32MB", "synchronous_commit": "off",
}  # fmt: skip


class Standing(NamedTuple):
    """Where in the log a look back stands: the sequence of the last event that counts, and its instant (Unix seconds)."""

    seq: int
    at: float


class StillMaking(Unreachable):
    """The look back is being made; the same question again finds it further."""


class _Twin(Store):
    """Writes what the fold makes into the twins; no archive, no position."""

    places = True

    async def apply(self, changes: Changes) -> None:
        await self._write_submissions(changes)
        await self._write_tasks(changes)
        if self.places:
            await self._run(t.WRITE_WORKERS, changes.workers)
            if changes.batches:
                await self._db.executemany(p.then(t.WRITE_BATCH), changes.batches)

    async def _write_submissions(self, changes: Changes) -> None:
        await self._copy("submission", t.SUBMISSION, changes.submissions_new)
        await self._run(t.CHANGE_SUBMISSIONS, changes.submissions_changed)
        await self._run(t.REMOVE_RANGES, changes.spans_removed)
        await self._run(t.WRITE_RANGES, changes.spans_written)

    async def _copy(self, table: str, columns: Iterable[str], rows: list[Tuple]) -> None:
        await super()._copy(f"{table}_then", list(columns), rows)

    async def _run(self, statement: str, rows: Any) -> None:
        await super()._run(p.then(statement), rows)


class Past:
    """One look back, one connection; asked by one at a time. A pool to `Reader`."""

    def __init__(self, connection: asyncpg.Connection, seq: int, scope: Scope) -> None:
        self._db = connection
        self._seq = seq
        self._scope = scope
        self._known = seq
        self._turn = asyncio.Lock()
        self.reader = Reader(self)

    @classmethod
    async def open(cls, url: str, seq: int, scope: Scope) -> "Past":
        """Make it; takes as long as replaying what has changed since."""
        connection = await asyncpg.connect(url, timeout=10, command_timeout=DEADLINE, server_settings=_SETTINGS)
        past = cls(connection, seq, scope)
        try:
            async with connection.transaction(isolation="repeatable_read"):
                await connection.execute(p.PREPARE + p.views(seq))
                await past._catch_up(places=True)
        except BaseException:
            connection.terminate()
            raise
        return past

    def terminate(self) -> None:
        """Let it go, with all it holds."""
        self._db.terminate()

    @property
    def gone(self) -> bool:
        """Whether its connection broke, and its tables with it."""
        return bool(self._db.is_closed())

    @property
    def busy(self) -> bool:
        """Whether somebody asks it at this moment."""
        return self._turn.locked()

    @asynccontextmanager
    async def acquire(self, *, timeout: float) -> AsyncIterator[Any]:
        """The connection, in a snapshot in which nothing is missing."""
        async with asyncio.timeout(timeout):
            await self._turn.acquire()
        try:
            async with self._db.transaction(isolation="repeatable_read"):
                await self._catch_up(places=False)
                yield self._db
        finally:
            self._turn.release()

    async def _catch_up(self, *, places: bool) -> None:
        """Replay what was said anything of since this last looked; at first also of workers and batches."""
        position = int(await self._db.fetchval("SELECT seq FROM public.position"))
        if not places and position == self._known:
            return
        scope, db = self._scope, self._db
        ids = [w.submission for w in scope.windows] or None
        found = await db.fetch(p.CHANGE, self._seq, self._known, ids, scope.batch, scope.user)
        changed = {row["id"] for row in found}
        if changed or places:
            await self._choose(changed, places=places)
            await self._replay(changed, places=places)
        if places and scope.batches:
            await db.execute(p.BATCHES)
            at = await db.fetchval("SELECT at FROM public.event WHERE seq <= $1 ORDER BY seq DESC LIMIT 1", self._seq)
            await db.execute(p.BATCH_TIMES, at or 0.0)
        self._known = position

    async def _choose(self, changed: set[int], *, places: bool) -> None:
        """Note which events are to be replayed."""
        scope, db = self._scope, self._db
        await db.execute("TRUNCATE replayed")
        if scope.windows:
            windows = list(zip(*scope.windows, strict=True))
            await db.execute(p.REPLAY_WINDOWS, self._seq, list(changed), *windows)
        else:
            await db.execute(p.REPLAY, self._seq, list(changed))
        if changed or scope.workers:
            floor = 0 if scope.workers and places else min(changed, default=0)
            await db.execute(p.REPLAY_PLACES, self._seq, floor)
        if places and scope.batches:
            await db.execute(p.REPLAY_BATCHES, self._seq, scope.batch)
        await db.execute("ANALYZE replayed; ANALYZE changed")

    async def _replay(self, changed: set[int], *, places: bool) -> None:
        store, memory = _Twin(self._db), Memory()
        store.places = places
        seq = rows = 0
        while events := await self._db.fetch(p.NEXT, seq, _EVENTS):
            seq = events[-1]["seq"]
            records = [recorded(row) for row in events]
            if unknown := unknown_submissions(memory, records) & changed:
                await store.admit_submissions(memory, unknown)
            if lacking := needs(memory, records):
                await store.admit_tasks(memory, lacking)
            replay(memory, records)
            rows += sum(map(weight, records))
            if rows >= _WRITTEN:
                await store.apply(memory.drain())
                rows = 0
            await asyncio.sleep(0)  # the projector goes first
        await store.apply(memory.drain())
        await self._db.execute(p.NAMES)


class Pasts:
    """The looks back that are kept, by place and scope."""

    def __init__(self, url: str, reader: Reader, clock: Clock) -> None:
        self._url = url
        self._reader = reader
        self._clock = clock
        self._made: dict[tuple[int, Scope], asyncio.Task[Past]] = {}
        self._asked: dict[tuple[int, Scope], float] = {}
        self._one = asyncio.Lock()

    @property
    def now(self) -> float:
        """Unix seconds, to count back from."""
        return self._clock.now()

    async def standing(self, moment: Moment, position: int) -> Standing:
        """The last event that counts; `BadInput` if the log is not so far, or the archive begins later."""
        if moment.seq is not None and moment.seq > position:
            raise BadInput(f"at={moment.seq} is yet to come: the read model is at {position}")
        first = await self._event("WHERE seq >= $1 ORDER BY seq LIMIT 1", 0)
        last = await self._event("WHERE seq <= $1 ORDER BY seq DESC LIMIT 1", min(position, moment.seq or position))
        if first is None or last is None or (moment.seq is None and first.at > moment.instant):
            begin = f"it begins at {first.seq}" if first else "it is empty"
            raise BadInput(f"the archive does not reach back so far: {begin}")
        if moment.seq is None:
            last = await self._before(moment.instant, first, last)
        if first.seq > 1:
            await self._whole(first, last)
        return last

    async def _event(self, where: str, value: int) -> Standing | None:
        found = await self._reader.fetch(f"SELECT seq, at FROM event {where}", value)
        return Standing(found[0]["seq"], found[0]["at"]) if found else None

    async def until(self, instant: float, position: int) -> int:
        """The sequence of the last event not after this instant, 0 if there is none."""
        first = await self._event("WHERE seq >= $1 ORDER BY seq LIMIT 1", 0)
        last = await self._event("WHERE seq <= $1 ORDER BY seq DESC LIMIT 1", position)
        if first is None or last is None or first.at > instant:
            return 0
        return (await self._before(instant, first, last)).seq

    async def _before(self, instant: float, low: Standing, high: Standing) -> Standing:
        """The last event not after the instant: the log's instants rise with its sequences."""
        if high.at <= instant:
            return high
        while high.seq - low.seq > 1:
            found = await self._event("WHERE seq <= $1 ORDER BY seq DESC LIMIT 1", (low.seq + high.seq) // 2)
            if found is None or found.seq <= low.seq:
                found = await self._event("WHERE seq > $1 ORDER BY seq LIMIT 1", low.seq)
                if found is None or found.seq >= high.seq:
                    break
            low, high = (found, high) if found.at <= instant else (low, found)
        return low

    async def _whole(self, first: Standing, last: Standing) -> None:
        """Events before `first` are in exported segments only: `BadInput` if a look back to `last` would need one."""
        found = await self._reader.fetch(
            "SELECT 1 FROM event_range WHERE seq > $1 AND submission < $2 AND submission <= $1 LIMIT 1",
            last.seq, first.seq,
        )  # fmt: skip
        if found:
            raise BadInput(
                f"what was open at {last.seq} began before {first.seq}, where the archive in PostgreSQL begins: ask for "
                "a later place"
            )

    async def reader(self, standing: Standing, scope: Scope) -> Reader:
        """Answers as they were; `StillMaking` if that is not ready in time, `Unreachable` if it never will be."""
        key = (standing.seq, scope)
        self._sweep()
        self._asked[key] = self._clock.steady()
        making = self._made.get(key)
        if making is None or _unusable(making):
            making = self._made[key] = asyncio.create_task(self._make(standing.seq, scope), name="look back")
        try:
            async with asyncio.timeout(PATIENCE):
                return (await asyncio.shield(making)).reader
        except TimeoutError as err:
            if making.done():
                raise
            raise StillMaking(f"the state at {standing.seq} is being folded from the archive: ask again") from err

    async def _make(self, seq: int, scope: Scope) -> Past:
        began = self._clock.steady()
        try:
            async with self._one, asyncio.timeout(DEADLINE):
                past = await Past.open(self._url, seq, scope)
        except TimeoutError as err:
            raise BadInput(
                f"the state at {seq} took more than {DEADLINE:.0f} s to fold: narrow the question by ids, --batch or --user"
            ) from err
        except LongshoreError:
            raise
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as err:
            raise away(err) from err
        log.info("looked back", seq=seq, seconds=round(self._clock.steady() - began, 3))
        return past

    def _sweep(self) -> None:
        """Let go of what nobody asks any more, the longest unasked first."""
        now = self._clock.steady()
        for nth, key in enumerate(sorted(self._made, key=lambda k: -self._asked[k]), 1):
            making = self._made[key]
            if not making.done():
                continue
            past = None if _unusable(making) else making.result()
            if past is None or ((nth >= KEPT or now - self._asked[key] > IDLE) and not past.busy):
                del self._made[key], self._asked[key]
                if past is not None:
                    past.terminate()

    async def close(self) -> None:
        """Let all go."""
        for making in self._made.values():
            making.cancel()
        for done in await asyncio.gather(*self._made.values(), return_exceptions=True):
            if isinstance(done, Past):
                done.terminate()
        self._made.clear()


def _unusable(making: asyncio.Task[Past]) -> bool:
    """Whether it is over without a look back that answers."""
    return making.done() and (making.cancelled() or making.exception() is not None or making.result().gone)
