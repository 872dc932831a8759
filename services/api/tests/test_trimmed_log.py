"""The log on a real server is trimmed behind whoever needs it, and everything that reads it goes on, or is made again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from longshore_api.adapters import archiving, store, trimming
from longshore_api.adapters.progress import Progress
from longshore_api.adapters.projector import Projector
from longshore_api.adapters.upkeep import Policy, Upkeep, keeping
from longshore_api.adapters.whole import Whole
from longshore_common import events as e
from longshore_common import subjects
from longshore_common.adapters import nats_trim
from longshore_common.errors import BadInput, Refused
from longshore_common.log import Entry
from longshore_common.model import Array, HostFacts, TaskSpec
from longshore_common.testing.nats_server import NatsServer, running
from longshore_data.archive import Archive

from .test_archiving import tables

ARCHIVE = "a"


class Stack:
    """A server, a read model, and what agents, users and a dispatcher would write."""

    def __init__(self, server: NatsServer, url: str, folder: Path) -> None:
        self.server, self.url = server, url
        self.archive = Archive(f"file://{folder}", {})
        self.count = iter(range(10_000))

    async def open(self) -> None:
        self.api = await self.server.connect("api")
        self.dispatch = await self.server.connect("dispatch")
        self.user = await self.server.connect("user", "ann")
        self.worker = await self.server.worker("w1")

    async def write(self, role: Any, event: e.Event, name: str = "") -> int:
        return await role.log.append(Entry(event, name, f"t{next(self.count)}"))  # type: ignore[no-any-return]

    async def submit(self, size: int) -> int:
        body = Array(spec=TaskSpec(command=("true",)), size=size)
        return await self.write(self.user, e.TasksSubmitted(key=f"k{next(self.count)}", batch="b", body=body), "ann")

    async def covered(self, seq: int) -> None:
        await self.dispatch.blobs.put(subjects.SNAPSHOTS, subjects.COVERED, str(seq).encode())

    async def projected(self, url: str = "") -> int:
        """Run a projector until it has everything; its sequence."""
        url, progress, last = url or self.url, Progress(), await self.api.log.last()
        source = Whole(url, self.api.log, lambda: Archive(str(self.archive._folder), {}))
        working = asyncio.create_task(Projector(url, source, progress).run())
        try:
            async with asyncio.timeout(30):
                while not await progress.passed(last, 1):
                    assert not working.done()
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        return last

    async def older(self, seq: int, seconds: float = 2.3) -> None:
        """Until this event is so old."""
        at = await nats_trim.instant(self.api, seq)
        assert at is not None
        async with asyncio.timeout(20):
            while (await nats_trim.front(self.api)).now < at + seconds:
                await asyncio.sleep(0.05)

    async def plan(self, keep: float = 1.05) -> trimming.Plan:
        return await trimming.planned(self.api, self.url, keep, ARCHIVE)

    async def front(self) -> int:
        return (await nats_trim.front(self.api)).first


@pytest.fixture
async def stack(database: str, tmp_path: Path) -> AsyncIterator[Stack]:
    async with running(tmp_path / "nats") as server:
        made = Stack(server, database, tmp_path / "archive")
        await made.open()
        yield made
        await made.archive.close()


async def written(stack: Stack) -> int:
    """An election, a worker that takes and ends work, an election again; all exported, the snapshot at the end."""
    await stack.write(stack.dispatch, e.LeaderElected(dispatcher="d1"))
    await stack.write(stack.worker, e.WorkerJoined(life=1, facts=HostFacts(), concurrency=2), "w1")
    sub = await stack.submit(40)
    await stack.submit(3)
    spec = TaskSpec(command=("true",))
    starts = tuple(e.Start(i, 1, i) for i in range(20))
    order = e.Order(submission=sub, spec=spec, batch="b", user="ann", starts=starts)  # type: ignore[arg-type]
    given = await stack.write(stack.dispatch, e.AttemptsAssigned(orders=(order,)), "w1")
    ended = tuple(e.Ended(f"{sub}.{i}.1", "succeeded", 0) for i in range(10))  # type: ignore[arg-type]
    await stack.write(stack.worker, e.AttemptsReported(life=1, n=1, ended=ended), "w1")
    taken = stack.worker.log.deliveries("w1", 0)
    await anext(taken)
    await stack.worker.log.handled("w1", given)
    async with asyncio.timeout(10):
        while await nats_trim.behind(stack.api):
            await asyncio.sleep(0.01)
    await taken.aclose()  # type: ignore[attr-defined]
    last = await stack.submit(1)
    await stack.older(last)
    await stack.write(stack.dispatch, e.LeaderElected(dispatcher="d1"))
    await stack.projected()
    await archiving.export(stack.url, stack.archive, ARCHIVE, now=0, everything=True)
    await stack.covered(last + 1)
    return last


async def test_what_nobody_needs_goes_and_a_rebuild_makes_the_same_rows(stack: Stack, two_databases: Any) -> None:
    last = await written(stack)
    before = await tables(stack.url)
    plan = await stack.plan()
    assert await trimming.trimmed(stack.api, plan, margin=0) == last + 1
    assert await stack.front() == last + 1
    assert await stack.projected() == last + 1
    await store.rebuild(stack.url)
    await stack.projected()
    assert await tables(stack.url) == before
    await stack.projected(two_databases[0])  # a new database: from segments, then the log
    other = await tables(two_databases[0])
    assert [other[t] for t in ("submission", "task", "task_range", "worker", "batch", "event_range")] == [
        before[t] for t in ("submission", "task", "task_range", "worker", "batch", "event_range")
    ]
    more = await stack.submit(2)
    assert more == last + 2
    assert await stack.projected() == more


@pytest.mark.parametrize("who", ["snapshot", "projection", "archive", "election", "worker"])
async def test_whoever_still_needs_the_front_keeps_it(stack: Stack, who: str) -> None:
    last = await written(stack)
    held = {"snapshot": last - 3, "projection": last - 2, "archive": last - 4, "election": 0, "worker": 5}[who]
    if who == "snapshot":
        await stack.covered(held)
    elif who in ("projection", "archive"):
        connection = await asyncpg.connect(stack.url)
        table = {"projection": "position", "archive": "exported"}[who]
        await connection.execute(f"UPDATE {table} SET seq = {held}")
        await connection.close()
    elif who == "worker":
        held = await stack.write(stack.dispatch, e.AttemptsSignalled(attempts=(), wanted="run"), "w1")
        async with asyncio.timeout(10):  # the server counts what is pending a moment after it has acknowledged
            while not (behind := await nats_trim.behind(stack.api)):
                await asyncio.sleep(0.01)
        held = behind[0].handled
        await stack.covered(held + 100)
    plan = await stack.plan(keep=0)
    if who != "election":
        assert plan.bound is not None
        assert (plan.bound.seq, who in plan.bound.who) == (held, True)
    else:
        assert plan.bound is not None
        assert plan.bound.seq <= (await nats_trim.front(stack.api)).lead - 1


async def test_a_worker_that_is_lost_keeps_nothing(stack: Stack) -> None:
    await written(stack)
    await stack.write(stack.dispatch, e.WorkerLost(reason="silent"), "w1")
    await stack.projected()
    assert await nats_trim.behind(stack.api)
    plan = await stack.plan(keep=0)
    assert plan.bound is not None
    assert "worker" not in plan.bound.who


async def test_without_a_snapshot_that_says_what_it_covers_nothing_goes(stack: Stack) -> None:
    await stack.submit(1)
    await stack.projected()
    with pytest.raises(Refused, match="snapshot"):
        await stack.plan()


async def test_what_is_young_stays(stack: Stack) -> None:
    await written(stack)
    plan = await stack.plan(keep=3600)
    assert plan.bound is None
    assert await trimming.trimmed(stack.api, plan) == 1


async def test_the_upkeep_exports_forgets_and_trims(stack: Stack) -> None:
    await written(stack)
    policy = Policy(archive=str(stack.archive._folder), forget_after="1w", trim_after="1h")
    await Upkeep(stack.url, stack.api, policy).once()
    assert await stack.front() == 1  # an hour is not over


def test_what_would_lose_events_cannot_be_configured() -> None:
    for policy in (Policy(trim_after="5m"), Policy(forget_after="90d"), Policy(trim_after="soon")):
        with pytest.raises(BadInput):
            policy.checked()
    assert keeping("1d12h") == 129_600
