"""An agent that dies and comes back goes on with what it ran: nothing is started again, nothing is lost."""

import json
from pathlib import Path

import pytest

from longshore_infra.demo_image import counting_image

from .books import ledger_of
from .stack import Stack, eventually

PROCESSES = 4
#: Tells that it started, waits for the word, and says which process it was: run again, it would tell twice.
SCRIPT = """
echo "$LONGSHORE_ATTEMPT $$" >> "$0/$LONGSHORE_INDEX"
until [ -e "$0/go" ]; do sleep 0.05; done
echo "$$"
exit $LONGSHORE_INDEX
"""


def told(directory: Path) -> list[list[str]]:
    return [file.read_text().splitlines() for k in range(PROCESSES) if (file := directory / str(k)).exists()]


def submitted(stack: Stack) -> tuple[int, Path]:
    """An array that waits for the word, all of it running."""
    directory = stack.state / "told"
    directory.mkdir(mode=0o777)
    submission = stack.submit("--array", f"0-{PROCESSES - 1}", "--", "sh", "-c", SCRIPT, str(directory))
    eventually(
        lambda: len(told(directory)) == PROCESSES,
        lambda: f"all running: {stack.states(submission)}\n{stack.log_ends()}",
    )
    return submission, directory


def rejoined(stack: Stack) -> list[str]:
    """What the agent said it holds when it last joined, once it has joined a second time."""
    return eventually(
        lambda: len(joins := ledger_of(stack).joins) > 1 and list(joins[-1].held), "the agent joined again"
    )


def check_ends(stack: Stack, submission: int) -> None:
    """Each ended by itself with its own exit code; the first attempt is the only one."""
    tasks = stack.tasks(submission)
    ends = {k: (tasks[f"{submission}.{k}"]["state"], tasks[f"{submission}.{k}"]["exit_code"]) for k in range(PROCESSES)}
    assert ends == {k: ("failed" if k else "succeeded", k) for k in range(PROCESSES)}
    assert {n for s, _, n in ledger_of(stack).assigned if s == submission} == {1}
    assert ledger_of(stack).broken == []


def all_ended(stack: Stack, submission: int) -> bool:
    states = stack.states(submission)
    return states.get("succeeded", 0) + states.get("failed", 0) == PROCESSES


def test_running_processes_are_adopted_by_the_restarted_agent(start):
    stack = start(concurrency=PROCESSES)
    submission, directory = submitted(stack)
    name, pid = stack.kill("agent")
    stack.restarted(name, pid)
    held = rejoined(stack)
    assert sorted(held) == [f"{submission}.{k}.1" for k in range(PROCESSES)]
    (directory / "go").touch()
    eventually(lambda: all_ended(stack, submission), lambda: f"all ended: {stack.states(submission)}")
    check_ends(stack, submission)
    assert [len(lines) for lines in told(directory)] == [1] * PROCESSES
    assert stack.cli("task", "logs", f"{submission}.0").split() == told(directory)[0][0].split()[1:]


def test_processes_that_end_while_the_agent_is_dead_are_reported_by_the_next(start):
    stack = start(concurrency=PROCESSES)
    submission, directory = submitted(stack)
    stack.kill("agent")
    (directory / "go").touch()
    eventually(
        lambda: all_ended(stack, submission), lambda: f"all ended: {stack.states(submission)}\n{stack.log_ends()}"
    )
    check_ends(stack, submission)
    assert [len(lines) for lines in told(directory)] == [1] * PROCESSES


@pytest.mark.engine
def test_running_containers_are_adopted_by_the_restarted_agent(start):
    image = counting_image()
    assert image, "no container engine, or no way to an image: run with -m 'not engine'"
    stack = start(concurrency=PROCESSES)
    script = 'echo "$LONGSHORE_ATTEMPT"; trap "echo heard; exit $LONGSHORE_INDEX" USR1; while true; do sleep 0.1; done'
    submission = stack.submit("--array", f"0-{PROCESSES - 1}", "-d", image, "--", "sh", "-c", script)
    ids = [f"{submission}.{k}" for k in range(PROCESSES)]
    eventually(
        lambda: all(stack.say("task", "logs", one).out for one in ids),
        lambda: f"all say which attempt they are: {stack.states(submission)}\n{stack.log_ends()}",
    )
    name, pid = stack.kill("agent")
    stack.restarted(name, pid)
    assert sorted(rejoined(stack)) == [f"{one}.1" for one in ids]
    stack.cli("task", "signal", "USR1", f"{submission}.0-{PROCESSES - 1}")
    eventually(
        lambda: all_ended(stack, submission), lambda: f"all ended: {stack.states(submission)}\n{stack.log_ends()}"
    )
    assert [stack.cli("task", "logs", one) for one in ids] == [f"{one}.1\nheard\n" for one in ids]
    check_ends(stack, submission)


def test_a_cancel_that_was_wished_while_the_agent_was_dead_reaches_the_adopted_process(start):
    stack = start(concurrency=PROCESSES)
    submission, directory = submitted(stack)
    stack.kill("agent")
    stack.cli("task", "cancel", f"{submission}.0-{PROCESSES - 1}")
    eventually(
        lambda: stack.states(submission) == {"cancelled": PROCESSES}, lambda: f"cancelled: {stack.states(submission)}"
    )
    pids = [int(lines[0].split()[1]) for lines in told(directory)]
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the processes are gone")
    assert json.loads(stack.cli("status", "--json"))["ready"]
