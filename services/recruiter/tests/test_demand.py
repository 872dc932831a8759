"""What waits, in which shapes, since when, and what serves it: the fold the hiring will start from."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore_common import events as e
from longshore_common import subjects
from longshore_common.adapters.memory_log import MemoryTransport
from longshore_common.ids import SubmissionId, TaskRange
from longshore_common.log import Entry, Malformed, Recorded
from longshore_common.model import Array, HostFacts, Parts, Specs, TaskSpec
from longshore_recruiter.core.demand import Demand, demand, slots
from longshore_recruiter.core.evolve import evolve
from longshore_recruiter.core.indices import Indices
from longshore_recruiter.core.state import Shape, State
from longshore_recruiter.service import Recruiter

TRUE = TaskSpec(command=("true",))
BIG = TaskSpec(command=("true",), cpus=8, memory=32 << 30, container="busybox")


class Story:
    """Events one after the other, each at the next second, folded as they come."""

    def __init__(self) -> None:
        self.state = State()
        self.seq = 0

    def tell(self, event: e.Event | Malformed, name: str = "ann") -> int:
        self.seq += 1
        subject = subjects.of(event, name) if isinstance(event, e.Event) else "log.user.ann.wish"
        record = Recorded(self.seq, 1000.0 + self.seq, subjects.author(subject), subject, event)
        evolve(self.state, record)
        evolve(self.state, record)  # a repeat changes nothing
        return self.seq

    def submit(self, size: int, spec: TaskSpec = TRUE, **more: object) -> SubmissionId:
        event = e.TasksSubmitted(key=f"k{self.seq}", batch="b", body=Array(spec=spec, size=size), **more)  # type: ignore[arg-type]
        return SubmissionId(self.tell(event))

    def assign(self, submission: SubmissionId, *indices: int, n: int = 1) -> None:
        starts = tuple(e.Start(i, n) for i in indices)
        order = e.Order(submission=submission, spec=TRUE, batch="b", user="ann", starts=starts)
        self.tell(e.AttemptsAssigned(orders=(order,)), "w1")

    def succeed(self, submission: SubmissionId, *indices: int, n: int = 1) -> None:
        ended = tuple(e.Ended(f"{submission}.{i}.{n}", "succeeded", 0) for i in indices)  # type: ignore[arg-type]
        self.tell(e.AttemptsReported(life=1, n=1, ended=ended), "w1")

    @property
    def demand(self) -> list[Demand]:
        return demand(self.state)

    @property
    def waiting(self) -> int:
        return sum(d.tasks for d in self.demand)


@pytest.fixture
def story() -> Story:
    return Story()


def test_an_array_is_demanded_in_one_shape_since_it_was_submitted(story: Story) -> None:
    story.submit(1_000_000, BIG)
    assert story.demand == [Demand("b", {Shape(8, 32 << 30, 0, 0, True): 1_000_000}, 1001.0, 0)]


def test_assigned_tasks_are_no_demand_and_requeued_ones_are_again(story: Story) -> None:
    array = story.submit(10)
    story.assign(array, 0, 1, 2, 5)
    assert story.waiting == 6
    story.tell(e.TasksRequeued(tasks=(e.Requeue(array, 1, 1), e.Requeue(array, 5, 1))), "w1")
    assert story.waiting == 8


def test_the_oldest_waiting_is_counted_anew_after_nothing_waited(story: Story) -> None:
    array = story.submit(1)
    story.assign(array, 0)
    story.tell(e.TasksRequeued(tasks=(e.Requeue(array, 0, 1),)))
    assert story.demand[0].since == 1003.0


def test_what_requires_others_or_is_held_is_demanded_only_when_it_is_queued(story: Story) -> None:
    first = story.submit(1)
    second = story.submit(5, requires=(TaskRange(first, 0, 0),))
    third = story.submit(7, held=True)
    assert story.waiting == 1
    story.tell(e.RequirementsMet(submissions=(second,)))
    assert story.waiting == 6
    story.tell(e.TasksRetried(tasks=(TaskRange(third, 0, 6),)))
    assert story.waiting == 13


def test_different_specs_are_counted_by_shape(story: Story) -> None:
    story.tell(e.TasksSubmitted(key="k", batch="b", body=Specs(specs=(TRUE, BIG, BIG, TRUE))))
    assert story.demand[0].shapes == {Shape(): 2, Shape(8, 32 << 30, 0, 0, True): 2}


def test_parts_are_counted_when_their_submission_closes(story: Story) -> None:
    story.tell(e.SubmissionPartSent(key="k", part=1, specs=(BIG,)))
    story.tell(e.SubmissionPartSent(key="k", part=0, specs=(TRUE, TRUE)))
    assert story.demand == []
    array = SubmissionId(story.tell(e.TasksSubmitted(key="k", batch="b", body=Parts(parts=2, size=3))))
    story.assign(array, 0)
    assert story.demand[0].shapes == {Shape(): 1, Shape(8, 32 << 30, 0, 0, True): 1}


def test_rejected_and_repeated_submissions_are_no_demand(story: Story) -> None:
    first, second = story.submit(3), story.submit(3)
    story.tell(e.SubmissionRejected(submission=first, reason="no"))
    story.tell(e.SubmissionDuplicated(submission=second, first=first))
    assert story.demand == []


def test_a_paused_batch_is_no_demand_until_it_is_resumed(story: Story) -> None:
    story.submit(3)
    story.tell(e.BatchPaused(batch="b"))
    assert story.demand == []
    story.tell(e.BatchResumed(batch="b"))
    assert story.waiting == 3


def test_only_workers_that_take_this_batch_now_serve_it(story: Story) -> None:
    for name, batch in (("any", "*"), ("mine", "b"), ("other", "c"), ("gone", "*"), ("idle", "*")):
        story.tell(e.WorkerJoined(life=1, facts=HostFacts(), concurrency=4, batch=batch), name)
    story.tell(e.WorkerLost(reason="silent"), "gone")
    story.tell(e.WorkerPaused(), "idle")
    assert slots(story.state, "b") == 8
    story.tell(e.WorkerResized(concurrency=1), "mine")
    story.tell(e.WorkerResumed(), "idle")
    story.tell(e.WorkerLeft(life=1), "any")
    assert slots(story.state, "b") == 5


def test_a_finished_submission_is_forgotten_unless_it_may_be_asked_for_again(story: Story) -> None:
    good, bad = story.submit(2), story.submit(2)
    story.assign(good, 0, 1)
    story.succeed(good, 0, 1)
    story.assign(bad, 0, 1)
    story.succeed(bad, 0)
    story.tell(e.TasksFailed(tasks=(TaskRange(bad, 1, 1),), cause="exit"))
    assert list(story.state.submissions) == [bad]
    story.tell(e.TasksRetried(tasks=(TaskRange(bad, 1, 1),)))
    assert story.waiting == 1


def test_a_report_of_a_superseded_attempt_keeps_the_submission(story: Story) -> None:
    array = story.submit(1)
    story.assign(array, 0)
    story.tell(e.TasksRequeued(tasks=(e.Requeue(array, 0, 1),)))
    story.assign(array, 0, n=2)
    story.succeed(array, 0, n=1)
    assert array in story.state.submissions


def test_what_ran_out_of_memory_is_wanted_with_more_of_it(story: Story) -> None:
    array = story.submit(2, TaskSpec(command=("x",), memory=2 << 30))
    story.assign(array, 0)
    story.tell(e.TasksRequeued(tasks=(e.Requeue(array, 0, 1, 0, "oom", "", 3 << 30),)))
    (found,) = demand(story.state)
    assert {shape.memory: count for shape, count in found.shapes.items()} == {2 << 30: 1, 3 << 30: 1}
    story.assign(array, 0, n=2)
    (found,) = demand(story.state)
    assert {shape.memory: count for shape, count in found.shapes.items()} == {2 << 30: 1}


def test_hosts_that_take_no_work_serve_nothing_until_they_do_again(story: Story) -> None:
    story.submit(1)

    def slots() -> int:
        return demand(story.state)[0].slots

    story.tell(e.WorkerJoined(life=1, facts=HostFacts(), concurrency=4), "w1")
    assert slots() == 4
    story.tell(e.WorkerHindered(life=1, reason="its disk is full"), "w1")
    assert slots() == 0
    story.tell(e.WorkerHindered(life=1), "w1")
    assert slots() == 4
    for quarantine, trusted in ((1, e.WorkerTrusted()), (2, e.WorkerResumed())):
        story.tell(e.WorkerQuarantined(reason="it fails", until=2.0 * quarantine), "w1")
        story.tell(e.WorkerJoined(life=1, facts=HostFacts(), concurrency=4), "w1")
        assert slots() == 0
        story.tell(trusted, "w1")
        assert slots() == 4
    story.tell(e.WorkerEvicted(life=1, at=2.0), "w1")
    assert slots() == 0
    story.tell(e.WorkerJoined(life=1, facts=HostFacts(), concurrency=4), "w1")
    assert slots() == 4


def test_unreadable_events_and_odd_attempts_change_nothing(story: Story) -> None:
    story.submit(1)
    story.tell(Malformed("bytes"))
    story.tell(e.AttemptsReported(life=1, n=1, ended=(e.Ended("nonsense", "succeeded"),)), "w1")  # type: ignore[arg-type]
    assert story.waiting == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(0, 8))))
def test_ranges_of_indices_hold_what_a_set_would(steps: list[tuple[bool, int, int]]) -> None:
    ours, model = Indices(), set[int]()
    for adds, lo, length in steps:
        span = range(lo, lo + length + 1)
        if adds:
            ours.add(span[0], span[-1])
            model |= set(span)
        else:
            ours.remove(span[0], span[-1])
            model -= set(span)
        ranges = list(ours)
        assert len(ours) == len(model)
        assert {i for lo, hi in ranges for i in range(lo, hi + 1)} == model
        assert all(a[1] + 1 < b[0] for a, b in itertools.pairwise(ranges))


async def test_the_service_follows_the_log_and_tells_what_changed() -> None:
    class Still:
        def now(self) -> float:
            return 7.0

    transport = MemoryTransport(Still())
    recruiter = Recruiter(transport.log)
    following = asyncio.create_task(recruiter.follow())
    event = e.TasksSubmitted(key="k", batch="b", body=Array(spec=TRUE, size=9))
    seq = await transport.log.append(Entry(event, "ann", "1"))
    async with asyncio.timeout(5):
        while recruiter.state.position < seq:
            await asyncio.sleep(0)
    assert [d.tasks for d in recruiter.look()] == [9]
    assert recruiter.look() == []
    following.cancel()
    await asyncio.wait({following})
