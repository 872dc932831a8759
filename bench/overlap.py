"""64 tasks that each stage 20 MB and compute for a second, on 4 slots: what can overlap does.

Target (issue "The hands", Speed): wall at most 1.1 times the larger of all staging and all computing. Computing is a
second's sleep, for 4 slots on fewer cores can overlap that only; staging all inputs, alone and with the same width, is
measured in the same run by the agent's own staging in a process of its own. The server is `rclone serve s3`.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import Report, Stack, scaled
from staging import room, served

TASKS, SLOTS, SIZE, RATIO = 64, 4, 20_000_000, 1.1


async def staged(objects: int) -> float:
    """Seconds to bring every input into this process's own directory, as wide as an agent with these slots does."""
    from longshore_agent.adapters.staging import StorageStager
    from longshore_agent.core.contract import Places
    from longshore_common.events import Start
    from longshore_common.ids import AttemptId
    from longshore_common.model import TaskSpec
    from longshore_data.storage import Storage

    stager = StorageStager(Storage(os.environ))
    turns = asyncio.Semaphore(SLOTS)
    with tempfile.TemporaryDirectory() as base:

        async def one(k: int) -> None:
            target = Path(base, str(k))
            target.mkdir()
            spec = TaskSpec(command=("true",), inputs=(f"s3://data/input-{k}",))
            async with turns:
                await stager.stage_in(AttemptId("1.0.1"), spec, Start(k, 1), Places(str(target), "", "", str(target)))

        await one(0)
        began = time.perf_counter()
        await asyncio.gather(*(one(k) for k in range(1, objects)))
        wall = time.perf_counter() - began
    await stager.close()
    return wall * objects / (objects - 1)


def main() -> int:
    """Measure both alone, then together."""
    report = Report("overlap")
    tasks = max(16, scaled(TASKS))
    with room() as base:
        (base / "s3" / "data").mkdir(parents=True)
        for k in range(tasks):
            (base / "s3" / "data" / f"input-{k}").write_bytes(os.urandom(SIZE))
        with served(base / "s3") as environ:
            alone = subprocess.run([sys.executable, __file__, str(tasks)], env={**os.environ, **environ},
                                   check=True, capture_output=True, text=True, timeout=300)  # fmt: skip
            staging, computing = float(alone.stdout), tasks / SLOTS
            with Stack(concurrency=SLOTS, **environ) as stack:
                stack.run_array(50, "true")
                began = time.perf_counter()
                command = ["submit", "--array", f"0-{tasks - 1}", "--input", "s3://data/input-{index}", "--wait"]
                stack.cli(*command, "--", "sleep", "1")
                wall = time.perf_counter() - began
    report.told("staging alone, computing alone", f"{staging:.1f} s, {computing:.1f} s")
    report.wall_against("the larger of the two", [wall], [max(staging, computing)], RATIO)
    return report.close()


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(asyncio.run(staged(int(sys.argv[1]))))
    else:
        sys.exit(main())
