"""When each worker was last heard of and what its host does: beats, kept in memory; their means by the minute in SQL.

`worker_metric` is no part of the projection: no log holds beats, and what is lost with a process is a minute. What must
not enter: rows that the log makes.
"""

import asyncio
from collections import deque
from typing import Any, Final

import asyncpg
import msgspec
import structlog

from longshore_api.core import metrics
from longshore_common import subjects
from longshore_common.clock import Clock
from longshore_common.log import Hints

log = structlog.get_logger()

#: Seconds between looks for minutes that are over, and for which they are kept.
LOOK: Final = 5.0
KEPT: Final = 7 * 86_400
#: Minutes of workers that wait for a database that is away; the oldest are dropped first.
WAITING: Final = 100_000
#: Seconds for one write.
_PATIENCE: Final = 20

_WRITE: Final = (
    "INSERT INTO worker_metric (worker, minute, sample) SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[]) "
    "ON CONFLICT DO NOTHING"
)
_encode: Final = msgspec.json.Encoder().encode


class Heard:
    """The instant of each worker's last beat and what it said of its host, as heard by this process."""

    def __init__(self, hints: Hints, clock: Clock) -> None:
        self._hints = hints
        self._clock = clock
        self._at: dict[str, float] = {}
        self._said: dict[str, metrics.Sample] = {}
        self._minutes = metrics.Minutes()
        self._waiting: deque[tuple[str, int, str]] = deque(maxlen=WAITING)
        self._swept = -1

    async def listen(self) -> None:
        """For ever."""
        async for subject, body in self._hints.listen(subjects.BEATS):
            worker, now = subject.partition(".")[2], self._clock.now()
            self._at[worker] = now
            if (said := metrics.sample(body)) is not None:
                self._said[worker] = said
                self._minutes.add(worker, now, said)

    def at(self, worker: str) -> float | None:
        """Unix seconds, None if this process never heard it."""
        return self._at.get(worker)

    def said(self, worker: str) -> dict[str, Any] | None:
        """What its last beat said of its host, None if it never said anything."""
        return self._said.get(worker)

    def note(self, name: str, minute: int, sample: metrics.Sample) -> None:
        """A minute of something else than a worker, to be written with theirs."""
        self._waiting.append((name, minute, _encode(sample).decode()))

    def alive(self, worker: str, within: float) -> bool:
        """Whether it was heard in the last `within` seconds."""
        at = self._at.get(worker)
        return at is not None and abs(self._clock.now() - at) <= within  # a clock that was set back heard nobody yet

    async def keep(self, url: str) -> None:
        """Write minutes that are over, for ever; while the database is away they wait."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self.write(url)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as err:
                log.warning("metrics not written", reason=str(err) or type(err).__name__, minutes=len(self._waiting))

    async def write(self, url: str) -> None:
        """Write the minutes that are over, and once an hour remove those past their time. A repeat writes nothing twice."""
        now = self._clock.now()
        self._waiting.extend((w, minute, _encode(said).decode()) for w, minute, said in self._minutes.over(now))
        if not self._waiting:
            return
        connection = await asyncpg.connect(url, timeout=5, command_timeout=_PATIENCE)
        try:
            rows = list(self._waiting)
            await connection.execute(_WRITE, *map(list, zip(*rows, strict=True)))
            for _ in rows:
                self._waiting.popleft()
            if self._swept != (hour := int(now) // 3600):
                await connection.execute("DELETE FROM worker_metric WHERE minute < $1", int(now) - KEPT)
                self._swept = hour
        finally:
            await connection.close(timeout=2)
