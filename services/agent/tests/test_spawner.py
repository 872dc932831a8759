"""The spawner, against real processes: what it starts, how it tells of ends, and what survives whom."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from longshore_agent.adapters import spawner, spawner_child, spawner_main, step_runner
from longshore_common.testing.waiting import until

from .conftest import alive

SHOW = "import sys; sys.stdout.buffer.write(b'\\0'.join(map(__import__('os').fsencode, sys.argv[1:])))"


async def test_the_argv_arrives_to_the_byte(host):
    words = ["two words", "", "'quoted' \"twice\"", "$HOME", "naïve ☃ 漢", "*", "-n", "\n", os.fsdecode(b"\xff\xfe")]
    name = host.run(sys.executable, "-c", SHOW, *words)
    await host.ended(name)
    assert host.said(name).split(b"\0") == [os.fsencode(w) for w in words]


async def test_only_the_environment_given_is_there(host):
    name = host.run("env", env={"A": "1"})
    await host.ended(name)
    lines = host.said(name).decode().splitlines()
    assert sorted(line.split("=")[0] for line in lines) == ["A", "LONGSHORE_ATTEMPT", "PATH"]


async def test_exit_codes_and_signals_are_told_apart(host):
    codes = host.run("sh", "-c", "exit 41"), host.run("sh", "-c", "kill -USR1 $$")
    status = [(await host.ended(c))[3] for c in codes]
    assert os.WEXITSTATUS(status[0]) == 41
    assert os.WTERMSIG(status[1]) == signal.SIGUSR1


async def test_broken_pipes_kill_a_task_as_they_would_anywhere(host):
    name = host.run("sh", "-c", "yes | head -n1; kill -PIPE $$; echo survived")
    await host.ended(name)
    assert host.said(name) == b"y\n"


async def test_each_stream_has_its_own_file_and_stdin_is_empty(host):
    name = host.run("sh", "-c", "cat; echo out; echo err >&2")
    await host.ended(name)
    assert (host.said(name), host.said(name, "err")) == (b"out\n", b"err\n")


async def test_a_program_that_does_not_exist_is_an_end_that_says_so(host):
    name = host.run("no-such-program")
    end = await host.ended(name)
    assert end[3] == -1
    assert "no-such-program" in end[10]
    assert "no such program" in end[10]


async def test_a_script_without_a_first_line_is_an_end_that_names_the_fix(host, tmp_path):
    script = tmp_path / "script"
    script.write_text("echo hello\n")
    script.chmod(0o755)
    assert "#!" in (await host.ended(host.run(str(script))))[10]


async def test_a_directory_that_is_gone_is_an_end_too(host, tmp_path):
    assert (await host.ended(host.run("true", cwd=tmp_path / "gone")))[3] == -1


@pytest.mark.parametrize("argv", [[], ["tr\0ue"]])
async def test_a_command_that_cannot_be_one_is_an_end_too(host, argv):
    assert (await host.ended(host.run(*argv)))[3] == -1


async def test_no_more_run_at_once_than_the_limit(host):
    script = """import os, time
mine = f'{os.getpid()}.run'
open(mine, 'w').close()
time.sleep(.05)
print(len([f for f in os.listdir() if f.endswith('.run')]))
os.unlink(mine)"""
    names = [host.run(sys.executable, "-S", "-c", script) for _ in range(12)]
    for name in names:
        await host.ended(name)
    assert max(int(host.said(n)) for n in names) <= 2


async def test_a_limit_of_nothing_starts_nothing_until_it_grows(host):
    host.link.send([("l", 0)])
    name = host.run("true")
    other = host.run("true")
    host.link.send([("d", other)])
    await until(lambda: host.of("D", other))
    assert host.of("S", name) is None
    host.link.send([("l", 1)])
    await host.ended(name)


async def test_usage_is_measured(host):
    eat = "x = bytearray(60_000_000); s = sum(range(3_000_000))"
    end = await host.ended(host.run(sys.executable, "-S", "-c", eat))
    started, ended, peak, cpu = end[4:8]
    assert peak > 60_000_000
    assert 0.01 < cpu <= (ended - started) * 2


async def test_a_quick_task_that_used_nothing_is_not_charged_for_the_spawner(host):
    assert (await host.ended(host.run("true")))[6] < 20_000_000


async def test_what_a_task_left_running_in_its_group_dies_with_it(host):
    name = host.run("sh", "-c", "sleep 600 & echo $!")
    await host.ended(name)
    await _gone(int(host.said(name)))


async def test_terminate_is_a_signal_then_a_kill_to_the_whole_group(host):
    name = host.run("sh", "-c", "trap '' TERM; sleep 600 & echo $!; wait; wait; sleep 600")
    await host.started(name)
    await _said(host, name)
    began = time.monotonic()
    host.link.send([("x", name, 0.3)])
    end = await host.ended(name)
    assert os.WTERMSIG(end[3]) == signal.SIGKILL
    assert 0.25 < time.monotonic() - began < 3
    await _gone(int(host.said(name)))


async def test_a_time_limit_is_kept_and_named(host):
    name = host.run("sleep", "600", timeout=0.2)
    end = await host.ended(name)
    assert os.WTERMSIG(end[3]) == signal.SIGTERM
    assert end[10] == "timeout"


async def test_a_frozen_task_can_still_be_terminated(host):
    name = host.run("sleep", "600")
    await host.started(name)
    host.link.send([("k", name, int(signal.SIGSTOP)), ("x", name, 5.0)])
    end = await host.ended(name)
    assert os.WTERMSIG(end[3]) == signal.SIGTERM


async def test_signals_reach_the_group(host):
    name = host.run("sh", "-c", "trap 'echo got; exit 3' USR1; echo ready; while :; do sleep 0.01; done")
    await _said(host, name)
    host.link.send([("k", name, int(signal.SIGUSR1))])
    end = await host.ended(name)
    assert host.said(name) == b"ready\ngot\n"
    assert os.WEXITSTATUS(end[3]) == 3


async def test_an_agent_that_went_away_finds_everything_again(host):
    running, ended = host.run("sleep", "600"), host.run("sh", "-c", "exit 7")
    await host.started(running)
    await host.ended(ended)
    queued = [host.run("sleep", "600") for _ in range(3)]
    await host.started(queued[0])
    host.link.close()
    hello = await host.connect()
    assert {name for name, _, _ in hello.running} == {running, queued[0]}
    assert hello.queued == queued[1:]
    assert [(x[1], os.WEXITSTATUS(x[3])) for x in hello.ended] == [(ended, 7)]


async def test_ends_are_kept_while_nobody_listens_and_until_they_are_acknowledged(host):
    first = host.run("sh", "-c", "sleep 0.1; exit 5")
    await host.started(first)
    host.link.close()
    await asyncio.sleep(0)
    hello = await host.connect()
    while not (hello.ended or host.of("E", first)):
        hello = await host.connect()
    again = await host.connect()
    assert [x[1] for x in again.ended] == [first]
    host.link.send([("a", again.ended[-1][0])])
    last = await host.ended(host.run("true"))
    assert [x[0] for x in (await host.connect()).ended] == [last[0]]


async def test_a_second_agent_replaces_the_first(host):
    first = host.link
    await host.connect()
    await asyncio.wait_for(first.closed.wait(), 5)
    await host.ended(host.run("true"))


async def test_a_second_spawner_refuses_to_serve_the_same_socket(host):
    other = subprocess.run(
        spawner.command(),
        env={"LONGSHORE_SPAWNER_SOCKET": str(host.socket)},
        capture_output=True,
        timeout=10,
        check=False,
    )
    assert other.returncode == 1
    assert b"another spawner" in other.stderr


async def test_a_socket_left_behind_by_a_killed_spawner_is_taken_over(host):
    host.process.kill()
    host.process.wait(10)
    await host.start()
    host.link.send([("l", 1)])
    await host.ended(host.run("true"))


async def test_stopped_cleanly_it_kills_what_it_runs(host):
    name = host.run("sh", "-c", "sleep 600 & echo $!; wait")
    await _said(host, name)
    host.process.terminate()
    assert host.process.wait(10) == 0
    await _gone(int(host.said(name)))
    assert not host.socket.exists()


async def test_another_user_runs_it_if_asked(host, tmp_path):
    if os.geteuid():
        pytest.fail("this test needs root, as the machine that builds has")
    tmp_path.chmod(0o755)
    both = host.run("sh", "-c", "id -u; id -g; id -G", uid=65534, gid=65533, cwd="/")
    user = host.run("sh", "-c", "id -u; id -g; id -G", uid=65534, cwd="/")
    await host.ended(both)
    await host.ended(user)
    assert host.said(both).split() == [b"65534", b"65533", b"65533"]
    assert host.said(user).split() == [b"65534", b"65534", b"65534"]


BECOME = '_become("/usr/bin/id", ("s", ["id", "-u"], {}, ".", "out", "err"), (65534, 65534), {})'
DROP = 'Runner({"user": (65534, 65534), "stop_signal": 15})._drop(); open("out", "w").write(f"{os.getuid()}\\n")'


@pytest.mark.parametrize(("program", "does"), [(spawner_child, BECOME), (step_runner, DROP)], ids=["task", "steps"])
def test_without_root_a_task_may_name_the_user_that_it_has_anyway(tmp_path, program, does):
    tmp_path.chmod(0o777)
    source = Path(program.__file__).read_text().replace('__name__ == "__main__"', "False")
    be_nobody = "os.setgroups([]); os.setgid(65534); os.setuid(65534)"  # only now: Python may lie where nobody gets
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"{source}\n{be_nobody}\n{does}"], cwd=tmp_path, check=True, timeout=20
    )
    assert (tmp_path / "out").read_text() == "65534\n"


async def test_two_thousand_quick_tasks_all_end_once_with_their_output(host):
    names = []
    requests = [host.request(["sh", "-c", f"echo {k}"] if k % 20 == 0 else ["true"]) for k in range(2000)]
    for at in range(0, 2000, 100):
        host.link.send(requests[at : at + 100])
        names += [r[1] for r in requests[at : at + 100]]
    for name in names:
        await host.ended(name)
    assert len([x for x in host.events if x[0] == "E"]) == 2000
    assert all(host.said(names[k]) == f"{k}\n".encode() for k in range(0, 2000, 20))


async def test_without_an_agent_and_with_much_to_do_it_still_sleeps(host):
    for _ in range(20):
        host.run("sleep", "600")
    await until(lambda: len([x for x in host.events if x[0] == "S"]) == 2)
    host.link.close()
    with open(f"/proc/{host.process.pid}/status") as file:
        before = int(next(x.split()[1] for x in file if x.startswith("voluntary")))
    await asyncio.sleep(0.5)
    with open(f"/proc/{host.process.pid}/status") as file:
        after = int(next(x.split()[1] for x in file if x.startswith("voluntary")))
    assert after - before < 10


async def test_it_starts_fast_and_small(host):
    with open(f"/proc/{host.process.pid}/status") as file:
        rss = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
    assert rss < 16_000
    names = f"{{'__name__': 'x', '__package__': None, '__file__': {spawner_main.__file__!r}}}"
    script = f"import sys; exec(open({spawner_main.__file__!r}).read(), {names}); print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, check=True, timeout=10)
    assert {"json", "asyncio", "msgspec", "typing", "re", "subprocess", "logging"}.isdisjoint(
        shown.stdout.decode().split()
    )


async def _said(host, name):
    await until(lambda: (host.directory / f"{name}.out").exists() and host.said(name))


async def _gone(pid):
    await until(lambda: not alive(pid))
