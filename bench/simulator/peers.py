"""Schedulers to compare with, as small as they can be: which task next, and onto which host.

All keep tasks in lines of equal priority, job and need, know at once what is free, assign only what fits now, and hold
nothing back for a task that does not fit. What must not enter: anything of our own core.
"""

from collections.abc import Iterable

from .engine import Place, Recall, Task
from .trace import Amounts, Host, Trace


class Peer:
    """First in, first out: tasks by priority, then arrival, each on the first host where it fits."""

    name = "FIFO first-fit"

    def __init__(self, trace: Trace) -> None:
        self.total = [sum(host.has[k] for host in trace.hosts) or 1 for k in range(4)]
        self.free: dict[str, list[int]] = {}
        self.has: dict[str, Amounts] = {}
        self.lines: dict[int, list[Task]] = {}  # by job, the next task last

    def submitted(self, now: float, job: int, tasks: list[Task]) -> None:
        self.lines[job] = tasks[::-1]

    def joined(self, now: float, host: Host) -> None:
        self.free[host.name], self.has[host.name] = list(host.has), host.has

    def lost(self, now: float, host: str, tasks: list[Task]) -> None:
        self.free.pop(host, None)
        for task in tasks:
            self.lines.setdefault(task.job, []).append(task)

    def started(self, now: float, task: Task) -> None:
        pass

    def ended(self, now: float, task: Task) -> None:
        free = self.free[task.host]
        for k, amount in enumerate(task.need):
            free[k] += amount

    def returned(self, now: float, task: Task) -> None:
        raise AssertionError("nothing was recalled")

    def wake(self, now: float) -> float | None:
        return None

    def turn(self, now: float) -> Iterable[Place | Recall]:
        full: set[Amounts] = set()
        for job in sorted(self.lines, key=self.order):
            line = self.lines[job]
            need = line[-1].need
            while line and need not in full:
                host = self.choose(need)
                if host is None:
                    full.add(need)
                    break
                for k, amount in enumerate(need):
                    self.free[host][k] -= amount
                yield Place(line.pop(), host)
            if not line:
                del self.lines[job]

    def order(self, job: int) -> tuple[float, ...]:
        """Lines with smaller ones are served first."""
        return -self.lines[job][-1].priority, job

    def choose(self, need: Amounts) -> str | None:
        """The host for a task of this need."""
        return next((name for name, free in self.free.items() if fits(need, free)), None)


class TightestFit(Peer):
    """The same order, but each task goes where it leaves least: the smallest sum of what remains, as shares of all there is."""

    name = "tightest fit"

    def choose(self, need: Amounts) -> str | None:
        """The host that would be fullest."""
        fit = ((self.left(need, free), name) for name, free in self.free.items() if fits(need, free))
        return min(fit, default=(0.0, None))[1]

    def left(self, need: Amounts, free: list[int]) -> float:
        """What remains on a host, as shares of all there is of each."""
        return sum((f - n) / total for n, f, total in zip(need, free, self.total, strict=True))


class HyperQueue(Peer):
    """HyperQueue's rule as its documentation states it.

    Priorities order strictly, and a task of lower priority may use what no waiting one of higher priority can. Within a
    priority its solver maximises the value of what runs, where the value of a task is the amount of resources it
    requests times a weight, 1 by default ("a task requesting 6 CPUs with a weight of 1.0 carries the same weight as a
    task requesting 2 CPUs with a weight of 3.0"; weights "never block"); older jobs first among equals. Work is scattered
    evenly over the workers. Sources: docs/jobs/resources.md ("Resource weights"), docs/jobs/jobs.md ("Priority") and the
    maintainer's word in its issue 937. Solved greedily here, the most valuable first, not by mixed integer programming.
    """

    name = "HyperQueue's rule"

    def order(self, job: int) -> tuple[float, ...]:
        """By priority, then by the share of all resources that a task requests."""
        task = self.lines[job][-1]
        value = sum(n / total for n, total in zip(task.need[1:], self.total[1:], strict=True))
        return -task.priority, -value, job

    def choose(self, need: Amounts) -> str | None:
        """The emptiest host."""
        fit = ((-sum(f / h for f, h in zip(free, self.has[name], strict=True) if h), name) for name, free in
               self.free.items() if fits(need, free))  # fmt: skip
        return min(fit, default=(0.0, None))[1]


def fits(need: Amounts, free: list[int]) -> bool:
    """Whether this much is free."""
    return all(n <= f for n, f in zip(need, free, strict=True))
