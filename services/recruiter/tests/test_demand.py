"""What waits, in which shapes, since when, and what serves it: read off the hints that the dispatcher leaves."""

import asyncio

import msgspec
import pytest

from longshore_common import subjects
from longshore_common.adapters.memory_log import MemoryTransport
from longshore_common.demand import BatchDemand, Leader, Shape, Waiting
from longshore_common.log import Kept
from longshore_common.testing.waiting import until
from longshore_recruiter.core.demand import Demand, demand
from longshore_recruiter.core.state import State, take
from longshore_recruiter.service import Recruiter

PLAIN = Shape()
BIG = Shape(cpus=8, memory=32 << 30, container=True)


def hint(batch="b", tasks=3, shape=PLAIN, leader=1, **more):
    waiting = (Waiting(shape=shape, tasks=tasks, since=7.0),) if tasks else ()
    told = BatchDemand(batch=batch, waiting=more.pop("waiting", waiting), leader=leader, **more)
    return {subjects.demand(batch): msgspec.json.encode(told)}


def lead(fence=1):
    return {subjects.DEMAND_LEADER: msgspec.json.encode(Leader(fence=fence, name="d"))}


@pytest.fixture
def state():
    return State()


def whole(state, *hints):
    take(state, Kept(whole=True, values={k: v for each in hints for k, v in each.items()}))


def change(state, *hints):
    take(state, Kept(whole=False, values={k: v for each in hints for k, v in each.items()}))


def waiting(state):
    return {d.batch: d.tasks for d in demand(state)}


def test_demand_is_told_per_batch_and_shape(state):
    both = (Waiting(shape=BIG, tasks=1, since=9.0, ahead=1), Waiting(shape=BIG, tasks=1, since=8.0, priority=5))
    whole(state, lead(), hint("a", slots=4), hint("b", waiting=both))
    a, b = demand(state)
    assert a == Demand("a", {PLAIN: 3}, 7.0, 4, a.waiting)
    assert (b.shapes, b.since, b.tasks, b.waiting) == ({BIG: 3}, 8.0, 3, both)


def test_changes_replace_add_and_remove_batches(state):
    whole(state, lead(), hint("a"), hint("b"))
    change(state, hint("a", 5), {subjects.demand("b"): b""}, hint("c", 1))
    assert waiting(state) == {"a": 5, "c": 1}


def test_a_paused_batch_is_no_demand_until_it_is_resumed(state):
    whole(state, lead(), hint(paused=True))
    assert demand(state) == []
    change(state, hint())
    assert waiting(state) == {"b": 3}


def test_an_emptied_store_is_no_empty_queue(state):
    assert not state.known
    whole(state, lead(), hint())
    assert state.known
    whole(state)
    assert not state.known
    assert waiting(state) == {"b": 3}
    whole(state, lead())
    assert state.known
    assert waiting(state) == {}


def test_a_new_leader_replaces_what_its_predecessor_said(state):
    whole(state, lead(1), hint("a"), hint("b"))
    change(state, hint("a", 9, leader=5))
    change(state, lead(5))
    assert waiting(state) == {"a": 9}


def test_who_leads_no_more_is_not_heard(state):
    whole(state, lead(5), hint("a", leader=5))
    change(state, hint("a", 99, leader=1), hint("b", 99, leader=1), lead(1))
    assert waiting(state) == {"a": 3}
    assert state.leader == 5


def test_hints_that_cannot_be_read_change_nothing(state):
    whole(state, lead(), hint("a"))
    change(state, {subjects.demand("a"): b"{", subjects.DEMAND_LEADER: b"\xff"})
    assert waiting(state) == {"a": 3}
    assert state.known


async def test_the_service_tells_what_changed_and_reads_what_is_retained_after_a_restart():
    transport = MemoryTransport()
    recruiter = Recruiter(transport.retained)
    following = asyncio.create_task(recruiter.follow())
    await transport.retained.keep({**hint(tasks=9), **lead()})
    await until(lambda: recruiter.state.batches)
    assert [d.tasks for d in recruiter.look()] == [9]
    assert recruiter.look() == []
    following.cancel()
    await asyncio.wait({following})
    again = Recruiter(transport.retained)
    following = asyncio.create_task(again.follow())
    await until(lambda: again.state.known)
    assert [d.tasks for d in again.look()] == [9]
    following.cancel()
    await asyncio.wait({following})
