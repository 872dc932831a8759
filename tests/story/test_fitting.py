"""What hosts offer and tasks ask for: alternatives, custom resources, the tightest fit, prefetch by what comes free."""

from longshore_common import events as e
from longshore_common.model import HostFacts, Request, Specs, TaskSpec

GB = 1 << 30
ROOMY = HostFacts(hostname="r", cpus=16, memory=64 * GB, disk=100 * GB, engines=("docker",))


def asking(**what):
    return TaskSpec(command=("true",), **what)


def given(desk):
    """(worker, index, cpus, memory) of all that was just assigned."""
    return [
        (name, s.index, o.spec.cpus, o.spec.memory)
        for event, name in desk.decided
        if isinstance(event, e.AttemptsAssigned)
        for o in event.orders
        for s in o.starts
    ]


def test_disk_and_custom_resources_are_never_promised_twice(desk):
    desk.worker("w1", slots=-1, prefetch=0, facts=HostFacts(cpus=16, disk=100 * GB, custom={"license": 2}))
    a = desk.accepted(3, spec=asking(custom={"license": 1}))
    b = desk.accepted(3, spec=asking(disk=40 * GB))
    desk.when_settled()
    assert sorted(desk.starts()["w1"]) == [(a, 0, 1), (a, 1, 1), (b, 0, 1), (b, 1, 1)]
    desk.ended("w1", (a, 0, 1))
    desk.when_settled()
    assert desk.starts() == {"w1": [(a, 2, 1)]}


def test_half_a_license_is_half_a_license(desk):
    desk.worker("w1", slots=-1, prefetch=0, facts=HostFacts(cpus=16, custom={"license": 1}))
    desk.accepted(3, spec=asking(custom={"license": 0.5}))
    desk.when_settled()
    assert len(desk.starts()["w1"]) == 2


def test_automatic_concurrency_counts_what_asks_for_nothing_as_one_cpu(desk):
    desk.worker("w1", slots=-1, prefetch=0, facts=HostFacts(cpus=4))
    desk.accepted(1, spec=asking(cpus=1.5))
    desk.accepted(9)
    desk.when_settled()
    assert len(desk.starts()["w1"]) == 1 + 2


def test_a_worker_of_concurrency_zero_gets_nothing(desk):
    desk.worker("w1", slots=0)
    desk.accepted(1)
    desk.accepted(1, spec=asking(cpus=1))
    assert desk.when_settled() == []


def test_a_number_binds_beside_requests(desk):
    desk.worker("w1", slots=3, prefetch=0, facts=ROOMY)
    desk.accepted(9, spec=asking(cpus=1))
    desk.when_settled()
    assert len(desk.starts()["w1"]) == 3


def test_the_most_wanted_alternative_that_fits_is_given_and_the_order_says_which(desk):
    desk.worker("w1", slots=-1, prefetch=0, facts=HostFacts(cpus=6, memory=64 * GB))
    spec = asking(cpus=4, alternatives=(Request(cpus=1, memory=2 * GB),))
    desk.accepted(4, spec=spec)
    desk.when_settled()
    assert given(desk) == [("w1", 0, 4, 0), ("w1", 1, 1, 2 * GB), ("w1", 2, 1, 2 * GB)]
    orders = [order for a in desk.every(e.AttemptsAssigned) for order in a.orders]
    assert all(order.spec.alternatives == () for order in orders)
    assert desk.state.loads["w1"].cpus == 6000


def test_an_alternative_runs_where_the_first_wish_never_could(desk):
    desk.worker("w1", slots=-1, facts=HostFacts(cpus=2))
    desk.accepted(1, spec=asking(gpus=1, alternatives=(Request(cpus=2),)))
    desk.when_settled()
    assert given(desk) == [("w1", 0, 2, 0)]


def test_what_is_given_back_is_what_was_given(desk):
    desk.worker("w1", slots=-1, prefetch=0, facts=HostFacts(cpus=6, memory=64 * GB, custom={"x": 1}))
    sub = desk.accepted(2, spec=asking(cpus=6, alternatives=(Request(cpus=1, custom={"x": 1}),)))
    other = desk.accepted(1, spec=asking(cpus=5, memory=GB))
    desk.when_settled()
    desk.ended("w1", (sub, 0, 1))
    desk.when_settled()
    desk.ended("w1", (sub, 1, 1))
    desk.when_settled()
    desk.ended("w1", (other, 0, 1))
    load = desk.state.loads["w1"]
    assert (load.cpus, load.memory, load.custom, load.asking) == (0, 0, {}, 0)


def test_small_tasks_do_not_go_to_hosts_with_gpus_while_there_are_others(desk):
    desk.worker("w1", slots=-1, prefetch=0, facts=HostFacts(cpus=4, gpus=2))
    desk.worker("w2", slots=-1, prefetch=0, facts=HostFacts(cpus=4))
    desk.worker("w3", slots=-1, prefetch=0, facts=HostFacts(cpus=4, custom={"license": 1}))
    desk.accepted(6, spec=asking(cpus=1))
    desk.when_settled()
    assert [name for name, *_ in given(desk)].count("w2") == 4


def test_plain_tasks_leave_special_hosts_alone_as_well(desk):
    desk.worker("w1", slots=2, prefetch=0, facts=HostFacts(cpus=4, gpus=2))
    desk.worker("w2", slots=2, prefetch=0)
    desk.accepted(2)
    desk.when_settled()
    assert list(desk.starts()) == ["w2"]


def test_the_host_with_the_least_left_is_filled_first(desk):
    desk.worker("w1", slots=-1, prefetch=0, facts=HostFacts(cpus=64, memory=256 * GB))
    desk.worker("w2", slots=-1, prefetch=0, facts=HostFacts(cpus=8, memory=32 * GB))
    desk.accepted(4, spec=asking(cpus=2))
    desk.when_settled()
    assert list(desk.starts()) == ["w2"]
    desk.accepted(1, spec=asking(cpus=64))
    desk.when_settled()
    assert list(desk.starts()) == ["w1"]


def test_workers_of_the_batch_come_before_those_that_serve_any(desk):
    desk.worker("w1", slots=2, prefetch=0)
    desk.worker("w2", slots=2, prefetch=0, batch="b")
    desk.accepted(2, batch="b")
    desk.when_settled()
    assert list(desk.starts()) == ["w2"]


def test_tasks_with_requests_are_taken_in_advance_by_one_host_full(desk):
    desk.worker("w1", slots=-1, facts=ROOMY)
    sub = desk.accepted(100, spec=asking(cpus=4))
    desk.when_settled()
    assert len(desk.starts()["w1"]) == 4 + 4
    assert desk.when_decided() == []
    desk.moved("w1", "running", *[(sub, k, 1) for k in range(4)])
    desk.ended("w1", (sub, 0, 1))
    desk.when_settled()
    assert desk.starts() == {"w1": [(sub, 8, 1)]}


def test_short_tasks_with_requests_are_taken_in_advance_for_a_quarter_of_a_second(desk):
    desk.worker("w1", slots=-1, facts=HostFacts(cpus=2))
    sub = desk.accepted(1000, spec=asking(cpus=1))
    desk.when_settled()
    for k in range(3):
        desk.ended("w1", (sub, k, 1), took=0.01)
    desk.when_settled()
    assert 40 <= desk.state.loads["w1"].unstarted <= 60


def test_nothing_is_taken_in_advance_while_another_host_could_start_it(desk):
    desk.worker("w1", slots=-1, facts=HostFacts(cpus=4))
    desk.worker("w2", slots=-1, facts=HostFacts(cpus=4))
    desk.accepted(2, spec=asking(cpus=4))
    desk.when_settled()
    assert sorted(desk.starts()) == ["w1", "w2"]


def test_what_needs_more_than_one_end_frees_is_not_taken_in_advance(desk):
    desk.worker("w1", slots=-1, facts=HostFacts(cpus=4))
    desk.accepted(4, spec=asking(cpus=1))
    big = desk.accepted(1, spec=asking(cpus=4))
    desk.when_settled()
    assert desk.state_of(big) == "queued"


def test_prefetch_in_percent_is_a_part_of_the_slots_or_of_the_host(desk):
    for name, slots, facts in (("w1", 4, ROOMY), ("w2", -1, HostFacts(cpus=8, gpus=1))):
        desk.given(e.WorkerJoined(life=1, facts=facts, concurrency=slots, prefetch_percent=50), name)
    desk.accepted(100)
    desk.when_settled()
    assert {name: len(starts) for name, starts in desk.starts().items()} == {"w1": 4 + 2, "w2": 8 + 4}


def test_resizing_to_automatic_lets_requests_decide(desk):
    desk.worker("w1", slots=1, prefetch=0, facts=ROOMY)
    desk.accepted(9, spec=asking(cpus=4))
    desk.when_settled()
    desk.given(e.WorkerResizeRequested(workers=("w1",), concurrency=-1), "ada")
    desk.when_settled()
    assert desk.state.loads["w1"].cpus == 16_000


def test_different_alternatives_in_one_submission_stand_in_different_lines(desk):
    desk.worker("w1", slots=-1, prefetch=0, facts=HostFacts(cpus=3))
    specs = (asking(cpus=2, alternatives=(Request(cpus=1),)), asking(cpus=2))
    desk.submitted(body=Specs(specs=specs * 2))
    desk.when_settled()
    assert given(desk) == [("w1", 0, 2, 0), ("w1", 2, 1, 0)]
