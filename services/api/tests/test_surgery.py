"""Edited, held, deleted and restored tasks as readers see them, and the ranges that wishes over a filter are made of."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from longshore_common import events as e
from longshore_common.ids import SubmissionId, TaskRange
from longshore_common.model import Array, Change, Specs, Substitution, TaskSpec

from .test_http import Api, Reader


@pytest.fixture
async def api(database: str, book: Any, project: Any) -> AsyncIterator[Api]:
    reader = await Reader.open(database)
    made = Api(database, book, project, reader)
    made.url = database  # type: ignore[attr-defined]
    yield made
    await made.client.aclose()
    assert made.house.pasts is not None
    await made.house.pasts.close()
    await reader.close()


def some(submission: int, lo: int, hi: int) -> tuple[TaskRange, ...]:
    return (TaskRange(SubmissionId(submission), lo, hi),)


def words(find: str, replace: str) -> Change:
    return Change(substitutions=(Substitution(field="command", find=find, replace=replace),))


async def recounted(api: Api) -> list[Any]:
    db = await asyncpg.connect(api.url)  # type: ignore[attr-defined]
    try:
        return list(await db.fetch("SELECT * FROM recount()"))
    finally:
        await db.close()


async def test_a_task_is_shown_as_its_next_attempt_will_be_and_an_attempt_as_it_was_given(api: Api) -> None:
    array = api.book.submit(3, body=Array(spec=TaskSpec(command=("sort", "a")), size=3))
    api.book.assign(array, 0)
    before = len(api.book.records)
    edit = api.book.write(e.TasksEdited(tasks=some(array, 1, 2), change=words("a", "b")))
    later = api.book.write(e.TasksEdited(tasks=some(array, 2, 2), change=Change(set={"name": "z", "command": ["c"]})))
    await api.shown()
    items = (await api.json("tasks", ids=f"{array}"))["items"]
    assert [(t["command"], t["edited"]) for t in items] == [
        (["sort", "a"], False),
        (["sort", "b"], True),
        (["c"], True),
    ]
    assert items[2]["name"] == "z"
    spec = await api.json(f"tasks/{array}.1/spec")
    assert spec["spec"]["command"] == ["sort", "b"]
    assert (await api.json(f"tasks/{array}.0/spec", attempt=1))["spec"]["command"] == ["true"], "as the order said"
    assert (await api.get(f"tasks/{array}.1/spec", attempt=1)).status_code == 404
    then = (await api.json("tasks", ids=f"{array}", at=str(before)))["items"]
    assert not any(t["edited"] for t in then)
    api.book.write(e.TasksEdited(tasks=some(array, 1, 2), undoes=edit))
    await api.shown()
    items = (await api.json("tasks", ids=f"{array}"))["items"]
    assert [t["command"] for t in items] == [["sort", "a"], ["sort", "a"], ["c"]]
    api.book.write(e.TasksEdited(tasks=some(array, 1, 2), undoes=edit, restored=True))
    api.book.write(e.TasksEdited(tasks=some(array, 2, 2), undoes=later))
    await api.shown()
    items = (await api.json("tasks", ids=f"{array}"))["items"]
    assert [t["command"] for t in items] == [["sort", "a"], ["sort", "b"], ["sort", "b"]]
    told = [line["text"] for line in (await api.json(f"tasks/{array}.2/history"))["items"]]
    assert any("edited" in text for text in told)


async def test_deleted_tasks_are_in_no_list_or_count_and_restored_ones_are_again(api: Api) -> None:
    array, other = api.book.submit(6), api.book.submit(2)
    api.book.assign(array, 0, 1, 2)
    api.book.end(array, 0, 1)
    api.book.end(array, 2, outcome="failed", cause="exit", exit_code=1)
    api.book.write(e.TasksFailed(tasks=some(array, 2, 2), cause="exit"))
    api.book.write(e.TasksCancelled(tasks=some(array, 3, 5)))
    await api.shown()
    api.book.write(e.TasksDeleted(tasks=some(array, 1, 4), user="ann"))
    api.book.write(e.TasksDeleted(tasks=some(other, 0, 1), user="bob"))
    await api.shown()
    assert [t["id"] for t in (await api.json("tasks", batch="b"))["items"]] == [
        f"{other}.0", f"{other}.1", f"{array}.0", f"{array}.5",
    ]  # fmt: skip
    assert [t["id"] for t in (await api.json("tasks", worker="w1"))["items"]] == [f"{array}.0"]
    assert (await api.json(f"submissions/{array}"))["states"] == {"succeeded": 1, "cancelled": 1}
    batch = await api.json("batches/b")
    assert (batch["size"], batch["states"]) == (4, {"queued": 2, "succeeded": 1, "cancelled": 1})
    assert (await api.get(f"tasks/{array}.2")).status_code == 404
    assert not await recounted(api)
    api.book.write(e.TasksDeleted(tasks=some(array, 0, 5), user="ann"))
    await api.shown()
    assert (await api.json("batches/b"))["submissions"] == 1
    assert not await recounted(api)
    api.book.write(e.TasksDeleted(tasks=some(array, 0, 5), user="ann", restored=True))
    await api.shown()
    assert (await api.json(f"submissions/{array}"))["states"] == {"succeeded": 2, "failed": 1, "cancelled": 3}
    assert len((await api.json("tasks", batch="b"))["items"]) == 8
    assert not await recounted(api)


async def test_a_batch_of_which_everything_is_deleted_is_in_no_list(api: Api) -> None:
    gone = api.book.submit(2, batch="gone")
    api.book.submit(1, batch="here")
    api.book.write(e.TasksCancelled(tasks=some(gone, 0, 1)))
    at = len(api.book.records)
    api.book.write(e.TasksDeleted(tasks=some(gone, 0, 1), user="ann"))
    await api.shown()
    assert [b["name"] for b in (await api.json("batches"))["items"]] == ["here"]
    assert {b["name"] for b in (await api.json("batches", at=str(at)))["items"]} == {"here", "gone"}


async def test_pages_pass_over_what_is_deleted_among_untouched_tasks(api: Api) -> None:
    array = api.book.submit(1000)
    api.book.write(e.TasksCancelled(tasks=some(array, 0, 999)))
    api.book.write(e.TasksDeleted(tasks=some(array, 5, 900), user="ann"))
    await api.shown()
    first = await api.json("tasks", limit=50)
    assert [t["index"] for t in first["items"]] == [*range(5), *range(901, 946)]
    second = await api.json("tasks", limit=60, cursor=first["next"])
    assert [t["index"] for t in second["items"]] == list(range(946, 1000))


async def test_held_tasks_wait_and_a_retry_that_is_undone_leaves_the_cause(api: Api) -> None:
    array = api.book.submit(2)
    api.book.assign(array, 0)
    api.book.end(array, 0, outcome="failed", cause="oom", exit_code=137, reason="too small")
    api.book.write(e.TasksFailed(tasks=some(array, 0, 0), cause="oom", reason="too small"))
    api.book.write(e.TasksHeld(tasks=some(array, 1, 1)))
    retry = api.book.write(e.TasksRetried(tasks=some(array, 0, 0)))
    api.book.write(
        e.TasksFailed(tasks=some(array, 0, 0), cause="operator", reason="its retry was undone", undoes=retry)
    )
    await api.shown()
    one, two = (await api.json("tasks", ids=str(array)))["items"]
    assert (one["state"], one["cause"], one["reason"]) == ("failed", "oom", "too small")
    assert two["state"] == "waiting"


async def test_a_worker_that_was_moved_serves_its_new_batch_whatever_it_says_before_it_knows(api: Api) -> None:
    api.book.join("w1", batch="old")
    api.book.write(e.WorkerMoved(batch="new"), "w1")
    api.book.join("w1", batch="old", life=2)
    await api.shown()
    assert (await api.json("workers/w1"))["batch"] == "new"
    api.book.join("w1", batch="mine", life=3, handled=len(api.book.records))
    await api.shown()
    assert (await api.json("workers/w1"))["batch"] == "mine"


async def test_ranges_are_all_tasks_that_the_filters_admit(api: Api) -> None:
    array = api.book.submit(10)
    specs = tuple(TaskSpec(command=("x",), name=name) for name in ("run-1", "run-2", "other", "run-3"))
    named = api.book.write(e.TasksSubmitted(key="n", batch="c", body=Specs(specs=specs)))
    api.book.submit(2, user="bob")
    api.book.assign(array, 0, 1, 2, 5)
    api.book.end(array, 0, 1)
    for index, cause, code in ((2, "oom", 137), (5, "exit", 3)):
        api.book.end(array, index, outcome="failed", cause=cause, exit_code=code)
        api.book.write(e.TasksFailed(tasks=some(array, index, index), cause=cause))
    await api.shown()

    async def ranges(**query: Any) -> list[list[int]]:
        found = await api.json("tasks/ranges", **query)
        assert found["whole"]
        assert found["count"] == sum(hi - lo + 1 for _, lo, hi in found["items"])
        return list(found["items"])

    assert await ranges(batch="b", user="ann") == [[array, 0, 9]]
    assert await ranges(batch="b", user="ann", state="queued") == [[array, 3, 4], [array, 6, 9]]
    assert await ranges(state="failed", cause="oom,disk-full") == [[array, 2, 2]]
    assert await ranges(exit_code=3) == [[array, 5, 5]]
    assert await ranges(worker="w1", state="succeeded") == [[array, 0, 1]]
    assert await ranges(name="run-*") == [[named, 0, 1], [named, 3, 3]]
    assert await ranges(ids=f"{array}.1-3") == [[array, 1, 3]]
    api.book.write(e.TasksDeleted(tasks=some(array, 1, 2), user="ann"))
    await api.shown()
    assert await ranges(ids=f"{array}.0-4") == [[array, 0, 0], [array, 3, 4]]
