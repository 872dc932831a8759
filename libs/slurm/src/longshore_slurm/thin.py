"""`longshore-submit`, `-status`, `-cancel`: for programs that call a cluster by three commands.

Submit takes the options of sbatch and prints nothing but the number; status prints running, success or failed; cancel
takes numbers and returns at once.
"""

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from longshore_slurm.main import run as run_command

if TYPE_CHECKING:
    from longshore.reader import Reader

_WORDS: Final = {"COMPLETED": "success", "PENDING": "running", "RUNNING": "running", "SUSPENDED": "running"}


def submit() -> int:
    """A script, with options before it; where it has no first line that names its program, the shell is."""
    words = sys.argv[1:]
    if words in ([], ["-h"], ["--help"]):
        print("Usage: longshore-submit [OPTION OF SBATCH...] SCRIPT [ARGUMENT...]")
        return 0 if words else 2
    return run_command("sbatch", ["--parsable", "--export=ALL", *words])


def status() -> int:
    """One line per number. Exit code 0 even if the stack does not answer: a program that asks again must not give up."""
    if not sys.argv[1:] or sys.argv[1] in ("-h", "--help"):
        print("Usage: longshore-status JOB...: prints running, success or failed")
        return 0 if sys.argv[1:] else 2
    for word in _states(sys.argv[1:], os.environ):
        print(word)
    return 0


def _states(words: list[str], environ: Mapping[str, str]) -> list[str]:
    from longshore_common.errors import BadInput, LongshoreError
    from longshore_slurm import jobs
    from longshore_slurm.door import Door

    found = []
    try:
        reader = Door(environ).reader
        reader.patience = 0  # who asks will ask again
        for word in words:
            states = {_WORDS.get(job.state.long, "failed") for job in jobs.of_words(reader, [word])}
            found.append(word_of(states) if states else _missing(reader, jobs.named(word).submission))
    except BadInput:
        raise
    except LongshoreError as err:
        print(f"longshore-status: {err}", file=sys.stderr)
        found += ["running"] * (len(words) - len(found))
    return found


def _missing(reader: "Reader", submission: int) -> str:
    """Of a job that no list has: the read model may not be as far yet."""
    return "running" if reader.page("/tasks", {"limit": 1}).position < submission else "failed"


def word_of(states: set[str]) -> str:
    """Of an array: running while any element is not over, then failed if any failed."""
    return next((word for word in ("running", "failed") if word in states), "success")


def cancel() -> int:
    """Cancel these; that some are over already is no failure."""
    if sys.argv[1:] in ([], ["-h"], ["--help"]):
        print("Usage: longshore-cancel JOB...")
        return 0 if sys.argv[1:] else 2
    return run_command("scancel", ["--quiet", *sys.argv[1:]])
