"""What attempts ask of hosts, summed up. What must not enter: what there is to give (`seats`)."""

from typing import TYPE_CHECKING

from longshore_dispatcher.core.content import Need

if TYPE_CHECKING:
    from longshore_dispatcher.core.state import Task


class Sum:
    """Thousandths of CPUs and of custom resources, bytes, GPUs; `asking`: of how many attempts."""

    __slots__ = ("asking", "cpus", "custom", "disk", "gpus", "memory")

    def __init__(self) -> None:
        self.cpus = self.memory = self.gpus = self.disk = self.asking = 0
        self.custom: dict[str, int] = {}

    def charge(self, need: Need, count: int) -> None:
        """Count in (or, below 0, out) what so many attempts ask of a host beyond a slot."""
        self.asking += count
        self.cpus += count * need.cpus
        self.memory += count * need.memory
        self.gpus += count * need.gpus
        self.disk += count * need.disk
        for name, amount in need.custom:
            if left := self.custom.get(name, 0) + count * amount:
                self.custom[name] = left
            else:
                del self.custom[name]


class Load(Sum):
    """What one worker holds: attempts by id, how many in each `PHASE`, and the sum of what those that run or wait to ask
    for.
    """

    __slots__ = ("attempts", "phases", "recalls")

    def __init__(self) -> None:
        super().__init__()
        self.attempts: dict[str, Task] = {}
        self.phases = [0, 0, 0]
        self.recalls = 0

    @property
    def unstarted(self) -> int:
        """Attempts that do not run yet."""
        return self.phases[0]

    @property
    def running(self) -> int:
        """Attempts that hold a slot."""
        return self.phases[1]
