"""Shares follow weights, and nobody waits for ever: what holds of long traces in the simulator, whatever the dice say."""

from random import Random

import pytest
from bench.simulator import workloads as w
from bench.simulator.engine import Engine
from bench.simulator.measures import measure
from bench.simulator.ours import Longshore
from bench.simulator.trace import GB, Host, Job, Trace


@pytest.mark.parametrize("seed", range(6))
def test_while_all_wait_each_gets_what_its_weight_says(seed):
    dice = Random(seed)
    users = [f"u{k}" for k in range(dice.randint(2, 4))]
    weights = {user: dice.choice((1, 1, 2, 3, 5)) for user in users}
    jobs = tuple(
        Job(
            dice.random() * 5, w.lognormal(dice, 500, dice.choice((4, 10)), 0.8), 1, dice.choice((1, 2)) * GB, user=user,
            batch=user,
        )
        for user in users
    )  # fmt: skip
    trace = Trace("shares", jobs, w.hosts(3, 8, 32), weights)
    found = measure(trace, Engine(trace, Longshore(trace)).run())
    assert found.jain > 0.97, (weights, found)
    assert found.astray < 0.2, (weights, found)


@pytest.mark.parametrize("minutes", [5, 20])
@pytest.mark.parametrize("seed", range(3))
def test_a_task_that_takes_a_whole_host_starts_soon_however_long_small_ones_would_fill_it(seed, minutes):
    """The bound does not grow with the stream: small ones come faster than they can be served, all the time."""
    dice = Random(seed)
    small = [Job(at, w.lognormal(dice, 4, 5, 0.5), 1, GB, user="many") for at in w.poisson(dice, minutes * 60, 1)]
    wide = [Job(30 + 60 * k, (5.0,), 4, GB, user="few") for k in range(minutes)]
    trace = Trace("a stream", tuple(sorted([*small, *wide])), w.hosts(5, 4, 16))
    tasks = Engine(trace, Longshore(trace)).run()
    waits = [task.started - task.at for task in tasks if task.user == "few"]
    assert max(waits) < 60, waits


@pytest.mark.parametrize("seed", range(3))
def test_who_comes_late_with_little_does_not_wait_for_all_that_others_have_queued(seed):
    dice = Random(seed)
    flood = [Job(0, w.lognormal(dice, 3000, 10, 0.7), 1, GB, user="many")]
    late = [Job(60 * k, w.lognormal(dice, 3, 10, 0.7), 1, GB, user="late") for k in range(1, 8)]
    trace = Trace("a flood", (*flood, *late), w.hosts(4, 8, 32))
    tasks = Engine(trace, Longshore(trace)).run()
    assert max(task.started - task.at for task in tasks if task.user == "late") < 30


def test_who_has_the_claim_starts_though_others_stand_before_it_in_line_for_the_same():
    """They find the place claimed as long as it waits: nobody would ever start."""
    some = (
        Job(0.001, (12.1, 26.9, 34.2, 16.7), 2, 30 * GB, 1, "ada", "b0"),
        Job(2, (13.7, 39, 1.5), 0, GB, 0, "ben", "b1", 1),
        Job(6.5, (38.2, 18.7, 30.2, 26.6, 17.2, 10.2), 1, 6 * GB, 2, "ada", "b1"),
        Job(19.7, (11.3,), 0.5, 6 * GB, 2, "ben", "b0"),
        Job(26.8, (1.1, 32.8), 0, GB, 0, "ben", "b1", 1),
        Job(27.8, (24, 1), 1, GB, 2, "ada", "b0"),
        Job(31.5, (13.8, 9.6, 7, 25.3, 8.3, 15.3), 1, 6 * GB, 2, "ben", "b1"),
        Job(44.4, (20.7, 1), 1, 6 * GB, 0, "ada", "b0"),
    )
    where = (Host("w0", 6, 64 * GB), Host("w1", 7, 64 * GB, 2), Host("w2", 3, 64 * GB))
    trace = Trace("two in line for one", some, where)
    Engine(trace, Longshore(trace)).run(limit=1000)
