"""The faults tests can switch on are those a caller of the ports can meet."""

import asyncio

import pytest

from longshore_common.errors import Unreachable
from longshore_common.events import LeaderElected
from longshore_common.log import Entry
from longshore_common.testing.faulty_log import FaultyHub


def elected(event_id):
    return Entry(LeaderElected(dispatcher="d"), "", event_id)


async def test_an_append_that_was_lost_after_it_was_in_is_in_once_when_repeated():
    hub = FaultyHub()
    log = hub.connect().log
    hub.lose_after = 1
    with pytest.raises(Unreachable):
        await log.append(elected("a"))
    assert await log.append(elected("a")) == 1
    assert await log.last() == 1


async def test_an_append_that_was_lost_before_it_was_in_is_in_when_repeated():
    hub = FaultyHub()
    log = hub.connect().log
    hub.lose_before = 2
    for _ in range(2):
        with pytest.raises(Unreachable):
            await log.append(elected("a"))
    assert await log.last() == 0
    assert await log.append(elected("a")) == 1


async def test_held_followers_see_everything_after_release():
    hub = FaultyHub()
    log = hub.connect().log
    hub.hold()
    await log.append_all([elected("a"), elected("b")])
    reading = log.follow(0)
    first = asyncio.create_task(anext(reading))
    await asyncio.sleep(0)
    assert not first.done()
    hub.release()
    assert [r.id for r in (await first).records] == ["a", "b"]
    await reading.aclose()
