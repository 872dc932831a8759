"""1 GB on stdout in one line: at the speed of the disk, its tail readable meanwhile, the agent no larger for it.

Targets (issue "The hands", Speed): the task's own run, started to ended, at least 0.9 of the rate of the same program
writing into a file on the same disk, in turns within one run (both write into the page cache as far as it goes, as any
program does); the agent grows by at most 64 MB while it reads, compresses and stores the output; a tail asked for
meanwhile comes within a second. How long keeping it takes is told without a target: a reader's `task logs` needs none of it.
"""

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from common import Report, Stack, paired, resident, scaled, until

SIZE, PAIRS, MB = 1_000_000_000, 3, 1_000_000
RATIO, GROWTH, TAIL = 1 / 0.9, 64, 1.0
PROGRAM = """
import os, sys
line = (b"one long line of output that goes on and on and on; " * 20000)[:1000000]
for _ in range(int(sys.argv[1])):
    left = memoryview(line)
    while left:
        left = left[os.write(1, left):]
"""


class Watch(threading.Thread):
    """Looks at the agent's memory until told to stop."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(daemon=True)
        self.agent = stack.part("local-1")
        self.before = self.most = resident(self.agent)
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.05):
            self.most = max(self.most, resident(self.agent))


class Runs:
    """One task at a time."""

    def __init__(self, stack: Stack, program: Path, megabytes: int) -> None:
        self.stack, self.command = stack, [sys.executable, "-S", str(program), str(megabytes)]
        self.megabytes, self.keeping, self.tails = megabytes, [0.0], [0.0]

    def task(self) -> float:
        """Seconds from the task's start to its end, by the host's clock; its output is then kept, which is waited for."""
        began = time.perf_counter()
        name = self.stack.cli("submit", "--", *self.command).split()[0]
        self.tails.append(self._tail(name))
        until(lambda: self._seen(name)["state"] in ("succeeded", "failed"), 300, "the end of the task", every=0.1)
        (attempt,) = self.stack.get(f"/tasks/{name}/attempts")["items"]
        last = self.stack.get_bytes(f"/tasks/{name}/output", stream="stdout", offset=self.megabytes * MB - 2, limit=9)
        if self._seen(name)["state"] != "succeeded" or len(last) != 2:
            raise RuntimeError(f"{name} ended {self._seen(name)['state']}, and not with {self.megabytes} MB of output")
        ran = _seconds(attempt["ended_at"]) - _seconds(attempt["started_at"])
        self.keeping.append(time.perf_counter() - began - ran)
        return ran

    def _seen(self, name: str) -> dict[str, str]:
        return dict(self.stack.get(f"/tasks/{name}"))

    def _tail(self, name: str) -> float:
        """Seconds that the tail takes while the task writes."""
        until(
            lambda: self._seen(name)["state"] == "running" or self._seen(name)["started_at"],
            60,
            "the start of the task",
        )
        began = time.perf_counter()
        self.stack.get_bytes(f"/tasks/{name}/output", stream="stdout", offset=0, limit=4096)
        return time.perf_counter() - began


def _seconds(at: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(at).timestamp()


def main() -> int:
    """Run the pairs and print the figures."""
    report = Report("stdout1g")
    megabytes = scaled(SIZE // MB)
    with Stack() as stack, tempfile.TemporaryDirectory(prefix="longshore-bench-", dir=stack.state) as base:
        Path(base).chmod(0o755)
        program = Path(base, "program.py")
        program.write_text(PROGRAM)
        runs = Runs(stack, program, megabytes)
        stack.run_array(50, "true")

        def bare() -> float:
            target = Path(base, "target")
            began = time.perf_counter()
            with target.open("wb") as file:
                subprocess.run(runs.command, check=True, stdout=file)
            wall = time.perf_counter() - began
            target.unlink()
            return wall

        watch = Watch(stack)
        watch.start()
        ours, floor = paired(PAIRS, runs.task, bare)
        watch.over.set()
        watch.join()
        report.wall_against(f"writing {megabytes} MB into a file", ours, floor, RATIO)
        report.at_most("tail while it writes", max(runs.tails), TAIL, "s")
        report.at_most("agent grows by", (watch.most - watch.before) / MB, GROWTH, "MB")
        report.told("reading, compressing and storing it", f"{max(runs.keeping):.1f} s")
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
