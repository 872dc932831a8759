"""What ties single tasks of a submission to others, and what follows from it for tasks that wait on their own.

What must not enter: rules; see `blocked`.
"""

from msgspec import Struct, field

from longshore_dispatcher.core.graph import Counts, Graph
from longshore_dispatcher.core.ranges import Ranges


class Ties(Struct, array_like=True, gc=False):
    """`each`: task k waits for the k-th of every required range; `graph`: for others of its own submission.

    `blocked` are the untouched tasks that wait on their own, in no lot's `fresh`; none of them is held. `patient`: a failed
    requirement is waited for, until it is mended.
    """

    each: bool = False
    patient: bool = False
    blocked: Ranges = field(default_factory=Ranges)
    graph: Graph | None = None

    @property
    def by_task(self) -> bool:
        """Whether tasks wait on their own."""
        return self.each or self.graph is not None


class Tied:
    """Derived, by submission: how far its graph is, and which blocked tasks are decided; nobody is there with none."""

    __slots__ = ("doomed", "graphs", "ready")

    def __init__(self) -> None:
        self.graphs: dict[int, Counts] = {}
        self.ready: dict[int, Ranges] = {}
        self.doomed: dict[int, Ranges] = {}

    def __bool__(self) -> bool:
        return bool(self.ready or self.doomed)
