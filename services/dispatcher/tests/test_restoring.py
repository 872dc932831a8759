"""A state folded from exported segments and the rest of the log is the state folded from all of it, or of a snapshot."""

import asyncio
from pathlib import Path

import pytest

from longshore_common import events as e
from longshore_common import subjects
from longshore_common.adapters.memory_log import Hub
from longshore_common.errors import BadInput, Refused, Trimmed
from longshore_common.ids import SubmissionId, TaskRange, attempt_id
from longshore_common.log import Entry
from longshore_common.model import Array, HostFacts, TaskSpec
from longshore_data.archive import Archive, Kept, Manifest
from longshore_dispatcher.adapters import snapshots
from longshore_dispatcher.adapters.restoring import restore
from longshore_dispatcher.core import snapshot
from longshore_dispatcher.core.evolve import evolve
from longshore_dispatcher.core.state import State
from longshore_dispatcher.service import Dispatcher, Settings


async def worked(hub: Hub) -> None:
    """A dispatcher leads, a worker takes what it is given; some end, some run, some wait."""
    stop = asyncio.Event()
    dispatcher = Dispatcher(hub.connect("dispatch"), Settings(name="d1"))
    running = asyncio.create_task(dispatcher.run(stop))
    count = iter(range(1000))

    def write(event: e.Event, name: str = "ada") -> int:
        return hub.append(Entry(event, name, f"t{next(count)}"), 0)

    write(e.WorkerJoined(life=1, facts=HostFacts(), concurrency=8), "w1")
    spec = TaskSpec(command=("true",))
    first = write(e.TasksSubmitted(key="a", batch="b", body=Array(spec=spec, size=5)))
    write(e.TasksSubmitted(key="c", batch="c", body=Array(spec=spec, size=40)))
    async with asyncio.timeout(10):
        while not any(isinstance(r.event, e.AttemptsAssigned) for r in hub.records):
            await asyncio.sleep(0.001)
    ended = tuple(e.Ended(attempt_id(first, i, 1), "succeeded", 0) for i in range(5))
    write(e.AttemptsReported(life=1, n=1, ended=ended), "w1")
    write(e.CancelRequested(tasks=(TaskRange(SubmissionId(first + 1), 30, 35),)))
    write(e.TasksSubmitted(key="a", batch="b", body=Array(spec=spec, size=5)))  # a repeat
    async with asyncio.timeout(10):
        while not any(isinstance(r.event, e.SubmissionDuplicated) for r in hub.records):
            await asyncio.sleep(0.001)
    stop.set()
    await running


def folded(hub: Hub) -> bytes:
    state = State()
    for record in hub.records:
        evolve(state, record)
    return snapshot.to_bytes(state)


async def exported(hub: Hub, folder: str, until: int) -> None:
    archive = Archive(folder, {})
    manifest = Manifest()
    events = [Kept(r.seq, r.at, r.subject, r.body) for r in hub.records[:until]]
    for at in range(0, until, 3):
        manifest = await archive.append(manifest, events[at : at + 3])
    await archive.close()


async def test_archive_and_tail_make_the_same_state(tmp_path: Path) -> None:
    hub, folder = Hub(), f"file://{tmp_path}"
    await worked(hub)
    middle = len(hub.records) * 2 // 3
    await exported(hub, folder, middle)
    hub.buckets.clear()
    hub.trimmed = middle - 2
    with pytest.raises(Refused, match="restore"):
        await Dispatcher(hub.connect("dispatch"), Settings()).run(asyncio.Event())
    assert await restore(hub.connect("dispatch"), folder, {}) == len(hub.records)
    data = await snapshots.load(hub.connect("dispatch").blobs)
    assert data == folded(hub)
    assert int(hub.buckets[subjects.SNAPSHOTS][subjects.COVERED]) == len(hub.records)
    stop = asyncio.Event()
    dispatcher = Dispatcher(hub.connect("dispatch"), Settings(name="d2"))
    running = asyncio.create_task(dispatcher.run(stop))
    async with asyncio.timeout(10):
        while not dispatcher.leading:
            await asyncio.sleep(0.001)
    assert dispatcher.state.keys["ada/a"] == next(
        r.seq for r in hub.records if isinstance(r.event, e.TasksSubmitted) and r.event.key == "a"
    )
    stop.set()
    await running


async def test_a_snapshot_and_the_tail_behind_a_trimmed_front_make_the_same_state(tmp_path: Path) -> None:
    hub = Hub()
    await worked(hub)
    state = State()
    for record in hub.records[:8]:
        evolve(state, record)
    await snapshots.save(hub.connect().blobs, snapshot.to_bytes(state), 8)
    hub.trimmed = 8
    stop = asyncio.Event()
    dispatcher = Dispatcher(hub.connect("dispatch"), Settings(name="other", lead_after=1000))
    running = asyncio.create_task(dispatcher.run(stop))
    async with asyncio.timeout(10):
        while dispatcher.state.seq < len(hub.records):
            await asyncio.sleep(0.001)
    assert snapshot.to_bytes(dispatcher.state) == folded(hub)
    stop.set()
    await running


async def test_what_is_in_neither_is_named(tmp_path: Path) -> None:
    hub, folder = Hub(), f"file://{tmp_path}"
    await worked(hub)
    await exported(hub, folder, 9)
    hub.trimmed = 12
    with pytest.raises(Trimmed, match="begins at 13"):
        await restore(hub.connect("dispatch"), folder, {})
    with pytest.raises(BadInput, match="LONGSHORE_ARCHIVE"):
        await restore(hub.connect("dispatch"), "", {})
