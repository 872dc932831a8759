"""What `Retained` promises: who comes later sees the last word on each subject, who watches hears what changes."""

import asyncio
import json

import pytest

from longshore_common import subjects
from longshore_common.adapters import nats_setup
from longshore_common.errors import Refused, Unreachable
from longshore_common.log import Kept

A, B = subjects.demand("a"), subjects.demand("b")


class Watched:
    """A watcher's picture, as it grows."""

    def __init__(self, transport):
        self.values, self.wholes = {}, 0
        self.task = asyncio.create_task(self._watch(transport))

    async def _watch(self, transport):
        async for kept in transport.retained.watch():
            if kept.whole:
                self.values, self.wholes = {}, self.wholes + 1
            self.values.update(kept.values)
            self.values = {subject: body for subject, body in self.values.items() if body}

    async def until(self, done):
        async with asyncio.timeout(20):
            while not done(self):
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.01)

    async def sees(self, values):
        await self.until(lambda w: w.wholes and w.values == values)

    def stop(self):
        self.task.cancel()


async def test_who_comes_later_sees_the_last_word_on_each_subject_and_nothing_that_was_forgotten(world):
    dispatch = await world.connect("dispatch")
    await dispatch.retained.keep({A: b"1", B: b"1"})
    await dispatch.retained.keep({A: b"2"})
    await dispatch.retained.keep({B: b""})
    assert await dispatch.retained.subjects() == {A}
    found = await anext(aiter((await world.connect("recruit")).retained.watch()))
    assert found == Kept(whole=True, values={A: b"2"})


async def test_a_watcher_hears_what_changes_and_what_is_forgotten(world):
    dispatch, recruit = await world.connect("dispatch"), await world.connect("recruit")
    watched = Watched(recruit)
    await watched.sees({})
    await dispatch.retained.keep({A: b"1", B: b"1"})
    await watched.sees({A: b"1", B: b"1"})
    await dispatch.retained.keep({A: b"2", B: b""})
    await watched.sees({A: b"2"})
    watched.stop()


async def test_many_are_kept_at_once(world):
    dispatch, recruit = await world.connect("dispatch"), await world.connect("recruit")
    many = {subjects.demand(f"b{k}"): b"%d" % k for k in range(1200)}
    await dispatch.retained.keep(many)
    await dispatch.retained.keep(many)
    assert await dispatch.retained.subjects() == set(many)
    watched = Watched(recruit)
    await watched.sees(many)
    watched.stop()


async def test_after_a_restart_of_the_server_a_watcher_sees_what_is_said_again(server):
    dispatch, recruit = await server.connect("dispatch"), await server.connect("recruit")
    await dispatch.retained.keep({A: b"1", B: b"1"})
    watched = Watched(recruit)
    await watched.sees({A: b"1", B: b"1"})
    server.kill()
    server.start()
    await watched.until(lambda w: w.wholes > 1)
    async with asyncio.timeout(20):
        while True:
            try:
                await dispatch.retained.keep({A: b"2"})
                break
            except Unreachable:
                await asyncio.sleep(0.05)
    await watched.sees({A: b"2", B: b"1"})
    watched.stop()


async def test_without_a_store_keeping_says_so_and_works_once_it_is_there_again(server):
    api, dispatch = await server.connect("api"), await server.connect("dispatch")
    await api.wire.ask_within(f"$JS.API.STREAM.DELETE.{subjects.RETAINED}", b"", 5)
    with pytest.raises(Unreachable):
        await dispatch.retained.keep({A: b"1"})
    with pytest.raises(Unreachable):
        await dispatch.retained.subjects()
    await nats_setup.ensure_log(api)
    await dispatch.retained.keep({A: b"1"})
    assert await dispatch.retained.subjects() == {A}


@pytest.mark.parametrize(("role", "name"), [("user", "ann"), ("worker", "w1"), ("recruit", ""), ("api", "")])
async def test_only_the_dispatcher_says_what_is_wanted(server, role, name):
    await server.worker("w1")
    transport = await server.connect(role, name)
    with pytest.raises(Refused):
        await transport.wire.ask_within(A, b"1", 5)
    assert await (await server.connect("dispatch")).retained.subjects() == set()


@pytest.mark.parametrize(("role", "name"), [("user", "ann"), ("worker", "w1")])
async def test_neither_a_user_nor_a_worker_reads_what_is_retained(server, role, name):
    await server.worker("w1")
    transport = await server.connect(role, name)
    await (await server.connect("dispatch")).retained.keep({A: b"1"})
    with pytest.raises(Refused):
        await asyncio.wait_for(anext(transport.hints.listen(subjects.DEMANDS)), 5)
    for request in ("STREAM.INFO", "STREAM.MSG.GET", "STREAM.PURGE", "DIRECT.GET"):
        with pytest.raises(Refused):
            await transport.wire.ask_within(f"$JS.API.{request}.{subjects.RETAINED}", b"{}", 5)


async def test_the_recruiter_cannot_remove_what_it_reads(server):
    recruit, dispatch = await server.connect("recruit"), await server.connect("dispatch")
    await dispatch.retained.keep({A: b"1"})
    for request in ("STREAM.PURGE", "STREAM.DELETE", "STREAM.MSG.DELETE", "DIRECT.GET", "CONSUMER.CREATE"):
        with pytest.raises(Refused):
            await recruit.wire.ask_within(f"$JS.API.{request}.{subjects.RETAINED}", json.dumps({"seq": 1}).encode(), 5)
    assert await dispatch.retained.subjects() == {A}
