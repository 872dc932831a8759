"""The log as it grows, for any number of readers of this process: one follower, a window of what came last, a bell.

A reader holds nothing but its place, so a slow one costs nothing: what has left the window it reads from the log itself, or
from what was before the log. What must not enter: HTTP, what events mean.
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Final, NamedTuple

import structlog

from longshore_api.adapters.whole import Follows
from longshore_api.core.projection import weight
from longshore_common.errors import LongshoreError, Trimmed, Unreachable
from longshore_common.log import Log, Recorded

log = structlog.get_logger()

#: What the window holds at most, in rows (see `weight`) and in events; and with how many events it begins.
WINDOW_ROWS: Final = 60_000
WINDOW_EVENTS: Final = 20_000
BEGIN: Final = 1_000
#: Events looked at before others get their turn.
RUN: Final = 1_000
#: Seconds between two bells: at least, and more for each reader; and at most, so that everybody looks up now and then.
PAUSE: Final = 0.01
PER_READER: Final = 0.0003
TICK: Final = 1.0
#: Seconds for which the window is kept when the last reader has gone.
LINGER: Final = 30.0
_AGAIN: Final = 0.5

Wanted = Callable[[Recorded], bool]


class CutOff(Unreachable):
    """The feed began again: a reader resumes from its last place."""


class Piece(NamedTuple):
    """Events that a reader wants, perhaps none, and the sequence up to which it has now seen the log."""

    records: list[Recorded]
    position: int


class Feed:
    """One per process. `older` is asked for what the log itself has no longer."""

    def __init__(self, source: Log, older: Follows | None = None) -> None:
        self._log = source
        self._older = older
        self._window: list[Recorded] = []
        self._seqs: list[int] = []
        self._rows = 0
        #: The window holds all events past `_first` up to `_last`.
        self._first = self._last = 0
        self._era = 0
        self._begun = asyncio.Event()
        self._news = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._readers = 0
        self._closed = False
        self._following: asyncio.Task[None] | None = None
        self._ending: asyncio.TimerHandle | None = None

    async def follow(self, after: int, wanted: Wanted) -> AsyncIterator[Recorded]:
        """The events past sequence `after` that are wanted, for ever, in order; -1 = from now on. `CutOff` ends it."""
        async with aclosing(self.pieces(after, wanted)) as pieces:
            async for piece in pieces:
                for record in piece.records:
                    yield record

    async def pieces(self, after: int, wanted: Wanted) -> AsyncGenerator[Piece, None]:
        """As `follow`, many at a time; at least once a second, with nothing if there is nothing."""
        async with self._reading():
            while not await self._ready():
                yield Piece([], max(after, 0))
            position, era = self._last if after < 0 else after, self._era
            while not self._closed:
                if era != self._era:
                    raise CutOff(f"the log is followed anew: read on from {position}")
                if position < self._first:
                    async with aclosing(self._before(position, wanted)) as pieces:
                        async for piece in pieces:
                            position = piece.position
                            yield piece
                    continue
                at = bisect_right(self._seqs, position)
                run = self._window[at : at + RUN]
                if run:
                    position = run[-1].seq
                yield Piece([r for r in run if wanted(r)], position)
                await (self._heard() if position >= self._last else asyncio.sleep(0))

    @property
    def closed(self) -> bool:
        """Whether it is over."""
        return self._closed

    async def close(self) -> None:
        """Every reader's end."""
        self._closed = True
        self._begun.set()
        self._ring()
        if self._ending is not None:
            self._ending.cancel()
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    # --- one reader ---------------------------------------------------------------------------------------------------

    async def _ready(self) -> bool:
        try:
            async with asyncio.timeout(TICK):
                await self._begun.wait()
        except TimeoutError:
            return False
        return True

    async def _before(self, position: int, wanted: Wanted) -> AsyncGenerator[Piece, None]:
        """What is before the window, till the window holds the rest."""
        try:
            async with aclosing(self._read(self._log, position, wanted)) as pieces:
                async for piece in pieces:
                    position = piece.position
                    yield piece
        except Trimmed:
            if self._older is None:
                raise
            async with aclosing(self._read(self._older, position, wanted)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _read(self, source: Follows, position: int, wanted: Wanted) -> AsyncGenerator[Piece, None]:
        found = source.follow(position)
        try:
            async for piece in found:
                records = [r for r in piece.records if r.seq > position]
                position = piece.records[-1].seq
                yield Piece([r for r in records if wanted(r)], position)
                if position >= self._first or self._closed:
                    return
        finally:
            if hasattr(found, "aclose"):
                await found.aclose()

    async def _heard(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[None]:
        self._readers += 1
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        if self._following is None and not self._closed:
            self._following = asyncio.create_task(self._run(), name="feed")
        try:
            yield
        finally:
            self._readers -= 1
            if not self._readers and not self._closed:
                self._ending = asyncio.get_running_loop().call_later(LINGER, self._rest)

    # --- the follower -------------------------------------------------------------------------------------------------

    def _rest(self) -> None:
        """Nobody has read for a while: an idle process follows nothing twice."""
        if self._following is not None and not self._readers:
            self._following.cancel()
            self._following = None
            self._begin(0)
            self._begun.clear()

    async def _run(self) -> None:
        bell = asyncio.create_task(self._ring_now_and_then(), name="bell")
        try:
            while True:
                try:
                    await self._follow_log()
                except LongshoreError as err:
                    log.warning("the feed begins again", reason=str(err))
                    self._begun.clear()
                await asyncio.sleep(_AGAIN)
        finally:
            bell.cancel()

    async def _follow_log(self) -> None:
        last = await self._log.last()
        begin = max(0, last - BEGIN)
        try:
            await self._take(begin, last)
        except Trimmed:
            await self._take(last, last)

    async def _take(self, begin: int, last: int) -> None:
        self._begin(begin)
        if begin >= last:
            self._begun.set()
        async for piece in self._log.follow(begin):
            for record in piece.records:
                self._add(record._replace(body=b""))
            self._trim()
            self._news.set()
            if self._last >= last:
                self._begun.set()

    def _begin(self, at: int) -> None:
        self._era += 1
        self._window, self._seqs, self._rows = [], [], 0
        self._first = self._last = at

    def _add(self, record: Recorded) -> None:
        self._window.append(record)
        self._seqs.append(record.seq)
        self._rows += weight(record)
        self._last = record.seq

    def _trim(self) -> None:
        """Let the oldest quarter go once there is too much."""
        while len(self._seqs) > WINDOW_EVENTS or (self._rows > WINDOW_ROWS and len(self._seqs) > 1):
            gone = self._window[: max(1, len(self._seqs) // 4)]
            self._rows -= sum(map(weight, gone))
            self._first = gone[-1].seq
            del self._window[: len(gone)], self._seqs[: len(gone)]

    async def _ring_now_and_then(self) -> None:
        """At once after a silence, then the rarer the more readers there are: what comes meanwhile is read together."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._news.wait()
            self._news.clear()
            self._ring()
            await asyncio.sleep(PAUSE + PER_READER * self._readers)

    def _ring(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
