"""What a command of Slurm's costs, as programs start one per job and poll: each start of a process included.

Targets (issue "The front", Slurm-compatible commands): every command answers within 150 ms; a million elements cost
what one does.
"""

import os
import subprocess
import sys
import time

from common import BIN, Report, Stack, percentile, scaled

RUNS, ELEMENTS = 20, 1_000_000
LIMIT = 150


def took(words: list[str], environ: dict[str, str], runs: int) -> list[float]:
    """Milliseconds of each run."""
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run(words, env=environ, check=True, stdout=subprocess.DEVNULL, timeout=60)
        found.append(1000 * (time.perf_counter() - began))
    return found


def main() -> int:
    """One stack, one command at a time."""
    report = Report("slurm")
    runs = scaled(RUNS)
    with Stack() as stack:
        environ = os.environ | stack.environ
        programs = stack.state / "slurm-bin"
        subprocess.run(
            [BIN / "longshore", "slurm-shim", "install", programs], env=environ, check=True, capture_output=True
        )

        def of(*words: str, times: int = runs) -> list[float]:
            return took([str(programs / words[0]), *words[1:]], environ, times)

        of("sbatch", "-Q", "-o", "/dev/null", "--wrap", "true", times=3)
        commands = {
            "sbatch": ("sbatch", "-Q", "-o", "/dev/null", "--wrap", "true"), "squeue of 20 jobs": ("squeue", "-h", "-t", "all"),
            "sacct of one job": ("sacct", "-Xn", "-j", "1"), "scancel": ("scancel", "-Q", "1"), "sinfo": ("sinfo", "-h"),
        }  # fmt: skip
        subprocess.run([programs / "sbatch", "-Q", "-H", "--wrap", "true"], env=environ, check=True)
        for name, words in commands.items():
            if words[0] in ("sacct", "scancel"):
                words = (*words[:-1], str(_last(programs, environ)))
            report.at_most(f"{name}, p50", percentile(of(*words), 0.5), LIMIT, "ms")
        array = ("sbatch", "-Q", "-H", f"--array=0-{scaled(ELEMENTS) - 1}", "--wrap", "true")
        report.at_most("sbatch of a million elements", of(*array, times=1)[0], LIMIT, "ms")
        report.at_most("squeue with them waiting, p50", percentile(of("squeue", "-h"), 0.5), LIMIT, "ms")
    return report.close()


def _last(programs: object, environ: dict[str, str]) -> int:
    words = [f"{programs}/sbatch", "--parsable", "-H", "--wrap", "true"]
    return int(subprocess.run(words, env=environ, check=True, capture_output=True, text=True, timeout=60).stdout)


if __name__ == "__main__":
    sys.exit(main())
