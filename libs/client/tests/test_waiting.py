"""Waiting hears of the end at once, misses none, and outlives downtime."""

import asyncio
import json

import pytest

from longshore import waiting
from longshore.client import AsyncClient
from longshore_common.adapters.memory_log import Hub


@pytest.fixture
def hub():
    return Hub()


@pytest.fixture
async def client(tmp_path, profile, hub):
    async with AsyncClient(tmp_path, environ={}, profile=profile, transport=hub.connect("user", "ada")) as opened:
        yield opened


async def hint(hub, submission, size, seq, **states):
    body = json.dumps({"submission": submission, "size": size, "states": states, "seq": seq})
    await hub.connect("dispatch").hints.send(f"done.ada.{submission}", body.encode())


def record(status="accepted", reason=None, size=2, duplicate_of=None, **states):
    return {
        "id": 1, "user": "ada", "batch": "b", "name": None, "size": size, "states": states, "reason": reason,
        "status": status, "duplicate_of": duplicate_of, "submitted_at": "2026-11-21T07:00:00.000+00:00",
    }  # fmt: skip


async def test_a_hint_ends_the_wait_without_a_read(client, hub, api):
    await client.listen()
    receipt = await client.submit_array(["true"], 2)
    seen = []
    end = asyncio.create_task(client.wait(receipt, watch=seen.append, timeout=5))
    await hint(hub, 1, 2, 5, succeeded=1)
    await asyncio.sleep(0.01)
    await hint(hub, 1, 2, 7, succeeded=2)
    assert (await end).ok
    assert [now.done for now in seen] == [1, 2]
    assert client.bookmark.seq == 7
    assert api.asked == []


async def test_a_hint_that_came_before_anybody_waited_is_not_lost(client, hub):
    await client.listen()
    receipt = await client.submit_array(["true"], 2)
    await hint(hub, 1, 2, 7, succeeded=2)
    assert (await client.wait(receipt, timeout=5)).ok


async def test_without_hints_the_read_model_tells(client, api, monkeypatch):
    monkeypatch.setattr(waiting, "POLL_EVERY", 0.02)
    answers = iter([record(status="submitted"), record(running=2), record(succeeded=2)])
    api.routes["/submissions/1"] = lambda _query: next(answers)
    end = await client.wait(1, timeout=5)
    assert end.ok
    assert len(api.asked) == 3


async def test_waiting_goes_on_while_the_api_is_away(client, api, reply, monkeypatch):
    monkeypatch.setattr(waiting, "POLL_EVERY", 0.02)
    answers = iter([reply(503, {"title": "starting"}), reply(404, {}), record(succeeded=2)])
    api.routes["/submissions/1"] = lambda _query: next(answers)
    assert (await client.wait(1, timeout=5)).ok


async def test_failures_are_counted_not_raised(client, hub, api):
    api.routes["/submissions/1"] = lambda query: record(succeeded=1, failed=1)
    receipt = await client.submit_array(["false"], 2)
    end = asyncio.create_task(client.wait(receipt, timeout=5))
    await asyncio.sleep(0.01)
    await hint(hub, 1, 2, 9, succeeded=1, failed=1)
    found = await end
    assert (found.ok, found.failed, found.finished) == (False, 1, True)


async def test_a_rejection_ends_the_wait_with_its_reason(client, api):
    api.routes["/submissions/1"] = lambda _query: record(status="rejected", reason="it requires itself", failed=2)
    end = await client.wait(1, timeout=5)
    assert (end.ok, end.status, end.reason) == (False, "rejected", "it requires itself")


async def test_a_duplicate_is_waited_for_under_its_first_id(client, api):
    api.routes["/submissions/2"] = lambda _query: {**record(status="duplicate", duplicate_of=1, size=0), "id": 2}
    api.routes["/submissions/1"] = lambda _query: record(succeeded=2)
    assert (await client.wait(2, timeout=5)).submission == 1


async def test_the_time_limit_is_kept_and_changes_nothing(client, hub):
    with pytest.raises(TimeoutError):
        await client.wait(1, timeout=0.05)
    assert hub.records == []


async def test_join_retries_what_failed(client, hub, api):
    api.routes["/submissions/1"] = lambda query: record(succeeded=1, failed=1)
    receipt = await client.submit_array(["flaky"], 2)
    joined = asyncio.create_task(client.join(receipt, retry=1, timeout=5))
    await asyncio.sleep(0.01)
    await hint(hub, 1, 2, 1, succeeded=1, failed=1)
    while len(hub.records) < 2:
        await asyncio.sleep(0.01)
    assert str(hub.records[1].event.tasks[0]) == "1.0-1"
    await hint(hub, 1, 2, 3, succeeded=2)
    (end,) = await joined
    assert end.ok


async def test_tasks_come_as_they_complete_each_once(client, hub, api):
    ended = {"succeeded": [], "failed": [], "cancelled": []}

    def tasks(query):
        return {"items": [{"id": f"1.{k}", "state": query["state"]} for k in ended[query["state"]]], "next": None}

    api.routes["/tasks"] = tasks
    receipt = await client.submit_array(["true"], 2)
    found = client.as_completed(receipt)
    first = asyncio.ensure_future(anext(found))
    await asyncio.sleep(0.01)
    ended["succeeded"].append(1)
    await hint(hub, 1, 2, 5, succeeded=1)
    assert (await first).id == "1.1"
    ended["failed"].append(0)
    await hint(hub, 1, 2, 6, succeeded=1, failed=1)
    assert [task.id async for task in found] == ["1.0"]


async def test_a_hint_that_cannot_be_read_is_a_hint_that_was_lost(client, hub):
    await client.listen()
    await hub.connect("dispatch").hints.send("done.ada.1", b"rubbish")
    await hint(hub, 1, 1, 3, succeeded=1)
    assert (await client.wait(1, timeout=5)).ok
