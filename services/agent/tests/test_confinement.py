"""Bare commands that ask for something, against the real kernel: what holds them, what ends them, what is told of it."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from longshore_agent.adapters import cgroups
from longshore_agent.adapters.cgroups import Limits
from longshore_agent.adapters.confinement import Confinement
from longshore_agent.core import contract
from longshore_agent.core.attempts import Attempt
from longshore_agent.core.contract import Devices
from longshore_common import events as e
from longshore_common.model import TaskSpec
from longshore_common.testing.waiting import until

from .conftest import alive

#: Starts a process that leaves its session and group, tells its pid, and stays; goes on once that is told.
FLEE = (
    "import os, time\nr, w = os.pipe()\nif os.fork() == 0:\n os.setsid()\n print(os.getpid(), flush=True)\n"
    " os.write(w, b'x')\n time.sleep(600)\nos.read(r, 1)\n"
)
SLEEP = "import time; time.sleep(600)"
MB = 1 << 20


@pytest.fixture
def ground():
    """Where groups can be made here; the tests of this file that need some say so when there is no such place."""
    found = cgroups.ground(os.getpid())
    if found is None:
        pytest.skip("NO CONTROL GROUPS: run as root, or as a unit with Delegate=yes; limits by them were not tested")
    return found


@pytest.fixture
def group(ground):
    made = []

    def make(name, **limits):
        name = f"test-{os.getpid()}-{name}"
        made.append(ground.make(name, Limits(**limits)))
        return list(made[-1])

    yield make
    for directories in made:
        cgroups.empty(directories)
        while not cgroups.remove(directories):
            pass


def start(host, *argv, more, **options):
    request = (*host.request(argv, **options), more)
    host.link.send([request])
    return request[1]


async def test_a_command_is_in_its_group_before_its_first_instruction(host, group):
    name = start(host, "cat", "/proc/self/cgroup", more={"groups": group("a", memory=64 * MB, cpus=1, pids=50)})
    assert (await host.ended(name))[3] == 0
    assert f"test-{os.getpid()}-a" in host.said(name).decode()


async def test_argv_environment_and_launch_errors_are_as_without_a_group(host, group):
    more = {"groups": group("a", memory=64 * MB)}
    words = ["", "a b", "$X", "é\n", "-c"]
    show = "import sys; sys.stdout.buffer.write(b'\\0'.join(map(__import__('os').fsencode, sys.argv[1:])))"
    name = start(host, sys.executable, "-c", show, *words, more=more)
    await host.ended(name)
    assert host.said(name).split(b"\0") == [os.fsencode(w) for w in words]
    env = start(host, "env", more=more)
    await host.ended(env)
    assert sorted(line.split("=")[0] for line in host.said(env).decode().splitlines()) == ["LONGSHORE_ATTEMPT", "PATH"]
    end = await host.ended(start(host, "no-such-program", more=more))
    assert end[3] == -1
    assert "no such program" in end[10]
    script = host.directory / "script"
    script.write_text("echo hello\n")
    script.chmod(0o755)
    assert "#!" in (await host.ended(start(host, str(script), more=more)))[10]


async def test_a_group_that_is_gone_is_an_end_that_says_so(host, tmp_path):
    end = await host.ended(start(host, "true", more={"groups": [str(tmp_path / "gone")]}))
    assert end[3] == -1


async def test_broken_pipes_kill_a_confined_task_as_they_would_anywhere(host):
    name = start(host, "sh", "-c", "yes | head -n1; kill -PIPE $$; echo survived", more={"grace": 1.0})
    await host.ended(name)
    assert host.said(name) == b"y\n"


async def test_a_command_runs_only_on_the_cpus_it_was_given(host):
    last = max(os.sched_getaffinity(0))
    name = start(host, sys.executable, "-c", "import os; print(os.sched_getaffinity(0))", more={"cpus": [last]})
    await host.ended(name)
    assert host.said(name).decode() == f"{{{last}}}\n"


async def test_a_limit_per_process_holds_where_there_are_no_groups(host):
    more = {"limits": [(resource.RLIMIT_DATA, 100 * MB)]}
    name = start(host, sys.executable, "-c", "x = bytearray(200_000_000)", more=more)
    assert (await host.ended(name))[3] != 0
    assert b"MemoryError" in host.said(name, "err")
    assert (await host.ended(start(host, "true", more=more)))[3] == 0


async def test_what_fled_its_session_dies_with_its_group(host, group):
    name = start(host, sys.executable, "-c", FLEE, more={"groups": group("a", memory=64 * MB)})
    await host.ended(name)
    pid = int(await until(lambda: host.said(name)))
    await until(lambda: not alive(pid))


async def test_freezing_a_group_reaches_who_fled_and_a_frozen_group_can_be_killed(host, group):
    directories = group("a", memory=64 * MB)
    name = start(host, sys.executable, "-c", FLEE + SLEEP, more={"groups": directories})
    pid = int(await until(lambda: (host.directory / f"{name}.out").exists() and host.said(name)))
    host.link.send([("k", name, int(signal.SIGSTOP))])
    await until(lambda: frozen(directories))
    host.link.send([("k", name, int(signal.SIGCONT))])
    await until(lambda: not frozen(directories))
    host.link.send([("k", name, int(signal.SIGSTOP)), ("x", name, 0.0)])
    await host.ended(name)
    await until(lambda: not alive(pid))


async def test_a_time_limit_asks_with_the_tasks_own_signal_and_waits_its_own_grace(host):
    script = "trap 'echo asked; exit 0' INT; trap '' TERM; while :; do sleep 0.02; done"
    name = start(host, "sh", "-c", script, timeout=0.3, more={"stop": int(signal.SIGINT), "grace": 5.0})
    end = await host.ended(name)
    assert (host.said(name), end[10]) == (b"asked\n", "timeout")
    deaf = start(host, "sh", "-c", "trap '' TERM; while :; do sleep 0.02; done", timeout=0.2, more={"grace": 0.2})
    end = await host.ended(deaf)
    assert os.WTERMSIG(end[3]) == signal.SIGKILL
    assert end[5] - end[4] < 3


# --- the whole agent -------------------------------------------------------------------------------------------------


def eat(megabytes):
    return (sys.executable, "-c", f"x = bytearray({megabytes} << 20)")


async def test_memory_beyond_the_limit_is_an_oom_known_from_the_group(yard, ground):
    await yard.start_agent()
    name = (await yard.assign(*eat(200), memory=64 * MB))[0]
    end = await yard.ended(name)
    assert (end.outcome, end.cause, end.exit_code) == ("failed", "oom", 137)
    assert "--memory" in end.reason
    assert 32 * MB < end.usage.peak_memory <= 64 * MB
    await none_left(ground, yard, name)


async def test_a_child_that_was_killed_for_memory_makes_its_parents_failure_an_oom(yard, ground):
    await yard.start_agent()
    script = f"{sys.executable} -c 'x = bytearray(200 << 20)'; exit 7"
    name = (await yard.assign("sh", "-c", script, memory=64 * MB))[0]
    end = await yard.ended(name)
    assert (end.cause, end.exit_code) == ("oom", 7)


async def test_a_kill_of_unknown_origin_is_not_blamed_on_memory(yard, ground):
    await yard.start_agent()
    asked = (await yard.assign("sh", "-c", "kill -9 $$", memory=64 * MB))[0]
    plain = (await yard.assign("sh", "-c", "kill -9 $$"))[0]
    assert [((await yard.ended(n)).cause, (await yard.ended(n)).exit_code) for n in (asked, plain)] == [
        ("exit", 137)
    ] * 2


async def test_peak_memory_is_of_the_whole_tree_and_leaves_out_the_file_cache(yard, ground, tmp_path):
    await yard.start_agent()
    file = tmp_path / "large"
    file.write_bytes(bytes(96 * MB))
    with file.open("rb") as cached:
        os.fsync(cached.fileno())
        os.posix_fadvise(cached.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    reads = (await yard.assign("sh", "-c", f"cat {file} | tail -c 1", memory=512 * MB))[0]
    one = f"{sys.executable} -c 'import time; x = bytearray(60 << 20); time.sleep(2.5)'"
    both = (await yard.assign("sh", "-c", f"{one} & {one} & wait", memory=512 * MB))[0]
    assert (await yard.ended(reads)).usage.peak_memory < 64 * MB
    assert 120 * MB < (await yard.ended(both)).usage.peak_memory < 200 * MB


async def test_more_memory_after_an_oom_counts_instead_of_what_the_task_asked_for(yard, ground):
    await yard.start_agent()
    spec = {"command": (sys.executable, "-c", "import os; x = bytearray(100 << 20); print(os.environ['MEM'])")}
    starts = (e.Start(0, 2, 0, "", 256 * MB),)
    order = e.Order(submission=77, spec=TaskSpec(**spec, memory=64 * MB), batch="b", user="u", starts=starts)
    await yard.tell(e.AttemptsAssigned(orders=(order,)))
    end = await yard.ended("77.0.2")
    assert (end.outcome, end.stdout.tail) == ("succeeded", f"{256 * MB}\n")


async def test_cpus_are_a_limit_of_time(yard, ground):
    await yard.start_agent()
    spin = "import time\nt = time.monotonic()\nwhile time.monotonic() - t < 1: pass"
    name = (await yard.assign(sys.executable, "-c", spin, cpus=0.25))[0]
    end = await yard.ended(name)
    assert end.outcome == "succeeded"
    assert 0.1 < end.usage.cpu_seconds < 0.6


async def test_stopping_kills_who_fled_also_without_a_group(yard):
    await yard.start_agent()
    name = (await yard.assign(sys.executable, "-c", FLEE + SLEEP))[0]
    out = yard.directory / "w1" / "attempts"
    await yard.running(name)
    pid = int(await until(lambda: next((t for p in out.glob("*/stdout") if (t := p.read_text())), "")))
    await yard.signal("stop", name)
    assert (await yard.ended(name)).outcome == "cancelled"
    await until(lambda: not alive(pid))


async def test_a_task_is_asked_to_stop_by_its_own_signal_and_killed_after_its_own_grace(yard):
    await yard.start_agent()
    script = "trap 'echo asked; exit 3' USR2; echo up; while :; do sleep 0.02; done"
    name = (await yard.assign("sh", "-c", script, stop_signal="USR2", grace=20))[0]
    await said(yard, "up")
    await yard.signal("stop", name)
    end = await yard.ended(name)
    assert (end.outcome, end.cause, end.exit_code, end.stdout.tail) == ("cancelled", "operator", 3, "up\nasked\n")
    deaf = (await yard.assign("sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.02; done", grace=0.2))[0]
    await said(yard, "up")
    await yard.signal("stop", deaf)
    assert (await yard.ended(deaf, 5)).exit_code == 137


async def test_a_task_that_leaves_with_0_when_its_time_is_over_has_timed_out(yard):
    await yard.start_agent()
    name = (await yard.assign("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.02; done", run_timeout=0.3))[0]
    end = await yard.ended(name)
    assert (end.outcome, end.cause, end.exit_code) == ("failed", "timeout-running", 0)


async def test_stopping_with_a_checkpoint_ends_evicted_whatever_the_code(yard):
    await yard.start_agent(slots=1)
    script = "trap 'echo saved; exit 0' USR1; echo up; while :; do sleep 0.02; done"
    name = (await yard.assign("sh", "-c", script, stop_signal="USR1", checkpoint="state", output="file:///nowhere/"))[0]
    waiting = (await yard.assign("true"))[0]
    await said(yard, "up")
    await yard.signal("checkpoint", waiting, name)
    ended = await yard.ended(waiting)
    assert (ended.outcome, ended.cause) == ("failed", "evicted")
    agent = yard.agents[0]
    await until(lambda: name not in agent.desk.attempts.held or agent.desk.attempts.held[name].result)
    result = agent.desk.attempts.held[name].result if name in agent.desk.attempts.held else yard.ends(name)[0]
    assert (result.outcome, result.cause, result.exit_code) == ("failed", "evicted", 0)


async def test_a_restarted_agent_still_knows_of_the_group_and_removes_it(yard, ground):
    agent = await yard.start_agent()
    name = (await yard.assign(*eat(200)[:2], f"import time; time.sleep(1.5); {eat(200)[2]}", memory=64 * MB))[0]
    await yard.running(name)
    await yard.kill_agent(agent)
    await yard.start_agent()
    assert (await yard.ended(name)).cause == "oom"
    await none_left(ground, yard, name)


async def test_without_limits_no_group_is_made(yard, ground):
    before = ground.names()
    await yard.start_agent()
    names = await yard.assign("true", count=20)
    for name in names:
        await yard.ended(name)
    assert not {n for n in ground.names() - before for a in names if n.endswith(f"-{a}")}


def test_devices_are_told_to_the_task_and_the_users_own_variables_win() -> None:
    devices = Devices((2, 3), ("0", "GPU-5"))
    own = contract.own_environment(TaskSpec(command=("x",), env={"OMP_NUM_THREADS": "1"}), e.Start(0, 1), devices)
    assert own["CUDA_VISIBLE_DEVICES"] == own["NVIDIA_VISIBLE_DEVICES"] == own["LONGSHORE_GPUS"] == "0,GPU-5"
    assert (own["LONGSHORE_CPUS"], own["THREADS"]) == ("2,3", "2")
    assert "OMP_NUM_THREADS" not in own
    assert contract.own_environment(TaskSpec(command=("x",)), e.Start(0, 1), contract.SHARED) == {}
    inside = contract.own_environment(TaskSpec(command=("x",)), e.Start(0, 1), devices, inside=True)
    assert (inside["LONGSHORE_GPUS"], "CUDA_VISIBLE_DEVICES" in inside) == ("0,GPU-5", False)


def test_an_earlier_spawner_is_asked_for_nothing_it_does_not_know(ground):
    held = Confinement("test-earlier")
    order = e.Order(submission=1, spec=TaskSpec(command=("x",), memory=MB, grace=1), batch="b", user="u", starts=())
    attempt = Attempt(id="1.0.1", order=order, start=e.Start(0, 1))
    held.attach(os.getpid(), 1, ())
    assert held.demand(attempt) == {}
    held.attach(os.getpid(), 2, ())
    assert set(held.demand(attempt)) == {"groups", "stop", "grace"}
    assert held.told(attempt, 5, 1.0).peak_memory == 5
    held.forget(attempt.id)
    assert not held.watched


def test_where_there_are_no_groups_memory_is_limited_per_process(ground, tmp_path):
    script = f"""
import os
from longshore_agent.adapters import confinement
from longshore_agent.core.attempts import Attempt
from longshore_common import events as e
from longshore_common.model import TaskSpec
os.setgid(65534)
os.setuid(65534)
held = confinement.Confinement("x")
held.attach(os.getpid(), 2, ())
order = e.Order(submission=1, spec=TaskSpec(command=("x",), memory={MB}), batch="b", user="u", starts=())
print(held.demand(Attempt(id="1.0.1", order=order, start=e.Start(0, 1))), "Delegate=yes" in confinement.problem())
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, cwd=tmp_path, timeout=30)
    assert said.stdout.decode() == f"{{'limits': [({resource.RLIMIT_DATA}, {MB})]}} True\n"


def frozen(directories) -> bool:
    for at in map(Path, directories):
        for name, value in (("freezer.state", "FROZEN"), ("cgroup.freeze", "1")):
            if (at / name).exists() and (at / name).read_text().strip() == value:
                return True
    return False


async def said(yard, text):
    base = yard.directory / "w1" / "attempts"
    await until(lambda: any(text in p.read_text() for p in base.glob("*/stdout")))
    await asyncio.sleep(0)


async def none_left(ground, yard, name):
    await until(lambda: yard.agents[0].bare.confinement.group(name) not in ground.names())
