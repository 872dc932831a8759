"""The way of data under attack, in a real stack with a real S3 server: agents and servers die, storage refuses and hangs.

What is published is read from the server's own disk, so nothing of ours is asked whether it was right.
"""

import hashlib
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from libs.data.tests.rclone_server import SECRET, S3Server, free_port

from .stack import Stack, eventually

TASKS = 8
SIZE = 6_000_000
COPY = 'cp "$INPUT"/* "$OUTPUT/$LONGSHORE_INDEX.bin"; echo "$LONGSHORE_ATTEMPT" >> "$0/$LONGSHORE_INDEX"'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    made = S3Server(tmp_path / "s3").start()
    made.make_bucket("bucket")
    (made.root / "bucket/in").mkdir()
    for k in range(TASKS):
        (made.root / f"bucket/in/{k}.bin").write_bytes(os.urandom(SIZE))
    yield made
    made.stop()


class Copies:
    """An array of tasks that each copy an input from S3 to an output there."""

    def __init__(self, stack: Stack, server: S3Server, *options: str) -> None:
        self.stack, self.server = stack, server
        self.ran = stack.state / "ran"
        self.ran.mkdir(mode=0o777)
        self.submission = stack.submit(
            "--array", f"0-{TASKS - 1}", "-i", "s3://bucket/in/{index}.bin", "-o", "s3://bucket/out/", *options, "--",
            "sh", "-c", COPY, str(self.ran),
        )  # fmt: skip

    def any_in(self, *states: str) -> bool:
        return any(self.stack.states(self.submission).get(state) for state in states)

    def faults(self) -> Iterator[str]:
        """What is wrong with what is on the server's disk; nothing if each output is there once, whole and told."""
        out = self.server.root / "bucket/out"
        for k in range(TASKS):
            source, made = self.server.root / f"bucket/in/{k}.bin", out / f"{k}.bin"
            manifest = out / ".longshore" / f"{self.submission}.{k}.json"
            if not made.exists() or not manifest.exists():
                yield f"task {k}: output {made.exists()}, manifest {manifest.exists()}"
                continue
            digest = hashlib.sha256(made.read_bytes()).hexdigest()
            if made.read_bytes() != source.read_bytes() or digest not in manifest.read_text():
                yield f"task {k}: not its input, or not what its manifest says"
        names = {p.name for p in out.iterdir()} - {f"{k}.bin" for k in range(TASKS)} - {".longshore"}
        if names:
            yield f"unexpected {names}"
        if left := [p for p in (out / ".longshore").rglob("*") if p.is_file() and p.suffix != ".json"]:
            yield f"private prefixes still hold {left[:4]}"

    def check(self) -> None:
        self.stack.finish(self.submission, TASKS, 90)
        assert list(self.faults()) == []


#: So slow that each phase lasts long enough to be hit.
SLOW = {"staging": {"LONGSHORE_BANDWIDTH_DOWN": "12M"}, "delivering": {"LONGSHORE_BANDWIDTH_UP": "12M"}, "running": {}}


@pytest.mark.parametrize("phase", SLOW)
def test_an_agent_killed_while_attempts_are_in_a_phase_publishes_each_output_once(start, server, phase):
    stack = start(concurrency=4, **server.environ, **SLOW[phase])
    copies = Copies(stack, server)
    eventually(
        lambda: copies.any_in(phase, "succeeded"), lambda: f"{phase}: {stack.states(copies.submission)}", every=0.01
    )
    name, pid = stack.kill("agent")
    stack.restarted(name, pid)
    copies.check()


def test_a_storage_server_that_dies_and_comes_back_costs_time_and_nothing_else(start, server):
    stack = start(concurrency=4, **server.environ, LONGSHORE_BANDWIDTH_DOWN="12M")
    copies = Copies(stack, server)
    eventually(lambda: copies.any_in("staging"), "some stage", every=0.01)
    server.stop()
    eventually(
        lambda: "retry may help" in json.dumps(stack.get(f"/tasks/{copies.submission}.0/history") or ""), "it is told"
    )
    server.start()
    copies.check()


def test_what_storage_refuses_for_good_fails_at_once_with_its_words_and_without_secrets(start, server):
    stack = start(concurrency=4, **{**server.environ, "AWS_SECRET_ACCESS_KEY": "not-the-right-one-at-all"})
    submission = stack.submit("-i", "s3://bucket/in/0.bin", "--", "true")
    eventually(lambda: stack.states(submission).get("failed"), lambda: f"failed: {stack.task(f'{submission}.0')}", 60)
    task = stack.task(f"{submission}.0")
    assert task["cause"] == "stage-in"
    assert "s3://bucket/in/0.bin" in task["reason"]
    assert "SignatureDoesNotMatch" in task["reason"]
    assert "a retry cannot help" in task["reason"]
    assert "not-the-right-one" not in json.dumps(task)
    stack.good()


def test_a_missing_object_is_named_and_not_asked_for_again_and_again(start, server):
    stack = start(concurrency=4, **server.environ)
    submission = stack.submit("-i", "s3://bucket/in/none.bin", "--", "true")
    eventually(lambda: stack.states(submission).get("failed"), lambda: f"failed: {stack.task(f'{submission}.0')}", 60)
    task = stack.task(f"{submission}.0")
    assert "s3://bucket/in/none.bin" in task["reason"]
    assert len(task["attempts"]) == 1


def test_storage_that_takes_a_connection_and_says_nothing_runs_into_the_tasks_own_limit(start):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        endpoint = f"http://127.0.0.1:{mute.getsockname()[1]}"
        keys = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "something"}
        stack = start(concurrency=2, **keys)
        began = time.monotonic()
        submission = stack.submit("-i", "s3://bucket/x", "--download-timeout", "1", "--", "true")
        eventually(
            lambda: "timeout-staging" in json.dumps(stack.get(f"/tasks/{submission}.0/attempts") or ""), "it is told"
        )
        assert time.monotonic() - began < 15
        stack.cli("task", "cancel", f"{submission}.0")
        eventually(lambda: stack.states(submission) == {"cancelled": 1}, "cancelled", 5)
        stack.good()


def test_a_cancel_while_staging_ends_it_within_a_second(start, server):
    stack = start(concurrency=2, **server.environ, LONGSHORE_BANDWIDTH_DOWN="1M")
    copies = Copies(stack, server)
    eventually(lambda: copies.any_in("staging"), "some stage", every=0.02)
    began = time.monotonic()
    stack.cli("task", "cancel", f"{copies.submission}.0-{TASKS - 1}")
    eventually(lambda: stack.states(copies.submission) == {"cancelled": TASKS}, "cancelled", 10, every=0.02)
    assert time.monotonic() - began < 3  # the command itself is a part of it
    work = stack.state / "workers/local-1"
    eventually(lambda: not list(work.rglob(".longshore-part-*")), "nothing half done is left")


def mounted(path: Path, size: str) -> bool:
    path.mkdir(parents=True, exist_ok=True)
    return (
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], check=False).returncode == 0
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_disk_too_small_for_an_input_fails_that_task_and_no_other(start, server):
    stack = Stack(concurrency=2, **server.environ)
    work = stack.state / "workers"
    assert mounted(work, "30m")
    try:
        stack.up()
        (server.root / "bucket/in/large").write_bytes(bytes(60_000_000))
        submission = stack.submit("-i", "s3://bucket/in/large", "--", "true")
        small = stack.submit("-i", "s3://bucket/in/0.bin", "--", "sh", "-c", 'test -s "$INPUT/0.bin"')
        stack.finish(small, 1)
        attempts = eventually(
            lambda: [a for a in (stack.get(f"/tasks/{submission}.0/attempts") or {}).get("items", ()) if a["cause"]],
            "its first attempt failed",
        )
        assert {a["cause"] for a in attempts} == {"disk-full"}
        stack.cli("task", "cancel", f"{submission}.0")
        stack.good()
    finally:
        stack.close()
        subprocess.run(["umount", str(work)], check=False)


class Watch:
    """Command lines of all processes, seen again and again, and where a text stands in them."""

    def __init__(self, text: str) -> None:
        self.text, self.seen, self._stop = text, set(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)

    def _look(self) -> None:
        while not self._stop.wait(0.005):
            for entry in os.listdir("/proc"):
                if entry.isdigit():
                    try:
                        words = Path(f"/proc/{entry}/cmdline").read_bytes()
                    except OSError:
                        continue
                    if self.text.encode() in words and b"serve\0s3" not in words:
                        self.seen.add(words)


def test_credentials_stand_in_no_log_event_process_list_or_history(start, server):
    secret = f"unmistakable{free_port()}{os.getpid()}"
    server.stop()
    real = S3Server(server.root)
    real.secret = secret
    real.start()
    config = Path(os.environ.get("TMPDIR", "/tmp")) / f"longshore-rclone-{os.getpid()}.conf"
    config.write_text(f"[mine]\ntype = s3\nprovider = Other\naccess_key_id = longshoretest\nsecret_access_key = {secret}\n"
                      f"endpoint = http://127.0.0.1:{real.port}\n")  # fmt: skip
    try:
        with Watch(secret) as watch:
            stack = start(concurrency=2, **{**real.environ, "AWS_SECRET_ACCESS_KEY": secret})
            stack.cli("remote", "share", "--config", str(config))
            copies = Copies(stack, real)
            copies.check()
            remote = stack.submit(
                "-i", "mine://bucket/in/0.bin", "--", "sh", "-c", "env; cat /proc/self/environ; exit 3"
            )
            eventually(lambda: stack.states(remote).get("failed"), lambda: f"ran: {stack.task(f'{remote}.0')}")
            said = [stack.cli("task", "show", f"{remote}.0", "--json"), stack.cli("history", f"{remote}.0"),
                    stack.cli("task", "logs", f"{remote}.0"), stack.cli("worker", "show", "local-1", "--json")]  # fmt: skip
        assert secret not in "".join(said)
        assert watch.seen == set()
        places = [stack.state / "logs", stack.state / "nats", stack.state / "postgres"]
        grep = ["grep", "-r", "-l", "-a", secret, *map(str, places)]
        assert subprocess.run(grep, capture_output=True, text=True, timeout=60, check=False).stdout == ""
        assert secret != SECRET
    finally:
        config.unlink()
        real.stop()
