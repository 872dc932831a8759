"""Long walks over the same harbour: most steps are work, some are trouble, so that much is under way when it comes.

Where the property test looks for the shortest sequence that breaks a rule, a walk goes far: thousands of attempts, all
kinds of ends. Seeds are fixed, so a walk that fails fails again.
"""

import random
from collections import Counter

import pytest

from longshore_common import events as e

from .test_core import CAUSES, Harbour

KINDS = ["array", "specs", "parts"]
TASK_WISHES = ["cancel", "retry", "stop", "kill", "pause", "continue", "checkpoint", "SIGUSR1"]
WORKER_WISHES = ["pause", "drain", "resume", "resume", "resize", "clean", "remotes"]
ACCIDENTS = ["killed", "host gone", "cut off", "back", "back", "left"]
SAYS = ["hindered", "free", "free", "evicted", "holds"]


class Walk:
    """A harbour and a die."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.harbour = Harbour()
        self.harbour.somebody_leads(False)

    def step(self) -> None:
        """Work mostly; every few steps something else."""
        if self.dice.random() < 0.7:
            self.work()
        else:
            others = [self.submit, self.submit, self.wish, self.trouble, self.dispatchers, self.mend]
            self.dice.choice(others)()

    def mend(self) -> None:
        """What was paused, hindered or dead works again."""
        h = self.harbour
        for batch in ("b0", "b1"):
            h.wish_for_a_batch("resume", batch)
        h.wish_for_workers("resume", "", 0)
        h.wish_for_workers("resize", "", 2)
        for agent in h.agents:
            agent.start()

    def work(self) -> None:
        h, d = self.harbour, self.dice
        leader = max((0, 1), key=lambda k: h.seats[k].fence)
        h.catch_up(leader)
        if h.seats[leader].fence != h.seats[leader].state.leader:
            h.elect(leader)
        h.turn(leader)
        for which in range(3):
            h.agent_talks(which, 3, twice=d.random() < 0.05)
            for _ in range(3):
                h.attempt_goes_on(which, d.randrange(100), d.choice(CAUSES) if d.random() < 0.12 else None)
            h.agent_talks(which, 1, twice=False)
        h.time_passes(d.choice([0.1, 1, 1, 10]))

    def submit(self) -> None:
        d = self.dice
        self.harbour.submit(
            d.randint(1, 6), d.choice(KINDS), d.randrange(100), d.random() < 0.2, d.choice([0, 0, 0, 2]),
            d.randint(0, 1), d.random() < 0.2, d.random() < 0.5, d.random() < 0.1,
        )  # fmt: skip

    def wish(self) -> None:
        h, d = self.harbour, self.dice
        kind = d.randrange(4)
        if kind <= 1 and h.subs:
            h.wish_for_tasks(d.randrange(100), d.randint(0, 3), d.randint(0, 3), d.choice(TASK_WISHES))
        elif kind == 2:
            h.wish_for_a_batch(d.choice(["pause", "freeze", "resume", "resume", "keep"]), d.choice(["b0", "b1"]))
        else:
            h.wish_for_workers(d.choice(WORKER_WISHES), d.choice(["w1", "w2", ""]), d.randint(0, 3))

    def trouble(self) -> None:
        h, d = self.harbour, self.dice
        if d.random() < 0.5:
            h.host_says(d.randrange(3), d.choice(SAYS))
        else:
            h.worker_has_an_accident(d.randrange(3), d.choice(ACCIDENTS))

    def dispatchers(self) -> None:
        h, d = self.harbour, self.dice
        what, which = d.randrange(5), d.randrange(2)
        match what:
            case 0:
                h.elect(which)
            case 1:
                h.keep_a_snapshot(which)
            case 2:
                h.restart(which, d.randrange(100))
            case 3:
                h.turn(which, d.randint(0, 30), d.random() < 0.3)
            case _:
                h.catch_up(which, d.randint(0, 100))

    def look(self) -> None:
        """Everything that must always hold."""
        h = self.harbour
        h.the_fold_is_the_same_from_a_snapshot_and_its_tail()
        h.the_core_agrees_with_the_ledger_and_every_open_task_has_a_reason()
        h.outputs_of_one_attempt_only_are_published()


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_on_a_long_walk_the_books_agree_and_every_task_ends(seed):
    walk = Walk(seed)
    for step in range(1200):
        walk.step()
        if step % 20 == 0:
            walk.look()
    walk.look()
    walk.harbour.teardown()
    kinds = Counter[type](type(record.event) for record in walk.harbour.tape.records)
    for kind in (
        e.AttemptsAssigned,
        e.TasksRequeued,
        e.WorkerHindered,
        e.AttemptsReported,
        e.TasksFailed,
        e.SweepOrdered,
    ):
        assert kinds[kind], f"the walk met no {kind.__name__}"
