"""A client with a spool writes all to this disk first: nothing is lost while the log is away, and nothing counts twice."""

import asyncio
from typing import Any

import pytest

from longshore import writer as writing
from longshore.client import AsyncClient
from longshore.sync import Client
from longshore_common import events as e
from longshore_common.adapters.memory_log import Hub
from longshore_common.errors import Refused, Unreachable
from longshore_common.parts import PART
from longshore_common.testing.waiting import until


class Line:
    """The way to the log, which can be cut."""

    def __init__(self, hub: Hub, monkeypatch: Any) -> None:
        self.hub, self.transport = hub, hub.connect("user", "ada")
        self.away: Exception | None = None
        append = self.transport.log.append

        async def appended(entry: Any, **more: Any) -> int:
            if self.away is not None:
                raise self.away
            return await append(entry, **more)

        monkeypatch.setattr(self.transport.log, "append", appended)
        monkeypatch.setattr(writing, "FIRST_TRY", 0.01)
        monkeypatch.setattr(writing, "LAST_TRY", 0.02)

    @property
    def events(self) -> list[e.Event]:
        return [record.event for record in self.hub.records]


@pytest.fixture
def line(monkeypatch):
    return Line(Hub(), monkeypatch)


def opened(line: Line, tmp_path: Any, profile: Any) -> AsyncClient:
    return AsyncClient(tmp_path, environ={}, profile=profile, transport=line.transport, spool=True)


async def test_with_the_log_there_nothing_is_different(line, tmp_path, profile):
    async with opened(line, tmp_path, profile) as client:
        receipt = await client.submit(["true"])
        assert (receipt.id, await client.cancel(receipt), client.spooled) == (1, 2, 0)


async def test_everything_goes_in_order_once_the_log_is_back(line, tmp_path, profile):
    line.away = Unreachable("away")
    async with opened(line, tmp_path, profile) as client:
        receipt = await client.submit(["a"], batch="b")
        assert receipt.spooled
        assert await client.cancel(batch="b") == 0
        assert await client.pause_batch("b") == 0
        many = await client.submit_many({"command": ["t", str(k)]} for k in range(PART + 1))
        assert (many.spooled, client.spooled) == (True, 6)
        line.away = None
        await until(lambda: client.spooled == 0)
        after = await client.submit(["z"])
        assert after.id == 7
    assert [type(event) for event in line.events] == [
        e.TasksSubmitted, e.CancelRequested, e.BatchPauseRequested, e.SubmissionPartSent, e.SubmissionPartSent,
        e.TasksSubmitted, e.TasksSubmitted,
    ]  # fmt: skip


async def test_what_is_left_goes_with_the_next_client(line, tmp_path, profile):
    line.away = Unreachable("away")
    async with opened(line, tmp_path, profile) as client:
        await client.submit(["a"])
        await client.resume_workers("w1")
    assert line.events == []
    line.away = None
    async with opened(line, tmp_path, profile) as client:
        assert (client.spooled, await client.flush(), client.spooled) == (2, 2, 0)
    assert [type(event) for event in line.events] == [e.TasksSubmitted, e.WorkerResumeRequested]


async def test_a_lost_acknowledgement_makes_no_second_wish(line, tmp_path, profile):
    append = line.hub.connect("user", "ada").log.append
    async with opened(line, tmp_path, profile) as client:
        async with asyncio.timeout(10):
            entry = client.writer._entry(e.BatchResumeRequested(batch="b"), "k" * 32)
            client.writer.spool.put(entry)
            await append(entry)
            assert await client.flush() == 1
    assert len(line.events) == 1


async def test_what_the_log_refuses_stays_and_is_told(line, tmp_path, profile):
    line.away = Refused("not yours")
    async with opened(line, tmp_path, profile) as client:
        with pytest.raises(Refused, match="not yours"):
            await client.submit(["a"])
        assert client.spooled == 1


async def test_without_a_directory_there_is_no_spool(line, tmp_path, profile):
    async with opened(line, tmp_path, profile) as client:
        client.writer.spool = None
        with pytest.raises(Refused, match="state directory"):
            await client.submit(["a"])


def test_the_same_for_everyone_else(line, tmp_path, profile):
    line.away = Unreachable("away")
    with Client(tmp_path, environ={}, profile=profile, transport=line.transport, spool=True) as client:
        assert client.submit(["true"]).spooled
        assert client.retry(batch="b") == 0
        assert client.spooled == 2
        line.away = None
        client.flush()
        assert client.spooled == 0
    assert len(line.events) == 2


async def test_a_receipt_of_what_was_spooled_is_good_once_it_is_sent(line, tmp_path, profile, api):
    api.routes["/submissions/2"] = lambda _: {
        "id": 2, "size": 1, "status": "accepted", "states": {"succeeded": 1},
    }  # fmt: skip
    line.away = Unreachable("away")
    async with opened(line, tmp_path, profile) as client:
        await client.pause_batch("b")
        receipt = await client.submit(["a"])
        with pytest.raises(Unreachable, match="no id"):
            await client.cancel(receipt)
        with pytest.raises(TimeoutError):
            await client.wait(receipt, timeout=0.05)
        waiting = asyncio.create_task(client.wait(receipt))
        await asyncio.sleep(0)
        line.away = None
        async with asyncio.timeout(10):
            assert (await waiting).ok
        assert await client.cancel(receipt) == 3
    assert line.events[-1].tasks[0].submission == 2
