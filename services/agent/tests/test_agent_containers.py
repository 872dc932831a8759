"""The agent and a real engine: containers as attempts, and what survives the agent."""

import os

import pytest

from longshore_common import events as e

from .conftest import until
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
    (late,) = await yard.assign("sleep", "600", container=IMAGE, run_timeout=0.5)
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
