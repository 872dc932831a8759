"""What is done to tasks of several steps while they run: signals, limits, deaths of the agent; and the same with Podman."""

import os

import pytest

from longshore_common import events as e
from longshore_common.model import Collect, Mount, Step
from longshore_common.testing.waiting import until

from .engine import IMAGE, engine_image, podman  # noqa: F401
from .test_steps import assign, granted, sh, start

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("engine_image")]


async def saying(yard, name, text):
    await until(lambda: text in yard.said(name), 60)


def waits(go):
    """Says what it is about to do, and waits for a file."""
    return sh(f"echo waiting; while [ ! -e /shared/{go} ]; do sleep 0.05; done; echo went on")


def let_go(yard, name, go):
    place = yard.agents[0].desk.attempts.held[name].place
    with open(f"{yard.directory}/w1/attempts/{place}/tree/shared/{go}", "w"):
        pass


async def test_a_killed_agent_goes_on_with_the_step_that_ran(yard):
    agent = await start(yard)
    name = await assign(yard, sh("echo first"), waits("go"), sh("echo last; exit 7"), volumes=("/shared",))
    await saying(yard, name, "first\nwaiting\n")
    await until(lambda: [m for r in yard.events(e.AttemptsReported) for m in r.moved if m.reason == "step 2 of 3"], 60)
    await yard.kill_agent(agent)
    await start(yard)
    assert yard.events(e.WorkerJoined)[1].held == (name,)
    let_go(yard, name, "go")
    end = await yard.ended(name, 60)
    assert (end.exit_code, end.stdout.tail) == (7, "first\nwaiting\nwent on\nlast\n")
    assert [(s.exit_code, s.stdout) for s in end.steps] == [(0, 6), (0, 16), (7, 5)]
    assert len(yard.ends(name)) == 1
    assert end.usage.started_at == end.steps[0].started_at


async def test_a_step_that_ended_while_no_agent_was_there_is_not_run_again(yard):
    agent = await start(yard)
    first = sh("echo x >> /shared/runs; echo waiting; while [ ! -e /shared/go ]; do sleep 0.05; done; exit 0")
    name = await assign(yard, first, sh("cat /shared/runs"), volumes=("/shared",))
    await saying(yard, name, "waiting\n")
    let_go_path = f"{yard.directory}/w1/attempts/{agent.desk.attempts.held[name].place}/tree/shared/go"
    await yard.kill_agent(agent)
    with open(let_go_path, "w"):
        pass
    await start(yard)
    end = await yard.ended(name, 60)
    assert (end.outcome, end.stdout.tail) == ("succeeded", "waiting\nx\n")


async def test_a_death_between_the_last_step_and_its_report_changes_nothing(yard, tmp_path):
    agent = await start(yard)
    collects = (Collect(path="/res/x", uri=f"file://{tmp_path}/x"),)
    name = await assign(yard, sh("echo 1 > /res/x"), sh("echo 2 >> /res/x"), collects=collects)
    await until(lambda: [d for r in yard.events(e.AttemptsReported) for d in r.delivered], 60)
    await yard.kill_agent(agent)
    assert not (tmp_path / "x").exists()
    await start(yard)
    end = await granted(yard, name)
    assert (end.outcome, len(end.steps), end.files) == ("succeeded", 2, 1)
    assert (tmp_path / "x").read_text() == "1\n2\n"


async def test_a_stop_ends_the_step_that_runs_and_no_other_begins(yard):
    await start(yard)
    name = await assign(
        yard, sh("echo first"), sh("echo second; exec sleep 600", ignore_error=True), sh("echo third"), grace=1
    )
    await saying(yard, name, "second\n")
    await yard.signal("stop", name)
    end = await yard.ended(name, 60)
    assert (end.outcome, end.cause, end.stdout.tail, len(end.steps)) == ("cancelled", "operator", "first\nsecond\n", 2)


async def test_signals_and_pauses_reach_the_step_that_runs(yard):
    await start(yard)
    script = "trap 'echo asked; exit 0' USR1; echo ready; while :; do sleep 0.02; done"
    name = await assign(yard, sh("echo first"), sh(script), sh("echo third"))
    await saying(yard, name, "ready\n")
    await yard.signal("pause", name)
    await until(lambda: [m for r in yard.events(e.AttemptsReported) for m in r.moved if m.paused], 60)
    await yard.signal("run", name)
    await yard.signal("run", name, signal_="SIGUSR1")
    end = await yard.ended(name, 60)
    assert (end.outcome, end.stdout.tail) == ("succeeded", "first\nready\nasked\nthird\n")


async def test_the_time_limit_is_for_all_steps_together(yard):
    await start(yard)
    name = await assign(
        yard, sh("sleep 3"), sh("exec sleep 600", ignore_error=True), sh("true"), run_timeout=4, grace=0.5
    )
    end = await yard.ended(name, 60)
    assert (end.outcome, end.cause, len(end.steps)) == ("failed", "timeout-running", 2)
    assert end.reason == "step 2 of 3: it ran longer than its limit of 4 s"
    assert end.steps[1].cause == "timeout-running"
    assert end.steps[1].ended_at - end.steps[1].started_at < 3.5


async def test_each_step_has_the_memory_of_the_task_and_says_if_it_wanted_more(yard):
    await start(yard)
    hungry = Step(command=("dd", "if=/dev/zero", "of=/dev/null", "bs=90M", "count=1"), container=IMAGE)
    name = await assign(yard, sh("true"), hungry, memory=32 << 20)
    end = await yard.ended(name, 60)
    assert (end.outcome, end.cause, end.steps[1].cause) == ("failed", "oom", "oom")
    assert end.reason.startswith("step 2 of 2: the kernel killed")


async def test_stdin_of_which_a_part_was_read_when_the_agent_died_is_not_taken_for_all(yard, tmp_path):
    agent = await start(yard)
    (tmp_path / "much").write_bytes(b"x" * (8 << 20))
    mounts = (Mount(uri=f"file://{tmp_path}/much", path="/in/much"),)
    reader = sh("echo waiting; while [ ! -e /shared/go ]; do sleep 0.05; done; wc -c", stdin="/in/much")
    name = await assign(yard, reader, mounts=mounts, volumes=("/shared",))
    await saying(yard, name, "waiting\n")
    await yard.kill_agent(agent)
    await start(yard)
    end = await yard.ended(name, 60)
    assert (end.outcome, end.cause) == ("failed", "host")
    assert "stdin" in end.reason


async def test_what_a_lost_worker_was_to_upload_has_to_be_made_again(yard, tmp_path):
    await start(yard)
    collects = (Collect(path="/res/x", uri=f"file://{tmp_path}/x"),)
    (name,) = await yard.assign("true", container=IMAGE, steps=(sh("true"),), collects=collects, n=2, publish_of=1)
    end = await yard.ended(name, 60)
    assert (end.outcome, end.cause) == ("failed", "stage-out")


async def test_a_task_with_an_output_folder_too_publishes_both(yard, tmp_path):
    await start(yard)
    collects = (Collect(path="/res/x", uri=f"file://{tmp_path}/x"),)
    script = "echo x > /res/x; echo y > /output/y; echo $LONGSHORE_ENTRY"
    name = await assign(yard, sh(script), collects=collects, output=f"file://{tmp_path}/{{index}}/out")
    end = await granted(yard, name)
    assert (end.outcome, end.files, end.stdout.tail) == ("succeeded", 2, "entry-0\n")
    assert (tmp_path / "100" / "out" / "y").read_text() == "y\n"
    assert (tmp_path / "x").read_text() == "x\n"


async def test_podman_runs_steps_as_docker_does(yard, tmp_path, podman):  # noqa: F811
    docker = {"DOCKER_HOST": f"unix://{podman.socket}"}
    agent = await yard.start_agent(docker=docker)
    (tmp_path / "words").write_text("a\n" * 1000)
    mounts = (Mount(uri=f"file://{tmp_path}/words", path="/words"),)
    collects = (Collect(path="/res/*", uri=f"file://{tmp_path}/res/", prefix="/res"),)
    steps = (
        sh("cat; ls /tmp", stdin="/words", stdout="/res/copy"),
        sh("touch /tmp/mine; echo waiting; while [ ! -e /shared/go ]; do sleep 0.05; done; echo went on"),
        sh("wc -l; ls /tmp; exit 3", stdin="/res/copy", ignore_error=True),
    )
    name = await assign(yard, *steps, mounts=mounts, collects=collects, volumes=("/shared",))
    await saying(yard, name, "waiting\n")
    await yard.kill_agent(agent)
    await yard.start_agent(docker=docker)
    let_go(yard, name, "go")
    end = await granted(yard, name)
    assert end.outcome == "succeeded", end
    assert [s.exit_code for s in end.steps] == [0, 0, 3]
    assert end.stdout.tail.endswith("waiting\nwent on\n1000\n")
    assert (tmp_path / "res" / "copy").read_text() == "a\n" * 1000
    assert os.listdir(tmp_path / "res") == ["copy"]


async def test_a_failed_attempt_uploads_nothing_while_its_worker_is_cut_off(yard, tmp_path):
    agent = await start(yard)
    collects = (Collect(path="/res/x", uri=f"file://{tmp_path}/x"),)
    script = "echo 1 > /res/x; echo waiting; while [ ! -e /shared/go ]; do sleep 0.05; done; exit 4"
    name = await assign(yard, sh(script), collects=collects, volumes=("/shared",))
    await saying(yard, name, "waiting\n")
    agent.transport.closed = True
    let_go(yard, name, "go")
    await until(lambda: agent.desk.attempts.held[name].phase == "delivering" and agent.reporter.outbox(), 60)
    assert not (tmp_path / "x").exists()
    agent.transport.closed = False
    end = await yard.ended(name, 60)
    assert (end.exit_code, end.files) == (4, 1)
    assert (tmp_path / "x").read_text() == "1\n"


@pytest.mark.parametrize("kind", ["docker", "podman"])
async def test_a_workdir_that_the_image_has_not_is_made(yard, kind, request):
    docker = dict(os.environ)
    if kind == "podman":
        docker = {"DOCKER_HOST": f"unix://{request.getfixturevalue('podman').socket}"}
    await yard.start_agent(docker=docker)
    name = await assign(
        yard, sh("pwd; touch x && ls", workdir="/some/where"), sh("pwd", workdir="/shared/in"), volumes=("/shared",)
    )
    end = await yard.ended(name, 60)
    assert (end.outcome, end.stdout.tail) == ("succeeded", "/some/where\nx\n/shared/in\n")
