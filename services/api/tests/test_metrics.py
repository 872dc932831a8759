"""Beats say what hosts do: the last word is kept in memory, means by the minute in SQL, for a week, whatever is sent."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from longshore_api.core import metrics
from longshore_common import subjects
from longshore_common.model import HostFacts

from .test_http import Api, Reader

HOST = {
    "at": 5000.5, "cpu": {"user": 10.0, "system": 2.0, "iowait": 1.0}, "memory": {"used": 100, "total": 400, "swap": 0},
    "load": [1.0, 0.5, 0.1], "disks": {"sda": {"read": 10, "write": 20}}, "mounts": {"/": {"used": 5, "total": 10}},
    "network": {"eth0": {"in": 1, "out": 2}}, "gpus": [{"name": "T4", "used": 5}],
    "slots": {"wanted": 4, "effective": 2}, "hindered": "",
}  # fmt: skip


@pytest.fixture
async def api(database: str, book: Any, project: Any) -> AsyncIterator[Api]:
    reader = await Reader.open(database)
    made = Api(database, book, project, reader)
    made.book.join("w1", facts=HostFacts(cpus=2))
    await made.shown()
    listening = asyncio.create_task(made.heard.listen())
    await asyncio.sleep(0)
    yield made
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await made.client.aclose()
    await reader.close()


async def beat(api: Api, body: bytes, worker: str = "w1") -> None:
    """Send it, and wait until it was heard."""
    api.clock.at += 0.001
    await api.hub.connect("worker", worker).hints.send(subjects.beat(worker), body)
    async with asyncio.timeout(5):
        while api.heard.at(worker) != api.clock.at:
            await asyncio.sleep(0)


def body(**host: Any) -> bytes:
    return json.dumps({"life": 1, "load": 0.1, "host": HOST | host}).encode()


async def test_the_last_sample_is_shown_with_the_worker_and_by_itself(api: Api) -> None:
    assert (await api.json("workers/w1"))["load"] is None
    assert await api.json("workers/w1/metrics") == {"latest": None, "minutes": []}
    await beat(api, body())
    assert (await api.json("workers/w1/metrics"))["latest"] == HOST
    (listed,) = (await api.json("workers"))["items"]
    assert listed["load"] == (await api.json("workers/w1"))["load"] == HOST
    assert (await api.get("workers/nobody/metrics")).status_code == 404


async def test_minutes_are_means_of_their_samples_and_are_written_once(api: Api, database: str) -> None:
    api.clock.at = 6000.0
    for used in (100, 200):
        await beat(api, body(memory={"used": used, "total": 400, "swap": 0}, hindered=f"at {used}"))
    await api.heard.write(database)
    assert (await api.json("workers/w1/metrics"))["minutes"] == [], "the minute is not over"
    api.clock.at = 6061.0
    await beat(api, body())
    await api.heard.write(database)
    await api.heard.write(database)
    (minute,) = (await api.json("workers/w1/metrics"))["minutes"]
    assert minute["at"] == "1970-01-01T01:40:00.000+00:00"
    assert minute["memory"] == {"used": 150.0, "total": 400.0, "swap": 0.0}
    assert (minute["load"], minute["hindered"]) == ([1.0, 0.5, 0.1], "at 200")
    api.clock.at = 6121.0
    await api.heard.write(database)
    assert len((await api.json("workers/w1/metrics"))["minutes"]) == 2
    assert len((await api.json("workers/w1/metrics", since="1970-01-01T01:41:00Z"))["minutes"]) == 1
    assert len((await api.json("workers/w1/metrics", since="6061"))["minutes"]) == 0
    assert (await api.get("workers/w1/metrics", since="yesterday")).status_code == 400


async def test_another_process_that_heard_the_same_minute_changes_nothing(api: Api, database: str) -> None:
    api.clock.at = 6000.0
    await beat(api, body())
    connection = await asyncpg.connect(database)
    await connection.execute("INSERT INTO worker_metric VALUES ('w1', 6000, '{\"x\": 1}')")
    api.clock.at = 6061.0
    await api.heard.write(database)
    assert await connection.fetchval("SELECT sample FROM worker_metric") == '{"x": 1}'
    await connection.close()


async def test_minutes_are_kept_for_a_week_and_a_rebuild_leaves_them(api: Api, database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("INSERT INTO worker_metric VALUES ('w1', 0, '{}'), ('w1', 600000, '{}')")
    api.clock.at = 7 * 86_400 + 3600.0
    await beat(api, body())
    api.clock.at += 60
    await api.heard.write(database)
    assert [r[0] for r in await connection.fetch("SELECT minute FROM worker_metric ORDER BY 1")] == [600_000, 608_400]
    from longshore_api.adapters import store

    await store.rebuild(database)
    assert await connection.fetchval("SELECT count(*) FROM worker_metric") == 2
    assert await connection.fetchval("SELECT count(*) FROM worker") == 0
    await connection.close()


async def test_minutes_wait_for_a_database_that_is_away(api: Api, database: str) -> None:
    api.clock.at = 6000.0
    await beat(api, body())
    api.clock.at = 6061.0
    with pytest.raises((OSError, asyncpg.PostgresError)):
        await api.heard.write(database.replace("/t", "/gone-t"))
    await api.heard.write(database)
    assert len((await api.json("workers/w1/metrics"))["minutes"]) == 1


@pytest.mark.parametrize(
    "bad",
    [
        b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"life":1}', b'{"host":null}', b'{"host":7}', b'{"host":{}}',
        b'{"host":[1]}', b'{"host":{"x":1e999}}'.replace(b"1e999", b"NaN"), b'{"host":{"a":"' + b"x" * 40_000 + b'"}}',
    ],
)  # fmt: skip
async def test_a_malformed_beat_is_a_sign_of_life_and_no_sample(api: Api, bad: bytes) -> None:
    await beat(api, body())
    await beat(api, bad)
    assert (await api.json("workers/w1"))["load"] == HOST


def test_a_sample_holds_nothing_that_cannot_be_kept() -> None:
    deep = {"a": {"b": {"c": {"d": {"e": 1}}}}}
    wide = {f"k{k}": k for k in range(1000)}
    odd = {"big": 2**80, "nul": "a\0b", "long": "x" * 1000, "deep": deep, "wide": wide, "no": None, "yes": True}
    found = metrics.sample(json.dumps({"host": odd}).encode())
    assert found is not None
    assert (found["big"], found["nul"], len(found["long"])) == (None, "a\ufffdb", 400)
    assert (len(found["wide"]), found["yes"], found["no"]) == (metrics.WIDEST, True, None)
    assert json.dumps(found)


def test_means_of_samples_that_differ_in_shape_are_of_what_is_alike() -> None:
    first = {"gpus": [{"used": 1}], "load": [1.0], "memory": {"used": 1}, "x": "text", "gone": 1}
    second = {"gpus": [{"used": 3}, {"used": 9}], "load": [2.0, 4.0], "memory": {"used": None}, "x": 5}
    assert metrics.mean([first, second]) == {
        "gpus": [{"used": 2.0}, {"used": 9.0}], "load": [1.5, 4.0], "memory": {"used": None}, "x": 5.0,
    }  # fmt: skip
