"""Out of memory: the next attempt gets more of it, up to what the largest worker has."""

from longshore_common import events as e
from longshore_common.model import HostFacts, Request, Specs, TaskSpec, Usage
from longshore_dispatcher.core import escalation

GB = 1 << 30
ROOMY = HostFacts(cpus=8, memory=16 * GB, engines=("docker",))


def hungry(memory=2 * GB, retries=5, **more):
    return TaskSpec(command=("true",), memory=memory, retries=retries, **more)


def oom(desk, attempt, peak=0, worker="w1"):
    usage = Usage(peak_memory=peak)
    end = e.Ended("{}.{}.{}".format(*attempt), "failed", 137, "oom", "", usage)
    desk.given(e.AttemptsReported(life=1, n=1, ended=(end,)), worker)
    desk.when_settled()


def memory_given(desk):
    return [
        start.memory for event in desk.every(e.AttemptsAssigned) for order in event.orders for start in order.starts
    ]


def test_the_next_attempt_gets_half_as_much_again_as_it_had(desk):
    desk.worker(facts=ROOMY)
    sub = desk.accepted(1, spec=hungry())
    desk.when_settled()
    assert memory_given(desk) == [0]
    oom(desk, (sub, 0, 1), peak=2 * GB)
    assert memory_given(desk) == [3 * GB]
    assert desk.state.loads["w1"].memory == 3 * GB
    oom(desk, (sub, 0, 2), peak=3 * GB)
    desk.later(1)
    desk.when_settled()
    assert memory_given(desk) == [5 * GB]
    desk.ended("w1", (sub, 0, 3))
    desk.when_settled()
    assert desk.state.loads["w1"].memory == 0
    assert sub in desk.state.closed


def test_a_task_that_asked_for_none_gets_what_it_was_seen_to_use_and_half_of_it_more(desk):
    desk.worker(facts=ROOMY)
    sub = desk.accepted(1, spec=hungry(memory=0))
    desk.when_settled()
    oom(desk, (sub, 0, 1), peak=4 * GB)
    assert memory_given(desk) == [6 * GB]
    assert desk.state.loads["w1"].memory == 6 * GB


def test_nothing_known_nothing_changed(desk):
    desk.worker(facts=ROOMY)
    sub = desk.accepted(1, spec=hungry(memory=0))
    desk.when_settled()
    oom(desk, (sub, 0, 1))
    assert memory_given(desk) == [0]


def test_what_needs_more_goes_only_where_there_is_so_much(desk):
    desk.worker("w1", prefetch=0, facts=HostFacts(cpus=2, memory=2 * GB))
    sub = desk.accepted(2, spec=hungry())
    desk.when_settled()
    desk.worker("w2", slots=0, facts=HostFacts(cpus=2, memory=4 * GB))
    oom(desk, (sub, 0, 1))
    assert (sub, 1, 1) in desk.starts()["w1"], "the others go on"
    assert "it ran out of memory before, so it now asks for 3.22 GB" in desk.reasons(sub, 0)
    assert "1 lacks 3 GiB memory" in desk.reasons(sub, 0)
    desk.given(e.WorkerResizeRequested(workers=("w2",), concurrency=1), "ada")
    desk.when_settled()
    assert desk.starts() == {"w2": [(sub, 0, 2)]}
    assert memory_given(desk) == [3 * GB]


def test_it_gets_no_more_than_the_largest_worker_has_and_fails_when_that_was_not_enough(desk):
    desk.worker(facts=HostFacts(cpus=2, memory=4 * GB))
    sub = desk.accepted(1, spec=hungry(memory=3 * GB))
    desk.when_settled()
    oom(desk, (sub, 0, 1))
    assert memory_given(desk) == [4 * GB]
    oom(desk, (sub, 0, 2))
    failed = desk.then(e.TasksFailed)
    assert failed.cause == "oom"
    assert "no worker that could run it has more" in failed.reason


def test_without_retries_left_it_fails_as_any_other(desk):
    desk.worker(facts=ROOMY)
    sub = desk.accepted(1, spec=hungry(retries=0))
    desk.when_settled()
    oom(desk, (sub, 0, 1))
    assert desk.then(e.TasksFailed).cause == "oom"


def test_a_retry_by_its_user_keeps_what_it_got(desk):
    desk.worker(facts=ROOMY, slots=8)
    sub = desk.accepted(3, spec=hungry(retries=1))
    desk.when_settled()
    oom(desk, (sub, 1, 1))
    desk.ended("w1", (sub, 1, 2), "failed", "exit", code=1)
    desk.ended("w1", (sub, 0, 1), "failed", "exit", code=1)
    desk.ended("w1", (sub, 2, 1))
    desk.when_settled()
    desk.ended("w1", (sub, 0, 2), "failed", "exit", code=1)
    desk.when_settled()
    desk.given(e.RetryRequested(tasks=desk.tasks(sub, 0, 2)), "ada")
    desk.when_settled()
    given = {s.index: s.memory for a in desk.every(e.AttemptsAssigned) for o in a.orders for s in o.starts}
    assert given == {0: 0, 1: 3 * GB}
    assert desk.state.loads["w1"].memory == 5 * GB


def test_it_shares_the_line_of_those_who_asked_for_so_much_from_the_start(desk):
    desk.worker(facts=ROOMY, slots=1, prefetch=0)
    sub = desk.submitted(body=Specs(specs=(hungry(2 * GB), hungry(3 * GB))))
    desk.when_settled()
    oom(desk, (sub, 0, 1))
    assert len(desk.state.submissions[sub].lots) == 2
    for _ in range(2):
        ((_, index, n),) = desk.starts()["w1"]
        desk.ended("w1", (sub, index, n))
        desk.when_settled()
    assert sub in desk.state.closed


def test_peaks_that_differ_a_little_make_few_lines(desk):
    desk.worker(facts=ROOMY, slots=100)
    sub = desk.accepted(100, spec=hungry(memory=0))
    desk.when_settled()
    for index in range(100):
        oom(desk, (sub, index, 1), peak=GB // 16 + index * 1_000_000)
    assert len(desk.state.submissions[sub].lots) < 10


def test_a_task_that_ran_out_of_what_an_alternative_gave_gets_no_less_than_it_asked_for_first(desk):
    desk.worker(facts=HostFacts(cpus=2, memory=4 * GB))
    spec = hungry(memory=12 * GB, cpus=4, alternatives=(Request(cpus=2, memory=2 * GB),))
    sub = desk.accepted(1, spec=spec)
    desk.when_settled()
    assert desk.state.loads["w1"].memory == 2 * GB
    desk.worker("w2", facts=ROOMY)
    oom(desk, (sub, 0, 1), peak=2 * GB)
    assert [name for event, name in desk.decided if isinstance(event, e.AttemptsAssigned)] == ["w2"]
    assert memory_given(desk) == [12 * GB]
    assert desk.state.loads["w2"].memory == 12 * GB


def test_many_that_run_out_together_look_at_the_workers_once(desk, monkeypatch):
    looked = []
    monkeypatch.setattr(escalation, "able", lambda worker, *_: looked.append(worker.name) or True)
    for k in range(20):
        desk.worker(f"w{k}", slots=4, prefetch=0, facts=ROOMY)
    sub = desk.accepted(80, spec=hungry())
    desk.when_settled()
    for k in range(20):
        ends = tuple(e.Ended(name, "failed", 137, "oom") for name in desk.state.load(f"w{k}").attempts)
        desk.given(e.AttemptsReported(life=1, n=1, ended=ends), f"w{k}")
    desk.when_decided()
    assert len(desk.then(e.TasksRequeued).tasks) == 80
    assert len(looked) == 20
    assert sub in desk.state.submissions
