"""Thousands of histories of the whole system in virtual time, each with a weather of its own; see `whole`.

`LONGSHORE_SEEDS=50000 pytest -m slow tests/simulation/test_whole_system.py` hunts longer. A seed that fails prints the
command that replays it to the last await.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Seeds of the quick look, and of the long one that CI takes as well.
FEW, MANY = 100, int(os.environ.get("LONGSHORE_SEEDS", "2000"))
#: Processes side by side, and seconds that a seed may take.
SIDE_BY_SIDE = len(os.sched_getaffinity(0))
PATIENCE = 1.0


def start(*arguments: str, hashes: str = "0") -> subprocess.Popen[str]:
    """Histories in a process of their own: the order in sets of strings is fixed, as in a replay."""
    environ = {**os.environ, "PYTHONHASHSEED": hashes}
    command = [sys.executable, "-m", "tests.simulation.whole", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def pass_all(first: int, last: int) -> None:
    """These seeds, shared out; the first that fails is shown."""
    share = -(-(last - first + 1) // SIDE_BY_SIDE)
    running = [start(f"{at}-{min(last, at + share - 1)}") for at in range(first, last + 1, share)]
    said = [process.communicate(timeout=60 + share * PATIENCE)[0] for process in running]
    for process, text in zip(running, said, strict=True):
        assert process.returncode == 0, text[-6000:]


def test_whatever_the_weather_nothing_is_lost_done_twice_or_promised_twice_and_every_task_ends():
    pass_all(1, FEW)


@pytest.mark.slow
def test_thousands_of_weathers():
    pass_all(FEW + 1, FEW + MANY)


def test_a_seed_is_one_history_in_every_process():
    """Also where sets of strings are in another order: no decision depends on it."""
    said = {
        start("1-12", "--digest", hashes=hashes).communicate(timeout=60)[0].rpartition("\n12 seeds")[0]
        for hashes in "017"
    }
    assert len(said) == 1, said
