"""All events past a sequence, wherever they are: the archive in PostgreSQL, exported segments, then the log itself.

So a read model is built again over a log whose front is gone, and over a lost database as well. What must not enter: what
events mean.
"""

from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

import asyncpg
import structlog

from longshore_api.adapters.store import away, recorded
from longshore_common.adapters.records import read
from longshore_common.errors import Refused, Trimmed
from longshore_common.log import Log, Malformed, Recorded, Slice
from longshore_data.archive import Archive

log = structlog.get_logger()

_EVENTS: Final = 1_000
_PATIENCE: Final = 60
_NEXT: Final = "SELECT seq, at, type, subject, body FROM event WHERE seq > $1 ORDER BY seq LIMIT $2"


class Follows(Protocol):
    """The one thing the projector asks of a log."""

    def follow(self, after: int) -> AsyncIterator[Slice]:
        """As `Log.follow`."""
        ...


class Whole:
    """The log with what is before it. `archive` opens the exported segments, None where nothing is exported."""

    def __init__(self, url: str, source: Log, archive: Callable[[], Archive] | None = None) -> None:
        self._url = url
        self._log = source
        self._archive = archive

    async def follow(self, after: int) -> AsyncIterator[Slice]:
        """As `Log.follow`; `Trimmed` if something past `after` is nowhere."""
        position = after
        while True:
            async for piece in self._kept(position):
                position = piece.records[-1].seq
                yield piece
            try:
                async for piece in self._log.follow(position):
                    position = piece.records[-1].seq
                    yield piece
                return
            except Trimmed as err:
                before = position
                async for piece in self._exported(position, err):
                    position = piece.records[-1].seq
                    yield piece
                if position == before:
                    raise Trimmed(f"{err}; the archive does not hold it either") from err

    async def _kept(self, after: int) -> AsyncIterator[Slice]:
        """What the archive in PostgreSQL has, if it goes on right behind `after`."""
        try:
            db = await asyncpg.connect(self._url, timeout=10, command_timeout=_PATIENCE)
        except (OSError, TimeoutError, asyncpg.PostgresError) as err:
            raise away(err) from err
        position = after
        try:
            while rows := await db.fetch(_NEXT, position, _EVENTS):
                if rows[0]["seq"] != position + 1:
                    return
                records = [recorded(row) for row in rows]
                await _mend(db, rows, records)
                position = records[-1].seq
                yield Slice(records, 0)
        finally:
            await db.close(timeout=5)

    async def _exported(self, after: int, trimmed: Trimmed) -> AsyncIterator[Slice]:
        """What exported segments have, up to where the archive in PostgreSQL begins."""
        if self._archive is None:
            raise Trimmed(f"{trimmed}: set LONGSHORE_ARCHIVE to where it was exported") from trimmed
        position = after
        archive = self._archive()
        try:
            async for events in archive.events(after, await self._begin() - 1):
                log.info("from the archive", seq=events[-1].seq)
                for at in range(0, len(events), _EVENTS):
                    records = []
                    for kept in events[at : at + _EVENTS]:
                        if kept.seq != position + 1:
                            raise Refused(f"the archive lacks the events from {position + 1} to {kept.seq - 1}")
                        position = kept.seq
                        author, event = read(kept.subject, kept.body)
                        records.append(Recorded(kept.seq, kept.at, author, kept.subject, event, body=kept.body))
                    yield Slice(records, 0)
        finally:
            await archive.close()

    async def _begin(self) -> int:
        db = await asyncpg.connect(self._url, timeout=10, command_timeout=_PATIENCE)
        try:
            return int(await db.fetchval("SELECT coalesce(min(seq), 1::bigint << 62) FROM event"))
        finally:
            await db.close(timeout=5)


async def _mend(db: asyncpg.Connection, rows: list[asyncpg.Record], records: list[Recorded]) -> None:
    """Events that an older release could not read or project are called by their name once this one reads them."""
    for row, record in zip(rows, records, strict=True):
        if row["type"] == "unreadable" and not isinstance(record.event, Malformed):
            tag = str(type(record.event).__struct_config__.tag)
            await db.execute("UPDATE event SET type = $2 WHERE seq = $1", record.seq, tag)
