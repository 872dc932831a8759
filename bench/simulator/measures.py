"""What a run was worth: makespan against a bound that no schedule can beat, waits, slowdown, and fairness.

Bounded slowdown: D. Feitelson, L. Rudolph, "Metrics and benchmarking for parallel job scheduling", JSSPP 1998, with a
threshold of 10 s. Fairness: R. Jain, D. Chiu, W. Hawe, "A quantitative measure of fairness and discrimination for
resource allocation in shared computer systems", DEC TR-301, 1984. What must not enter: how the run came about.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import groupby
from statistics import fmean
from typing import NamedTuple

from .engine import Task
from .trace import Amounts, Host, Job, Trace, times_in

#: Seconds below which a run counts as this long in the slowdown.
THRESHOLD = 10.0
#: Windows into which a run is cut to see who got what.
WINDOWS = 40


class Measures(NamedTuple):
    """Times are seconds. `jain`: 1 = all got their share; `astray`: the largest gap between a user's part of what was
    served and its entitlement, on average over windows in which at least two users waited; both None without such.
    """

    makespan: float
    bound: float
    mean_wait: float
    p95_wait: float
    slowdown: float
    jain: float | None
    astray: float | None

    @property
    def ratio(self) -> float:
        """Makespan over its bound."""
        return self.makespan / self.bound


def measure(trace: Trace, tasks: Sequence[Task]) -> Measures:
    """All figures of one run."""
    first = min(job.at for job in trace.jobs)
    waits = sorted(task.started - task.at for task in tasks)
    slow = fmean(max(1.0, (task.ended - task.at) / max(task.seconds, THRESHOLD)) for task in tasks)
    jain, astray = fairness(trace, tasks)
    return Measures(
        max(task.ended for task in tasks) - first, bound(trace) - first, fmean(waits), waits[int(0.95 * len(waits))], slow,
        jain, astray,
    )  # fmt: skip


# --- the bound --------------------------------------------------------------------------------------------------------


def bound(trace: Trace) -> float:
    """An instant before which no schedule can end all tasks of the trace, whatever it knew beforehand.

    The latest of: each task's arrival plus its time; for each resource, and for each class of tasks that ask for at least
    this much of everything, and each instant: what arrives from then on needs that much of what the hosts that can run
    it have, or that many of the places that they have for such tasks.
    """
    latest = max(job.at + max(job.times) for job in trace.jobs)
    for need in {job.need for job in trace.jobs}:
        asks = [job for job in trace.jobs if all(n >= m for n, m in zip(job.need, need, strict=True))]
        able = [host for host in trace.hosts if all(n <= h for n, h in zip(need, host.has, strict=True))]
        latest = max(latest, _drained(asks, [(host, times_in(need, host.has)) for host in able], [1] * len(asks)))
        for k in range(4):
            amounts = [job.need[k] for job in asks]
            if any(amounts):
                latest = max(latest, _drained(asks, [(host, host.has[k]) for host in able], amounts))
    for k in range(4):
        latest = max(
            latest, _drained(trace.jobs, [(h, h.has[k]) for h in trace.hosts], [j.need[k] for j in trace.jobs])
        )
    return latest


def _drained(jobs: Sequence[Job], hosts: list[tuple[Host, int]], amounts: list[int]) -> float:
    """The earliest end of all this work if it could be cut at will: over all instants, of what arrives from then on."""
    work, latest = 0.0, 0.0
    order = sorted(zip(jobs, amounts, strict=True), key=lambda pair: -pair[0].at)
    for at, together in groupby(order, key=lambda pair: pair[0].at):
        work += sum(amount * sum(job.times) for job, amount in together)
        if work:
            latest = max(latest, _served(hosts, at, work))
    return latest


def _served(hosts: list[tuple[Host, int]], since: float, work: float) -> float:
    """When hosts that begin at `since` have served this much, each as much a second as is said beside it."""
    steps = sorted(
        step
        for host, amount in hosts
        for begin, end in host.spans
        if end > since
        for step in ((max(begin, since), amount), (end, -amount))
    )
    rate, at = 0, since
    for when, change in steps:
        if rate and at + work / rate <= when:
            return at + work / rate
        work -= rate * (when - at)
        rate, at = rate + change, when
    raise AssertionError("the trace's hosts go before its work is done")


# --- fairness ---------------------------------------------------------------------------------------------------------


def fairness(trace: Trace, tasks: Sequence[Task]) -> tuple[float | None, float | None]:
    """(Jain's index of what users got for their weight while they waited, mean of the windows' largest deviations)"""
    total = tuple(sum(host.has[k] for host in trace.hosts) or 1 for k in range(4))
    users = sorted({task.user for task in tasks})
    queues = {user: _Waiting(task for task in tasks if task.user == user) for user in users}
    end = max(task.ended for task in tasks)
    width = end / WINDOWS
    got, due, gaps = dict.fromkeys(users, 0.0), dict.fromkeys(users, 0.0), []
    served = _served_by_window(tasks, total, width)
    for k in range(WINDOWS):
        waiting = [u for u in users if all(queues[u].at(k * width + x * width) for x in (0.01, 0.25, 0.5, 0.75, 0.99))]
        amounts = {u: served.get((u, k), 0.0) for u in waiting}
        everything = sum(amounts.values())
        if len(waiting) < 2 or not everything:
            continue
        weights = sum(trace.weights.get(u, 1.0) for u in waiting)
        for u in waiting:
            got[u] += amounts[u]
            due[u] += everything * trace.weights.get(u, 1.0) / weights
        gaps.append(max(abs(amounts[u] / everything - trace.weights.get(u, 1.0) / weights) for u in waiting))
    if not gaps:
        return None, None
    parts = [got[u] / due[u] for u in users if due[u]]
    return sum(parts) ** 2 / (len(parts) * sum(x * x for x in parts)), fmean(gaps)


def _served_by_window(tasks: Iterable[Task], total: Amounts, width: float) -> dict[tuple[str, int], float]:
    """What each user got in each window: its tasks' largest share of any resource, times seconds."""
    served: dict[tuple[str, int], float] = {}
    for task in tasks:
        share = max(n / t for n, t in zip(task.need, total, strict=True))
        for since, until, _ in task.runs:
            for k in range(int(since / width), int(until / width) + 1):
                overlap = min(until, (k + 1) * width) - max(since, k * width)
                served[(task.user, k)] = served.get((task.user, k), 0.0) + share * max(0.0, overlap)
    return served


class _Waiting:
    """How many of some tasks wait at an instant."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        kept = list(tasks)
        self.arrivals = sorted(task.at for task in kept)
        self.starts = sorted(task.started for task in kept)

    def at(self, instant: float) -> bool:
        return bisect_right(self.arrivals, instant) > bisect_left(self.starts, instant)
