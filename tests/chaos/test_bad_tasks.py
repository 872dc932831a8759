"""Tasks that cannot work: each fails with a cause and a reason a user can act on, and the next good task runs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .stack import Stack, eventually


@pytest.fixture(scope="module")
def stack():
    # nothing listens on port 9 of the loopback: S3 that cannot be reached
    unreachable = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
    }
    running = Stack(concurrency=4, **unreachable).up()
    yield running
    running.close()


@pytest.fixture(autouse=True)
def good_tasks_still_run(stack):
    yield
    stack.good()


def failed(stack: Stack, submission: int, deadline: float = 50) -> dict[str, Any]:
    """The one task of a submission once it has failed for good."""
    eventually(
        lambda: stack.states(submission) == {"failed": 1},
        lambda: f"failed: {stack.states(submission)} {stack.say('explain', f'{submission}.0')}\n{stack.log_ends()}",
        deadline,
    )
    return stack.task(f"{submission}.0")


def told(stack: Stack, submission: int, word: str) -> str:
    """What `task show` or `explain` say of the task, once one of them says `word`."""

    def both() -> str | None:
        text = stack.say("task", "show", f"{submission}.0").out + stack.say("explain", f"{submission}.0").out
        return text if word.lower() in text.lower() else None

    return str(eventually(both, lambda: f"{word!r} told by explain: {stack.say('explain', f'{submission}.0')}"))


def test_a_program_that_does_not_exist_fails_at_launch_and_is_named(stack):
    task = failed(stack, stack.submit("--", "no-such-program-anywhere"))
    assert task["cause"] == "launch"
    assert "no-such-program-anywhere" in task["reason"]


def test_a_missing_input_file_fails_at_stage_in_and_is_named(stack):
    task = failed(stack, stack.submit("-i", "file:///nowhere/at/all.txt", "--", "true"))
    assert task["cause"] == "stage-in"
    assert "/nowhere/at/all.txt" in task["reason"]


def test_an_argument_that_is_not_utf_8_is_refused_before_anything_is_sent(stack):
    said = stack.say("submit", "--", b"printf", b"caf\xe9")
    assert said.code in (1, 2), said
    assert "utf-8" in said.err.lower(), said
    assert "Traceback" not in said.err, said


def from_json(stack: Stack, *specs: dict[str, Any]) -> tuple[str, ...]:
    file = stack.state / "specs.jsonl"
    file.write_text("".join(json.dumps(spec) + "\n" for spec in specs))
    return "--from-json", str(file)


def test_a_10_mb_command_is_refused_or_fails_at_launch_and_says_that_it_is_too_long(stack):
    said = stack.say("submit", *from_json(stack, {"command": ["true", "x" * 10_000_000]}))
    if said.code:
        assert said.code in (1, 2), said
        assert "large" in said.err.lower() or "long" in said.err.lower(), said
        return
    task = failed(stack, int(said.out.split(".")[0]))
    assert (task["cause"], "too long" in task["reason"].lower()) == ("launch", True) or task["cause"] == "rejected"


def test_many_arguments_of_10_mb_together_fail_at_launch_or_are_refused(stack):
    said = stack.say("submit", *from_json(stack, {"command": ["true", *["y" * 50_000] * 200]}))
    if said.code:
        assert said.code in (1, 2), said
        assert "large" in said.err.lower() or "long" in said.err.lower(), said
        return
    task = failed(stack, int(said.out.split(".")[0]))
    assert (task["cause"], "too long" in task["reason"].lower()) == ("launch", True) or task["cause"] == "rejected"


def test_a_line_of_json_that_is_no_task_is_refused_with_its_number(stack):
    said = stack.say("submit", *from_json(stack, {"command": ["true"]}, {"command": ["true"], "colour": "blue"}))
    assert said.code in (1, 2), said
    assert "2" in said.err, said
    assert "colour" in said.err, said


def test_unreachable_s3_is_told_while_it_is_retried_and_the_task_can_be_cancelled(stack):
    for options in (["-i", "s3://nobody/input.txt"], ["-o", "s3://nobody/results/"]):
        submission = stack.submit(*options, "--", "sh", "-c", 'echo x > "$OUTPUT/x"')
        text = told(stack, submission, "127.0.0.1:9")
        assert "Traceback" not in text
        stack.say("task", "cancel", f"{submission}.0")
        eventually(
            lambda s=submission: not {"queued", "running", "staging", "delivering"} & set(stack.states(s)), "ended"
        )


@pytest.mark.engine
def test_an_image_that_nobody_has_fails_with_cause_image_and_is_named(stack):
    task = failed(stack, stack.submit("-d", "registry.invalid/no/such:image", "--", "true"))
    assert task["cause"] == "image"
    assert "registry.invalid/no/such:image" in task["reason"]


@contextmanager
def small_disk(where: Path, megabytes: int) -> Iterator[Path]:
    """A tmpfs of this size; needs root, so for anybody else this is a failure that says so."""
    where.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=777", "none", where], check=True, timeout=10)
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", where], check=True, timeout=10)


FILL = [sys.executable, "-c", "import os; open(os.environ['OUTPUT'] + '/big', 'wb').write(bytes(64_000_000))"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_output_disk_is_told_and_the_next_output_is_delivered(stack):
    with small_disk(stack.state / "small-out", 16) as disk:
        submission = stack.submit("-o", f"file://{disk}/", "--", *FILL)
        told(stack, submission, "no space left")
        stack.say("task", "cancel", f"{submission}.0")
        eventually(lambda: not {"queued", "running", "staging", "delivering"} & set(stack.states(submission)), "ended")
        assert not (disk / "big").exists(), "an output that is not whole must not be visible"
        good = stack.submit("--wait", "-o", f"file://{disk}/", "--", "sh", "-c", 'echo small > "$OUTPUT/small"')
        assert stack.states(good) == {"succeeded": 1}
        assert (disk / "small").read_text() == "small\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_worker_disk_fails_the_task_that_filled_it_and_no_other():
    stack = Stack()
    with small_disk(stack.state / "workers" / "local-1", 32):
        try:
            stack.up()
            submission = stack.submit("-o", f"file://{stack.state}/delivered/", "--", *FILL)
            told(stack, submission, "disk was full")  # its own words went to the same disk
            stack.say("task", "cancel", f"{submission}.0")
            eventually(lambda: not {"queued", "running", "staging"} & set(stack.states(submission)), "ended")
            stack.good()
        finally:
            stack.close()
