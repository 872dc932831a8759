"""HyperQueue's LocalCluster from the `hyperqueue` wheel, as a process of its own (server and worker are its threads).

The wheel has no `hq` binary, so the figures are those of the LocalCluster, not of an `hq` installation. Tasks write no
output files (`none`), which is in the peer's favour. Speaks JSON lines: a question on stdin, an answer on stdout.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self


def _rate(client: Any, n: int) -> float:
    """Seconds from submit to the end of all of `n` tasks."""
    from hyperqueue import Job

    job = Job(max_fails=None)
    for _ in range(n):
        job.program(["true"], stdout=None, stderr=None)
    began = time.perf_counter()
    client.wait_for_jobs([client.submit(job)])
    return time.perf_counter() - began


def _start(client: Any, directory: Path) -> float:
    """Seconds from submit to the task reading the clock (`date`)."""
    from hyperqueue import Job

    file = directory / "date"
    file.unlink(missing_ok=True)
    job = Job()
    job.program(["date", "+%s.%N"], stdout=str(file), stderr=None)
    began = time.time()
    client.submit(job)
    while not (file.exists() and (text := file.read_text()).endswith("\n")):
        time.sleep(0.002)
    return float(text) - began


def _serve(slots: int) -> None:
    from hyperqueue import LocalCluster
    from hyperqueue.cluster import WorkerConfig

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        with LocalCluster(worker_config=WorkerConfig(cores=slots)) as cluster:
            client = cluster.client()
            for line in sys.stdin:
                kind, n = json.loads(line)
                with contextlib.redirect_stderr(io.StringIO()):
                    value = _rate(client, n) if kind == "rate" else [_start(client, Path(directory)) for _ in range(n)]
                print(json.dumps(value), file=answers)


class HyperQueue:
    """A LocalCluster with `slots` cores in a process of its own."""

    def __init__(self, slots: int) -> None:
        self.slots = slots

    def __enter__(self) -> Self:
        command = [sys.executable, __file__, str(self.slots)]
        self.directory = tempfile.TemporaryDirectory(prefix="longshore-peer-")
        environ = {**os.environ, "TMPDIR": self.directory.name}  # it leaves its server's directory behind
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ
        )
        self.run(10)
        return self

    def run(self, n: int) -> float:
        """Seconds for `n` x true."""
        return float(self._ask("rate", n))

    def starts(self, n: int) -> list[float]:
        """Seconds from submit to start, one task after the other."""
        return [float(x) for x in self._ask("start", n)]

    def _ask(self, kind: str, n: int) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([kind, n]) + "\n")
        self.process.stdin.flush()
        if not (line := self.process.stdout.readline()):
            raise RuntimeError(f"HyperQueue's cluster ended with {self.process.wait()}")
        return json.loads(line)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.directory.cleanup()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
