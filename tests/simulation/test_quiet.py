"""A dispatcher that can do nothing does nothing: what waits costs no turns."""

import asyncio
import random

from longshore_common import events as e
from longshore_common.adapters.memory_log import MemoryTransport
from longshore_common.log import Entry
from longshore_common.model import Array, HostFacts, TaskSpec
from longshore_dispatcher.service import Dispatcher, Settings

from .whole.loop import VirtualLoop

EPOCH = 1_700_000_000.0


class LoopClock:
    """Both clocks are the loop's."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop

    def now(self) -> float:
        return EPOCH + self.loop.time()

    def steady(self) -> float:
        return self.loop.time()


async def a_task_that_is_due_and_finds_no_place(loop: VirtualLoop) -> int:
    """Awaits in 100 s of waiting."""
    transport = MemoryTransport(LoopClock(loop))
    log, number = transport.log, iter(range(100))

    async def say(event: e.Event, name: str) -> int:
        return await log.append(Entry(event, name, f"x{next(number)}"))

    dispatcher = Dispatcher(transport, Settings(name="d", lost_after=1e6), LoopClock(loop))
    running = asyncio.create_task(dispatcher.run(asyncio.Event()))
    await say(e.WorkerJoined(life=1, facts=HostFacts(cpus=1), concurrency=1, prefetch=0), "w1")
    sub = await say(e.TasksSubmitted(key="k", batch="b", body=Array(spec=TaskSpec(command=("x",)), size=2)), "ada")
    await asyncio.sleep(1)
    failed = e.Ended(f"{sub}.0.1", "failed", cause="host", reason="x")  # type: ignore[arg-type]
    await say(e.AttemptsReported(life=1, n=1, ended=(failed,)), "w1")
    await asyncio.sleep(10)  # the other task runs; the first is due again after a second
    before = loop.steps
    await asyncio.sleep(100)
    running.cancel()
    await asyncio.wait([running])
    return loop.steps - before


def test_a_task_that_is_due_but_finds_no_place_does_not_keep_the_dispatcher_busy():
    loop = VirtualLoop(random.Random(1))
    try:
        assert loop.run_until_complete(a_task_that_is_due_and_finds_no_place(loop)) < 2000
    finally:
        loop.close()
