"""One follower for many readers of the log: from any place, in order, none twice; who falls behind is cut off."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from longshore_api.adapters import feed as feeding
from longshore_api.adapters.feed import CutOff, Feed
from longshore_common import events as e
from longshore_common.adapters.memory_log import Hub, MemoryTransport
from longshore_common.errors import Trimmed
from longshore_common.log import Entry, Recorded, Slice


class World:
    """A log, who writes to it, and a feed of it."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.ann = self.hub.connect("user", "ann")
        self.transport: MemoryTransport = self.hub.connect("api")
        self.feed = Feed(self.transport.log)

    async def write(self, count: int, batch: str = "b") -> int:
        """So many pauses of a batch; the last one's sequence."""
        at = len(self.hub.records)
        event = e.BatchPauseRequested(batch=batch)
        return await self.ann.log.append_all([Entry(event, "ann", f"{batch}{at + n}") for n in range(count)])


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.feed.close()


def everything(_: Recorded) -> bool:
    return True


def of_batch(name: str) -> Callable[[Recorded], bool]:
    return lambda record: getattr(record.event, "batch", "") == name


async def first(reading: AsyncIterator[Recorded], count: int) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(5), aclosing(reading) as records:  # type: ignore[type-var]
        async for record in records:
            found.append(record.seq)
            if len(found) == count:
                return found
    return found


async def test_a_reader_sees_what_was_and_what_comes_in_order(world: World) -> None:
    await world.write(3)
    reading = asyncio.create_task(first(world.feed.follow(1, everything), 4))
    await asyncio.sleep(0)
    await world.write(2)
    assert await reading == [2, 3, 4, 5]


async def test_a_reader_of_now_sees_only_what_comes(world: World) -> None:
    await world.write(3)
    reading = world.feed.pieces(-1, everything)
    assert (await anext(reading)).records == []
    await world.write(1)
    piece = await anext(reading)
    assert [r.seq for r in piece.records] == [4]
    assert piece.position == 4
    await reading.aclose()


async def test_a_reader_is_told_how_far_it_is_even_if_nothing_is_for_it(world: World) -> None:
    await world.write(2, "other")
    reading = world.feed.pieces(0, of_batch("mine"))
    piece = await anext(reading)
    assert (piece.records, piece.position) == ([], 2)
    await reading.aclose()


async def test_many_readers_each_see_what_they_want(world: World) -> None:
    readers = [asyncio.create_task(first(world.feed.follow(0, of_batch(f"b{k % 4}")), 5)) for k in range(200)]
    await asyncio.sleep(0)
    for _ in range(5):
        for k in range(4):
            await world.write(1, f"b{k}")
    for k, reader in enumerate(readers):
        assert await reader == [k % 4 + 1 + 4 * n for n in range(5)]


async def test_what_is_before_the_window_is_read_from_the_log(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(feeding, "BEGIN", 5)
    await world.write(2_500)
    assert await first(world.feed.follow(0, everything), 2_500) == list(range(1, 2_501))


async def test_what_the_log_has_no_longer_is_read_from_the_archive(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(feeding, "BEGIN", 0)
    await world.write(10)
    records = list(world.hub.records)

    class Trimming:
        """The log without its front."""

        async def follow(self, after: int, subjects: str = "log.>") -> AsyncIterator[Slice]:
            if after < 6:
                raise Trimmed("the log begins at 7")
            async for piece in world.transport.log.follow(after):
                yield piece

        async def last(self) -> int:
            return len(world.hub.records)

    class Archive:
        async def follow(self, after: int) -> AsyncIterator[Slice]:
            yield Slice(records[after:], 0)

    feed = Feed(Trimming(), Archive())  # type: ignore[arg-type]
    reading = asyncio.create_task(first(feed.follow(2, everything), 9))
    await asyncio.sleep(0)
    await world.write(1)
    assert await reading == list(range(3, 12))
    await feed.close()


async def test_a_reader_that_is_slow_reads_on_by_itself_and_misses_nothing(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(feeding, "WINDOW_EVENTS", 50)
    reading = world.feed.pieces(0, everything)
    await anext(reading)
    others = asyncio.create_task(first(world.feed.follow(0, everything), 500))
    await world.write(500)
    assert await others == list(range(1, 501))
    assert len(world.feed._window) <= 50
    seen: list[int] = []
    while len(seen) < 500:
        seen += [record.seq for record in (await anext(reading)).records]
    assert seen == list(range(1, 501))
    await reading.aclose()


async def test_readers_are_cut_off_when_the_log_is_followed_anew(world: World) -> None:
    await world.write(1)
    reading = world.feed.pieces(0, everything)
    await anext(reading)
    world.feed._begin(1)
    world.feed._ring()
    with pytest.raises(CutOff):
        await anext(reading)


async def test_a_closed_feed_ends_its_readers(world: World) -> None:
    reading = asyncio.create_task(first(world.feed.follow(0, everything), 5))
    await asyncio.sleep(0.05)
    await world.feed.close()
    assert await reading == []


async def test_nothing_is_followed_while_nobody_reads(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(feeding, "LINGER", 0.0)
    await world.write(1)
    assert await first(world.feed.follow(0, everything), 1) == [1]
    async with asyncio.timeout(5):
        while world.feed._following is not None:
            await asyncio.sleep(0)
    assert await first(world.feed.follow(0, everything), 1) == [1]
