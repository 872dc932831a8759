"""Live surgery by the command line on a real stack: preview, edit, undo, delete, restore, move, stop."""

import json
from collections.abc import Iterator

import pytest

from longshore import Client, Replacement

from .stacks import Stack, place_for, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with place_for("surgery") as root, running(Stack(root)) as made:
        yield made


def commands(stack: Stack, ids: str) -> list[list[str]]:
    return [task["command"] for task in stack.lines("task", "list", ids, "--all")]


def number(said) -> str:
    """The number of the wish, as the command told it."""
    return said.err.split("`longshore undo ")[1].split("`")[0]


def test_an_array_held_by_a_paused_batch_is_previewed_edited_undone_and_runs_what_the_edit_says(stack):
    stack.ok("batch", "pause", "lab")
    ids = stack.id("-b", "lab", "--array", "0-9", "sh", "-c", "echo wrong $LONGSHORE_INDEX")
    words = ("task", "edit", "-b", "lab", "--find", "wrong", "--replace", "right", "--set", "env.SEED=7")
    preview = stack.say(*words, "--dry-run")
    assert preview.code == 0, preview
    assert preview.out.startswith("10 would change\n")
    assert "- command: " in preview.out
    assert "+ command: " in preview.out
    assert "nothing was changed" in preview.err
    assert all("wrong" in command[2] for command in commands(stack, ids))
    edited = stack.say(*words)
    assert edited.code == 0, edited
    assert all("right" in command[2] for command in commands(stack, ids))
    stack.ok("undo", number(edited))
    assert all("wrong" in command[2] for command in commands(stack, ids))
    assert "batch-resumed" in stack.ok("undo", "--dry-run"), "the last one that is not undone is the pause"
    submission = ids.split(".")[0]
    stack.ok("task", "edit", f"{submission}.3-4", "--find", "wrong", "--replace", "right")
    stack.ok("batch", "resume", "lab")
    stack.ok("wait", ids)
    assert stack.ok("task", "logs", f"{submission}.3") == "right 3\n"
    assert stack.ok("task", "logs", f"{submission}.5") == "wrong 5\n"
    told = stack.ok("history", f"{submission}.3")
    assert "edited" in told
    shown = json.loads(stack.ok("task", "show", f"{submission}.3", "--json"))
    assert shown["edited"]


def test_failed_tasks_are_mended_by_cause_and_retried(stack):
    ids = stack.id("-b", "mend", "--array", "0-3", "sh", "-c", "test $LONGSHORE_INDEX != 2 || exit 9")
    assert stack.say("wait", ids).code == 1
    said = stack.say("task", "edit", "-b", "mend", "--state", "failed", "--cause", "exit", "--set", "command=true")
    assert said.code == 0, said
    assert stack.ok("task", "retry", "-b", "mend", "--state", "failed", "--exit-code", "9", "--dry-run") == (
        "1 would run again\n"
    )
    stack.ok("task", "retry", "-b", "mend", "--state", "failed", "--exit-code", "9")
    assert stack.say("wait", ids).code == 0
    nothing = stack.say("task", "retry", "-b", "mend", "--state", "failed")
    assert nothing.code == 1
    assert "none of your tasks is so" in nothing.err


def test_an_ended_batch_is_deleted_and_restored(stack):
    ids = stack.id("-b", "old", "--array", "0-2", "true")
    stack.ok("wait", ids)
    deleted = stack.say("batch", "delete", "old")
    assert deleted.code == 0, deleted
    assert stack.lines("task", "list", "-b", "old") == []
    assert "old" not in {batch["name"] for batch in stack.lines("batch", "list")}
    assert stack.say("task", "show", ids.split("-")[0]).code == 1
    stack.ok("undo", number(deleted))
    assert len(stack.lines("task", "list", "-b", "old")) == 3
    sleeping = stack.id("-b", "old", "sleep", "60")
    refused = stack.say("batch", "delete", "old")
    assert refused.code == 1
    assert "cancel them first" in refused.err
    stack.ok("batch", "kill", "old")
    stack.say("wait", sleeping)
    stack.ok("batch", "delete", "old")
    assert stack.lines("task", "list", "-b", "old") == []


def test_a_worker_is_moved_and_remembers_it_when_its_agent_starts_again(stack):
    moved = stack.say("worker", "move", "local-1", "--batch", "night")
    assert moved.code == 0, moved
    day, night = stack.id("-b", "day", "true"), stack.id("-b", "night", "true")
    stack.ok("wait", night, "--timeout", "20s")
    assert json.loads(stack.ok("task", "show", day, "--json"))["state"] == "queued"
    stack.ok("worker", "restart", "local-1")
    assert json.loads(stack.ok("worker", "show", "local-1", "--json"))["batch"] == "night"
    again = stack.id("-b", "night", "true")
    stack.ok("wait", again, "--timeout", "30s")
    assert json.loads(stack.ok("task", "show", day, "--json"))["state"] == "queued"
    stack.ok("undo", number(moved))
    stack.ok("wait", day, "--timeout", "20s")


def test_tasks_are_paused_one_by_one_and_a_cancel_is_undone(stack):
    ids = stack.id("-b", "slow", "--array", "0-4", "sleep", "0.3")
    submission = ids.split(".")[0]
    stack.ok("task", "pause", f"{submission}.4")
    stack.until(lambda: len(stack.lines("task", "list", ids, "-s", "succeeded")) == 4)
    (last,) = stack.lines("task", "list", f"{submission}.4")
    assert last["state"] in ("waiting", "assigned", "running")
    stack.ok("task", "resume", f"{submission}.4")
    stack.ok("wait", ids)
    more = stack.id("-b", "slow", "--hold", "true")
    cancelled = stack.say("task", "cancel", more)
    assert json.loads(stack.ok("task", "show", more, "--json"))["state"] == "cancelled"
    stack.ok("undo", number(cancelled))
    assert json.loads(stack.ok("task", "show", more, "--json"))["state"] == "waiting"


def test_the_sdk_edits_previews_and_undoes(stack):
    with Client(stack.root) as client:
        held = client.submit(["echo", "one"], batch="sdk", hold=True)
        edit = client.edit(held, set={"cpus": 0.5}, replace=[Replacement("one", "two")])
        stack.until(lambda: client.task(f"{held.id}.0").command == ("echo", "two"))
        client.undo(edit)
        stack.until(lambda: client.task(f"{held.id}.0").command == ("echo", "one"))
        client.cancel(batch="sdk")
        stack.until(lambda: client.task(f"{held.id}.0").state == "cancelled")
        client.delete(batch="sdk")
        stack.until(lambda: not list(client.tasks(batch="sdk")))
