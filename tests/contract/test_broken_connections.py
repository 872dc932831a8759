"""A killed nats-server in the middle of everything: nothing is lost, nothing is repeated."""

import asyncio
import json
from contextlib import aclosing
from pathlib import Path

import pytest

from longshore_common import subjects
from longshore_common.adapters.nats_log import connect
from longshore_common.errors import BadInput, Refused, Unreachable

from .vocabulary import elected, everything, recalled, reported, submitted, take


async def restart(server, pause=0.05):
    server.kill()
    await asyncio.sleep(pause)
    await asyncio.to_thread(server.start)


async def test_appends_and_follows_survive_kill_9_of_the_server_without_loss_or_repetition(server):
    w1, dispatch = await server.worker("w1"), await server.connect("dispatch")
    reading = asyncio.create_task(take(dispatch.log.follow(0), 1_500, seconds=60))

    async def write():
        for n in range(500):
            await w1.log.append(reported(n), deadline=30)
        for start in range(500, 1_500, 50):
            await w1.log.append_all([reported(n) for n in range(start, start + 50)], deadline=30)

    writing = asyncio.create_task(write())
    for _ in range(3):
        before = await dispatch.log.last()
        while await dispatch.log.last() < before + 100 and not writing.done():
            await asyncio.sleep(0.005)
        await restart(server)
        await wait_for_log(dispatch)
    await writing
    records = await reading
    assert [r.event.n for r in records] == list(range(1_500))
    assert [r.seq for r in records] == list(range(1, 1_501))


async def wait_for_log(transport):
    async with asyncio.timeout(20):
        while True:
            try:
                return await transport.log.last()
            except Unreachable:
                await asyncio.sleep(0.02)


async def test_a_worker_misses_and_repeats_nothing_over_kill_9_of_the_server(server):
    w1, dispatch = await server.worker("w1"), await server.connect("dispatch")
    seen: list[int] = []

    async def read():
        async with aclosing(w1.log.deliveries("w1", 0)) as reading:
            async for found in reading:
                seen.extend(r.seq for r in found.records)
                if len(seen) % 3:  # acknowledge now and then only
                    await w1.log.handled("w1", seen[-1])
                if len(seen) >= 1_200:
                    return

    worker = asyncio.create_task(read())
    for part in range(4):
        for start in range(part * 300, part * 300 + 300, 20):
            await dispatch.log.append_all([recalled(f"r{n}") for n in range(start, start + 20)], deadline=30)
        if part < 3:
            await restart(server)
    async with asyncio.timeout(60):
        await worker
    assert seen == list(range(1, 1_201))


async def test_what_the_broken_connection_swallowed_is_not_passed_over_for_newer_work(server):
    w1, dispatch = await server.worker("w1"), await server.connect("dispatch")
    await dispatch.log.append_all([recalled(f"r{n}") for n in range(1, 6)])
    # another process of this worker had the first five sent to it and died before it read them
    ghost = await server.connect("worker", "w1")
    swallowed: list[bytes] = []
    ghost.wire.watch(f"{ghost.wire.inbox}.x", lambda subject, *_: swallowed.append(subject))
    ghost.wire.post("$JS.API.CONSUMER.MSG.NEXT.LOG.agent-w1", b'{"batch":5,"no_wait":true}', f"{ghost.wire.inbox}.x")
    async with asyncio.timeout(5):
        while len(swallowed) < 5:
            await asyncio.sleep(0.01)
    await ghost.close()
    reading = asyncio.create_task(take(w1.log.deliveries("w1", 0), 8, seconds=30))
    await asyncio.sleep(0.1)
    await dispatch.log.append_all([recalled(f"s{n}") for n in range(3)])
    assert [r.seq for r in await reading] == [1, 2, 3, 4, 5, 6, 7, 8]


async def test_deliveries_begin_once_the_worker_is_enrolled(server):
    w1, dispatch = await server.connect("worker", "w1"), await server.connect("dispatch")
    await dispatch.log.append(recalled("r1"))
    reading = asyncio.create_task(take(w1.log.deliveries("w1", 0), 1))
    await asyncio.sleep(0.3)
    await server.worker("w1")
    assert [r.seq for r in await reading] == [1]


async def test_hints_are_heard_and_questions_answered_again_after_a_restart(server):
    w1, dispatch, api = await server.worker("w1"), await server.connect("dispatch"), await server.connect("api")

    async def answer(question):
        return question

    await w1.hints.answer("ask.w1.output", answer)
    beats = dispatch.hints.listen("beat.*")
    first = asyncio.create_task(anext(beats))
    await asyncio.sleep(0.1)
    await restart(server)
    async with asyncio.timeout(20):
        while not first.done():
            await w1.hints.send("beat.w1", b"x")
            await asyncio.sleep(0.02)
        while True:
            try:
                assert await api.hints.ask("ask.w1.output", b"?", deadline=1) == b"?"
                break
            except Unreachable:
                await asyncio.sleep(0.02)
    assert await first == ("beat.w1", b"x")
    await beats.aclose()


async def test_blobs_are_put_while_the_server_comes_back(server):
    dispatch = await server.connect("dispatch")
    server.kill()
    putting = asyncio.create_task(dispatch.blobs.put("snapshots", "s", b"x" * 2_000_000))
    await asyncio.sleep(0.1)
    await asyncio.to_thread(server.start)
    await putting
    assert await dispatch.blobs.get("snapshots", "s") == b"x" * 2_000_000


async def test_without_a_server_appending_is_unreachable_after_its_deadline_and_may_be_repeated(server):
    ann = await server.connect("user", "ann")
    server.kill()
    with pytest.raises(Unreachable):
        await ann.log.append(submitted("u1"), deadline=0.2)
    await asyncio.to_thread(server.start)
    assert await ann.log.append(submitted("u1")) == 1


async def test_a_leader_that_was_cut_off_is_deposed_when_it_returns(server):
    one, two = await server.connect("dispatch"), await server.connect("dispatch")
    old = await one.log.append(elected("one"))
    await restart(server)
    await two.log.append(elected("two"), deadline=20)
    with pytest.raises(Exception, match="another dispatcher"):
        await one.log.append(recalled("r1"), fence=old, deadline=20)
    assert len(await everything(two)) == 2


async def test_connecting_to_nothing_is_unreachable_after_the_deadline(server):
    server.kill()
    with pytest.raises(Unreachable, match="start it"):
        await connect(server.url, creds=server.creds("user", "ann"), role="user", name="ann", deadline=0.3)


async def test_connecting_without_a_deadline_waits_for_the_server(server):
    server.kill()
    connecting = asyncio.create_task(connect(server.url, creds=server.creds("user", "ann"), role="user", name="ann"))
    await asyncio.sleep(0.3)
    await asyncio.to_thread(server.start)
    async with asyncio.timeout(20):
        ann = await connecting
    assert await ann.log.append(submitted("u1"), deadline=20) == 1
    await ann.close()


async def test_unknown_credentials_are_refused_at_once(server, tmp_path):
    stranger = type(server)(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="credentials"):
        await connect(server.url, creds=stranger.creds("user", "ann"), role="user", name="ann", deadline=5)
    with pytest.raises(Refused, match="credentials"):
        await connect(server.url, creds=None, role="user", name="ann", deadline=5)


async def test_unusable_credentials_files_and_addresses_are_bad_input(server, tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        await connect(server.url, creds=str(tmp_path / "none"), role="user", name="ann", deadline=5)
    (tmp_path / "bad").write_text("hello")
    with pytest.raises(BadInput, match="no NATS credentials"):
        await connect(server.url, creds=str(tmp_path / "bad"), role="user", name="ann", deadline=5)
    good = server.creds("user", "ann")
    with pytest.raises(BadInput):
        await connect("nats://127.0.0.1:notaport", creds=good, role="user", name="ann", deadline=5)
    (tmp_path / "torn").write_text(Path(good).read_text().replace("SU", "XX"))
    with pytest.raises(BadInput):
        await connect(server.url, creds=str(tmp_path / "torn"), role="user", name="ann", deadline=5)


@pytest.mark.slow
async def test_a_follower_reads_on_after_its_consumer_was_deleted_behind_its_back(server):
    w1, dispatch, api = await server.worker("w1"), await server.connect("dispatch"), await server.connect("api")
    reading = dispatch.log.follow(0)
    await w1.log.append(reported(1))
    first = await anext(reading)
    names = await api.wire.ask_within(f"$JS.API.CONSUMER.NAMES.{subjects.STREAM}", b"", 5)
    for name in json.loads(names.data)["consumers"]:
        if not name.startswith("agent-"):
            await api.wire.ask_within(f"$JS.API.CONSUMER.DELETE.{subjects.STREAM}.{name}", b"", 5)
    await w1.log.append(reported(2))
    async with asyncio.timeout(30):
        second = await anext(reading)
    assert [r.seq for r in first.records + second.records] == [1, 2]
    await reading.aclose()


async def test_messages_lost_on_their_way_are_read_again_in_their_place(server):
    w1, dispatch = await server.worker("w1"), await server.connect("dispatch")
    deliver, count = dispatch.wire._ps._deliver, 0

    def lossy(sid, subject, reply, data, header):
        nonlocal count
        count += 1
        if not reply.startswith(b"$JS.ACK.") or count % 97:
            deliver(sid, subject, reply, data, header)

    dispatch.wire._ps._deliver = lossy
    reading = asyncio.create_task(take(dispatch.log.follow(0), 400))
    for start in range(0, 400, 20):
        await w1.log.append_all([reported(n) for n in range(start, start + 20)])
    assert [r.event.n for r in await reading] == list(range(400))


async def test_the_last_message_lost_on_its_way_is_missed_at_the_next_heartbeat(server):
    w1, dispatch = await server.worker("w1"), await server.connect("dispatch")
    deliver, lost = dispatch.wire._ps._deliver, []

    def lossy(sid, subject, reply, data, header):
        if reply.startswith(b"$JS.ACK.") and b'"n":3' in data and not lost:
            lost.append(data)
            return
        deliver(sid, subject, reply, data, header)

    dispatch.wire._ps._deliver = lossy
    reading = asyncio.create_task(take(dispatch.log.follow(0), 3))
    await w1.log.append_all([reported(n) for n in (1, 2, 3)])
    assert [r.event.n for r in await reading] == [1, 2, 3]
    assert lost


async def test_a_lost_acknowledgement_is_made_up_for_by_a_repeat_that_writes_nothing_twice(server):
    one = await server.connect("dispatch")
    fence = await one.log.append(elected("one"))
    deliver, lost = one.wire._ps._deliver, []

    def lossy(sid, subject, reply, data, header):
        if b'"seq":' in data and len(lost) < 3:
            lost.append(data)
            one.wire._drop()  # as a connection that broke just then
            one.wire._up.set()
            return
        deliver(sid, subject, reply, data, header)

    one.wire._ps._deliver = lossy
    assert await one.log.append(recalled("r1"), fence=fence) == fence + 1
    assert await one.log.append_all([recalled(f"s{n}") for n in range(30)], fence=fence) == fence + 31
    assert len(lost) == 3
    assert [r.id for r in await everything(one)] == ["lead-one", "r1", *[f"s{n}" for n in range(30)]]


async def test_a_lost_acknowledgement_of_a_leader_deposed_meanwhile_is_still_success(server):
    one, two = await server.connect("dispatch"), await server.connect("dispatch")
    fence = await one.log.append(elected("one"))
    deliver, lost = one.wire._ps._deliver, []

    def lossy(sid, subject, reply, data, header):
        if b'"seq":' in data and not lost:
            lost.append(data)
            return
        deliver(sid, subject, reply, data, header)

    one.wire._ps._deliver = lossy
    appending = asyncio.create_task(one.log.append(recalled("r1"), fence=fence, deadline=30))
    async with asyncio.timeout(5):
        while not lost:
            await asyncio.sleep(0.01)
    await two.log.append(elected("two"))
    one.wire._drop()
    one.wire._up.set()
    assert await appending == fence + 1
