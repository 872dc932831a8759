"""Events leave PostgreSQL only for where they can be read again; a read model made anew from there is the same, row by row."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from longshore_api.adapters import archiving, store
from longshore_api.adapters.past import Pasts
from longshore_api.adapters.progress import Progress
from longshore_api.adapters.projector import Projector
from longshore_api.adapters.reader import Reader
from longshore_api.adapters.store import Store
from longshore_api.adapters.whole import Whole
from longshore_api.core.past import Moment
from longshore_common.clock import SystemClock
from longshore_common.errors import BadInput, Conflict, Refused, Trimmed, Unreachable
from longshore_common.log import Slice
from longshore_data import archive as segments
from longshore_data.archive import Archive

from .test_any_cut import TABLES, write

STEPS = [(k * 8 % 21, k % 4, k * 3 % 6, k * 5 % 6, k % 3 + 1) for k in range(400)]


async def tables(url: str) -> dict[str, list[Any]]:
    """All rows, but how bodies of events were packed."""
    connection = await asyncpg.connect(url)
    try:
        assert await connection.fetch("SELECT * FROM recount()") == []
        return {
            table: sorted((tuple(r) for r in await connection.fetch(f"SELECT * FROM {table}")), key=repr)
            for table in TABLES
        }
    finally:
        await connection.close()


async def projected(url: str, book: Any, project: Any) -> None:
    made = await Store.open(url)
    await project(made, await made.load(), book.records)
    await made.close()


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Archive]:
    made = Archive(f"file://{tmp_path}/archive", {"HOME": str(tmp_path)})
    yield made
    await made.close()


class Log:
    """A book as a log whose front may be gone."""

    def __init__(self, book: Any, trimmed: int = 0) -> None:
        self.book, self.trimmed = book, trimmed

    async def follow(self, after: int, subjects: str = "log.>") -> AsyncIterator[Slice]:
        if after < self.trimmed:
            raise Trimmed(f"the log begins at {self.trimmed + 1}")
        if records := self.book.records[after:]:
            yield Slice(records, 0)
        await asyncio.Event().wait()


async def reprojected(url: str, source: Whole, last: int) -> None:
    """Run the projector until it is at `last`."""
    progress = Progress()
    running = asyncio.create_task(Projector(url, source, progress).run())
    try:
        async with asyncio.timeout(30):
            while not await progress.passed(last, 1):
                assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_an_export_goes_on_where_the_last_one_stopped(
    database: str, book: Any, project: Any, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(book, STEPS[:100])
    await projected(database, book, project)
    monkeypatch.setattr(archiving, "SEGMENT_EVENTS", 30)
    assert await archiving.export(database, archive, "a", now=0.0) == len(book.records) // 30 * 30  # the rest is young
    assert await archiving.export(database, archive, "a", now=1e6) == len(book.records)
    manifest = await archive.manifest()
    assert [s.count for s in manifest.segments] == [30] * (len(book.records) // 30) + [len(book.records) % 30]
    assert await archiving.export(database, archive, "a", now=1e6, everything=True) == len(book.records)
    assert await archive.manifest() == manifest
    kept = [kept async for found in archive.events(0, 1 << 60) for kept in found]
    assert [(k.seq, k.at, k.subject) for k in kept] == [(r.seq, r.at, r.subject) for r in book.records]


async def test_an_export_that_was_killed_between_two_steps_is_repeated(
    database: str, book: Any, project: Any, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(book, STEPS[:100])
    await projected(database, book, project)
    stored = archive._store.put_bytes
    for fail_at in range(2):
        calls = iter(range(9))

        async def put(data: bytes, target: Any, calls: Any = calls, fail_at: int = fail_at) -> None:
            if next(calls) == fail_at:
                raise Unreachable("killed")
            await stored(data, target)

        monkeypatch.setattr(archive._store, "put_bytes", put)
        with pytest.raises(Unreachable):
            await archiving.export(database, archive, "a", now=1e6)
        monkeypatch.undo()
        assert (await archive.manifest()).last == 0
    assert await archiving.export(database, archive, "a", now=1e6) == len(book.records)


async def test_one_process_exports_at_a_time(database: str, archive: Archive) -> None:
    async with archiving._connected(database):
        with pytest.raises(Conflict):
            await archiving.export(database, archive, "a", now=0)


async def test_only_what_is_exported_is_removed_and_lists_stay(
    database: str, book: Any, project: Any, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(book, STEPS)
    await projected(database, book, project)
    before = await tables(database)
    assert await archiving.forget(database, archive, 1e9) == 0
    monkeypatch.setattr(archiving, "SEGMENT_EVENTS", 50)
    await archiving.export(database, archive, "a", now=0.0)
    assert await archiving.forget(database, archive, 1101.5) == 100
    assert await archiving.forget(database, archive, 1101.5) == 0
    after = await tables(database)
    for table in TABLES:
        if table.startswith("event"):
            place = {"event": 0, "event_range": 3, "event_about": 2}[table]
            assert after[table] == [row for row in before[table] if row[place] > 100]
        else:
            assert after[table] == before[table]


@pytest.mark.parametrize(("trimmed", "forgotten"), [(0, 0), (150, 0), (300, 100), (300, 300)])
async def test_a_rebuild_without_the_front_of_the_log_makes_the_same_rows(
    database: str, book: Any, project: Any, archive: Archive, monkeypatch: pytest.MonkeyPatch, *, trimmed: int, forgotten: int
) -> None:  # fmt: skip
    write(book, STEPS)
    await projected(database, book, project)
    monkeypatch.setattr(archiving, "SEGMENT_EVENTS", 50)
    await archiving.export(database, archive, "a", now=0.0)
    await archiving.forget(database, archive, 1001.5 + forgotten)
    before = await tables(database)
    await store.rebuild(database)
    source = Whole(database, Log(book, trimmed), lambda: Archive(str(archive._folder), {}))  # type: ignore[arg-type]
    await reprojected(database, source, len(book.records))
    assert await tables(database) == before


async def test_a_lost_database_is_made_again_from_segments_and_the_rest_of_the_log(
    two_databases: tuple[str, str], book: Any, project: Any, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two_databases
    write(book, STEPS)
    await projected(first, book, project)
    monkeypatch.setattr(archiving, "SEGMENT_EVENTS", 50)
    await archiving.export(first, archive, "a", now=0.0)
    source = Whole(second, Log(book, 320), lambda: Archive(str(archive._folder), {}))  # type: ignore[arg-type]
    await reprojected(second, source, len(book.records))
    here, there = await tables(first), await tables(second)
    for found in (here, there):
        found["event"] = [(*row[:6], store.plain(row[6])) for row in found["event"]]
    assert here == there


async def test_events_that_are_nowhere_are_said_to_be(database: str, book: Any, project: Any, archive: Archive) -> None:
    write(book, STEPS[:50])
    source = Whole(database, Log(book, 20), lambda: Archive(str(archive._folder), {}))  # type: ignore[arg-type]
    with pytest.raises(Trimmed, match="does not hold it either"):
        await anext(source.follow(0))
    with pytest.raises(Trimmed, match="LONGSHORE_ARCHIVE"):
        await anext(Whole(database, Log(book, 20)).follow(0))  # type: ignore[arg-type]
    connection = await asyncpg.connect(database)
    await projected(database, book, project)
    await connection.execute("DELETE FROM event WHERE seq < 9")
    await connection.close()
    with pytest.raises(Refused, match="from 1 to 8 are neither"):
        await archiving.export(database, archive, "a", now=1e6)


async def test_a_hole_in_the_archive_is_said_to_be_one(database: str, book: Any, archive: Archive) -> None:
    write(book, STEPS[:50])
    some = [segments.Kept(r.seq, r.at, r.subject, r.body) for r in book.records]
    await archive.append(await archive.append(segments.Manifest(), some[:4]), some[9:20])
    source = Whole(database, Log(book, 20), lambda: Archive(str(archive._folder), {}))  # type: ignore[arg-type]
    pieces = source.follow(0)
    assert [r.seq for r in (await anext(pieces)).records] == [1, 2, 3, 4]
    with pytest.raises(Refused, match="lacks the events from 5 to 9"):
        await anext(pieces)


async def test_a_look_back_to_what_was_removed_is_refused_with_where_the_archive_begins(
    database: str, book: Any, project: Any, archive: Archive
) -> None:
    sub = book.submit(2)
    book.join()
    book.assign(sub, 0)
    middle = book.assign(sub, 1)
    book.end(sub, 0, 1)
    await projected(database, book, project)
    await archive.append(segments.Manifest(), [segments.Kept(k, 1000.0 + k, "log.api.fact", b"{}") for k in (1, 2)])
    assert await archiving.forget(database, archive, 1003) == 2
    reader = await Reader.open(database)
    pasts = Pasts(database, reader, SystemClock())
    with pytest.raises(BadInput, match="begins at 3"):
        await pasts.standing(Moment(1), 5)
    with pytest.raises(BadInput, match="began before 3"):
        await pasts.standing(Moment(middle), 5)
    assert (await pasts.standing(Moment(5), 5)).seq == 5
    await reader.close()
