"""What `Log.follow`, `deliveries` and `handled` promise."""

import asyncio

import pytest

from longshore_common.errors import Conflict

from .vocabulary import elected, recalled, reported, submitted, take


async def test_following_begins_after_any_sequence(world):
    w1 = await world.worker("w1")
    await w1.log.append_all([reported(n) for n in range(1, 31)])
    dispatch = await world.connect("dispatch")
    for after in (0, 1, 17, 29):
        records = await take(dispatch.log.follow(after), 30 - after)
        assert [r.seq for r in records] == list(range(after + 1, 31))


async def test_a_follower_waits_for_what_comes(world):
    w1, dispatch = await world.worker("w1"), await world.connect("dispatch")
    await w1.log.append(reported(1))
    reading = asyncio.create_task(take(dispatch.log.follow(1), 3))
    await asyncio.sleep(0.05)
    assert not reading.done()
    for n in (2, 3, 4):
        await w1.log.append(reported(n))
    assert [r.event.n for r in await reading] == [2, 3, 4]


async def test_a_follower_of_some_subjects_sees_only_these_in_their_places(world):
    ann, w1, dispatch = await world.connect("user", "ann"), await world.worker("w1"), await world.connect("dispatch")
    await ann.log.append(submitted("u1"))
    await w1.log.append(reported(1))
    await ann.log.append(submitted("u2"))
    assert [r.seq for r in await take(dispatch.log.follow(0, "log.user.>"), 2)] == [1, 3]
    assert [r.seq for r in await take(dispatch.log.follow(0, "log.worker.w1.report"), 1)] == [2]
    assert [r.seq for r in await take(dispatch.log.follow(1, "log.user.*.wish"), 1)] == [3]


async def test_pending_says_how_much_the_log_holds_behind_a_slice(world):
    w1, dispatch = await world.worker("w1"), await world.connect("dispatch")
    await w1.log.append_all([reported(n) for n in range(2_500)], deadline=60)
    reading = dispatch.log.follow(0)
    seen, last = 0, None
    async for found in reading:
        seen += len(found.records)
        last = found
        assert len(found.records) <= 1_000
        assert found.pending == 2_500 - seen
        if seen == 2_500:
            break
    await reading.aclose()
    assert last is not None
    assert last.pending == 0


async def test_many_followers_each_see_all(world):
    w1 = await world.worker("w1")
    followers = [await world.connect("dispatch"), await world.connect("recruit"), await world.connect("api")]
    readings = [asyncio.create_task(take(f.log.follow(0), 50)) for f in (*followers, followers[0])]
    for start in range(0, 50, 10):
        await w1.log.append_all([reported(n) for n in range(start, start + 10)])
    for reading in readings:
        assert [r.seq for r in await reading] == list(range(1, 51))


async def test_a_log_that_ends_before_what_was_read_is_a_conflict_not_a_wait(world):
    w1, dispatch = await world.worker("w1"), await world.connect("dispatch")
    await w1.log.append(reported(1))
    with pytest.raises(Conflict, match="replaced"):
        await take(dispatch.log.follow(2), 1, seconds=5)


async def test_closing_ends_every_reading(world):
    dispatch, w1 = await world.connect("dispatch"), await world.worker("w1")
    readings = [
        asyncio.create_task(take(dispatch.log.follow(0), 1)),
        asyncio.create_task(take(w1.log.deliveries("w1", 0), 1)),
    ]
    await asyncio.sleep(0.1)
    await dispatch.close()
    await w1.close()
    assert [await r for r in readings] == [[], []]


async def test_last_is_the_newest_sequence(world):
    dispatch, ann = await world.connect("dispatch"), await world.connect("user", "ann")
    assert await dispatch.log.last() == 0
    await ann.log.append(submitted("u1"))
    assert await dispatch.log.last() == 1


async def test_a_worker_gets_what_is_addressed_to_it_and_nothing_else(world):
    w1, w2, dispatch = await world.worker("w1"), await world.worker("w2"), await world.connect("dispatch")
    await dispatch.log.append(elected("one"))
    await dispatch.log.append_all([recalled(f"r{n}", f"w{1 + n % 2}") for n in range(10)])
    assert [r.seq for r in await take(w1.log.deliveries("w1", 0), 5)] == [2, 4, 6, 8, 10]
    assert [r.seq for r in await take(w2.log.deliveries("w2", 0), 5)] == [3, 5, 7, 9, 11]


async def test_what_was_not_handled_is_delivered_again_to_a_restarted_worker(world):
    w1, dispatch = await world.worker("w1"), await world.connect("dispatch")
    await dispatch.log.append_all([recalled(f"r{n}") for n in range(1, 7)])
    assert [r.seq for r in await take(w1.log.deliveries("w1", 0), 6)] == [1, 2, 3, 4, 5, 6]
    await w1.log.handled("w1", 3)
    await w1.close()
    again = await world.connect("worker", "w1")
    assert [r.seq for r in await take(again.log.deliveries("w1", 3), 3)] == [4, 5, 6]


async def test_what_the_journal_holds_is_not_delivered_again_though_it_was_never_acknowledged(world):
    w1, dispatch = await world.worker("w1"), await world.connect("dispatch")
    await dispatch.log.append_all([recalled(f"r{n}") for n in range(1, 7)])
    assert len(await take(w1.log.deliveries("w1", 0), 6)) == 6
    await w1.close()
    again = await world.connect("worker", "w1")
    reading = asyncio.create_task(take(again.log.deliveries("w1", 6), 2))
    await asyncio.sleep(0.1)
    await dispatch.log.append_all([recalled("r7"), recalled("r8")])
    assert [r.seq for r in await reading] == [7, 8]


async def test_a_worker_that_handles_as_it_reads_gets_everything_once(world):
    w1, dispatch = await world.worker("w1"), await world.connect("dispatch")
    writing = asyncio.create_task(write(dispatch, 3_000))
    seen: list[int] = []
    reading = w1.log.deliveries("w1", 0)
    async with asyncio.timeout(60):
        async for found in reading:
            seen += [r.seq for r in found.records]
            await w1.log.handled("w1", seen[-1])
            if len(seen) >= 3_000:
                break
    await reading.aclose()
    await writing
    assert seen == list(range(1, 3_001))


async def write(dispatch, count):
    for start in range(0, count, 100):
        await dispatch.log.append_all([recalled(f"r{n}") for n in range(start, start + 100)], deadline=60)
