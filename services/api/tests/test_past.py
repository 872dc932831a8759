"""A look back shows the rows that the read model had then, at every place of the log, while the log goes on."""

import asyncio
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longshore_api.adapters.past import Past
from longshore_api.adapters.store import Store
from longshore_api.core.past import Moment, Scope, moment
from longshore_api.core.selection import Window
from longshore_common import events as e
from longshore_common.errors import BadInput
from longshore_common.ids import SubmissionId, TaskRange

from .test_any_cut import emptied, step, write

#: What a look back shows, in an order that both have.
SHOWN = ("submission", "task_range", "task", "attempt", "batch", "worker")


async def rows(db: Any) -> dict[str, list[Any]]:
    found = {}
    for table in SHOWN:
        select = await db.fetch(f"SELECT * FROM {table}")
        found[table] = sorted((tuple(r.items()) for r in select), key=repr)
    return found


async def compared(url: str, book: Any, project: Any, cut: int, scope: Scope) -> None:
    """What was then, and a look back from the end at it."""
    await emptied(url)
    store = await Store.open(url)
    plain = await asyncpg.connect(url)
    try:
        await project(store, memory := await store.load(), book.records[:cut])
        then = await rows(plain)
        half = (cut + len(book.records)) // 2
        await project(store, memory, book.records[cut:half])
        past = await Past.open(url, cut, scope)
        try:
            for more in (0, len(book.records)):
                await project(store, memory, book.records[half:][:more])
                async with past.acquire(timeout=10) as db:
                    assert await rows(db) == then
        finally:
            past.terminate()
    finally:
        await store.close()
        await plain.close()


@pytest.mark.slow
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=st.lists(step, min_size=2, max_size=40), cut=st.integers(1, 39))
def test_a_look_back_is_what_the_read_model_had_then(
    two_databases: tuple[str, str], new_book: Any, project: Any, steps: Any, cut: int
) -> None:
    book = new_book()
    write(book, steps)
    asyncio.run(
        compared(two_databases[0], book, project, min(cut, len(book.records)), Scope(workers=True, batches=True))
    )


@pytest.mark.parametrize("cut", [40, 150, 390])
def test_a_long_story_can_be_looked_back_at(two_databases: tuple[str, str], book: Any, project: Any, cut: int) -> None:
    steps = [(k * 8 % 21, k % 4, k * 3 % 6, k * 5 % 6, k % 3 + 1) for k in range(400)]
    write(book, steps)
    asyncio.run(compared(two_databases[0], book, project, cut, Scope(workers=True, batches=True)))


async def test_one_task_is_looked_back_at_without_its_neighbours(database: str, book: Any, project: Any) -> None:
    sub = book.submit(1000)
    book.join()
    for k in range(0, 1000, 10):
        book.assign(sub, *range(k, k + 10))
    at = book.move(sub, 500, 501)
    for k in range(0, 1000, 10):
        book.end(sub, *range(k, k + 10))
    scope = Scope((Window(SubmissionId(sub), 500, 500),))
    store = await Store.open(database)
    await project(store, await store.load(), book.records)
    await store.close()
    past = await Past.open(database, at, scope)
    try:
        async with past.acquire(timeout=5) as db:
            assert await db.fetchval("SELECT state FROM task WHERE index = 500") == "running"
            assert await db.fetchval("SELECT count(*) FROM task") < 30
    finally:
        past.terminate()


async def test_what_nothing_was_said_of_since_is_not_replayed(database: str, book: Any, project: Any) -> None:
    first, second = book.submit(5), book.submit(5)
    book.join()
    book.assign(first, *range(5))
    book.end(first, *range(5))
    at = book.assign(second, 0, 1)
    book.end(second, 0, 1)
    store = await Store.open(database)
    await project(store, await store.load(), book.records)
    past = await Past.open(database, at, Scope())
    try:
        async with past.acquire(timeout=5) as db:
            assert [r["id"] for r in await db.fetch("SELECT id FROM changed")] == [second]
        book.write(e.TasksRetried(tasks=(TaskRange(first, 0, 4),)))
        await project(store, await store.load(), book.records[-1:])
        async with past.acquire(timeout=5) as db:
            assert await db.fetchval("SELECT succeeded FROM submission WHERE id = $1", first) == 5
    finally:
        past.terminate()
        await store.close()


@pytest.mark.parametrize(
    ("text", "seconds"), [("2h ago", 7200), ("-30m", 1800), ("-1d12h", 129_600), ("1.5h ago", 5400), ("- 2 s", 2)]
)
def test_how_long_ago_is_counted_from_now(text: str, seconds: float) -> None:
    assert moment(text, 1e6) == Moment(None, 1e6 - seconds)


def test_a_place_is_a_sequence_or_an_instant() -> None:
    assert moment("1204", 0) == Moment(1204)
    assert moment("1970-01-01T00:01:40+00:00", 0) == Moment(None, 100)


@pytest.mark.parametrize("text", ["yesterday", "2h", "12:61", "-", "ago", "1e9", "²"])
def test_what_is_no_place_is_refused_with_examples(text: str) -> None:
    with pytest.raises(BadInput, match="2h ago"):
        moment(text, 0)
