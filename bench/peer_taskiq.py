"""The nearest Python peer: taskiq-nats on a JetStream of its own, fsync as ours, asyncio loop (uvloop starts processes
four times slower). The worker is a process of its own. It is spared what we do: output goes to /dev/null, no result is
stored, and one message says when all tasks are over.
"""

import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import nats
from nats.js.api import ConsumerConfig, StreamConfig
from taskiq.api import run_receiver_task
from taskiq_nats import PullBasedJetStreamBroker

FINISHED = "bench.finished"
READY = "bench.ready"


def broker(url: str) -> PullBasedJetStreamBroker:
    """The broker both sides use; up to 100 messages a fetch, which is in the peer's favour."""
    return PullBasedJetStreamBroker(
        url,
        pull_consume_batch=100,
        stream_config=StreamConfig(name="taskiq", subjects=["taskiq_tasks"]),
        consumer_config=ConsumerConfig(durable_name="taskiq_durable", max_ack_pending=10_000),
    )


async def work(url: str, slots: int) -> None:
    """Run tasks for ever, `slots` at once, and tell each time as many ended as the message that started them said."""
    queue = broker(url)
    done = 0

    @queue.task(task_name="true")
    async def true(last: int) -> None:
        nonlocal done
        process = await asyncio.create_subprocess_exec(
            "true", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        await process.wait()
        done += 1
        if done == last:
            done = 0
            await queue.client.publish(FINISHED, b"")

    await queue.startup()
    await queue.client.publish(READY, b"")
    await run_receiver_task(queue, max_async_tasks=slots, max_prefetch=100)


class TaskiqNats:
    """A nats-server (same binary and `sync_interval: always`) and one worker process."""

    def __init__(self, binary: Path, slots: int) -> None:
        self.binary, self.slots = binary, slots
        self.directory = tempfile.TemporaryDirectory(prefix="longshore-peer-")
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        where = Path(self.directory.name)
        (where / "nats.conf").write_text(
            f'listen: "127.0.0.1:-1"\nports_file_dir: "{where}"\n'
            f'jetstream {{ store_dir: "{where}/js", sync_interval: always }}\n'
        )
        server = [str(self.binary), "-c", str(where / "nats.conf")]
        self.processes.append(subprocess.Popen(server, stderr=subprocess.DEVNULL))
        self.url = self._listening(where)
        asyncio.run(self._start_worker())
        return self

    def _listening(self, where: Path) -> str:
        """The address the server chose, read from its ports file."""
        for _ in range(500):
            for file in where.glob("nats-server_*.ports"):
                if text := file.read_text():
                    return str(json.loads(text)["nats"][0])
            time.sleep(0.02)
        raise TimeoutError("nats-server did not write its ports file in 10 s")

    async def _start_worker(self) -> None:
        client = await nats.connect(self.url)
        ready = await client.subscribe(READY)
        command = [sys.executable, __file__, self.url, str(self.slots)]
        self.processes.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        await ready.next_msg(timeout=20)
        await client.close()

    def run(self, n: int) -> float:
        """Seconds from the first submit to the end of the last of `n` tasks."""
        return asyncio.run(self._run(n))

    async def _run(self, n: int) -> float:
        queue = broker(self.url)
        kick: Any = queue.register_task(lambda last: None, task_name="true").kiq
        await queue.startup()
        finished = await queue.client.subscribe(FINISHED)
        began = time.perf_counter()
        for lo in range(0, n, 100):
            await asyncio.gather(*(kick(n) for _ in range(lo, min(lo + 100, n))))
        await finished.next_msg(timeout=600)
        wall = time.perf_counter() - began
        await queue.shutdown()
        return wall

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for process in reversed(self.processes):
            process.terminate()
            process.wait(timeout=10)
        self.directory.cleanup()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    os.environ.setdefault("PYTHONASYNCIODEBUG", "")
    asyncio.run(work(sys.argv[1], int(sys.argv[2])))
