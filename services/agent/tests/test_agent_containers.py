"""The agent and a real engine: containers as attempts, and what survives the agent."""

import os

import pytest

from longshore_common import events as e
from longshore_common.model import TaskSpec
from longshore_common.testing.waiting import until

from .engine import IMAGE, engine_image  # noqa: F401

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("engine_image")]


async def start(yard, **options):
    return await yard.start_agent(docker=dict(os.environ), **options)


async def test_a_container_finds_the_contract_and_delivers_its_output(yard, tmp_path):
    await start(yard)
    (tmp_path / "in.txt").write_text("hello")
    script = "cat /input/in.txt; echo $LONGSHORE_INDEX $INPUT; echo made > /output/made; exit 0"
    inputs, output = (f"file://{tmp_path}/in.txt",), f"file://{tmp_path}/out"
    (name,) = await yard.assign("sh", "-c", script, container=IMAGE, inputs=inputs, output=output)
    await until(lambda: [d for r in yard.events(e.AttemptsReported) for d in r.delivered], 60)
    await yard.signal("publish", name)
    end = await yard.ended(name)
    assert (end.outcome, end.stdout.tail) == ("succeeded", "hello100 /input\n")
    assert (tmp_path / "out" / "made").read_text() == "made\n"


async def test_an_unknown_image_is_its_own_cause(yard):
    await start(yard)
    (name,) = await yard.assign("true", container="localhost:1/no/such:image")
    end = await yard.ended(name, 60)
    assert (end.outcome, end.cause) == ("failed", "image")


async def test_exit_codes_signals_and_time_limits_of_containers(yard):
    await start(yard, slots=3)
    (code,) = await yard.assign("sh", "-c", "exit 5", container=IMAGE)
    (late,) = await yard.assign("sleep", "600", container=IMAGE, run_timeout=0.5, grace=0.5)
    (killed,) = await yard.assign("sleep", "600", container=IMAGE)
    await until(lambda: "running" in yard.moves(killed), 60)
    await yard.signal("kill", killed)
    assert (await yard.ended(code, 60)).exit_code == 5
    assert (await yard.ended(killed, 60)).outcome == "cancelled"
    assert (await yard.ended(late, 60)).cause == "timeout-running"


async def test_a_killed_agent_finds_its_containers_again(yard, tmp_path):
    agent = await start(yard)
    script = "echo begin; while [ ! -e /input/go ]; do sleep 0.05; done; echo end; exit 3"
    (tmp_path / "x").write_text("x")
    (name,) = await yard.assign("sh", "-c", script, container=IMAGE, inputs=(f"file://{tmp_path}/x",))
    await until(lambda: "running" in yard.moves(name), 60)
    place = agent.desk.place(agent.desk.attempts.held[name])
    await yard.kill_agent(agent)
    await start(yard)
    assert yard.events(e.WorkerJoined)[1].held == (name,)
    with open(f"{place.places.input}/go", "w"):
        pass
    end = await yard.ended(name, 60)
    assert (end.exit_code, end.stdout.tail) == (3, "begin\nend\n")
    assert len(yard.ends(name)) == 1


async def test_a_container_is_asked_to_stop_by_its_own_signal_and_killed_after_its_own_grace(yard):
    await start(yard, slots=2)
    script = "trap 'echo asked; exit 3' USR2; echo up; while :; do sleep 0.02; done"
    deaf = "trap '' TERM; echo up; while :; do sleep 0.02; done"
    (polite,) = await yard.assign("sh", "-c", script, container=IMAGE, stop_signal="SIGUSR2", grace=30)
    (stubborn,) = await yard.assign("sh", "-c", deaf, container=IMAGE, grace=0.3)
    for name in (polite, stubborn):
        await until(lambda name=name: "running" in yard.moves(name), 60)
        place = yard.agents[0].desk.attempts.held[name].place
        await until(lambda place=place: _read(f"{yard.directory}/w1/attempts/{place}/stdout") == "up\n", 60)
    await yard.signal("stop", stubborn)
    await yard.signal("checkpoint", polite)
    end = await yard.ended(polite, 60)
    assert (end.outcome, end.cause, end.exit_code, end.stdout.tail) == ("failed", "evicted", 3, "up\nasked\n")
    assert (await yard.ended(stubborn, 60)).exit_code == 137


async def test_memory_beyond_an_escalated_limit_is_an_oom_of_that_limit(yard):
    await start(yard)
    spec = TaskSpec(
        command=("dd", "if=/dev/zero", "of=/dev/null", "bs=90M", "count=1"), container=IMAGE, memory=32 << 20
    )
    for n, memory in ((1, 0), (2, 256 << 20)):
        order = e.Order(submission=78, spec=spec, batch="b", user="u", starts=(e.Start(0, n, 0, "", memory),))
        await yard.tell(e.AttemptsAssigned(orders=(order,)))
        end = await yard.ended(f"78.0.{n}", 60)
        assert (end.outcome, end.cause) == (("succeeded", None) if memory else ("failed", "oom"))


def _read(path):
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ""
