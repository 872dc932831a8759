"""Steps without containers: the same, as processes of one group in the attempt's own directory."""

import os

from longshore_common import events as e
from longshore_common.model import Step
from longshore_common.testing.places import reachable
from longshore_common.testing.waiting import until


def sh(script, **fields):
    return Step(command=("sh", "-c", script), container="", **fields)


async def assign(yard, *steps, **fields):
    (name,) = await yard.assign(*steps[0].command, steps=steps, **fields)
    return name


async def test_commands_run_one_after_the_other_and_find_each_others_files(yard):
    await yard.start_agent()
    steps = (
        sh("echo one; echo e1 >&2; pwd; echo $LONGSHORE_STEP", stdout="/tmp/said/one", workdir="/tmp/deep"),
        sh("cat; echo $A", stdin="/tmp/said/one", env={"A": "x"}),
    )
    end = await yard.ended(await assign(yard, *steps))
    assert (end.outcome, end.exit_code, end.stderr.tail) == ("succeeded", 0, "e1\n")
    first, where, number, *rest = end.stdout.tail.splitlines()
    assert (first, number) == ("one", "1")
    assert where.endswith("/temp/deep")
    assert rest == [first, where, number, "x"]
    assert [(s.exit_code, s.stderr) for s in end.steps] == [(0, 3), (0, 0)]
    assert sum(s.stdout for s in end.steps) == end.stdout.size


async def test_a_command_that_fails_is_the_last_unless_its_error_is_ignored(yard):
    await yard.start_agent()
    end = await yard.ended(await assign(yard, sh("exit 3"), sh("echo no")))
    assert (end.outcome, end.exit_code, len(end.steps), end.reason) == ("failed", 3, 1, "step 1 of 2: exit code 3")
    end = await yard.ended(await assign(yard, sh("kill -9 $$", ignore_error=True), sh("echo yes")))
    assert (end.outcome, end.stdout.tail, [s.exit_code for s in end.steps]) == ("succeeded", "yes\n", [137, 0])


async def test_a_program_that_is_not_there_is_told(yard):
    await yard.start_agent()
    end = await yard.ended(await assign(yard, Step(command=("no-such-program",), container="")))
    assert (end.outcome, end.exit_code, "cannot start" in end.stderr.tail) == ("failed", 127, True)


async def test_a_stop_ends_the_command_that_runs_and_no_other_begins(yard):
    await yard.start_agent()
    script = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done"
    name = await assign(yard, sh("echo first"), sh(script, ignore_error=True), sh("echo third"))
    await until(lambda: "ready" in yard.said(name))
    await yard.signal("stop", name)
    end = await yard.ended(name)
    assert (end.outcome, end.stdout.tail, len(end.steps)) == ("cancelled", "first\nready\n", 2)


async def test_other_signals_are_the_commands_own_business(yard):
    await yard.start_agent()
    script = "trap 'echo asked; exit 0' USR1; echo ready; while :; do sleep 0.02; done"
    name = await assign(yard, sh(script), sh("echo next"))
    await until(lambda: "ready" in yard.said(name))
    await yard.signal("run", name, signal_="SIGUSR1")
    end = await yard.ended(name)
    assert (end.outcome, end.stdout.tail) == ("succeeded", "ready\nasked\nnext\n")


async def test_a_killed_agent_finds_the_steps_going_on(yard, tmp_path):
    agent = await yard.start_agent()
    name = await assign(
        yard, sh("echo first"), sh(f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done"), sh("echo last")
    )
    await until(lambda: "first" in yard.said(name))
    await yard.kill_agent(agent)
    (tmp_path / "go").touch()
    await yard.start_agent()
    end = await yard.ended(name)
    assert (end.outcome, end.stdout.tail, len(end.steps)) == ("succeeded", "first\nlast\n", 3)
    assert len(yard.events(e.WorkerJoined)) == 2


async def test_the_time_limit_is_for_all_commands_together(yard):
    await yard.start_agent()
    end = await yard.ended(await assign(yard, sh("sleep 0.5"), sh("sleep 60", ignore_error=True), run_timeout=1))
    assert (end.outcome, end.cause) == ("failed", "timeout-running")


async def test_outputs_and_users_are_as_for_any_task(yard, tmp_path):
    await yard.start_agent()
    reachable(tmp_path)
    os.chmod(tmp_path, 0o777)
    steps = (sh("id -u > $OUTPUT/who"), sh("cat /dev/null; id -u", stdout="/output/again"))
    name = await assign(yard, *steps, output=f"file://{tmp_path}/out", uid=65534, gid=65534)
    await until(lambda: yard.ends(name) or [d for r in yard.events(e.AttemptsReported) for d in r.delivered])
    await yard.signal("publish", name)
    end = await yard.ended(name)
    assert (end.outcome, end.files) == ("succeeded", 2), end
    assert (tmp_path / "out" / "again").read_text() == "65534\n"
