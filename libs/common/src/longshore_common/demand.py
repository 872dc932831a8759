"""What the leading dispatcher tells of what waits, and the recruiter reads: one retained hint per batch.

What must not enter: how it is counted, what is hired for it.
"""

from msgspec import Struct


class Shape(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a task asks of a machine: cores, bytes of memory and disk, GPUs, amounts of resources by the operator's names,
    whether it is a container, and what would do instead, the most wanted first. One that asks for nothing asks for a slot.
    """

    cpus: float = 0
    memory: int = 0
    gpus: int = 0
    disk: int = 0
    custom: tuple[tuple[str, float], ...] = ()
    container: bool = False
    alternatives: tuple["Shape", ...] = ()


class Waiting(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Queued tasks of one shape and priority that find no place now.

    `since`: Unix seconds when the oldest of them began to wait. `seconds`: of work in them together, negative if nothing
    like them was measured. `slots`: how many of them the workers that serve the batch run at once when they have
    nothing else to do. `ahead`: tasks like these that are on workers already, and beyond what runs there at once.
    """

    shape: Shape
    tasks: int
    since: float
    priority: int = 0
    seconds: float = -1
    slots: int = 0
    ahead: int = 0


class BatchDemand(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What waits of one batch, most tasks first; of the shapes beyond those listed only how many `more` tasks there are.

    `slots`: of the workers that serve the batch, whatever it asks for. `capped`: tasks that are not among these, since
    they wait for a limit of their batch, user or submission and not for machines. `paused`: nothing of it is handed out,
    so nothing need be hired for it. `leader`: the fence of the dispatcher that says so.
    """

    batch: str
    waiting: tuple[Waiting, ...]
    slots: int = 0
    paused: bool = False
    more: int = 0
    capped: int = 0
    leader: int = 0

    @property
    def tasks(self) -> int:
        """All that wait."""
        return sum(each.tasks for each in self.waiting) + self.more


class Leader(Struct, frozen=True, kw_only=True):
    """Who tells demand, by the fence of its election: what is retained is all there is, of this leader, once this is there.

    Without it nothing is known: a store that was emptied is not a queue that is empty.
    """

    fence: int
    name: str = ""
