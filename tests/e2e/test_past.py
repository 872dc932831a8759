"""The past on a real stack: lists as they were, histories of users and of everything, the archive exported and read back."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .stacks import Stack, place_for, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with place_for("past") as root:
        made = Stack(root)
        made.environ["LONGSHORE_ARCHIVE"] = f"file://{root}/archive"
        with running(made):
            yield made


def test_lists_and_records_are_shown_as_they_were(stack):
    submitted = int(stack.ok("submit", "--array", "0-2", "--wait", "--", "true").splitlines()[0].split(".")[0])
    told = stack.lines("history", f"{submitted}.1")
    ended = next(line["seq"] for line in told if "succeeded" in line["text"])
    assert {t["state"] for t in stack.lines("task", "list", "--submission", str(submitted))} == {"succeeded"}
    said = stack.say("task", "list", "--at", str(submitted), "--json")
    assert {json.loads(line)["state"] for line in said.out.splitlines()} == {"queued"}
    assert said.err.startswith(f"longshore: as of event {submitted}, 20")
    before = stack.say("task", "show", f"{submitted}.1", "--at", str(ended - 1), "--json")
    assert json.loads(before.out)["state"] != "succeeded", before
    assert json.loads(stack.ok("batch", "show", "default", "--at", str(submitted), "--json"))["states"] == {"queued": 3}
    (worker,) = stack.lines("worker", "list", "--at", "0s ago")
    assert worker["state"] == "up"
    assert stack.say("worker", "list", "--at", "1", "--json").out == ""
    assert "2h ago" in stack.say("task", "list", "--at", "soon").err


def test_a_user_and_everything_have_a_history(stack):
    task = stack.id("--batch", "told", "true")
    user = stack.lines("task", "list", "--batch", "told")[0]["user"]
    assert any("to batch told" in line["text"] for line in stack.lines("history", "user", user))
    lines = stack.lines("history", "--limit", "5")
    assert [line["seq"] for line in lines] == sorted(line["seq"] for line in lines)
    assert len(lines) == 5
    since = task.split(".")[0]
    assert stack.lines("history", "--since", since)[0]["seq"] == int(since)
    kinds = {line["type"] for line in stack.lines("history", "--since", "1h ago", "--type", "tasks-submitted")}
    assert kinds == {"tasks-submitted"}
    assert "one thing at a time" in stack.say("history", "a", "b").err


def test_the_archive_is_exported_and_the_read_model_made_again(stack):
    stack.ok("submit", "--array", "0-9", "--wait", "--", "true")
    before = {task["id"]: task for task in stack.lines("task", "list", "--all")}
    settings = json.loads((stack.root / "stack.json").read_text())
    assert settings
    stack.ok("db", "rebuild")
    stack.until(lambda: {t["id"]: t for t in stack.lines("task", "list", "--all")} == before)
    assert Path(sys.executable).with_name("longshore-api").exists()
    done = subprocess.run(
        [Path(sys.executable).with_name("longshore-api"), "archive", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "compressed segments" in done.stdout
