"""Waiting for a job's end by looking: a command that waits has no better thing to do, and imports no event loop."""

import time
from collections.abc import Iterator, Sequence
from typing import Final

from longshore.records import Task
from longshore_common.errors import Unreachable
from longshore_common.ids import TaskRange
from longshore_slurm.door import Door

#: Seconds between looks: the first, and the longest.
EVERY: Final = (0.05, 2.0)
#: Seconds that a job which was told to end is waited for.
PATIENCE: Final = 60.0
#: States of tasks that are not over.
OPEN: Final = "waiting,queued,assigned,staging,running,delivering"


def ended(door: Door, number: int, size: int) -> None:
    """Return when all tasks of the submission ended; downtimes are waited through."""
    pause = EVERY[0]
    while True:
        try:
            found = door.reader.submission(number)
        except Unreachable:
            found = None
        if found is not None:
            if found.status in ("rejected", "duplicate"):
                return
            done = sum(found.states.get(state, 0) for state in ("succeeded", "failed", "cancelled"))
            if done >= size:
                return
        time.sleep(pause)
        pause = min(pause * 1.5, EVERY[1])


def over(door: Door, tasks: Sequence[TaskRange]) -> None:
    """Return when none of these tasks is open any more; `Unreachable` if one still is after a while."""
    ids, until = ",".join(map(str, tasks)), time.monotonic() + PATIENCE
    pause = EVERY[0]
    while any(True for _ in door.reader.tasks(limit=1, ids=ids, state=OPEN)):
        if time.monotonic() > until:
            raise Unreachable("it has not ended yet: its worker does not answer; repeat this later")
        time.sleep(pause)
        pause = min(pause * 1.5, EVERY[1])


def code(door: Door, number: int, size: int) -> int:
    """Wait, and return the highest exit code: 128 + n for a death by signal n, 1 for an end without a code."""
    ended(door, number, size)
    bad = [_code(task) for task in _failed(door, number)]
    return max(bad, default=0)


def _failed(door: Door, number: int) -> Iterator[Task]:
    for state in ("failed", "cancelled"):
        yield from door.reader.tasks(submission=number, state=state)


def _code(task: Task) -> int:
    return task.exit_code or 1
