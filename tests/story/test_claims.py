"""A task that fits nowhere now gets a place in bounded time, and what is around it is filled meanwhile."""

from longshore_common import events as e
from longshore_common.model import HostFacts, TaskSpec
from longshore_dispatcher.core import snapshot

FOUR = HostFacts(cpus=4, memory=1 << 34)


def asking(cpus=1, **more):
    return TaskSpec(command=("true",), cpus=cpus, **more)


def busy(desk, *names, took=None):
    """Workers of four CPUs, each with four tasks of one CPU that run; none is taken in advance."""
    running = {}
    sub = desk.accepted(4 * len(names), spec=asking())
    for name in names:
        desk.worker(name, slots=-1, prefetch=0, facts=FOUR)
    desk.when_settled()
    for name, starts in desk.starts().items():
        running[name] = starts
        desk.moved(name, "running", *starts)
    return sub, running


def claims(desk):
    return [(x.worker, x.submission) for x in desk.every(e.PlaceReserved)]


def test_a_big_task_claims_a_worker_before_smaller_ones_behind_it_pass(desk):
    _, running = busy(desk, "w1")
    desk.later(20)
    big = desk.accepted(1, spec=asking(4))
    small = desk.accepted(50, spec=asking())
    desk.when_settled()
    assert claims(desk) == []  # nobody can pass it yet
    desk.ended("w1", running["w1"][0], took=20)
    desk.when_settled()
    assert claims(desk) == [("w1", big)]
    assert desk.starts() == {}
    for attempt in running["w1"][1:]:
        desk.ended("w1", attempt, took=20)
        desk.when_settled()
    assert desk.starts() == {"w1": [(big, 0, 1)]}
    assert desk.state.reservations == {}
    desk.ended("w1", (big, 0, 1))
    desk.when_settled()
    assert len(desk.starts()["w1"]) == 4
    assert desk.state_of(small, 0) == "assigned"


def test_what_is_tried_again_starts_where_it_has_its_claim(desk):
    """It kept its worker for itself and never started there: found by a seed of the simulation."""
    desk.worker("w1", slots=-1, prefetch=0, facts=FOUR)
    big = desk.accepted(1, spec=asking(4, retries=3))
    desk.when_settled()
    desk.moved("w1", "running", (big, 0, 1))
    desk.accepted(50, spec=asking())
    desk.ended("w1", (big, 0, 1), "failed", "exit", code=1)
    desk.when_settled()
    running = desk.starts()["w1"]
    desk.moved("w1", "running", *running)
    desk.later(20)
    for attempt in running:
        desk.ended("w1", attempt, took=20)
        desk.when_settled()
    assert desk.starts() == {"w1": [(big, 0, 2)]}
    assert desk.state.reservations == {}


def test_without_a_claim_it_would_be_passed_for_ever_with_one_it_starts_when_the_longest_has_ended(desk):
    _, running = busy(desk, "w1")
    big = desk.accepted(1, spec=asking(4))
    desk.accepted(1000, spec=asking())
    queue = list(running["w1"])
    turns = 0
    while desk.state_of(big) == "queued":
        desk.later(5)
        desk.ended("w1", queue.pop(0), took=20)
        desk.when_settled()
        new = desk.starts().get("w1", [])
        if new:
            desk.moved("w1", "running", *new)
        queue += new
        turns += 1
        assert turns <= 5, "it is passed again and again"


def test_what_fits_beside_the_claim_is_placed_there(desk):
    desk.worker("w1", slots=-1, prefetch=0, facts=HostFacts(cpus=4, memory=1 << 34, gpus=1))
    desk.accepted(2, spec=asking(1.5))
    desk.when_settled()
    desk.moved("w1", "running", *desk.starts()["w1"])
    desk.later(30)
    big = desk.accepted(1, spec=asking(3))
    one = desk.accepted(4, spec=asking(1))
    desk.when_settled()
    assert claims(desk) == [("w1", big)]
    assert desk.starts() == {"w1": [(one, 0, 1)]}  # three of four are claimed
    desk.when_settled()
    assert desk.starts() == {}


def test_what_surely_ends_before_is_placed_there(desk):
    _, running = busy(desk, "w1")
    desk.later(100)
    big = desk.accepted(1, spec=asking(4))
    desk.accepted(5, spec=asking())
    desk.ended("w1", running["w1"][0], took=100)
    desk.when_settled()
    assert claims(desk) == [("w1", big)]
    until = desk.state.reservations["w1"].until
    assert until > desk.now
    short = desk.accepted(5, spec=asking(run_timeout=1, grace=1))
    desk.when_settled()
    assert desk.starts() == {"w1": [(short, 0, 1)]}
    desk.accepted(5, spec=asking(run_timeout=10_000))
    desk.ended("w1", (short, 0, 1), took=1)
    desk.when_settled()
    assert desk.starts() == {"w1": [(short, 1, 1)]}


def test_a_higher_priority_is_not_bound_by_a_claim(desk):
    _, running = busy(desk, "w1")
    desk.later(20)
    big = desk.accepted(1, spec=asking(4))
    desk.accepted(5, spec=asking())
    desk.ended("w1", running["w1"][0], took=20)
    desk.when_settled()
    assert claims(desk) == [("w1", big)]
    urgent = desk.accepted(1, spec=asking(), priority=3)
    desk.when_settled()
    assert desk.starts() == {"w1": [(urgent, 0, 1)]}


def test_a_claim_is_given_up_when_nothing_stands_behind_it(desk):
    for what in ("cancel", "pause batch", "pause worker", "resize", "lost"):
        desk.__init__()
        _, running = busy(desk, "w1")
        desk.later(20)
        big = desk.accepted(1, spec=asking(4), batch="big")
        desk.accepted(5, spec=asking())
        desk.ended("w1", running["w1"][0], took=20)
        desk.when_settled()
        assert claims(desk) == [("w1", big)], what
        match what:
            case "cancel":
                desk.given(e.CancelRequested(tasks=desk.tasks(big, 0)), "ada")
            case "pause batch":
                desk.given(e.BatchPauseRequested(batch="big"), "ada")
            case "pause worker":
                desk.given(e.WorkerPauseRequested(workers=("w1",)), "ada")
            case "resize":
                desk.given(e.WorkerResizeRequested(workers=("w1",), concurrency=0), "ada")
            case "lost":
                desk.given(e.WorkerLost(reason="silent"), "w1")
        desk.when_settled()
        assert desk.then(e.PlaceReserved).worker == "", what
        assert desk.state.reservations == {}, what


def test_one_of_ten_workers_can_be_claimed_at_once(desk):
    names = [f"w{k}" for k in range(20)]
    _, running = busy(desk, *names)
    desk.later(20)
    for k in range(5):
        desk.accepted(1, spec=asking(4 - k / 10), batch=f"big{k}")
    desk.accepted(100, spec=asking())
    for name in names:
        desk.ended(name, running[name][0], took=20)
    desk.when_settled()
    assert len(claims(desk)) == 2
    assert len({worker for worker, _ in claims(desk)}) == 2


def test_tasks_that_ask_for_nothing_never_claim_and_equal_ones_never_pass_each_other(desk):
    _, running = busy(desk, "w1")
    desk.accepted(50)
    desk.accepted(50, spec=asking(4))
    for attempt in running["w1"]:
        desk.later(5)
        desk.ended("w1", attempt, took=5)
        desk.when_settled()
        assert claims(desk) == []


def test_claims_survive_a_snapshot(desk):
    _, running = busy(desk, "w1")
    desk.later(20)
    desk.accepted(1, spec=asking(4))
    desk.accepted(5, spec=asking())
    desk.ended("w1", running["w1"][0], took=20)
    desk.when_settled()
    again = snapshot.from_bytes(snapshot.to_bytes(desk.state))
    assert again.reservations == desk.state.reservations != {}
