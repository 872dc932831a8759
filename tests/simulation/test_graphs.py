"""Graphs in the same harbour: whatever happens, no task runs before what it requires, and none is forgotten.

The ledger knows each requirement by itself and is asked at every event; the end of every walk is that every task ended.
"""

import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from longshore_common import events as e
from longshore_common.ids import TaskRange
from longshore_common.model import Array, Parts, Specs

from .test_core import SPECS, TERMINAL, Harbour
from .test_walks import Walk


class Graphs(Harbour):
    """A harbour whose users submit graphs too."""

    @rule(
        size=st.integers(1, 8), dice=st.integers(0, 999), pick=st.integers(0, 99),
        ties=st.sampled_from(["edges", "each", "both", "all"]), parts=st.booleans(), held=st.booleans(), anyhow=st.booleans(),
        patient=st.booleans(),
    )  # fmt: skip
    def submit_tied(self, size, dice, pick, ties, parts, held, anyhow, patient):
        self.keys += 1
        chance = random.Random(dice)
        requires, each = (), ties in ("each", "all")
        if ties != "edges" and self.subs:
            requires = self.some_range(pick, size if each else 1)
            size = len(requires[0]) if each and requires else size
        edges = () if ties == "each" else random_edges(chance, size)
        specs = tuple(SPECS[(pick + k) % len(SPECS)] for k in range(size))
        key = f"k{self.keys}"
        body = Array(spec=specs[0], size=size) if ties == "each" else Specs(specs=specs, edges=edges)
        if parts and ties != "each":
            for part, spec in enumerate(specs):
                mine = edges[part :: len(specs)]
                self.tape.add(e.SubmissionPartSent(key=key, part=part, specs=(spec,), edges=mine), "ada")
            body = Parts(parts=size, size=size, edges=len(edges))
        event = e.TasksSubmitted(
            key=key, batch=f"b{pick % 2}", body=body, held=held and pick % 3 == 0, requires=requires, each_requires=each,
            requires_any_outcome=anyhow, on_failed_requirement="wait" if patient else "fail",
        )  # fmt: skip
        self.subs.append(self.tape.add(event, "ada").seq)

    def some_range(self, pick, size):
        source = self.subs[pick % len(self.subs)]
        body = self.tape.records[source - 1].event.body
        known = len(body.specs) if isinstance(body, Specs) else body.size
        return (TaskRange(source, 0, min(known, size) - 1),)

    def drain(self) -> None:
        """What waits for something to be mended gets it mended, as often as it takes."""
        for _ in range(12):
            for _ in range(40):
                self.calm()
                if all(where in TERMINAL for where in self.ledger.state.values()):
                    break
            for sub in self.subs:
                if any(w == "waiting" for (s, _), w in self.ledger.state.items() if s == sub):
                    for source in self.subs:
                        self.release_held(source)
        super().drain()

    def calm(self):
        self.catch_up(0)
        self.read()
        self.turn(0)
        for agent in self.agents:
            agent.read(100)
            for attempt in list(agent.held):
                agent.held[attempt].wanted = "run"
                agent.advance(attempt)
            agent.flush(twice=False)
        self.tape.now += 30


def random_edges(chance, size):
    """Edges without a circle, over ordinals in no order."""
    place = list(range(size))
    chance.shuffle(place)
    pairs = [(place[d], place[r]) for d in range(size) for r in range(d)]
    chosen = [pair for pair in pairs if chance.random() < 0.4]
    return tuple(chosen + chosen[:1])  # one of them twice


Graphs.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True,
    database=None,
)  # fmt: skip
TestGraphs = Graphs.TestCase


class GraphWalk(Walk):
    """A long walk with graphs among the submissions."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.harbour = Graphs()
        self.harbour.somebody_leads(False)

    def submit(self) -> None:
        d = self.dice
        if d.random() < 0.4:
            super().submit()
            return
        self.harbour.submit_tied(
            d.randint(1, 9), d.randrange(1000), d.randrange(100), d.choice(["edges", "each", "both", "all"]), d.random() < 0.3,
            d.random() < 0.2, d.random() < 0.3, d.random() < 0.3,
        )  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_on_a_long_walk_no_task_runs_before_what_it_requires_and_every_task_ends(seed):
    walk = GraphWalk(seed)
    for step in range(700):
        walk.step()
        if step % 20 == 0:
            walk.look()
    walk.look()
    walk.harbour.teardown()
    events = [record.event for record in walk.harbour.tape.records]
    kinds = Counter(type(event) for event in events)
    assert kinds[e.RequirementsMet]
    assert any(event.tasks for event in events if isinstance(event, e.RequirementsMet))
    fallen = any(event.cause == "requirement" for event in events if isinstance(event, e.TasksFailed))
    assert fallen or seed, "the first walk at least is to meet a failed requirement"
