"""Graphs through the whole stack: a file of lines, arrays element by element, both policies, and what is refused."""

import json

import pytest

from .stacks import Stack

pytestmark = pytest.mark.slow


def lines(*tasks: dict) -> str:
    return "".join(json.dumps(task) + "\n" for task in tasks)


def states(stack: Stack, submission: str) -> list[str]:
    found = stack.lines("task", "list", submission)
    return [task["state"] for task in sorted(found, key=lambda task: int(task["id"].split(".")[1]))]


def submitted(stack: Stack, *words: str, stdin: str = "") -> str:
    return stack.id(*words, stdin=stdin).split(".")[0]


def test_a_diamond_of_lines_runs_in_its_order(stack, tmp_path):
    told = tmp_path / "order"
    step = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
    text = lines(*({"id": k, "requires": r, "command": f"echo {k} >> {told}"} for k, r in reversed(step.items())))
    assert stack.say("submit", "--wait", "--from-json", "-", stdin=text).code == 0
    order = told.read_text().split()
    assert (order[0], order[-1]) == ("a", "d")
    assert sorted(order) == ["a", "b", "c", "d"]


def test_a_failed_task_fails_what_requires_it_and_says_so(stack):
    text = lines({"id": "a", "command": "exit 3"}, {"requires": ["a"], "command": "true"}, {"command": "true"})
    said = stack.say("submit", "--wait", "--from-json", "-", stdin=text)
    assert said.code == 1
    submission = said.out.split(".")[0]
    assert states(stack, submission) == ["failed", "failed", "succeeded"]
    shown = json.loads(stack.ok("task", "show", f"{submission}.1", "--json"))
    assert shown["cause"] == "requirement"
    assert f"it requires {submission}.0" in shown["reason"]


def test_what_waits_for_a_failed_task_goes_on_after_its_retry(stack, tmp_path):
    there = tmp_path / "there"
    text = lines({"id": "a", "command": f"test -e {there}"}, {"requires": ["a"], "command": "true"})
    submission = submitted(stack, "--on-failed-requirement", "wait", "--from-json", "-", stdin=text)
    stack.until(lambda: states(stack, submission) == ["failed", "waiting"])
    explained = stack.ok("explain", f"{submission}.1")
    assert f"{submission}.0" in explained
    there.touch()
    stack.ok("task", "retry", f"{submission}.0")
    stack.until(lambda: states(stack, submission) == ["succeeded", "succeeded"])


def test_arrays_follow_one_another_element_by_element(stack):
    first = submitted(stack, "--array", "0-3", "--", "sh", "-c", 'test "$LONGSHORE_INDEX" != 2')
    each = ("--requires", first, "--requires-each")
    second = submitted(stack, "--array", "0-3", *each, "--", "true")
    any_ = submitted(stack, "--array", "0-3", *each, "--requires-any-outcome", "--", "true")
    stack.until(lambda: states(stack, second) == ["succeeded", "succeeded", "failed", "succeeded"])
    stack.until(lambda: states(stack, any_) == ["succeeded"] * 4)


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ([{"id": "a", "requires": ["b"]}, {"id": "b", "requires": ["a"]}], "go round in a circle"),
        ([{"requires": [7]}], "names a task that is not there"),
        ([{"requires": ["zz"]}], "line 1: it requires 'zz'"),
    ],
)
def test_what_could_never_run_is_refused(stack, tasks, words):
    text = lines(*({"command": "true", **task} for task in tasks))
    said = stack.say("submit", "--wait", "--from-json", "-", stdin=text)
    assert said.code in (1, 2)
    assert words in said.err + said.out


def test_each_after_an_array_of_another_length_is_refused(stack):
    first = submitted(stack, "--array", "0-3", "--", "true")
    said = stack.say("submit", "--wait", "--array", "0-2", "--requires", first, "--requires-each", "--", "true")
    assert said.code == 1
    assert "which are 4 tasks, but it has 3" in said.err + said.out
