"""Ten thousand workers that beat, over a real nats-server: what a leading dispatcher takes of a core.

`cores` runs a dispatcher in this process; as a program (`decide_beats.py URL WORKERS SECONDS`) this beats for them.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from longshore_common import events as e
from longshore_common import subjects
from longshore_common.adapters.nats_log import connect
from longshore_common.log import Entry
from longshore_common.model import HostFacts
from longshore_common.testing.nats_server import running
from longshore_dispatcher.service import Dispatcher, Settings

#: Seconds between two beats of a worker, and appends of some report per second meanwhile.
EVERY, REPORTS = 2.0, 20


async def beat(url: str, workers: int, seconds: float) -> None:
    """All workers beat, evenly spread, for so long; and some say something now and then, so that there are turns."""
    transport = await connect(url, creds=None, role="worker", name="w0", deadline=20)
    began, sent, said = time.monotonic(), 0, 0
    while (passed := time.monotonic() - began) < seconds:
        while sent < passed * workers / EVERY:
            await transport.hints.send(subjects.beat(f"w{sent % workers}"), b'{"life":1,"load":0.1}')
            sent += 1
        while said < passed * REPORTS:
            event = e.ResourcesHeld(life=1, held=(f"{said:016x}",))
            await transport.log.append(Entry(event, f"w{said % workers}", f"r{said}"), deadline=10)
            said += 1
        await asyncio.sleep(0.005)
    await transport.close()


async def cores(workers: int, seconds: float) -> tuple[float, float]:
    """(CPU seconds a second that the dispatcher takes, beats it heard a second)"""
    with tempfile.TemporaryDirectory(prefix="longshore-bench-") as directory:
        async with running(Path(directory), plain=True) as server:
            writer = await server.connect("worker", "w0")
            facts = HostFacts(cpus=16, memory=64 << 30)
            joins = [
                Entry(e.WorkerJoined(life=1, facts=facts, concurrency=-1), f"w{k}", f"j{k}") for k in range(workers)
            ]
            for at in range(0, workers, 500):
                await writer.log.append_all(joins[at : at + 500], deadline=60)
            dispatcher = Dispatcher(await server.connect("dispatch"), Settings(lost_after=3 * EVERY))
            stop = asyncio.Event()
            work = asyncio.create_task(dispatcher.run(stop))
            try:
                return await _measured(dispatcher, server.url, workers, seconds)
            finally:
                stop.set()
                await work


async def _measured(dispatcher: Dispatcher, url: str, workers: int, seconds: float) -> tuple[float, float]:
    program = (sys.executable, __file__, url, str(workers), str(seconds + 5))
    beating = await asyncio.create_subprocess_exec(*program)
    heard = 0
    count = dispatcher._heard.worker

    def counted(name: str, now: float) -> None:
        nonlocal heard
        heard += 1
        count(name, now)

    await asyncio.sleep(4)  # until it leads and everybody has been heard twice
    dispatcher._heard.worker = counted  # type: ignore[method-assign]
    used, at = time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    used, at = time.process_time() - used, time.monotonic() - at
    lost = sum(worker.state != "up" for worker in dispatcher.state.workers.values())
    await beating.wait()
    if not dispatcher.leading or lost or len(dispatcher.state.workers) != workers:
        raise RuntimeError(f"leading {dispatcher.leading}, {lost} of {len(dispatcher.state.workers)} workers lost")
    return used / at, heard / at


if __name__ == "__main__":
    asyncio.run(beat(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
