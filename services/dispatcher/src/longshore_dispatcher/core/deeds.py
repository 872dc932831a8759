"""What wishes changed and how to change it back, kept for a while so that it can be undone.

What must not enter: how it is found out (`remembering`), and whether it still applies (`undoing`).
"""

from typing import Final

from msgspec import Struct

from longshore_common import events as e

#: Wishes that can be undone, for so many seconds, and ranges of tasks named by all of them.
MOST: Final = 1000
KEPT: Final = 30 * 86_400.0
MOST_RANGES: Final = 200_000

Undoable = (
    e.TasksEdited
    | e.TasksCancelled
    | e.TasksRetried
    | e.TasksHeld
    | e.TasksFailed
    | e.TasksDeleted
    | e.AttemptsSignalled
    | e.BatchPaused
    | e.BatchResumed
    | e.BatchRetentionSet
    | e.ShareSet
    | e.PolicySet
    | e.WorkerPaused
    | e.WorkerResumed
    | e.WorkerResized
    | e.WorkerMoved
)


class Step(Struct, array_like=True, gc=False):
    """What was done (to a worker, `to`), and the opposite."""

    did: Undoable
    opposite: Undoable
    to: str = ""

    @property
    def ranges(self) -> int:
        """How many ranges of tasks it names."""
        return len(getattr(self.opposite, "tasks", ())) or len(getattr(self.opposite, "attempts", ()))


class Deed(Struct, array_like=True, gc=False):
    """What the wish `request` of this user changed at `at`; `undoes` another, was `undone` by another; `final`: why it
    cannot be undone, "" if it can.
    """

    request: int
    user: str
    at: float
    steps: list[Step] = []
    undoes: int = 0
    undone: int = 0
    final: str = ""
