"""`longshore up`, `down` and `status` as a user meets them: real processes, one directory, nothing left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from longshore_common.testing.waiting import wait_until
from longshore_infra.stack import lifecycle
from longshore_infra.stack.layout import Layout
from longshore_infra.supervisor import identity
from longshore_infra.supervisor.plan import Plan

pytestmark = pytest.mark.slow

LONGSHORE = Path(sys.executable).with_name("longshore")
PARTS = ["nats", "postgres", "api", "dispatcher", "recruiter", "spawner-local-1", "local-1"]


class Said(NamedTuple):
    code: int
    out: str
    err: str


class Home:
    """A state directory and the commands upon it."""

    def __init__(self, root: Path, **environ: str) -> None:
        self.root = root
        self.environ = os.environ | {"LONGSHORE_STATE_DIR": str(root), "HOME": str(root), **environ}

    def say(self, *words: str, **environ: str) -> Said:
        done = subprocess.run(
            [LONGSHORE, *words], env=self.environ | environ, capture_output=True, text=True, timeout=90
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def up(self, *more: str, **environ: str) -> float:
        """Seconds it took."""
        began = time.monotonic()
        said = self.say("up", "--detach", "--concurrency", "2", *more, **environ)
        assert said.code == 0, f"{said}\n{self.trouble()}"
        return time.monotonic() - began

    def status(self) -> dict:
        return json.loads(self.say("status", "--json").out)

    def part(self, name: str) -> dict:
        return next(p for p in self.status()["processes"] if p["name"] == name)

    def pids(self) -> list[int]:
        """All processes of the stack: the supervisor and whatever is below it."""
        supervisor = self.status()["supervisor"]
        return [supervisor, *identity.descendants(supervisor)]

    def trouble(self) -> str:
        return "\n".join(f"{f.name}: {f.read_text()[-1500:]}" for f in sorted((self.root / "logs").glob("*.jsonl")))


@pytest.fixture
def home() -> Iterator[Home]:
    root = Path(tempfile.mkdtemp(prefix="longshore-stack-"))
    made = Home(root)
    yield made
    said = made.say("down")
    shutil.rmtree(root, ignore_errors=True)
    assert said.code == 0


def test_a_stack_starts_serves_refuses_a_second_and_stops_without_a_trace(home):
    home.up()
    status = home.status()
    assert status["ready"]
    assert [p["name"] for p in status["processes"]] == PARTS
    assert all(p["state"] == "running" and p["pid"] and p["restarts"] == 0 for p in status["processes"])
    second = home.say("up", "--detach")
    assert second.code == 1
    assert str(status["supervisor"]) in second.err
    assert str(home.root) in second.err
    assert home.status()["processes"] == status["processes"]
    pids = home.pids()
    assert len(pids) > len(PARTS)
    assert home.say("down").code == 0
    assert [pid for pid in pids if identity.of(pid)] == []
    assert not home.status()["ready"]
    assert home.status()["supervisor"] is None
    assert home.say("down").code == 0


def test_a_restart_takes_less_than_ten_seconds_and_keeps_every_submission(home):
    home.up()
    said = home.say("submit", "--wait", "-b", "before", "--", "echo", "kept")
    assert said.code == 0, f"{said}\n{home.trouble()}"
    task = said.out.split()[0]
    ports = home.status()["urls"]
    assert home.say("down").code == 0
    assert home.up() < 10
    assert home.status()["urls"] == ports
    assert json.loads(home.say("task", "show", task, "--json").out)["state"] == "succeeded"
    assert home.say("task", "logs", task).out == "kept\n"
    assert home.say("submit", "--wait", "--", "true").code == 0


def test_a_part_killed_is_started_again_and_status_says_so(home):
    home.up()
    for name in PARTS:
        before = home.part(name)
        os.kill(before["pid"], signal.SIGKILL)
        after = wait_until(lambda name=name, old=before: (p := home.part(name))["pid"] not in (None, old["pid"]) and p)
        assert after["restarts"] == 1, f"{name}: {home.trouble()}"  # it did not die of the death of another
        assert after["last_exit"] == "SIGKILL", name
        assert after["since"] > before["since"], name
        wait_until(lambda: home.status()["ready"], 30)
        said = home.say("submit", "--wait", "--", "true")
        assert said.code == 0, f"{name}: {said}\n{home.trouble()}"


def test_a_supervisor_killed_leaves_nothing_that_the_next_up_does_not_clear(home):
    home.up()
    said = home.say("submit", "--", "sleep", "300")
    assert said.code == 0
    wait_until(lambda: len(tasks_of(home)) == 1)
    pids = home.pids()
    os.kill(pids[0], signal.SIGKILL)
    home.up()
    assert not set(pids) & set(home.pids())
    assert [pid for pid in pids if identity.of(pid)] == []


def tasks_of(home: Home) -> list[int]:
    """Processes of tasks."""
    return identity.descendants(home.part("spawner-local-1")["pid"])


def test_in_the_foreground_an_interrupt_stops_all_of_it(home):
    up = subprocess.Popen([LONGSHORE, "up", "--workers", "2"], env=home.environ, stdout=subprocess.PIPE, text=True)
    assert str(home.root) in up.stdout.readline()
    assert home.status()["ready"]
    pids = home.pids()
    up.send_signal(signal.SIGINT)
    assert up.wait(60) == 0
    up.stdout.close()
    assert [pid for pid in pids if identity.of(pid)] == []


def test_a_stack_that_cannot_serve_says_why_and_leaves_nothing(home):
    said = home.say("up", "--detach", LONGSHORE_LOST_AFTER="soon")
    assert said.code == 1
    assert "dispatcher died" in said.err
    assert "lost_after" in said.err
    assert home.status()["supervisor"] is None


def test_an_outside_nats_server_that_is_too_old_is_refused(home, tmp_path):
    old = tmp_path / "nats-server"
    old.write_text("#!/bin/sh\necho 'nats-server: v2.10.25'\n")
    old.chmod(0o755)
    said = home.say("up", "--detach", LONGSHORE_NATS_SERVER=str(old))
    assert said.code == 1
    assert "2.10.25" in said.err
    assert "2.12" in said.err
    assert home.status()["supervisor"] is None


@pytest.fixture
def servers() -> Iterator[dict[str, str]]:
    """nats-server and PostgreSQL that run without a stack of ours around them, as the environment names them."""
    layout = Layout(Path(tempfile.mkdtemp(prefix="longshore-servers-")))
    layout.create()
    parts, stack = lifecycle.prepare(layout, 0, 1, dict(os.environ))
    lock = layout.lock()
    plan = Plan(logs=str(layout.logs), report=str(layout.report_file), parts=parts[:2], attached=True)
    running = lifecycle.launch(layout, plan, lock)
    os.close(lock)
    api = next(part for part in parts if part.name == "api")
    names = ("DATABASE_URL", "LONGSHORE_ACCOUNT_SEED_FILE", "LONGSHORE_ACCOUNT_PUBLIC")
    yield {"NATS_URL": stack.nats_url} | {name: api.env[name] for name in names}
    running.terminate()
    running.wait(30)
    shutil.rmtree(layout.root)


def test_an_outside_server_and_database_take_the_place_of_ours(servers, home):
    home.up(**servers)
    names = [p["name"] for p in home.status()["processes"]]
    assert names == [p for p in PARTS if p not in ("nats", "postgres")]
    said = home.say("submit", "--wait", "--", "true")
    assert said.code == 0, f"{said}\n{home.trouble()}"


def test_the_state_directory_is_private(home):
    home.up()
    assert home.say("down").code == 0
    ours = [p for p in home.root.rglob("*") if "postgres" not in p.parts and "workers" not in p.parts]
    assert [p for p in ours if p.is_dir() and p.stat().st_mode & 0o077] == []
    loose = [p for p in ours if p.is_file() and p.stat().st_mode & 0o077 and home.root / "nats" not in p.parents]
    assert loose == []


def test_every_line_of_every_log_is_a_json_object_with_its_four_fields(home):
    home.up()
    assert home.say("submit", "--wait", "--", "true").code == 0
    assert home.say("down").code == 0
    logs = list((home.root / "logs").glob("*.jsonl"))
    assert {f.stem for f in logs} == {*PARTS, "supervisor"}
    for file in logs:
        for line in file.read_text().splitlines():
            assert {"time", "level", "service", "event"} <= json.loads(line).keys(), f"{file.name}: {line}"
