"""The front of the log goes when the api says so, and nobody else may; what stays is read, fenced and numbered as before."""

import asyncio
from pathlib import Path

import pytest

from longshore_common import subjects
from longshore_common.adapters import nats_setup, nats_trim
from longshore_common.adapters.nats_wire import ApiError, api
from longshore_common.errors import BadInput, Deposed, Refused, Trimmed, Unreachable
from longshore_common.events import AttemptsAssigned
from longshore_common.log import Entry
from longshore_common.testing.nats_server import running

from .vocabulary import elected, submitted, take


@pytest.fixture
async def server(tmp_path: Path):
    async with running(tmp_path) as made:
        yield made


async def told(server, count, name="u"):
    """Events of a user; the sequence of the last."""
    user = await server.connect("user", "ann")
    return await user.log.append_all([submitted(f"{name}{k}") for k in range(count)])


async def cut(server, seq):
    """Trim to `seq`, an event that is older than a second and a good deal younger than the one before."""
    api_ = await server.connect("api")
    at = await nats_trim.instant(api_, seq)
    assert at is not None
    return await nats_trim.trim(api_, at - 1.1, margin=0)


async def aged(server):
    """Some events, then a pause longer than the server's shortest age, then some more."""
    fence = await (await server.connect("dispatch")).log.append(elected("e1"))
    last = await told(server, 20)
    transport = await server.connect("api")
    at = await nats_trim.instant(transport, last)
    async with asyncio.timeout(20):
        while (await nats_trim.front(transport)).now < at + 2.2:
            await asyncio.sleep(0.05)
    return fence, last


async def test_what_is_older_goes_and_what_stays_keeps_its_number(server):
    _, last = await aged(server)
    await told(server, 3, "v")
    assert await cut(server, last + 1) == last + 1
    reader = await server.connect("recruit")
    assert [r.seq for r in await take(reader.log.follow(last), 3)] == [last + 1, last + 2, last + 3]
    assert await reader.log.last() == last + 3
    assert await told(server, 1, "w") == last + 4
    front = await nats_trim.front(await server.connect("api"))
    assert (front.first, front.last, front.lead) == (last + 1, last + 4, 0)


async def test_whoever_reads_from_before_the_front_is_told_and_skips_nothing(server):
    _, last = await aged(server)
    await told(server, 3, "v")
    await cut(server, last + 1)
    reader = await server.connect("dispatch")
    with pytest.raises(Trimmed, match=f"begins at {last + 1}"):
        await take(reader.log.follow(last - 1), 1)


async def test_the_stream_is_as_closed_as_before(server):
    _, last = await aged(server)
    await told(server, 3, "v")
    await cut(server, last + 1)
    wire = (await server.connect("api")).wire
    config = (await api(wire, "STREAM.INFO.LOG", None, 5))["config"]
    assert (config["deny_purge"], config["deny_delete"], config.get("max_age", 0)) == (True, True, 0)
    assert config["duplicate_window"] == nats_setup.DUPLICATES * 1_000_000_000
    with pytest.raises(ApiError, match="purge not permitted"):
        await api(wire, "STREAM.PURGE.LOG", {"seq": last + 2}, 5)


@pytest.mark.parametrize(("role", "name"), [("user", "ann"), ("worker", "w1"), ("dispatch", ""), ("recruit", "")])
async def test_nobody_else_may(server, role, name):
    await server.worker("w1")
    await told(server, 3)
    transport = await server.connect(role, name)
    for subject in ("STREAM.UPDATE.LOG", "STREAM.PURGE.LOG", "STREAM.DELETE.LOG", "STREAM.MSG.DELETE.LOG"):
        with pytest.raises(Refused):
            await transport.wire.ask_within(f"$JS.API.{subject}", b"{}", 5)


async def test_a_trim_that_was_cut_short_is_ended_by_the_next_start_of_the_api(server):
    transport = await server.connect("api")
    config = (await api(transport.wire, "STREAM.INFO.LOG", None, 5))["config"]
    await api(transport.wire, "STREAM.UPDATE.LOG", config | {"max_age": 10**12}, 5)
    await nats_setup.ensure_log(transport)
    assert (await api(transport.wire, "STREAM.INFO.LOG", None, 5))["config"].get("max_age", 0) == 0


async def test_a_fence_that_was_trimmed_holds_nobody_so_the_last_election_must_stay(server):
    fence, last = await aged(server)
    leader = await server.connect("dispatch")
    again = await leader.log.append(elected("e2"), fence=fence)  # the leader elects itself anew
    await cut(server, last + 1)
    assert (await nats_trim.front(await server.connect("api"))).lead == again
    assert await leader.log.append(elected("e3"), fence=again) == again + 1
    with pytest.raises(Deposed):
        await leader.log.append(elected("e4"), fence=again)


async def test_without_the_last_election_the_server_refuses_every_decision(server):
    fence, last = await aged(server)
    await told(server, 3, "v")
    await cut(server, last + 1)
    leader = await server.connect("dispatch")
    with pytest.raises(Unreachable):
        await leader.log.append(elected("e2"), fence=fence, deadline=1)


async def test_a_worker_that_has_not_got_its_work_is_named(server):
    await server.worker("w1")
    await server.worker("w2")
    dispatcher, api_ = await server.connect("dispatch"), await server.connect("api")
    assert await nats_trim.behind(api_) == []
    seq = await dispatcher.log.append(Entry(AttemptsAssigned(orders=()), "w1", "a1"))
    async with asyncio.timeout(10):  # the server counts what is pending a moment after it has acknowledged
        while await nats_trim.behind(api_) != [nats_trim.Behind("w1", 0)]:
            await asyncio.sleep(0.01)
    worker = await server.connect("worker", "w1")
    deliveries = worker.log.deliveries("w1", 0)
    assert [r.seq for r in (await anext(deliveries)).records] == [seq]
    assert [b.worker for b in await nats_trim.behind(api_)] == ["w1"]
    await worker.log.handled("w1", seq)
    async with asyncio.timeout(10):
        while await nats_trim.behind(api_):
            await asyncio.sleep(0.01)
    await deliveries.aclose()


async def test_the_last_second_cannot_go(server):
    transport = await server.connect("api")
    now = (await nats_trim.front(transport)).now
    with pytest.raises(BadInput):
        await nats_trim.trim(transport, now + 60)


def test_consumers_of_agents_are_recognised_by_their_name():
    assert subjects.consumer("w1").removeprefix(nats_trim._AGENTS) == "w1"
