"""What a trace is made of: jobs that arrive, hosts that come and go. Times are seconds from the beginning."""

from typing import NamedTuple

GB = 1 << 30
#: Slots of a host that does not count them.
MANY = 1 << 20

#: What a task takes and a host has: slots, thousandths of a CPU, bytes of memory, GPUs.
Amounts = tuple[int, int, int, int]


class Job(NamedTuple):
    """Tasks that arrive together and ask for the same; task k runs `times[k]` seconds."""

    at: float
    times: tuple[float, ...]
    cpus: float = 0
    memory: int = 0
    gpus: int = 0
    user: str = "ada"
    batch: str = "main"
    priority: int = 0

    @property
    def need(self) -> Amounts:
        """What each of its tasks takes."""
        return 1, round(self.cpus * 1000), self.memory, self.gpus


class Host(NamedTuple):
    """A host; it is up in `spans` and loses what it runs at the end of each. No `slots`: requests alone decide."""

    name: str
    cpus: int
    memory: int
    gpus: int = 0
    slots: int = 0
    spans: tuple[tuple[float, float], ...] = ((0.0, float("inf")),)

    @property
    def has(self) -> Amounts:
        """What it has."""
        return self.slots or MANY, self.cpus * 1000, self.memory, self.gpus


class Trace(NamedTuple):
    """One workload on one set of hosts; `weights` of users beside others, 1 where none is given."""

    name: str
    jobs: tuple[Job, ...]
    hosts: tuple[Host, ...]
    weights: dict[str, float] = {}

    @property
    def size(self) -> int:
        """How many tasks."""
        return sum(len(job.times) for job in self.jobs)


def times_in(need: Amounts, has: Amounts) -> int:
    """How many tasks of this need a host that has this much can run at once."""
    return min(h // n for n, h in zip(need, has, strict=True) if n)
