"""Real processes on a host that starts what fits: by what tasks request, by slots, by names the operator gave."""

import os
import time

import pytest

from longshore_agent.core import capacity
from longshore_common import events as e
from longshore_common.errors import BadInput
from longshore_common.testing.waiting import until


@pytest.fixture(autouse=True)
def two_cpus():
    """Where this host has more, the agent and its spawner may use two of them."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:2])
    yield
    os.sched_setaffinity(0, allowed)


async def sized(yard, **more):
    """An agent whose host has two cpus, also where this one has only one."""
    agent = await yard.start_agent(slots="auto", settings={"custom": "license=1,fpga=0.5", **more})
    limits = agent.desk.attempts.limits
    limits.cpus, limits.offer = 2, {**limits.offer, "cpus": 2000}
    return agent


async def together(yard, names):
    """How many of them ran at once at most."""
    spans = [(u.started_at, u.ended_at) for u in [(await yard.ended(name)).usage for name in names]]
    return max(sum(begin <= at < end for begin, end in spans) for at, _ in spans)


async def test_a_host_of_two_cpus_runs_two_tasks_of_one_cpu(yard):
    await sized(yard)
    assert await together(yard, await yard.assign("sleep", "0.15", count=6, cpus=1)) == 2


async def test_tasks_that_ask_for_nothing_count_as_one_cpu_beside_those_that_ask(yard):
    await sized(yard)
    plain = await yard.assign("sleep", "0.15", count=4)
    asking = await yard.assign("sleep", "0.15", count=2, cpus=1)
    assert await together(yard, [*plain, *asking]) == 2


async def test_halves_of_a_cpu_run_four_at_once(yard):
    await sized(yard)
    assert await together(yard, await yard.assign("sleep", "0.3", count=8, cpus=0.5)) == 4


async def test_a_resource_the_operator_named_is_had_by_one_at_a_time_and_told_at_the_join(yard):
    await sized(yard)
    assert yard.events(e.WorkerJoined)[-1].facts.custom == {"license": 1.0, "fpga": 0.5}
    assert yard.events(e.WorkerJoined)[-1].concurrency == -1
    assert await together(yard, await yard.assign("sleep", "0.1", count=3, cpus=0.1, custom={"license": 1})) == 1


async def test_what_waits_for_its_turn_is_staged_meanwhile(yard, tmp_path):
    (tmp_path / "in").write_text("x")
    await sized(yard)
    (first,) = await yard.assign("sleep", "600", cpus=2)
    await yard.running(first)
    (second,) = await yard.assign("cat", "in", cpus=1, inputs=(f"file://{tmp_path}/in",))
    held = yard.agents[0].desk.attempts.held
    await until(lambda: second in held and held[second].phase == "ready")
    await until(lambda: yard.moves(second) == ["staging"])
    await yard.signal("kill", first)
    await until(lambda: yard.ends(second))


async def test_an_automatic_worker_that_gets_slots_keeps_to_both(yard):
    await sized(yard)
    await yard.tell(e.WorkerResized(concurrency=3))
    assert await together(yard, await yard.assign("sleep", "0.15", count=6)) == 3
    assert await together(yard, await yard.assign("sleep", "0.15", count=4, cpus=1)) == 2


async def test_what_no_such_host_can_run_goes_back_with_the_reason(yard):
    await sized(yard)
    (name,) = await yard.assign("true", custom={"license": 2})
    end = await yard.ended(name)
    assert (end.outcome, end.cause) == ("failed", "host")
    assert end.reason == "it asks for 2 of license, this host has 1 in all"


async def test_a_restarted_agent_knows_what_runs_and_what_that_takes(yard):
    agent = await sized(yard)
    (first,) = await yard.assign("sleep", "600", cpus=2)
    await yard.running(first)
    (second,) = await yard.assign("true", cpus=1)
    await until(lambda: second in agent.desk.attempts.held)
    await yard.kill_agent(agent)
    await sized(yard)
    (third,) = await yard.assign("true", cpus=0.1, custom={"fpga": 0.5})
    await until(lambda: third in yard.agents[0].desk.attempts.held)
    assert not yard.ends(second)
    assert not yard.ends(third)
    await yard.signal("kill", first)
    assert [(await yard.ended(name)).outcome for name in (second, third)] == ["succeeded", "succeeded"]


async def test_who_takes_more_disk_than_it_asked_for_is_killed_with_the_reason(yard):
    await yard.start_agent()
    script = "dd if=/dev/zero of=$TEMP/much bs=1M count=8 2>/dev/null; sleep 600"
    (name,) = await yard.assign("sh", "-c", script, disk=4 << 20)
    began = time.monotonic()
    end = await yard.ended(name)
    assert (end.outcome, end.cause, end.definite) == ("failed", "disk-full", True)
    assert "it asked for 4194304: ask for more with --disk" in end.reason
    assert time.monotonic() - began < 10


async def test_who_keeps_to_its_disk_is_left_alone(yard):
    await yard.start_agent()
    script = "dd if=/dev/zero of=$TEMP/some bs=1M count=2 2>/dev/null; sleep 2.5"
    (name,) = await yard.assign("sh", "-c", script, disk=4 << 20)
    assert (await yard.ended(name)).outcome == "succeeded"


async def test_the_disk_that_is_offered_leaves_the_watermark_alone(yard):
    await yard.start_agent(settings={"disk_low": "0"})
    whole = yard.events(e.WorkerJoined)[-1].facts.disk
    await yard.kill_agent(yard.agents[0])
    await yard.start_agent(settings={"disk_low": "1G"})
    left = yard.events(e.WorkerJoined)[-1].facts.disk
    assert whole - left == pytest.approx(1 << 30, abs=256 << 20)


@pytest.mark.parametrize("word", ["many", "-2", "1.5", "50%"])
def test_a_concurrency_that_is_none_is_refused_with_the_fix(word):
    with pytest.raises(BadInput, match=r"LONGSHORE_CONCURRENCY.*auto"):
        capacity.slots(word, 4)


def test_words_of_the_settings_say_what_they_mean():
    assert [capacity.slots(w, 4) for w in ("auto", "0", "", "3", 2, 0)] == [-1, 4, 4, 3, 2, 4]
    assert [capacity.prefetch(w) for w in ("auto", -1, "8", "50%", "0%", 3)] == [
        (-1, 0), (-1, 0), (8, 0), (-1, 50), (0, 0), (3, 0)
    ]  # fmt: skip
    assert capacity.custom(" license=2, fpga=0.5 ,") == {"license": 2.0, "fpga": 0.5}


@pytest.mark.parametrize("text", ["license", "license=x", "License=1", "a=1,a=2", "a=-1", "a=nan", "=3"])
def test_resources_that_cannot_be_read_are_refused_with_an_example(text):
    with pytest.raises(BadInput, match="LONGSHORE_CUSTOM"):
        capacity.custom(text)


@pytest.mark.parametrize("word", ["some", "-5", "2000%", "1.5"])
def test_a_prefetch_that_is_none_is_refused_with_the_fix(word):
    with pytest.raises(BadInput, match="LONGSHORE_PREFETCH"):
        capacity.prefetch(word)
