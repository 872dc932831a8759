"""Memory is a feature: arrays stay ranges, different tasks stay packed, ended submissions leave."""

import tracemalloc

from longshore_common import events as e
from longshore_common.model import Array, Parts, TaskSpec
from longshore_common.testing.tape import Tape
from longshore_dispatcher.core import snapshot
from longshore_dispatcher.core.decide import decide
from longshore_dispatcher.core.evolve import evolve
from longshore_dispatcher.core.state import State


def grown(work):
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = work()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return kept, after - before


def accepted(body, *parts):
    tape, state = Tape(), State()
    for part in parts:
        evolve(state, tape.add(part, "ada"))
    submission = tape.add(e.TasksSubmitted(key="k", batch="b", body=body), "ada")
    evolve(state, submission)
    for event, name in decide(state, tape.now):
        evolve(state, tape.add(event, name))
    assert state.submissions[submission.seq].accepted
    return state


def test_an_array_of_ten_million_costs_next_to_nothing():
    body = Array(spec=TaskSpec(command=("true",)), size=10_000_000)
    state, bytes_ = grown(lambda: accepted(body))
    assert bytes_ < 50_000
    assert len(snapshot.to_bytes(state)) < 2_000


def test_a_different_task_costs_less_than_a_hundred_bytes():
    def work():
        tape, state = Tape(), State()
        for part in range(20):
            specs = tuple(
                TaskSpec(command=("process", f"--sample=S{part}-{k}", "--depth", str(k))) for k in range(1000)
            )
            evolve(state, tape.add(e.SubmissionPartSent(key="k", part=part, specs=specs), "ada"))
            tape.records.clear()
        record = tape.add(e.TasksSubmitted(key="k", batch="b", body=Parts(parts=20, size=20_000)), "ada")
        evolve(state, record._replace(seq=100))
        return state

    state, bytes_ = grown(work)
    assert state.submissions[100].size == 20_000
    assert bytes_ < 100 * 20_000


def test_a_million_started_and_ended_tasks_leave_a_compact_record():
    state = accepted(Array(spec=TaskSpec(command=("true",)), size=1_000))
    tape = Tape()
    tape.records = [None] * 10
    sub = next(iter(state.submissions))
    evolve(state, tape.add(e.TasksFailed(tasks=((sub, 3, 3),), cause="exit"), ""))
    evolve(state, tape.add(e.TasksCancelled(tasks=((sub, 0, 999),)), ""))
    assert state.submissions == {}
    assert (state.closed[sub].failed, state.closed[sub].cancelled) == ([(3, 3)], [(0, 2), (4, 999)])
    assert len(state.closed[sub].revive) < 1_000
