"""The loop that keeps the read model at the head of the log, for ever, whatever goes away and comes back.

Events come by following the log; each batch is folded and committed with its position. An event that twice cannot be
projected alone is archived as unreadable and passed over, so that one never stops the rest, whether the event or our own
fold is to blame: /readyz counts those, and a rebuild by a release that can projects them. What must not enter: the meaning
of events.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

import asyncpg
import structlog

from longshore_api.adapters.progress import Progress
from longshore_api.adapters.store import Store, away
from longshore_api.adapters.whole import Follows
from longshore_api.core.memory import Memory
from longshore_api.core.needs import needs, unknown_submissions
from longshore_api.core.projection import fold, weight
from longshore_common.errors import Conflict, LongshoreError, Unreachable
from longshore_common.log import Malformed, Recorded

log = structlog.get_logger()

#: Events and rows of one transaction at most.
MOST_EVENTS: Final = 1_000
MOST_ROWS: Final = 4_000
#: Rows (see `weight`) that wait to be folded; more are not read from the log.
MOST_WAITING: Final = 20_000
#: Seconds from one commit to the next while nobody waits: fewer, larger transactions under load.
PAUSE: Final = 0.1
#: Seconds after which an idle projector looks whether the database is still where it left it.
LOOK: Final = 2.0
_BACK_OFF: Final = (0.1, 0.5, 1.0, 2.0)


class Projector:
    """One per process; among processes the one that holds the lock writes, the others keep their position current."""

    def __init__(self, url: str, source: Follows, progress: Progress) -> None:
        self._url = url
        self._log = source
        self._progress = progress
        self._carefully = 0
        self._failed_alone = 0
        self._inbox: _Inbox | None = None
        self._passed_over: dict[int, str] = {}

    async def run(self) -> None:
        """For ever."""
        failures = 0
        while True:
            at = self._progress.position
            try:
                await self._project()
            except Conflict as err:
                log.info("projection begins again", reason=str(err))
            except (LongshoreError, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as err:
                self._progress.begun.clear()
                failures = 0 if self._progress.position > at else failures + 1
                pause = _BACK_OFF[min(failures, len(_BACK_OFF) - 1)]
                log.warning("projection interrupted", reason=str(err) or type(err).__name__, retry_seconds=pause)
                await asyncio.sleep(pause)

    def look(self) -> None:
        """The read model was emptied: see it at once, not at the next look."""
        if self._inbox is not None:
            self._inbox.wake()

    async def _project(self) -> None:
        store = await Store.open(self._url)
        try:
            await self._claimed(store)
            memory = await store.load()
            self._progress.reach(memory.position)
            log.info("projecting", position=memory.position)
            inbox = self._inbox = _Inbox(self._log, memory.position)
            try:
                while True:
                    await self._step(store, memory, inbox)
            finally:
                self._inbox = None
                await inbox.close()
        finally:
            await store.close()

    async def _claimed(self, store: Store) -> None:
        """Until this process is the projector; meanwhile it knows how far the other one is."""
        while not await store.claim():
            self._progress.reach(await store.position())
            await asyncio.sleep(PAUSE if self._progress.urgent.is_set() else LOOK / 4)

    async def _step(self, store: Store, memory: Memory, inbox: "_Inbox") -> None:
        if not await inbox.filled(LOOK):
            if await store.position() != memory.position:
                raise Conflict("the projection was emptied or moved by another process")
            return
        records = inbox.take(1 if memory.position < self._carefully else MOST_EVENTS)
        records = [self._replaced(r) for r in records]
        try:
            await _projected(store, memory, records)
        except (LongshoreError, OSError, TimeoutError):
            raise
        except Exception as err:  # one event must not stop the rest, whatever is wrong with it
            if _is_away(err):
                raise away(err) from err
            self._suspect(records, err)
        self._progress.reach(memory.position)
        if not inbox.crowded:
            await self._rest()

    async def _rest(self) -> None:
        """Let more events gather, unless somebody waits."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PAUSE):
                await self._progress.urgent.wait()

    def _replaced(self, record: Recorded) -> Recorded:
        reason = self._passed_over.get(record.seq)
        return record if reason is None else record._replace(event=Malformed(reason))

    def _suspect(self, records: list[Recorded], err: Exception) -> None:
        """One of these cannot be projected: fold them again one by one, and pass over the one that fails alone, twice."""
        seq = records[-1].seq
        if len(records) == 1 and seq == self._failed_alone:
            self._passed_over[seq] = repr(err)
            log.error("an event cannot be projected and is passed over", seq=seq, reason=repr(err), exc_info=err)
        else:
            self._carefully = seq
            self._failed_alone = seq if len(records) == 1 else 0
        raise Conflict(f"a batch up to {seq} cannot be projected: {err!r}") from err


def _is_away(err: Exception) -> bool:
    """Whether the database failed us, rather than the event the database."""
    if isinstance(err, asyncpg.PostgresError):
        return not isinstance(err, asyncpg.DataError | asyncpg.IntegrityConstraintViolationError)
    if isinstance(err, asyncpg.InternalClientError):  # a connection that broke in the middle of a word
        return True
    return isinstance(err, asyncpg.InterfaceError) and not isinstance(err, ValueError)


async def _projected(store: Store, memory: Memory, records: list[Recorded]) -> None:
    if unknown := unknown_submissions(memory, records):
        await store.admit_submissions(memory, unknown)
    if lacking := needs(memory, records):
        await store.admit_tasks(memory, lacking)
    fold(memory, records)
    await store.apply(memory.drain())


class _Inbox:
    """Events read ahead of the fold, as many as fit."""

    def __init__(self, source: Follows, after: int) -> None:
        self._waiting: deque[Recorded] = deque()
        self._rows = 0
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._reading = asyncio.create_task(self._read(source, after), name="follow the log")

    async def _read(self, source: Follows, after: int) -> None:
        try:
            async for piece in source.follow(after):
                self._waiting.extend(piece.records)
                self._rows += sum(map(weight, piece.records))
                self._arrived.set()
                while self._rows > MOST_WAITING:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._arrived.set()

    async def filled(self, patience: float) -> bool:
        """Whether there is an event, after waiting for one at most `patience` seconds. Raises what ended the reading."""
        if not self._waiting:
            self._arrived.clear()
            if self._reading.done():
                await self._reading
                raise Unreachable("the log is closed")
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._arrived.wait()
        return bool(self._waiting)

    def wake(self) -> None:
        """Whoever waits for an event is to look around."""
        self._arrived.set()

    @property
    def crowded(self) -> bool:
        """Whether a whole transaction's worth waits already: nothing is gained by letting more gather."""
        return self._rows >= MOST_ROWS

    def take(self, most: int) -> list[Recorded]:
        """The next events, by number and by weight."""
        taken: list[Recorded] = []
        rows = 0
        while self._waiting and len(taken) < most and rows < MOST_ROWS:
            record = self._waiting.popleft()
            rows += weight(record)
            taken.append(record)
        self._rows -= rows
        self._room.set()
        return taken

    async def close(self) -> None:
        """Stop reading."""
        self._reading.cancel()
        with suppress(asyncio.CancelledError, LongshoreError):
            await self._reading
