"""Lists of tasks: every filter and every page size shows exactly the tasks a plain scan would, in order, at a flat cost."""

import asyncio
import json
from typing import Any, NamedTuple

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore_api.adapters import paging
from longshore_api.adapters.reader import SETTINGS, Reader
from longshore_api.adapters.store import Store
from longshore_api.core.selection import Place, Selection, states, windows, written
from longshore_api.core.selection import place as read_place
from longshore_common import events as e
from longshore_common.errors import BadInput
from longshore_common.ids import TaskRange
from longshore_common.model import Parts, Specs, TaskSpec


class Model(NamedTuple):
    """A task as the test wrote it."""

    submission: int
    index: int
    state: str
    worker: str
    batch: str
    user: str
    name: str | None


class World(NamedTuple):
    """A read model, and all its tasks in order."""

    url: str
    tasks: list[Model]


def _write(book: Any) -> list[Model]:
    tasks: list[Model] = []
    for k in range(12):
        user, batch, name = f"u{k % 2}", f"b{k % 3}", (None, "n0", "n1")[k % 3]
        size = (1, 9, 4)[k % 3]
        names: list[str | None] = [name] * size
        if k % 4 == 3:
            names = ["n1" if i % 3 == 0 else None for i in range(size)]
            specs = tuple(TaskSpec(command=("true",), name=n) for n in names)
            body: Specs | Parts = Specs(specs=specs)
            if k == 7:
                body = Parts(parts=2, size=size)
                book.write(e.SubmissionPartSent(key=f"k{k}", part=1, specs=specs[2:]), user)
                book.write(e.SubmissionPartSent(key=f"k{k}", part=0, specs=specs[:2]), user)
            sub = book.write(e.TasksSubmitted(key=f"k{k}", batch=batch, body=body, name=name), user)
            names = [n or name for n in names]
        else:
            sub = book.submit(size, user=user, batch=batch, name=name)
        where = {i: ("queued", "") for i in range(size)}
        for i in range(0, size, 2):
            worker = f"w{(k + i) % 3}"
            book.assign(sub, i, worker=worker)
            where[i] = ("assigned", worker)
            if i % 4 == 0 and k % 2:
                book.end(sub, i, worker=worker)
                where[i] = ("succeeded", worker)
        if k % 5 == 4:
            book.write(e.TasksFailed(tasks=(TaskRange(sub, size // 2, size - 1),), cause="host"))
            for i in range(size // 2, size):
                where[i] = (where[i][0] if where[i][0] == "succeeded" else "failed", where[i][1])
        tasks += [Model(sub, i, *where[i], batch, user, names[i]) for i in range(size)]
    return sorted(tasks, key=lambda m: (-m.submission, m.index))


@pytest.fixture(scope="module")
def world(two_databases: tuple[str, str], new_book: Any, project: Any) -> World:
    """Twelve submissions of every kind, projected."""
    book = new_book()
    tasks = _write(book)

    async def fill() -> None:
        store = await Store.open(two_databases[0])
        await project(store, await store.load(), book.records)
        await store.close()

    asyncio.run(fill())
    return World(two_databases[0], tasks)


def _chosen(world: World, selection: Selection) -> list[tuple[int, int]]:
    def admits(m: Model) -> bool:
        inside = selection.windows is None or any(
            w.submission == m.submission and w.lo <= m.index <= w.hi for w in selection.windows
        )
        return inside and all(
            wanted is None or wanted == got
            for wanted, got in (
                (selection.batch, m.batch), (selection.name, m.name), (selection.worker, m.worker),
                (selection.user, m.user), (selection.submission, m.submission),
            )
        ) and (not selection.states or m.state in selection.states)  # fmt: skip

    return [(m.submission, m.index) for m in world.tasks if admits(m)]


async def _paged(url: str, selection: Selection, limit: int) -> list[tuple[int, int]]:
    reader = await Reader.open(url)
    try:
        seen: list[tuple[int, int]] = []
        after: Place | None = None
        while True:
            rows = await reader.tasks(selection, limit, after)
            seen += [(r["submission"], r["index"]) for r in rows[:limit]]
            if len(rows) <= limit:
                return seen
            after = read_place(written(seen[-1]))
    finally:
        await reader.close()


maybe = st.none() | st.integers(0, 3)
selections = st.builds(
    lambda batch, name, worker, user, some, ids: Selection(
        batch=None if batch is None else f"b{batch}",
        name=None if name is None else f"n{name}",
        worker=None if worker is None else f"w{worker}",
        user=None if user is None else f"u{user}",
        states=states(",".join(some)),
        windows=None if ids is None else windows(ids),
    ),
    maybe, maybe, maybe, maybe,
    st.sets(st.sampled_from(["queued", "assigned", "succeeded", "failed", "cancelled"]), max_size=3),
    st.none() | st.sampled_from(["1", "1.0-3,2", "4.0,4.1,4.1-2", "1,2,3,4,5,6,7,8,9,10", "999"]),
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(selection=selections, limit=st.integers(1, 20))
def test_all_pages_together_show_exactly_the_tasks_that_were_asked_for(
    world: World, selection: Selection, limit: int
) -> None:
    assert asyncio.run(_paged(world.url, selection, limit)) == _chosen(world, selection)


#: Far more rows than a page: what touches this many did not stop at the page.
MANY = 3_000


@pytest.fixture(scope="module")
def crowd(two_databases: tuple[str, str]) -> str:
    """A million waiting, a hundred thousand finished in one array, and as many in submissions of their own."""

    async def fill() -> None:
        db = await asyncpg.connect(two_databases[1])
        submission = (
            "INSERT INTO submission (id, user_name, batch, size, name, key, priority, submitted_at, start, step, named, "
            "status, reason, {}) SELECT {}, 'ann', {}, {}, {}, 'k', 0, 1, 0, 1, false, 'accepted', '', {} "
            "FROM generate_series(0, {}) g"
        )
        task = (
            "INSERT INTO task SELECT {}, {}, {}, 1, 'w' || (g % 3), 1, 1, 1, 2, 0, 'succeeded', NULL, '', false, 0, NULL "
            "FROM generate_series(0, 99999) g"
        )
        await db.execute(submission.format("queued", "7", "'wait'", "1000000", "'big'", "1000000", "0"))
        await db.execute("INSERT INTO task_range VALUES (7, 0, 999999, 'queued', NULL, '', NULL)")
        await db.execute(submission.format("succeeded, failed", "5", "'done'", "100000", "'fin'", "99999, 1", "0"))
        await db.execute(task.format("5", "g", "CASE WHEN g = 99998 THEN 'failed' ELSE 'succeeded' END"))
        await db.execute(submission.format("succeeded", "100 + g", "'many'", "1", "'n' || (g % 100)", "1", "99999"))
        await db.execute(task.format("100 + g", "0", "'succeeded'"))
        await db.execute("ANALYZE")
        await db.close()

    asyncio.run(fill())
    return two_databases[1]


@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        Selection(batch="wait"),
        Selection(batch="done"),
        Selection(states=("queued",)),
        Selection(states=("failed",)),
        Selection(states=("failed", "cancelled")),
        Selection(states=("running",)),
        Selection(batch="done", states=("succeeded",)),
        Selection(batch="many", states=("failed",)),
        Selection(worker="w1"),
        Selection(worker="w1", batch="done"),
        Selection(worker="nobody"),
        Selection(name="fin"),
        Selection(name="n7"),
        Selection(name="nothing"),
        Selection(user="nobody"),
        Selection(submission=7),
        Selection(windows=windows("7.500000-500999,5.3")),
    ],
    ids=str,
)
@pytest.mark.parametrize("after", [None, Place(7, 500_000), Place(5, 90_000)], ids=str)
async def test_a_page_touches_few_rows_however_many_there_are(
    crowd: str, selection: Selection, after: Place | None
) -> None:
    sql, args = paging.statement(selection, 51, after)
    db = await asyncpg.connect(crowd, server_settings=SETTINGS)
    try:
        plan = await db.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *args)
    finally:
        await db.close()
    assert _touched(plan) < MANY


def _touched(plan: str) -> int:
    def rows(node: dict[str, Any]) -> int:
        own = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        return int(own if "Scan" in node["Node Type"] else 0) + sum(map(rows, node.get("Plans", [])))

    return rows(json.loads(plan)[0]["Plan"])


@pytest.mark.parametrize("ids", ["x", "1.2.3", "1.-2", "-1", "1.2-", "1;2"])
def test_odd_ids_are_named_in_the_error(ids: str) -> None:
    with pytest.raises(BadInput, match="is not a task id"):
        windows(ids)


def test_ids_are_joined_where_they_meet() -> None:
    assert [tuple(w) for w in windows("4.5,4.0-4,4.9, 3.1,4.7-12")] == [(3, 1, 1), (4, 0, 5), (4, 7, 12)]


@pytest.mark.parametrize("cursor", ["", "!", "AAAA", "MTIz", "MS4yLjM"])
def test_a_foreign_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(BadInput, match="cursor"):
        read_place(cursor)


def test_an_unknown_state_is_answered_with_those_there_are() -> None:
    with pytest.raises(BadInput, match=r"'done' is not a state.*succeeded"):
        states("done")
