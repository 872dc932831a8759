"""What the recruiter knows: tasks that wait and in which shapes, and the workers that could take them.

Only demand and supply; which machine to hire for it is not decided here. Finished submissions are forgotten unless some
of their tasks may be asked for again.
"""

from typing import NamedTuple

from msgspec import Struct, field

from longshore_common.model import TaskSpec
from longshore_recruiter.core.indices import Indices


class Shape(NamedTuple):
    """What a task asks of a machine: cores, bytes of memory and disk, GPUs, and whether it is a container."""

    cpus: float = 0
    memory: int = 0
    gpus: int = 0
    disk: int = 0
    container: bool = False


class Run(NamedTuple):
    """Consecutive tasks of one shape, from ordinal `lo` up to the next run."""

    lo: int
    shape: Shape


class Wanted(Struct):
    """A submission. `flying` maps assigned tasks to attempts; `since`: when the oldest queued one began to wait.

    `memory`: bytes that tasks get after they ran out of what they had asked for.
    """

    batch: str
    runs: list[Run]
    size: int
    queued: Indices = field(default_factory=Indices)
    waiting: Indices = field(default_factory=Indices)
    flying: dict[int, int] = {}
    since: float = 0
    may_return: bool = False
    memory: dict[int, int] = {}

    @property
    def over(self) -> bool:
        """Nothing of it can wait again."""
        return not (self.queued or self.waiting or self.flying or self.may_return)


class Hand(Struct):
    """A worker: what it serves ("*" = every batch), its slots, and whether it takes work now.

    `hindered` and `evicted`: its host says that it does not, until it joins again or says otherwise. `quarantined`: the
    dispatcher does not trust it.
    """

    batch: str = "*"
    concurrency: int = 0
    up: bool = False
    paused: bool = False
    hindered: bool = False
    evicted: bool = False
    quarantined: bool = False

    @property
    def takes_work(self) -> bool:
        """Whether the dispatcher may assign it anything."""
        return self.up and not (self.paused or self.hindered or self.evicted or self.quarantined)


class State(Struct):
    """Mutable; changed by `evolve` alone."""

    position: int = 0
    submissions: dict[int, Wanted] = {}
    parts: dict[tuple[str, str], dict[int, tuple[Shape, ...]]] = {}
    paused: set[str] = set()
    hands: dict[str, Hand] = {}


def shape_of(spec: TaskSpec) -> Shape:
    """What this spec asks of a machine."""
    return Shape(spec.cpus, spec.memory, spec.gpus, spec.disk, spec.container is not None)
