"""Why it is not running, or idle, with counts, a remedy and an estimate; every state there is has its situation here."""

import re

import click
import pytest

from longshore_common import events as e
from longshore_common.errors import BadInput
from longshore_common.ids import TaskRange
from longshore_common.model import STATES, HostFacts, Request, Share, TaskSpec
from longshore_dispatcher.core import questions
from longshore_dispatcher.core.explain import explain

from ..simulation.answers import everything, sound, tasks
from .conftest import Desk

GIB = 1 << 30
SMALL = HostFacts(hostname="small", cpus=2, memory=8 * GIB)
BUSYBOX = TaskSpec(command=("true",), container="busybox")
LARGE = TaskSpec(command=("true",), memory=20 * GIB)


def placed(desk, state="running", **more):
    """A task that is this far on w1."""
    desk.worker("w1", slots=1, prefetch=0)
    sub = desk.accepted(1, **more)
    desk.when_settled()
    if state != "assigned":
        desk.moved("w1", state, (sub, 0, 1))
    return f"{sub}.0"


def wished(desk, event):
    desk.given(event, "ada")
    desk.when_settled()


def submitted(desk):
    return f"{desk.submitted(1)}.0"


def no_workers(desk):
    return f"{desk.accepted(1)}.0"


def none_fits(desk):
    for k in range(9):
        desk.worker(f"w{k}", facts=SMALL)
    for k in range(9, 12):
        desk.worker(f"w{k}", facts=HostFacts(cpus=8, memory=64 * GIB))
    wished(desk, e.WorkerPauseRequested(workers=("w9", "w10", "w11")))
    for k in (12, 13):
        desk.worker(f"w{k}")
        desk.given(e.WorkerLost(reason="silent"), f"w{k}")
    task = f"{desk.accepted(1, spec=LARGE)}.0"
    desk.when_settled()
    return task


def no_engine(desk):
    desk.worker("w1", facts=SMALL)
    return f"{desk.accepted(1, spec=BUSYBOX)}.0"


def another_batch(desk):
    desk.worker("w1", batch="other")
    return f"{desk.accepted(1)}.0"


def behind_others(desk):
    desk.worker("w1", slots=1, prefetch=0)
    desk.accepted(5, priority=9)
    sub = desk.accepted(3)
    desk.when_settled()
    return f"{sub}.2"


def paused_batch(desk):
    desk.worker("w1")
    wished(desk, e.BatchPauseRequested(batch="b"))
    return f"{desk.accepted(1)}.0"


def capped(desk):
    desk.worker("w1", slots=4)
    sub = desk.accepted(3, max_running=1)
    desk.when_settled()
    return f"{sub}.2"


def draining(desk):
    desk.worker("w1", slots=1, prefetch=0)
    wished(desk, e.WorkerPauseRequested(workers=("w1",), drain=True))
    return f"{desk.accepted(1)}.0"


def hindered(desk):
    desk.worker("w1")
    desk.given(e.WorkerHindered(life=1, reason="its disk is 97 % full"), "w1")
    return f"{desk.accepted(1)}.0"


def evicted(desk):
    desk.worker("w1")
    desk.given(e.WorkerEvicted(life=1, reason="spot", at=desk.now + 60), "w1")
    return f"{desk.accepted(1)}.0"


def no_slots(desk):
    desk.worker("w1", slots=0)
    return f"{desk.accepted(1)}.0"


def enrolled(desk):
    desk.given(e.WorkerEnrolled(worker="w1", public_key="U"))
    return f"{desk.accepted(1)}.0"


def backing_off(desk):
    task = placed(desk)
    sub = int(task.split(".")[0])
    desk.ended("w1", (sub, 0, 1), "failed", "stage-in", "no such bucket")
    desk.when_settled()
    return task


def verdict_due(desk):
    task = placed(desk)
    desk.ended("w1", (int(task.split(".")[0]), 0, 1), "failed", "exit", code=1)
    return task


def held(desk):
    return f"{desk.accepted(1, held=True)}.0"


def requires(desk):
    first = desk.accepted(2)
    return f"{desk.accepted(1, requires=(TaskRange(first, 0, 1),))}.0"


def requires_each(desk):
    first = desk.accepted(2)
    sub = desk.accepted(2, requires=(TaskRange(first, 0, 1),), each_requires=True)
    return f"{sub}.1"


def requires_failed_patiently(desk):
    task = placed(desk)
    first = int(task.split(".")[0])
    sub = desk.accepted(1, requires=(TaskRange(first, 0, 0),), each_requires=True, on_failed_requirement="wait")
    desk.ended("w1", (first, 0, 1), "failed", "exit", code=1)
    desk.when_settled()
    return f"{sub}.0"


def signalled(what):
    def situation(desk):
        task = placed(desk)
        sub = int(task.split(".")[0])
        wished(desk, e.SignalRequested(tasks=(TaskRange(sub, 0, 0),), signal=what))
        return task

    return situation


def frozen(desk):
    task = placed(desk)
    wished(desk, e.BatchPauseRequested(batch="b", freeze=True))
    return task


def cancelling(desk):
    task = placed(desk)
    wished(desk, e.CancelRequested(tasks=(TaskRange(int(task.split(".")[0]), 0, 0),)))
    return task


def recalled(desk):
    desk.worker("w1", slots=1, prefetch=1)
    sub = desk.accepted(2)
    desk.when_settled()
    desk.given(e.AttemptsRecalled(attempts=(f"{sub}.1.1",)), "w1")
    return f"{sub}.1"


def lacks_disk_and_licenses(desk):
    desk.worker("w1", facts=HostFacts(cpus=8, memory=64 * GIB, disk=10 * GIB))
    spec = TaskSpec(command=("x",), disk=100 * GIB, custom={"license": 2}, alternatives=(Request(gpus=1),))
    return f"{desk.accepted(1, spec=spec)}.0"


def batch_capped(desk):
    desk.worker("w1", slots=4)
    desk.given(e.ShareSet(kind="batch", name="b", share=Share(max_running=1)))
    sub = desk.accepted(3)
    desk.when_settled()
    return f"{sub}.2"


def served_after_another_user(desk):
    desk.worker("w1", slots=1, prefetch=0)
    first = desk.accepted(4)
    desk.when_settled()
    desk.moved("w1", "running", (first, 0, 1))
    desk.later(1000)
    desk.ended("w1", (first, 0, 1), took=1000)
    desk.accepted(4, user="bob", batch="c")
    desk.when_settled()
    return f"{first}.3"


def claimed(desk):
    desk.worker("w1", slots=8, prefetch=0, facts=HostFacts(cpus=8, memory=64 * GIB))
    first = desk.accepted(8, spec=TaskSpec(command=("x",), cpus=2))
    desk.when_settled()
    sub = desk.accepted(1, spec=TaskSpec(command=("x",), cpus=8), priority=1)
    desk.accepted(8, spec=TaskSpec(command=("x",), cpus=2))
    desk.when_settled()
    desk.ended("w1", (first, 0, 1))
    desk.when_settled()
    return f"{sub}.0"


def quarantined(desk):
    desk.worker("w1")
    desk.given(e.WorkerQuarantined(reason="5 different tasks failed fast there", until=desk.now + 300, pause=300), "w1")
    return f"{desk.accepted(1)}.0"


def assigned_to_a_paused_worker(desk):
    task = placed(desk, "assigned")
    desk.given(e.WorkerPaused(), "w1")
    return task


#: (what happened, the state, words of the reasons, words of the fixes)
SITUATIONS = {
    "just submitted": (submitted, "waiting", "not looked at yet", "longshore status"),
    "no workers": (no_workers, "queued", "there are no workers", "longshore up --workers"),
    "none fits": (
        none_fits, "queued", "0 of 14 workers fit: 9 lack 20 GiB memory, 3 are paused, 2 are lost",
        "longshore worker resume w9 w10 w11",
    ),
    "no container engine": (no_engine, "queued", "0 of 1 workers fit: 1 has no container engine", "Docker or Podman"),
    "another batch": (another_batch, "queued", "1 serves another batch", "longshore worker move w1"),
    "behind others": (behind_others, "queued", "ahead of it", "nothing to do"),
    "a paused batch": (paused_batch, "queued", "its batch 'b' is paused", "longshore batch resume b"),
    "a cap": (capped, "queued", "lets 1 run at a time", "when one of them ends"),
    "a draining worker": (draining, "queued", "1 is draining", "longshore worker resume w1"),
    "a hindered worker": (hindered, "queued", "97 % full", "longshore worker clean w1"),
    "an evicted worker": (evicted, "queued", "1 will be taken away", "add workers"),
    "no slots": (no_slots, "queued", "1 has no slots", "longshore worker resize"),
    "a worker that never came": (enrolled, "queued", "1 is enrolled", "start their agents: w1"),
    "backing off": (backing_off, "queued", "tried again in 1 s after: no such bucket", "ends by itself"),
    "a verdict due": (verdict_due, "running", "the verdict is due", "longshore status"),
    "held": (held, "waiting", "it is held", "longshore task retry"),
    "requirements": (requires, "waiting", "2 of the tasks that it requires have not ended well yet", "longshore explain"),
    "single requirements": (requires_each, "waiting", "1 task that it requires has not ended well yet", "longshore explain"),
    "a failed requirement": (requires_failed_patiently, "waiting", "(failed)", "longshore task retry"),
    "assigned": (lambda desk: placed(desk, "assigned"), "assigned", "it is assigned on w1", "a slot is free"),
    "staging": (lambda desk: placed(desk, "staging"), "staging", "it is staging on w1", "its files are there"),
    "running": (placed, "running", "it is running on w1", "it is at work"),
    "delivering": (lambda desk: placed(desk, "delivering"), "delivering", "it is delivering on w1", "it is at work"),
    "paused": (signalled("pause"), "running", "it is paused on w1", "longshore task resume"),
    "frozen": (frozen, "running", "paused on w1 with its batch", "longshore batch resume b"),
    "stopped": (signalled("stop"), "running", "it is being stopped", "reports the end"),
    "killed": (signalled("kill"), "running", "it is being stopped", "reports the end"),
    "cancelled while it runs": (cancelling, "running", "it is being cancelled", "reports the end"),
    "recalled": (recalled, "assigned", "asked to give it back", "another worker"),
    "lacking disk and custom resources": (
        lacks_disk_and_licenses, "queued", "lacks 100 GiB disk and 2 license", "add a worker with 100 GiB disk",
    ),
    "a limit of the batch": (batch_capped, "queued", "batch 'b' may have 1 task on workers", "longshore share batch b"),
    "fair share": (
        served_after_another_user, "queued", "1 of 2 users with tasks of its priority used less than 'ada'",
        "longshore share user",
    ),
    "a claim": (claimed, "queued", "w1 is kept for it", "others start there only if"),
    "a worker in quarantine": (quarantined, "queued", "1 is in quarantine", "longshore worker resume w1"),
    "assigned to a paused worker": (assigned_to_a_paused_worker, "assigned", "w1 is paused", "longshore worker resume w1"),
}  # fmt: skip


def words(answer):
    told = [part for reason in answer.reasons for part in (reason, *reason.parts)]
    return " / ".join(part.text for part in told), " / ".join(part.fix for part in told)


@pytest.mark.parametrize("name", SITUATIONS)
def test_every_situation_has_its_reason_and_its_remedy(desk, name):
    happens, state, why, fix = SITUATIONS[name]
    task = happens(desk)
    answer = sound(explain(desk.state, task, "task", desk.now))
    texts, fixes = words(answer)
    assert answer.state == state
    assert why in texts
    assert fix in fixes
    assert list(everything(desk.state, desk.now))
    assert list(tasks(desk.state, desk.now))


def commands():
    """Every command there is, as words."""
    from longshore.cli.root import tree

    root = tree()
    context = click.Context(root)
    for word in root.list_commands(context):
        found = root.get_command(context, word)
        yield word
        if isinstance(found, click.Group):
            yield from (f"{word} {verb}" for verb in found.list_commands(click.Context(found)))


def test_remedies_name_commands_that_exist(desk_of):
    known = set(commands())
    named = set()
    for happens, *_ in SITUATIONS.values():
        desk = desk_of()
        happens(desk)
        for answer in (*everything(desk.state, desk.now), *tasks(desk.state, desk.now)):
            named.update(re.findall(r"longshore ((?:[a-z]+)(?: [a-z]+)?)", words(answer)[1]))
    unknown = {each for each in named if each not in known and each.split()[0] not in known}
    nouns = {each.split()[0] for each in known if " " in each}
    unknown |= {each for each in named if each.split()[0] in nouns and each not in known}
    assert len(named) > 8
    assert not unknown


@pytest.fixture
def desk_of():
    return Desk


def test_the_situations_are_of_every_state_that_is_not_final():
    told = {state for _, state, _, _ in SITUATIONS.values()}
    assert told == {name for name, traits in STATES.items() if not traits.terminal}


def test_what_has_ended_says_so_and_what_to_do(desk):
    task = placed(desk)
    sub = int(task.split(".")[0])
    desk.ended("w1", (sub, 0, 1), "failed", "exit", code=1)
    desk.when_settled()
    texts, fixes = words(sound(explain(desk.state, task, "task", desk.now)))
    assert "it has ended: failed" in texts
    assert f"longshore task retry {task}" in fixes
    assert sound(explain(desk.state, "99.0", "task", desk.now)).state == "unknown"


def test_a_task_is_told_when_it_starts_from_measured_run_times_only(desk):
    desk.worker("w1", slots=2, prefetch=0)
    sub = desk.accepted(100)
    desk.when_settled()
    assert explain(desk.state, f"{sub}.50", "task", desk.now).eta is None, "nothing was measured"
    for index in (0, 1):
        desk.moved("w1", "running", (sub, index, 1))
    for index in (0, 1):
        desk.ended("w1", (sub, index, 1), took=30)
    desk.when_settled()
    eta = sound(explain(desk.state, f"{sub}.50", "task", desk.now)).eta
    assert eta.what == "start"
    assert eta.basis == "46 tasks ahead, 2 slots, 30 s each"
    assert eta.seconds == pytest.approx((46 * 30 + 2 * 30) / 2)
    wished(desk, e.BatchPauseRequested(batch="b"))
    assert explain(desk.state, f"{sub}.50", "task", desk.now).eta is None, "nobody knows when it is resumed"


def test_a_running_task_is_told_when_it_ends_until_it_takes_longer_than_its_like(desk):
    desk.worker("w1", slots=1, prefetch=0)
    sub = desk.accepted(2)
    desk.when_settled()
    desk.ended("w1", (sub, 0, 1), took=30)
    desk.when_settled()
    desk.moved("w1", "running", (sub, 1, 1))
    desk.later(10)
    eta = explain(desk.state, f"{sub}.1", "task", desk.now).eta
    assert (eta.what, round(eta.seconds)) == ("end", 20)
    desk.later(30)
    assert explain(desk.state, f"{sub}.1", "task", desk.now).eta is None


def test_a_batch_is_counted_and_its_largest_hindrance_comes_first(desk):
    desk.worker("w1", slots=1, prefetch=0, facts=SMALL)
    desk.accepted(3)
    desk.accepted(7, spec=LARGE)
    desk.accepted(20, held=True)
    desk.when_settled()
    answer = sound(explain(desk.state, "b", "batch", desk.now))
    assert answer.state == "open"
    assert answer.counts == {"waiting": 20, "queued": 9, "assigned": 1}
    told = [(reason.count, reason.text) for reason in answer.reasons[1:]]
    assert told == [
        (20, "20 tasks held"),
        (7, "7 tasks queued: 0 of 1 workers fit: 1 lacks 20 GiB memory"),
        (2, "2 tasks queued: 1 of 1 workers fits: 1 has all slots taken"),
    ]


def test_a_batch_is_told_when_it_ends(desk):
    desk.worker("w1", slots=2, prefetch=0)
    sub = desk.accepted(10)
    desk.when_settled()
    for index in (0, 1):
        desk.ended("w1", (sub, index, 1), took=60)
    desk.when_settled()
    eta = sound(explain(desk.state, "b", "batch", desk.now)).eta
    assert eta.what == "end"
    assert eta.seconds == pytest.approx(6 * 60 / 2 + 30)
    assert "8 tasks to end, 2 slots, 60 s each" in eta.basis


def test_an_idle_worker_says_what_keeps_the_queued_tasks_away(desk):
    desk.worker("w1", slots=4, facts=SMALL)
    desk.accepted(300, spec=LARGE)
    desk.accepted(40, spec=BUSYBOX)
    desk.accepted(5, batch="paused")
    wished(desk, e.BatchPauseRequested(batch="paused"))
    answer = sound(explain(desk.state, "w1", "worker", desk.now))
    idle = next(reason for reason in answer.reasons if reason.parts)
    assert idle.text.startswith("of 345 queued tasks: 300 need more memory than its 8 GiB")
    assert [(part.count, part.text) for part in idle.parts] == [
        (300, "need more memory than its 8 GiB"),
        (40, "need a container engine"),
        (5, "are of paused batches"),
    ]


def test_an_idle_worker_with_an_empty_queue_says_so(desk):
    desk.worker("w1")
    assert "nothing is queued" in words(sound(explain(desk.state, "w1", "worker", desk.now)))[0]


def test_questions_that_make_no_sense_are_answered_with_what_is_wrong(desk):
    with pytest.raises(BadInput, match="cannot be explained"):
        explain(desk.state, "x", "flavor", desk.now)
    assert b"cannot be explained" in questions.answer(desk.state, b'{"id":"x","kind":"flavor"}', desk.now)
    assert b"unknown" in questions.answer(desk.state, b"\xff", desk.now)
