"""The supervisor keeps parts running, says what they did, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from longshore_common.testing.waiting import wait_until
from longshore_infra.supervisor import identity
from longshore_infra.supervisor.plan import Part, PartReport, Plan, Report

QUIET = ["sh", "-c", "exec sleep 600"]


class Supervised:
    """A real supervisor of a plan of shell commands."""

    def __init__(self, root: Path, *parts: Part) -> None:
        self.root = root
        lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "longshore_infra.supervisor", str(lock)],
            stdin=subprocess.PIPE,
            pass_fds=[lock],
        )
        os.close(lock)
        plan = Plan(logs=str(root), report=str(root / "report"), parts=list(parts), attached=False)
        self.process.stdin.write(msgspec.json.encode(plan))
        self.process.stdin.close()

    def part(self, name: str) -> PartReport | None:
        with suppress(FileNotFoundError):
            report = msgspec.json.decode((self.root / "report").read_bytes(), type=Report)
            return next(p for p in report.parts if p.name == name)
        return None

    def when(self, name: str, fits: Callable[[PartReport], bool]) -> PartReport:
        return wait_until(lambda: (p := self.part(name)) and fits(p) and p)

    def lines(self, name: str) -> list[dict]:
        with suppress(FileNotFoundError):
            return [json.loads(each) for each in (self.root / f"{name}.jsonl").read_text().splitlines()]
        return []

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(20)


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    started: list[Supervised] = []

    def start(*parts: Part) -> Supervised:
        started.append(Supervised(tmp_path, *parts))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.stop()


def part(name: str, command: list[str], order: int = 1, **more: object) -> Part:
    return Part(name=name, command=command, env=dict(os.environ), cwd="/", stop_order=order, **more)


def test_a_killed_part_is_started_again_and_the_report_says_how_often_and_why(supervise):
    it = supervise(part("p", QUIET))
    first = it.when("p", lambda p: p.state == "running").identity
    os.kill(first.pid, signal.SIGKILL)
    again = it.when("p", lambda p: p.state == "running" and p.restarts == 1)
    assert again.identity.pid != first.pid
    assert again.last_exit == "SIGKILL"
    assert any(line["event"] == "part died" and line["part"] == "p" for line in it.lines("supervisor"))


def test_a_part_that_keeps_dying_is_started_ever_more_slowly(supervise):
    it = supervise(part("p", ["sh", "-c", "exit 3"]))
    assert it.when("p", lambda p: p.restarts == 4).last_exit == "exit 3"
    pauses = [line["restart_in"] for line in it.lines("supervisor") if line["event"] == "part died"]
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]


def test_a_program_that_is_missing_is_reported_and_hinders_no_other(supervise):
    it = supervise(part("gone", ["/no/such/program"]), part("p", QUIET))
    it.when("p", lambda p: p.state == "running")
    assert "No such file" in it.when("gone", lambda p: p.restarts > 0).last_exit


def test_output_becomes_json_lines_whatever_the_part_prints(supervise):
    said = r"""printf '{"event":"own","level":"info"}\nplain\nhalf a'; sleep 0.1; printf ' line\n\n\377\n'; exec sleep 600"""
    it = supervise(part("p", ["sh", "-c", said]))
    lines = wait_until(lambda: len(found := it.lines("p")) == 4 and found)
    assert [line["event"] for line in lines] == ["own", "plain", "half a line", "�"]
    assert {"time", "level", "service", "event"} <= lines[1].keys()


def test_words_of_nats_server_and_postgres_keep_their_level(supervise):
    nats = part("nats", ["sh", "-c", "echo '[7] [WRN] slow disk'; exec sleep 600"], lines="nats")
    it = supervise(nats, part("pg", ["sh", "-c", "echo 'FATAL:  no room'; exec sleep 600"], lines="postgres"))
    nats_line = wait_until(lambda: it.lines("nats"))[0]
    assert (nats_line["level"], nats_line["event"], nats_line["service"]) == ("warning", "slow disk", "nats")
    assert wait_until(lambda: it.lines("pg"))[0]["level"] == "critical"


def test_parts_stop_in_their_order_and_a_deaf_one_is_killed(supervise, tmp_path):
    def said(word: str) -> list[str]:
        return ["sh", "-c", f"trap 'echo {word} >> {tmp_path}/order; exit' TERM; while :; do sleep 0.05; done"]

    deaf = ["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"]
    it = supervise(part("b", said("b"), 2), part("a", said("a"), 1), part("deaf", deaf, 1, patience=0.5))
    for name in ("a", "b", "deaf"):
        it.when(name, lambda p: p.state == "running")
    wait_until(lambda: identity.of(it.part("b").identity.pid) and list(identity.children(it.part("b").identity.pid)))
    wait_until(lambda: list(identity.children(it.part("a").identity.pid)))
    assert it.stop() == 0
    assert (tmp_path / "order").read_text().split() == ["a", "b"]
    assert [it.part(n).state for n in ("a", "b", "deaf")] == ["stopped"] * 3
    assert it.part("deaf").last_exit == "SIGKILL"


def test_what_a_dead_part_leaves_behind_is_killed(supervise, tmp_path):
    orphan = f"setsid sh -c 'echo $$ > {tmp_path}/orphan; sleep 600; true' & exec sleep 600"
    it = supervise(part("p", ["sh", "-c", orphan]))
    pid = int(wait_until(lambda: (tmp_path / "orphan").exists() and (tmp_path / "orphan").read_text()))
    os.kill(it.when("p", lambda p: p.state == "running").identity.pid, signal.SIGKILL)
    wait_until(lambda: identity.of(pid) is None)
    it.when("p", lambda p: p.restarts == 1 and p.state == "running")


def test_parts_end_with_a_supervisor_that_was_killed(supervise):
    it = supervise(part("p", QUIET))
    child = it.when("p", lambda p: p.state == "running").identity
    it.process.kill()
    it.process.wait()
    wait_until(lambda: not identity.alive(child))


def test_a_log_file_that_grew_large_is_set_aside_once(supervise, tmp_path):
    flood = "head -c 40000000 /dev/zero | tr '\\0' 'x' | fold -w 1000; echo; echo end; exec sleep 600"
    it = supervise(part("p", ["sh", "-c", flood]))
    wait_until(lambda: (tmp_path / "p.jsonl").exists() and b'"end"' in (tmp_path / "p.jsonl").read_bytes()[-300:], 30)
    assert (tmp_path / "p.jsonl").stat().st_size < 20 << 20
    assert (tmp_path / "p.jsonl.1").stat().st_size < 20 << 20
    it.stop()


def test_a_reused_pid_is_not_taken_for_the_process_it_was():
    me = identity.of(os.getpid())
    assert identity.alive(me)
    assert not identity.alive(msgspec.structs.replace(me, started=me.started + 1))
    assert not identity.alive(msgspec.structs.replace(me, boot="another"))


def test_stopping_orphans_takes_all_below_them_and_nothing_else(tmp_path):
    root = subprocess.Popen(["sh", "-c", "sleep 600 & setsid sleep 600 & wait"])
    below = wait_until(lambda: len(found := identity.descendants(root.pid)) == 2 and found)
    stranger = msgspec.structs.replace(identity.of(os.getpid()), started=1)
    who = identity.of(root.pid)
    assert identity.stop([who, stranger], patience=0.2) == sorted([root.pid, *below])
    assert root.wait(5) == -signal.SIGTERM
    wait_until(lambda: not any(identity.of(pid) for pid in below))
    assert identity.stop([who], patience=0.2) == []
