"""`?at=` on every list and record: answers as they were, and headers that say where in the log that is."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from longshore_api.adapters.reader import Reader

from .test_http import Api


@pytest.fixture
async def api(database: str, book: Any, project: Any) -> AsyncIterator[Api]:
    reader = await Reader.open(database)
    made = Api(database, book, project, reader)
    yield made
    await made.client.aclose()
    assert made.house.pasts is not None
    await made.house.pasts.close()
    await reader.close()


async def story(api: Api) -> tuple[int, int]:
    """(submission, the sequence at which its first task runs)"""
    sub = api.book.submit(3)
    api.book.join()
    api.book.assign(sub, 0, 1)
    at = api.book.move(sub, 0)
    api.book.end(sub, 0, outcome="failed", cause="exit", exit_code=3)
    api.book.requeue(sub, 0)
    api.book.assign(sub, 0, n=2, worker="w1")
    api.book.end(sub, 0, n=2)
    api.book.end(sub, 1)
    await api.shown()
    return sub, at


async def test_lists_and_records_are_as_they_were(api: Api) -> None:
    sub, at = await story(api)
    tasks = await api.json("tasks", at=at)
    assert [(t["id"], t["state"]) for t in tasks["items"]] == [
        (f"{sub}.0", "running"), (f"{sub}.1", "assigned"), (f"{sub}.2", "queued"),
    ]  # fmt: skip
    assert tasks["position"] == at
    assert [t["id"] for t in (await api.json("tasks", at=at, state="running"))["items"]] == [f"{sub}.0"]
    assert [t["id"] for t in (await api.json("tasks", at=at, worker="w1"))["items"]] == [f"{sub}.0", f"{sub}.1"]
    assert [t["id"] for t in (await api.json("tasks", at=at, ids=f"{sub}.1-2"))["items"]] == [f"{sub}.1", f"{sub}.2"]
    assert (await api.json(f"tasks/{sub}.0", at=at))["state"] == "running"
    assert len((await api.json(f"tasks/{sub}.0/attempts", at=at))["items"]) == 1
    assert (await api.json(f"submissions/{sub}", at=at))["states"] == {"queued": 1, "assigned": 1, "running": 1}
    assert (await api.json("batches/b", at=at))["states"] == {"queued": 1, "assigned": 1, "running": 1}
    assert (await api.json("batches", at=1))["items"][0]["states"] == {"queued": 3}
    (worker,) = (await api.json("workers", at=at))["items"]
    assert (worker["running"], worker["assigned"], worker["state"]) == (1, 2, "up")
    assert (await api.json("workers", at=1))["items"] == []
    assert (await api.get("workers/w1", at=1)).status_code == 404
    assert (await api.json("tasks", state="running"))["items"] == []


async def test_an_answer_says_where_it_stands(api: Api) -> None:
    _, at = await story(api)
    answer = await api.get("tasks", at=at)
    assert answer.headers["Longshore-At"] == str(at)
    assert answer.headers["Longshore-At-Time"] == "1970-01-01T00:16:44.000+00:00"
    assert "Longshore-At" not in (await api.get("tasks")).headers
    api.clock.at = 1000.0 + at + 0.5 + 60
    for text in ("1m ago", "-60s", "1970-01-01T00:16:44.400+00:00"):
        assert (await api.get("tasks", at=text)).headers["Longshore-At"] == str(at)


async def test_a_place_that_is_not_in_the_log_is_refused_with_the_reason(api: Api) -> None:
    await story(api)
    for text, why in (("9999", "yet to come"), ("1970-01-01T00:00:01+00:00", "does not reach back"), ("x", "2h ago")):
        answer = await api.get("tasks", at=text)
        assert (answer.status_code, why in answer.json()["detail"]) == (400, True), answer.text


async def test_looks_back_are_kept_and_let_go(api: Api) -> None:
    _, at = await story(api)
    assert api.house.pasts is not None
    for k in range(1, at + 1):
        await api.json("tasks", at=k)
    assert len(api.house.pasts._made) <= 4
    api.clock.at += 301
    await api.json("tasks", at=at)
    assert len(api.house.pasts._made) == 1
