"""`make bench`: every bench in a process of its own, then one table; `bench/run.py NAME…` runs only those.

Figures go to `bench/results/<name>.json` as well. Exit code 0 if every target was met. `BENCH_SCALE=0.1` gives a quick
look with fewer tasks. Close other programs first: two benches compare walls on all cores.
"""

import json
import signal
import subprocess
import sys

from common import BENCH, CORES, HEADER, RESULTS, Figure

#: In the order of the table; seconds after which a bench is given up.
BENCHES = {
    "true10k": 600,
    "latency": 300,
    "million": 300,
    "million_lines": 400,
    "graph": 600,
    "noop_executor": 400,
    "idle": 200,
    "decide": 900,
    "restart": 600,
    "staging": 900,
    "stdout1g": 400,
    "overlap": 300,
    "containers": 600,
    "simulate": 300,
    "past": 300,
    "finished": 300,
    "directories": 400,
    "api": 300,
    "slurm": 120,
    "ui": 300,
}


def run(name: str) -> list[Figure]:
    """The figures of one bench; a bench that fails is one missed figure that says why."""
    result = RESULTS / f"{name}.json"
    result.unlink(missing_ok=True)
    print(f"-- {name}", flush=True)
    process = subprocess.Popen([sys.executable, BENCH / f"{name}.py"], stderr=subprocess.PIPE, text=True)
    try:
        _, said = process.communicate(timeout=BENCHES[name])
        why = (said.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
    except subprocess.TimeoutExpired:
        why = f"not over after {BENCHES[name]} s"
        process.send_signal(signal.SIGINT)  # its `with` blocks stop what it started
        process.communicate(timeout=120)
    if not result.exists():
        print(f"   {why}", flush=True)
        return [Figure(name, why[:44], "-", "", "", "", ok=False)]
    return [Figure(**figure) for figure in json.loads(result.read_text())["figures"]]


def main(arguments: list[str]) -> int:
    """Run what was named, else all, and print the table."""
    if unknown := [name for name in arguments if name not in BENCHES]:
        print(f"no bench {', '.join(unknown)}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    figures = [figure for name in arguments or BENCHES for figure in run(name)]
    print(f"\n{CORES} cores\n{HEADER}")
    for figure in figures:
        print(figure.line())
    missed = sum(not figure.ok for figure in figures)
    print(f"{len(figures)} figures, {missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
