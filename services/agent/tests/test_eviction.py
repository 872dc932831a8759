"""Notices that the host goes away: read in each provider's format, and turned into saved work in time."""

import os
import time

import pytest

from longshore_agent.adapters import eviction
from longshore_common import events as e
from longshore_common.errors import Unreachable
from longshore_common.testing.waiting import until

from .engine import IMAGE, engine_image  # noqa: F401  a fixture
from .metadata import Cloud

AT = 1_800_000_000.0


@pytest.fixture
def cloud(request):
    one = Cloud(getattr(request, "param", "azure"))
    yield one
    one.close()


def test_azure_names_the_instant_and_the_kind_of_the_event(cloud):
    cloud.events = [cloud.azure_event("Reboot", AT + 900, name="later"), cloud.azure_event("Preempt", AT)]
    provider = eviction.find("azure", cloud.url)
    assert provider.notice(0) == (AT, "Azure: Preempt", "A123")
    provider.acknowledge(provider.notice(0))
    assert cloud.started == ["A123"]


def test_azure_events_of_other_machines_and_short_freezes_are_nothing(cloud):
    cloud.events = [cloud.azure_event("Preempt", AT, machine="other"), cloud.azure_event("Freeze", AT)]
    assert eviction.find("azure", cloud.url).notice(0) is None


def test_an_azure_event_that_has_begun_is_now(cloud):
    cloud.events = [cloud.azure_event("Terminate", None, status="Started")]
    assert eviction.find("azure", cloud.url).notice(77.0).at == 77.0


@pytest.mark.parametrize("cloud", ["openstack"], indirect=True)
def test_openstack_operators_set_a_property_of_the_server(cloud):
    provider = eviction.find("openstack", cloud.url)
    assert provider.notice(0) is None
    cloud.meta = {"longshore_evict_at": "2027-01-15T08:00:00Z", "longshore_evict_reason": "hypervisor maintenance"}
    assert provider.notice(0) == (1_800_000_000.0, "hypervisor maintenance", "")
    cloud.meta = {"longshore_evict_at": "soon"}
    assert provider.notice(0) is None


@pytest.mark.parametrize("cloud", ["aws"], indirect=True)
def test_aws_tells_spot_interruptions_to_who_has_a_token(cloud):
    provider = eviction.find("aws", cloud.url)
    assert provider.notice(0) is None
    cloud.action = {"action": "terminate", "time": "2027-01-15T08:00:00Z"}
    assert provider.notice(0) == (AT, "AWS: spot terminate", "")


@pytest.mark.parametrize("cloud", ["azure", "openstack", "aws"], indirect=True)
def test_the_provider_is_found_by_who_answers(cloud):
    assert eviction.find("auto", cloud.url).name == cloud.kind


@pytest.mark.parametrize("cloud", ["azure", "openstack", "aws"], indirect=True)
def test_a_service_in_trouble_says_nothing_about_notices(cloud):
    provider = eviction.find(cloud.kind, cloud.url)
    provider.notice(0)
    cloud.silent = True
    with pytest.raises(Unreachable):
        provider.notice(0)


def test_where_nobody_answers_there_is_no_provider(cloud):
    cloud.close()
    begun = time.monotonic()
    assert eviction.find("auto", cloud.url) is None
    assert time.monotonic() - begun < 4


def notices(cloud):
    return {"settings": {"provider": "auto", "metadata_url": cloud.url}}


@pytest.mark.slow
async def test_work_is_saved_or_given_back_before_the_host_goes_and_then_it_may_go(yard, cloud):
    agent = await yard.start_agent(slots=1, **notices(cloud))
    script = "trap 'sleep 1.5; echo saved; exit 9' TERM; echo ready; while :; do sleep 0.02; done"
    (running,) = await yard.assign("sh", "-c", script)
    await yard.running(running)
    waiting = await yard.assign("true", count=60)
    await until(lambda: len(agent.desk.attempts.held) == 61)
    cloud.events = [cloud.azure_event("Preempt", time.time() + 30)]
    end = await yard.ended(running)
    assert (end.outcome, end.cause, end.stdout.tail) == ("failed", "evicted", "ready\nsaved\n")
    assert {(await yard.ended(n)).outcome for n in waiting} == {"recalled"}
    (told,) = yard.events(e.WorkerEvicted)
    assert told.reason == "Azure: Preempt"
    assert 20 < told.at - time.time() < 31
    (late,) = await yard.assign("true")
    assert (await yard.ended(late)).outcome == "recalled"
    await until(lambda: cloud.started == ["A123"])
    assert cloud.started_at > end.usage.ended_at


async def test_what_does_not_hear_is_killed_while_there_is_time(yard, cloud):
    await yard.start_agent(**notices(cloud))
    (deaf,) = await yard.assign("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.02; done", grace=600)
    await yard.running(deaf)
    cloud.events = [cloud.azure_event("Preempt", time.time() + 7)]
    end = await yard.ended(deaf)
    assert (end.outcome, end.cause, end.exit_code) == ("failed", "evicted", 137)
    assert end.usage.ended_at < yard.events(e.WorkerEvicted)[0].at


@pytest.mark.slow
async def test_a_notice_that_is_withdrawn_lets_the_host_work_again(yard, cloud):
    cloud.events = [cloud.azure_event("Preempt", time.time() + 600)]
    await yard.start_agent(**notices(cloud))
    await until(lambda: yard.events(e.WorkerEvicted))
    (first,) = await yard.assign("true")
    assert (await yard.ended(first)).outcome == "recalled"
    cloud.silent = True
    joined = len(yard.events(e.WorkerJoined))
    asked = len(cloud.asked)
    await until(lambda: len(cloud.asked) >= asked + 2)
    assert len(yard.events(e.WorkerJoined)) == joined
    cloud.silent, cloud.events = False, []
    await until(lambda: len(yard.events(e.WorkerJoined)) > joined)
    (second,) = await yard.assign("true")
    assert (await yard.ended(second)).outcome == "succeeded"


async def test_a_restarted_agent_heeds_the_notice_that_still_stands(yard, cloud):
    agent = await yard.start_agent(slots=1, **notices(cloud))
    (name,) = await yard.assign("sleep", "600")
    await yard.running(name)
    await yard.kill_agent(agent)
    cloud.events = [cloud.azure_event("Preempt", time.time() + 60)]
    await yard.start_agent()
    assert (await yard.ended(name)).cause == "evicted"


@pytest.mark.engine
@pytest.mark.usefixtures("engine_image")
async def test_containers_are_stopped_by_their_own_signal_and_given_back_like_commands(yard, cloud):
    agent = await yard.start_agent(slots=1, docker=dict(os.environ), **notices(cloud))
    held = agent.desk.attempts.held
    script = "trap 'echo saved; exit 9' USR1; echo ready; while :; do sleep 0.05; done"
    (running,) = await yard.assign("sh", "-c", script, container=IMAGE, stop_signal="SIGUSR1")
    await yard.running(running)
    (waiting,) = await yard.assign("true", container=IMAGE)
    await until(lambda: waiting in held and held[waiting].phase == "ready")
    cloud.events = [cloud.azure_event("Preempt", time.time() + 60)]
    end = await yard.ended(running, 60)
    assert (end.outcome, end.cause, end.exit_code) == ("failed", "evicted", 9)
    assert end.stdout.tail == "ready\nsaved\n"
    assert (await yard.ended(waiting)).outcome == "recalled"
