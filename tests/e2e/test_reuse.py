"""`--use-cache` as a user meets it, on a real stack."""

import json

import pytest

from .stacks import Stack

pytestmark = pytest.mark.slow


def test_the_same_again_is_taken_from_where_it_is(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("reuse")
    (place / "in.txt").write_text("one two three\n")
    count = "wc -w < $INPUT/in.txt > $OUTPUT/n; date +%s%N >> $OUTPUT/n; echo counted"

    def run(out: str) -> tuple[str, str, dict]:
        (place / out).mkdir()
        words = ("--use-cache", "-i", f"file://{place}/in.txt", "-o", f"file://{place}/{out}", "--shell", "--", count)
        task = stack.id("--wait", *words)
        shown = json.loads(stack.ok("task", "show", task, "--json"))
        return task, (place / out / "n").read_text(), shown["attempts"][-1]

    first, made, _ = run("o1")
    second, copied, attempt = run("o2")
    assert copied == made
    assert attempt["reused"] == f"{first}.1"
    assert stack.ok("task", "logs", second) == "counted\n"
    (place / "in.txt").write_text("one two three four\n")
    _, changed, attempt = run("o3")
    assert changed != made
    assert attempt["reused"] is None


def test_a_cache_needs_an_output(stack: Stack) -> None:
    said = stack.say("submit", "--use-cache", "true")
    assert said.code == 2
    assert "--output" in said.err
