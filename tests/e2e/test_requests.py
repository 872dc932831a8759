"""What tasks ask for, from the command line to the host that starts what fits, on a real stack."""

import json
import os
from collections.abc import Iterator

import pytest

import longshore

from .stacks import Stack, place_for, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with place_for("requests") as root:
        made = Stack(root)
        made.environ |= {"LONGSHORE_CUSTOM": "license=1,fpga=2"}
        with running(made, concurrency="auto"):
            yield made


def spans(stack, batch):
    tasks = stack.lines("task", "list", "--batch", batch, "--all")
    assert {t["state"] for t in tasks} == {"succeeded"}, tasks
    return [(t["started_at"], t["ended_at"]) for t in tasks]


def together(stack, batch):
    """How many of its tasks ran at once at most."""
    found = spans(stack, batch)
    return max(sum(begin <= at < end for begin, end in found) for at, _ in found)


def cpus() -> int:
    return len(os.sched_getaffinity(0))


def test_the_worker_says_that_requests_decide_and_what_its_operator_named(stack):
    (worker,) = stack.lines("worker", "list")
    assert (worker["concurrency"], worker["prefetch"]) == (-1, -1)
    assert worker["facts"]["custom"] == {"license": 1.0, "fpga": 2.0}
    assert "auto\tauto" in stack.ok("worker", "list")


def test_an_automatic_worker_runs_as_many_one_cpu_tasks_as_it_has_cpus(stack):
    for batch, words in (("asking", ["--cpus", "1"]), ("plain", [])):
        stack.ok("submit", "--wait", "-b", batch, *words, "--array", "0-5", "--", "sleep", "0.4")
        assert together(stack, batch) == min(6, cpus()), batch


def test_a_license_is_had_by_one_at_a_time(stack):
    stack.ok("submit", "--wait", "-b", "licensed", "--custom", "license=1", "--array", "0-3", "--", "sleep", "0.2")
    assert together(stack, "licensed") == 1


def test_an_alternative_is_taken_where_the_first_choice_is_not_to_be_had_and_the_attempt_shows_it(stack):
    task = stack.id("--wait", "--gpus", "99", "--or", "cpus=0.5,fpga=2", "--", "true")
    (attempt,) = json.loads(stack.ok("task", "show", task, "--json"))["attempts"]
    assert attempt["given"] == {"cpus": 0.5, "custom": {"fpga": 2.0}}


def test_lines_of_json_ask_by_the_same_words(stack):
    line = {"command": "true", "gpus": 99, "alternatives": ["cpus=0.5", {"custom": {"fpga": 1}}], "name": "by-line"}
    stack.ok("submit", "--wait", "--from-json", "-", stdin=json.dumps(line))
    assert [t["state"] for t in stack.lines("task", "list", "--name", "by-line")] == ["succeeded"]


def test_what_no_host_has_waits_and_explain_names_it(stack):
    task = stack.id("--custom", "quantum=1", "--", "true")
    stack.until(lambda: "quantum" in stack.say("explain", task).out)
    stack.ok("task", "cancel", task)


def test_resizing_by_percent_and_to_a_number_is_shown_and_kept_to(stack):
    (name,) = [w["name"] for w in stack.lines("worker", "list")]
    stack.ok("worker", "resize", name, "--concurrency", "1", "--prefetch", "50%")
    stack.until(lambda: stack.lines("worker", "list")[0]["concurrency"] == 1)
    assert "1\t50%" in stack.ok("worker", "list")
    stack.ok("submit", "--wait", "-b", "one", "--array", "0-2", "--", "sleep", "0.2")
    assert together(stack, "one") == 1
    stack.ok("worker", "resize", name, "--concurrency", "auto", "--prefetch", "auto")
    stack.until(lambda: stack.lines("worker", "list")[0]["concurrency"] == -1)


def test_shares_and_the_policy_are_set_shown_and_taken_back(stack):
    stack.ok("share", "batch", "big", "--weight", "2")
    stack.ok("share", "batch", "big", "--max-running", "7")
    stack.ok("share", "user", "zoe", "--weight", "0.5")
    assert stack.ok("share", "list").splitlines()[0].startswith("batch\tbig\t2\t7\t")
    stack.ok("share", "batch", "big", "--reset")
    assert [one["name"] for one in stack.lines("share", "list")] == ["zoe"]
    assert "half_life" in stack.ok("policy", "show")
    stack.ok("policy", "set", "half_life=1d", "trouble.host=4")
    (told,) = stack.lines("policy", "show")
    assert (told["policy"]["half_life"], told["policy"]["trouble"]) == (86_400, {"host": 4})
    stack.ok("policy", "reset", "trouble.host")
    (told,) = stack.lines("policy", "show")
    assert (told["policy"]["half_life"], told["policy"]["trouble"]) == (86_400, {})
    assert stack.say("policy", "set", "first_wait=0").code == 1, "the dispatcher refuses it, and says so"


def test_the_sdk_governs_by_the_same_words(stack):
    with longshore.Client(stack.root) as client:
        client.set_share("user", "ann", weight=3)
        assert ("user", "ann", 3) in [(s.kind, s.name, s.weight) for s in client.shares()]
        client.set_policy(breaker_failures=9)
        assert client.policy().policy.breaker_failures == 9
        client.reset_policy()
        assert client.policy().policy.breaker_failures == 5


def test_a_task_that_takes_more_disk_than_it_asked_for_fails_once_with_the_fix(stack):
    script = "head -c 8000000 /dev/zero > $TEMP/much; sleep 60"
    task = stack.ok("submit", "--disk", "4M", "--retry", "3", "--", "sh", "-c", script).strip()
    stack.until(lambda: stack.lines("task", "show", task)[0]["state"] == "failed")
    (told,) = stack.lines("task", "show", task)
    assert told["cause"] == "disk-full"
    assert "--disk" in told["reason"]
    assert told["attempt"] == 1
