"""From the archive in PostgreSQL to compressed segments in storage, and, long after, out of PostgreSQL.

May be stopped anywhere and begun again: the manifest in the storage says how far it is. What must not enter: when to run.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
import structlog

from longshore_api.adapters.store import away, plain
from longshore_common.errors import Conflict, Refused
from longshore_data.archive import SEGMENT_BYTES, SEGMENT_EVENTS, Archive, Kept, Manifest

log = structlog.get_logger()

#: Held by the one process that exports or removes.
ARCHIVE_LOCK: Final = 0x10_00_6E_03
#: Events younger than this many seconds wait for more, unless all are wanted: segments should not be many and tiny.
RIPE: Final = 3600.0
_EVENTS: Final = 2_000
_REMOVED: Final = 20_000
_PATIENCE: Final = 300


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that alone exports; `Conflict` if another process does."""
    try:
        db = await asyncpg.connect(
            url, timeout=10, command_timeout=_PATIENCE, server_settings={"application_name": "longshore-archive"}
        )
    except (OSError, TimeoutError, asyncpg.PostgresError) as err:
        raise away(err) from err
    try:
        if not await db.fetchval("SELECT pg_try_advisory_lock($1)", ARCHIVE_LOCK):
            raise Conflict("another process exports the archive at this moment: let it")
        yield db
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as err:
        raise away(err) from err
    finally:
        await db.close(timeout=5)


async def export(url: str, archive: Archive, destination: str, *, now: float, everything: bool = False) -> int:
    """Store what is projected and not stored yet; the sequence up to which all is.

    Without `everything`, the youngest events wait until they fill a segment or are an hour old.
    """
    async with _connected(url) as db:
        manifest = await archive.manifest()
        position = int(await db.fetchval("SELECT seq FROM position"))
        while events := await _some(db, manifest.last, position):
            full = len(events) >= SEGMENT_EVENTS or sum(len(kept.body) for kept in events) >= SEGMENT_BYTES
            if not (everything or full or events[0].at < now - RIPE):
                break
            manifest = await archive.append(manifest, events)
            log.info("exported", first=events[0].seq, last=events[-1].seq, bytes=manifest.segments[-1].size)
        await _noted(db, manifest, destination)
        return manifest.last


async def _some(db: asyncpg.Connection, after: int, position: int) -> list[Kept]:
    """The next segment's worth; `Refused` if the next event is neither exported nor here."""
    events: list[Kept] = []
    size = 0
    while len(events) < SEGMENT_EVENTS and size < SEGMENT_BYTES:
        last = events[-1].seq if events else after
        rows = await db.fetch(
            "SELECT seq, at, subject, body FROM event WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3",
            last, position, min(_EVENTS, SEGMENT_EVENTS - len(events)),
        )  # fmt: skip
        for row in rows:
            if row["seq"] != last + 1:
                raise Refused(f"the events from {last + 1} to {row['seq'] - 1} are neither exported nor in PostgreSQL")
            last = row["seq"]
            events.append(Kept(row["seq"], row["at"], row["subject"], plain(row["body"])))
            size += len(events[-1].body)
            if size >= SEGMENT_BYTES:
                break
        if len(rows) < _EVENTS:
            break
    return events


async def _noted(db: asyncpg.Connection, manifest: Manifest, destination: str) -> None:
    if manifest.segments:
        last = manifest.segments[-1]
        await db.execute(
            "INSERT INTO exported (destination, seq, at) VALUES ($1, $2, $3) ON CONFLICT (destination) "
            "DO UPDATE SET seq = excluded.seq, at = excluded.at",
            destination, last.last, last.last_at,
        )  # fmt: skip


async def forget(url: str, archive: Archive, before: float) -> int:
    """Remove from PostgreSQL what is exported and older than this instant (Unix seconds); how many events.

    Lists and records stay; histories begin later.
    """
    removed = 0
    async with _connected(url) as db:
        manifest = await archive.manifest()
        until = max((s.last for s in manifest.segments if s.last_at < before), default=0)
        while True:
            upto = await db.fetchval(
                "SELECT max(seq) FROM (SELECT seq FROM event WHERE seq <= $1 ORDER BY seq LIMIT $2) x", until, _REMOVED
            )
            if upto is None:
                return removed
            async with db.transaction():
                await db.execute("DELETE FROM event_range WHERE seq <= $1", upto)
                await db.execute("DELETE FROM event_about WHERE seq <= $1", upto)
                done = await db.execute("DELETE FROM event WHERE seq <= $1", upto)
            removed += int(done.split()[1])
