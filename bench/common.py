"""What the benches share: an embedded stack of their own, paired runs, and one way to say a result.

A figure is worth something only beside a peer or a floor measured in the same run, so every bench alternates the two
and reports the ratio of medians. What must not enter: figures themselves, or constants measured on another day.
"""

import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import psutil

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
BIN = Path(sys.executable).parent
RESULTS = BENCH / "results"
CORES = len(os.sched_getaffinity(0))


def scaled(n: int) -> int:
    """`n` tasks, or fewer when `BENCH_SCALE` (a fraction) asks for a quick look; ratios stay, absolute targets may not."""
    return max(10, int(n * float(os.environ.get("BENCH_SCALE", "1"))))


@dataclass
class Figure:
    """One measured thing: ours with its unit, what it is compared with, and the target it must meet."""

    bench: str
    name: str
    ours: str
    beside: str
    ratio: str
    target: str
    ok: bool

    def line(self) -> str:
        """The figure as one row of the table."""
        verdict = "ok" if self.ok else "MISSED"
        return f"{self.bench:14} {self.name:44} {self.ours:>16} {self.beside:>30} {self.ratio:>7} {self.target:>12} {verdict}"


HEADER = f"{'bench':14} {'figure':44} {'ours':>16} {'beside (same run)':>30} {'ratio':>7} {'target':>12} verdict"


@dataclass
class Report:
    """Collects the figures of one bench, prints each as it is known, and keeps them in `results/<bench>.json`."""

    bench: str
    figures: list[Figure] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)

    def at_most(self, name: str, value: float, limit: float, unit: str, beside: str = "") -> None:
        """An absolute figure that must not exceed its target; `beside` shows a peer's or floor's."""
        self._add(name, (f"{value:,.4g} {unit}", beside, "", f"<= {limit:.3g} {unit}"), ok=value <= limit)

    def at_least(self, name: str, value: float, limit: float, unit: str, beside: str = "") -> None:
        """An absolute figure that must reach its target."""
        self._add(name, (f"{value:,.0f} {unit}", beside, "", f">= {limit:,.0f} {unit}"), ok=value >= limit)

    def wall_against(self, peer: str, ours: list[float], theirs: list[float], limit: float) -> None:
        """Wall seconds of paired runs, ours over theirs: the median of the pairs' ratios is to be at most `limit`."""
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        mine, other = f"{statistics.median(ours):.2f} s", f"{statistics.median(theirs):.2f} s"
        self.raw[f"wall {peer}"] = {"ours": ours, "theirs": theirs}
        self._add(f"wall against {peer}", (mine, other, f"{ratio:.2f}", f"<= {limit:g}"), ok=ratio <= limit)

    def rate_against(self, peer: str, ours: float, theirs: float, limit: float) -> None:
        """Tasks a second, ours over theirs: to be at least `limit`."""
        ratio = ours / theirs
        shown = (f"{ours:,.0f} /s", f"{theirs:,.0f} /s", f"{ratio:.2f}", f">= {limit:g}")
        self._add(f"rate against {peer}", shown, ok=ratio >= limit)

    def told(self, name: str, value: str, beside: str = "") -> None:
        """A figure without a target, for the reader."""
        self._add(name, (value, beside, "", ""), ok=True)

    def _add(self, name: str, shown: tuple[str, str, str, str], *, ok: bool) -> None:
        figure = Figure(self.bench, name, *shown, ok=ok)
        self.figures.append(figure)
        print(figure.line(), flush=True)

    def close(self) -> int:
        """Write `results/<bench>.json`; the exit code: 0 if every target was met."""
        RESULTS.mkdir(exist_ok=True)
        document = {"figures": [asdict(f) for f in self.figures], "raw": self.raw, "cores": CORES}
        (RESULTS / f"{self.bench}.json").write_text(json.dumps(document, indent=1))
        return 0 if all(f.ok for f in self.figures) else 1


class Stack:
    """An embedded stack in a temporary state directory, all parts as processes; stopped and removed at the end."""

    def __init__(self, concurrency: int = CORES, workers: int = 1, **environ: str) -> None:
        self.state = Path(tempfile.mkdtemp(prefix="longshore-bench-"))
        self.state.chmod(0o755)  # PostgreSQL runs as another user when we are root
        self.environ = {**os.environ, "LONGSHORE_STATE_DIR": str(self.state), "NO_COLOR": "1", **environ}
        self.size = ["--workers", str(workers), "--concurrency", str(concurrency)]

    def __enter__(self) -> Self:
        self.cli("up", "--detach", *self.size, deadline=90)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None and (kept := os.environ.get("BENCH_KEEP_LOGS")):
            shutil.copytree(self.state / "logs", kept, dirs_exist_ok=True)
        subprocess.run([BIN / "longshore", "down"], env=self.environ, capture_output=True, timeout=90, check=False)
        shutil.rmtree(self.state, ignore_errors=True)

    def cli(self, *arguments: str, deadline: float = 600) -> str:
        """Run one `longshore` command; its stdout. A failure raises with what it said."""
        done = subprocess.run(
            [BIN / "longshore", *arguments],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=deadline,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"longshore {' '.join(arguments)[:200]} exited {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """The JSON object that a command with `--json` prints."""
        return json.loads(self.cli(*arguments, "--json"))

    def parts(self) -> dict[str, psutil.Process]:
        """The supervised processes by name."""
        return {p["name"]: psutil.Process(p["pid"]) for p in self.json("status")["processes"]}

    def part(self, name: str) -> psutil.Process:
        """The one process whose name begins with `name`."""
        return next(process for known, process in self.parts().items() if known.startswith(name))

    def get(self, path: str, **query: Any) -> Any:
        """The JSON answer of the API to `GET /api/v1<path>`; raises on anything but 200."""
        return json.loads(self.get_bytes(path, **query))

    def get_bytes(self, path: str, **query: Any) -> bytes:
        """The same, as it came."""
        profile = json.loads((self.state / "client.json").read_text())
        url = urlsplit(profile["api_url"])
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=60)
        token = Path(profile["api_token_file"]).read_text().strip()
        base = url.path.rstrip("/")
        path = f"{base if base.endswith('/api/v1') else base + '/api/v1'}{path}?{urlencode(query)}"
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"GET {path} answered {answer.status}: {body[:500]!r}")
        return body

    def run_array(self, n: int, *command: str) -> float:
        """Seconds from starting `submit --array 0-<n-1> --wait` to its end: every result is known and projected."""
        began = time.perf_counter()
        first = self.cli("submit", "--array", f"0-{n - 1}", "--wait", "--", *command).split()[0]
        wall = time.perf_counter() - began
        states = self.get(f"/submissions/{first.split('.')[0]}")["states"]
        if states.get("succeeded") != n:
            raise RuntimeError(f"{n} tasks were waited for, but the read model says {states}")
        return wall


def seconds(action: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def paired(pairs: int, ours: Callable[[], float], theirs: Callable[[], float]) -> tuple[list[float], list[float]]:
    """Both, in turns, so that what else the machine does meets both alike."""
    mine, other = [], []
    for k in range(pairs):
        first, second = (ours, theirs) if k % 2 == 0 else (theirs, ours)
        a, b = first(), second()
        mine.append(a if k % 2 == 0 else b)
        other.append(b if k % 2 == 0 else a)
    return mine, other


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` (0..1) of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def until(condition: Callable[[], object], deadline: float, what: str, every: float = 0.02) -> float:
    """Seconds until `condition` holds; `TimeoutError` naming `what` after `deadline` seconds."""
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > deadline:
            raise TimeoutError(f"{what} did not come in {deadline} s")
        time.sleep(every)
    return time.perf_counter() - began


def resident(process: psutil.Process) -> int:
    """RSS of a process in bytes."""
    return int(process.memory_info().rss)
