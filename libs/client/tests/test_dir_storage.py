"""Directories in object storage, on real S3 servers: there, back, shared and removed as on a disk."""

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from libs.data.tests.rclone_server import S3Server
from libs.data.tests.test_s3 import Moto, with_bucket

from longshore.dir import places
from longshore.dir.fetching import get
from longshore.dir.sending import LARGE
from longshore.dir.submitting import summed
from longshore.dir.tending import prune, standings
from longshore_data.stores.s3 import S3Store
from longshore_data.stores.s3_client import S3Settings

from .dir_world import World, directory, same_tree


@pytest.fixture(scope="module", params=["rclone", pytest.param("moto", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    made = S3Server(tmp_path_factory.mktemp("s3") / "s3").start() if request.param == "rclone" else Moto()
    yield made
    made.stop()


@pytest.fixture
async def world(server: Any, tmp_path: Any, profile: Any, api: Any) -> AsyncIterator[World]:
    store = S3Store(S3Settings.from_environ(server.environ))
    await with_bucket(store, "bucket")
    await store.close()
    made = World(tmp_path, profile, api, store="s3://bucket/lab/", environ=server.environ)
    yield made
    made.reader.close()
    await made.storage.close()


async def test_there_and_back_and_nothing_is_left(world: World) -> None:
    same = os.urandom(LARGE)
    one, other = (directory(world, name, **{"a b é.txt": name, "deep/big": same}) for name in ("one", "other"))
    outcomes = await world.submit(one, other)
    assert summed(outcomes) == 0
    assert sum(outcome.known for outcome in outcomes) == LARGE
    for number, home in ((int(o.task.partition(".")[0]) - 1, h) for o, h in zip(outcomes, (one, other), strict=True)):
        same_tree(home.path, await world.staged(world.spec(number), f"staged-{number}"))
    results = places.at(one.known().place).results
    store = world.storage.of(results)
    await store.put_bytes(b"result", results.below("deep/out é.txt"))
    await store.put_bytes(b"one", results.below("a b é.txt"))
    got = await get(one, one.known(), world.shelf)
    assert (got.new, got.here, got.failed) == (1, 1, ())
    assert (one.path / "deep/out é.txt").read_text() == "result"
    assert (await get(one, one.known(), world.shelf)).new == 0
    await store.put_bytes(b"result 2", results.below("deep/out é.txt"))
    assert (await get(one, one.known(), world.shelf)).new == 1
    world.states = dict.fromkeys(("1.0", "2.0"), "succeeded")
    for home in (one, other):
        assert any(path.endswith("/data") for path in await world.stored())
        (standing,) = standings([(home, home.known())], world.reader)
        await prune(standing, world.shelf)
    assert await world.stored() == []


async def test_a_store_that_is_not_there_is_told_and_another_one_may_be_named(world: World) -> None:
    home = directory(world)
    (one,) = await world.submit(home, store="s3://no-such-bucket/x/")
    assert (one.result, one.task, one.exit_code) == ("failed", "", 1)
    assert "no-such-bucket" in one.text
    (one,) = await world.submit(home, store=f"file://{world.root}/store/")
    assert (one.result, one.task) == ("submitted", "1.0")
    assert "left there" in one.text
