"""What users may rely on in any workload: nothing promised twice, nobody starves, priority first, shares by weight.

The real core runs small traces in the simulator of the bench; what each property means is computed here from scratch.
"""

from itertools import pairwise

import pytest
from bench.simulator.engine import Engine, Place, Task
from bench.simulator.measures import bound
from bench.simulator.ours import Longshore
from bench.simulator.standard import standard
from bench.simulator.trace import GB, Amounts, Host, Job, Trace
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

#: Seconds for which a host may be idle while another has something in advance: what is not worth a message, and the time
#: until the simulated dispatcher looks again although nothing happened. Little against the run times in that test.
WORTH = 10.0

quick = settings(
    max_examples=60,
    phases=(Phase.explicit, Phase.generate),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)

hosts = st.lists(
    st.tuples(st.integers(1, 8), st.sampled_from([4 * GB, 16 * GB, 64 * GB]), st.integers(0, 2)), min_size=1, max_size=4
).map(lambda some: [Host(f"w{k}", *has) for k, has in enumerate(some)])
arrivals, durations = st.floats(0, 50), st.lists(st.floats(1, 40), min_size=1, max_size=6).map(tuple)
cpus, memory = st.sampled_from([0, 0.5, 1, 2, 5, 8]), st.sampled_from([0, GB, 6 * GB, 30 * GB])
gpus, users, batches = st.sampled_from([0, 0, 0, 1, 2]), st.sampled_from(["ada", "ben"]), st.sampled_from(["b0", "b1"])
jobs = st.lists(
    st.builds(Job, arrivals, durations, cpus, memory, gpus, users, batches, st.sampled_from([0, 0, 1])),
    min_size=1,
    max_size=12,
)


def runnable(some: list[Job], where: list[Host]) -> tuple[Job, ...]:
    """Those of the jobs that some host could ever run."""
    return tuple(
        sorted(
            job for job in some if any(all(n <= h for n, h in zip(job.need, host.has, strict=True)) for host in where)
        )
    )


def slower(some: tuple[Job, ...], times: float) -> tuple[Job, ...]:
    """The same jobs, and everything takes so many times as long."""
    return tuple(job._replace(at=job.at * times, times=tuple(x * times for x in job.times)) for job in some)


def counted(need: Amounts) -> Amounts:
    """What asks for nothing takes a CPU where requests alone decide."""
    return need if any(need[1:]) else (1, 1000, 0, 0)


class Watched(Longshore):
    """The core, and beside it what was placed where and has not ended, and what waits."""

    def __init__(self, trace: Trace) -> None:
        super().__init__(trace)
        self.holds: dict[str, set[Task]] = {}
        self.has = {host.name: host.has for host in trace.hosts}
        self.waits: set[Task] = set()

    def submitted(self, now: float, job: int, tasks: list[Task]) -> None:
        self.waits.update(tasks)
        super().submitted(now, job, tasks)

    def turn(self, now: float):
        actions = list(super().turn(now))
        placed = [action for action in actions if isinstance(action, Place)]
        for action in placed:
            self.holds.setdefault(action.host, set()).add(action.task)
            self.waits.discard(action.task)
        self.check_promises()
        self.check_order([action.task for action in placed])
        return actions

    def check_promises(self) -> None:
        """In advance a host may be given as much again as it has, but nothing that it could never run."""
        for name, tasks in self.holds.items():
            for k in (1, 2, 3):
                assert sum(task.need[k] for task in tasks) <= 2 * self.has[name][k], f"{name} was promised thrice"
                assert all(task.need[k] <= self.has[name][k] for task in tasks)

    def check_order(self, placed: list[Task]) -> None:
        """Where a task found a place, one of higher priority that asks for no more would have found it."""
        given = {(task.priority, counted(task.need)) for task in placed}
        for task in self.waits:
            for priority, need in given:
                asks_no_more = all(n <= m for n, m in zip(counted(task.need), need, strict=True))
                assert task.priority <= priority or not asks_no_more, (
                    f"{task.job}.{task.number} waits with priority {task.priority} for {task.need} "
                    f"while one of {priority} was given {need}"
                )

    def ended(self, now: float, task: Task) -> None:
        self.holds[task.host].discard(task)
        super().ended(now, task)

    def returned(self, now: float, task: Task) -> None:
        for tasks in self.holds.values():
            tasks.discard(task)
        self.waits.add(task)
        super().returned(now, task)


@quick
@given(some=jobs, where=hosts)
def test_promises_and_priorities_are_kept_and_everything_that_can_run_does(some, where):
    trace = Trace("any", runnable(some, where), tuple(where))
    if not trace.jobs:
        return
    tasks = Engine(trace, Watched(trace)).run(limit=10_000)
    assert all(task.ended >= 0 and task.tries >= 1 for task in tasks)
    assert max(task.ended for task in tasks) >= bound(trace) - 1e-6, (
        "faster than any schedule can be: the engine is wrong"
    )


@quick
@given(some=jobs, where=hosts)
@example(  # given back once, it is behind another again: by now the host that gave it back is idle
    some=[Job(0, (1,)), Job(0, (4,), priority=2), Job(1, (1, 2, 1, 1), 0.5, gpus=0, priority=1)],
    where=[Host("w0", 1, 4 * GB, 1), Host("w1", 1, 4 * GB, 2)],
)
def test_no_host_is_idle_while_something_waits_that_it_could_run(some, where):
    """Not for longer than it is worth to fetch a task back that was given to another in advance."""
    trace = Trace("any", slower(runnable(some, where), 10), tuple(where))
    if not trace.jobs:
        return
    tasks = Engine(trace, Watched(trace)).run(limit=100_000)
    for task in tasks:
        for host in trace.hosts:
            if not all(n <= h for n, h in zip(task.need, host.has, strict=True)):
                continue
            edges = sorted(
                {task.at, task.started}
                | {x for other in tasks for run in other.runs if run[2] == host.name for x in run[:2]}
            )
            for since, until in pairwise(edges):
                if task.at <= since and until <= task.started and until - since > WORTH:
                    busy = any(
                        run[2] == host.name and run[0] < until and run[1] > since for o in tasks for run in o.runs
                    )
                    assert busy, f"{host.name} was idle from {since} to {until} while {task.job}.{task.number} waited"


@pytest.mark.parametrize("name", ["Google 2011 machines", "bursts of arrays"])
def test_promises_and_priorities_are_kept_in_a_long_trace(name):
    trace = next(trace for trace in standard(1, 0.25) if trace.name == name)
    Engine(trace, Watched(trace)).run()
