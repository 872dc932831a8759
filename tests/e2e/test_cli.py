"""The command line and the SDK on a real stack, as users and their scripts meet them."""

import json
import os
import signal
import subprocess
import time
from datetime import datetime

import pytest

import longshore
from longshore_common.testing.places import reachable

from .stacks import LONGSHORE

pytestmark = pytest.mark.slow

FIELDS = {
    "id", "name", "batch", "state", "command", "container", "worker", "attempt", "exit_code", "cause", "reason", "submitted_at",
    "started_at", "ended_at", "peak_memory", "cpu_seconds",
}  # fmt: skip


def test_an_argv_comes_back_to_the_byte(stack):
    words = ["a b", "it's", '"q"', "$HOME", "é漢", "x\ny", "", "*", "--", "-b"]
    task = stack.id("--wait", "--", "printf", "%s|", *words)
    assert stack.ok("task", "logs", task) == "".join(f"{word}|" for word in words)


def test_a_failure_is_told_by_the_exit_code_and_by_its_cause(stack):
    said = stack.say("submit", "-b", "failing", "--wait", "sh", "-c", "echo why >&2; exit 7")
    assert said.code == 1
    assert "failed (exit): exit code 7: see `longshore task logs --stderr" in said.err
    (task,) = stack.lines("task", "list", "--batch", "failing", "--state", "failed")
    assert task.keys() >= FIELDS
    assert (task["exit_code"], task["cause"], task["command"]) == (7, "exit", ["sh", "-c", "echo why >&2; exit 7"])
    for at in ("submitted_at", "started_at", "ended_at"):
        assert datetime.fromisoformat(task[at]).tzinfo is not None
    assert task["peak_memory"] > 0
    assert stack.ok("task", "logs", "--stderr", task["id"]) == "why\n"
    shown = json.loads(stack.ok("task", "show", task["id"], "--json"))
    assert [attempt["exit_code"] for attempt in shown["attempts"]] == [7]


def test_the_id_is_printed_before_anything_is_waited_for(stack):
    waiting = subprocess.Popen(
        [LONGSHORE, "submit", "--wait", "sleep", "30"],
        env=stack.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    task = waiting.stdout.readline().decode().strip()
    stack.until(lambda: json.loads(stack.ok("task", "show", task, "--json"))["state"] == "running")
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=20)
    assert waiting.returncode == 130
    assert b"goes on" in err
    assert json.loads(stack.ok("task", "show", task, "--json"))["state"] == "running"
    stack.ok("task", "cancel", task)
    said = stack.say("wait", task)
    assert (said.code, json.loads(stack.ok("task", "show", task, "--json"))["state"]) == (1, "cancelled")


def test_an_array_has_its_index_and_its_logs_in_order(stack):
    tasks = stack.id("--array", "10-14:2", "-b", "array", "--wait", "--shell", "echo $LONGSHORE_INDEX")
    submission, _, ordinals = tasks.partition(".")
    assert ordinals == "0-2"
    assert stack.ok("task", "logs", tasks) == "10\n12\n14\n"
    assert stack.ok("task", "logs", f"{submission}.1") == "12\n"
    batch = json.loads(stack.ok("batch", "show", "array", "--json"))
    assert (batch["size"], batch["states"]["succeeded"]) == (3, 3)
    assert [task["label"] for task in stack.lines("task", "list", tasks)] == [10, 12, 14]


def test_a_read_shows_the_write_before_it(stack):
    for _ in range(5):
        task = stack.id("--hold", "true")
        assert json.loads(stack.ok("task", "show", task, "--json"))["state"] == "waiting"
        stack.ok("task", "cancel", "last")


def test_entries_come_by_lines_paths_and_objects(stack, tmp_path):
    for name in ("a.txt", "b c.txt"):
        (tmp_path / name).write_text(name)
    echo = ("--wait", "--shell", 'echo "<${LONGSHORE_ENTRY##*/}>"')
    assert stack.ok("task", "logs", stack.id("--each-line", "-", *echo, stdin="x y\nz\n")) == "<x y>\n<z>\n"
    assert stack.ok("task", "logs", stack.id("--each", f"{tmp_path}/*.txt", *echo)) == "<a.txt>\n<b c.txt>\n"
    objects = '{"command":["echo","one"]}\n{"command":"echo $((1+1))","env":{"A":"b"}}\n'
    assert stack.ok("task", "logs", stack.id("--wait", "--from-json", "-", stdin=objects)) == "one\n2\n"


def test_two_thousand_five_hundred_different_tasks_are_one_submission(stack):
    lines = "".join(json.dumps({"command": ["sleep", str(k)]}) + "\n" for k in range(2500))
    tasks = stack.id("-b", "many", "--hold", "--from-json", "-", stdin=lines)
    assert tasks.endswith(".0-2499")
    listed = stack.lines("task", "list", "-b", "many", "--all")
    assert [task["command"][1] for task in listed] == [str(k) for k in range(2500)]
    stack.ok("task", "cancel", "-b", "many")
    assert stack.say("wait", "last").code == 1
    assert json.loads(stack.ok("batch", "show", "many", "--json"))["states"] == {"cancelled": 2500}


def test_requirements_hold_a_task_back_and_explain_says_so(stack):
    first = stack.id("--hold", "true")
    second = stack.id("-R", first, "echo", "after")
    told = stack.ok("explain", second)
    assert first.split(".")[0] in told
    assert json.loads(stack.ok("task", "show", second, "--json"))["state"] == "waiting"
    stack.ok("task", "retry", first)
    assert stack.say("wait", second).code == 0
    assert "submitted" in stack.ok("history", second)


def test_a_rejection_is_told_with_its_reason(stack):
    said = stack.say("submit", "--wait", "-R", "999999.0", "true")
    assert said.code == 1
    assert "999999.0" in said.err


def test_logs_are_followed_live(stack):
    task = stack.id("sh", "-c", "echo first; sleep 5; echo second")
    following = subprocess.Popen([LONGSHORE, "task", "logs", "-f", task], env=stack.environ, stdout=subprocess.PIPE)
    assert following.stdout.readline() == b"first\n"
    assert json.loads(stack.ok("task", "show", task, "--json"))["state"] == "running"
    out, _ = following.communicate(timeout=20)
    assert (following.returncode, out) == (0, b"second\n")


def test_a_key_submits_once(stack):
    first = stack.id("--key", "only-once", "--wait", "true")
    assert stack.id("--key", "only-once", "--wait", "true") == first


def test_workers_and_batches_are_paused_and_resumed(stack):
    stack.ok("worker", "pause", "--all")
    stack.until(lambda: stack.lines("worker", "list")[0]["state"] == "paused")
    task = stack.id("-b", "later", "true")
    assert "paused" in stack.ok("explain", task)
    stack.ok("worker", "resize", "local-1", "--concurrency", "3")
    stack.ok("worker", "resume", "local-1")
    assert stack.say("wait", task).code == 0
    stack.until(lambda: json.loads(stack.ok("worker", "show", "local-1", "--json"))["concurrency"] == 3)
    stack.ok("batch", "pause", "later")
    stack.until(lambda: json.loads(stack.ok("batch", "show", "later", "--json"))["paused"])
    again = stack.id("-b", "later", "true")
    assert stack.say("wait", again, "--timeout", "500ms").code == 1
    stack.ok("batch", "resume", "later")
    assert stack.say("wait", again).code == 0


def test_running_tasks_are_frozen_continued_and_signalled(stack):
    task = stack.id("--shell", "trap 'echo told; exit 3' USR1; while :; do sleep 0.1; done")
    stack.until(lambda: json.loads(stack.ok("task", "show", task, "--json"))["state"] == "running")
    stack.ok("task", "pause", task)
    stack.until(lambda: json.loads(stack.ok("task", "show", task, "--json"))["paused"])
    stack.ok("task", "resume", task)
    stack.ok("task", "signal", "USR1", task)
    assert stack.say("wait", task).code == 1
    assert stack.ok("task", "logs", task) == "told\n"


def test_what_does_not_exist_is_said_with_the_fix(stack):
    for line, fix in (
        (["task", "show", "999999.0"], "task list"), (["worker", "show", "nobody"], "nobody"),
        (["task", "logs", "no-such-name"], "no-such-name"), (["history", "nothing"], "nothing"),
    ):  # fmt: skip
        said = stack.say(*line)
        assert (said.code, said.out) == (1, ""), said
        assert fix in said.err
        assert said.err.count("\n") == 1


def test_a_refused_wish_is_told_with_the_dispatchers_reason(stack):
    done = stack.id("--wait", "true")
    for line, why in (
        (["task", "cancel", done], "nothing to cancel"), (["task", "signal", "USR1", done], "nothing to signal"),
        (["task", "retry", "-b", "no-such-batch"], "no-such-batch"), (["batch", "resume", "never-paused"], "not paused"),
        (["worker", "pause", "nobody"], "no worker is called nobody"), (["task", "pause", "999999.0"], "unknown"),
    ):  # fmt: skip
        said = stack.say(*line)
        assert (said.code, said.out) == (1, ""), said
        assert said.err.startswith("longshore: refused: ")
        assert why in said.err
        assert said.err.count("\n") == 1


def test_a_wish_that_no_dispatcher_answers_is_on_record(stack):
    parts = {part["name"]: part["pid"] for part in json.loads(stack.ok("status", "--json"))["processes"]}
    dispatchers = [pid for name, pid in parts.items() if name.startswith("dispatcher")]
    assert dispatchers
    task = stack.id("--hold", "true")
    for pid in dispatchers:
        os.kill(pid, signal.SIGSTOP)
    try:
        said = stack.say("task", "cancel", task)
    finally:
        for pid in dispatchers:
            os.kill(pid, signal.SIGCONT)
    assert (said.code, said.out.strip()) == (0, task), said
    assert "on record" in said.err
    assert "once a dispatcher is back" in said.err
    assert stack.say("wait", task).code == 1
    assert json.loads(stack.ok("task", "show", task, "--json"))["state"] == "cancelled"


def test_the_first_page_of_a_million_comes_while_they_wait(stack):
    tasks = stack.id("-b", "million", "--hold", "--array", "0-999_999", "sleep", "60")
    assert tasks.endswith(".0-999999")
    page = stack.lines("task", "list", "-b", "million", "--limit", "3")
    assert [task["index"] for task in page] == [0, 1, 2]
    assert len(stack.lines("task", "list", f"{tasks.partition('.')[0]}.500000-500009")) == 10
    stack.ok("task", "cancel", "last")


def test_the_sdk_submits_waits_and_reads(stack):
    with longshore.Client(stack.root, environ=stack.environ) as client:
        counts = []
        receipt = client.submit_array("exit $((LONGSHORE_INDEX % 2))", 4, batch="sdk")
        end = client.wait(receipt, watch=lambda now: counts.append(now.done), timeout=30)
        assert (end.succeeded, end.failed, counts[-1]) == (2, 2, 4)
        failed = list(client.tasks(submission=receipt.id, state="failed"))
        assert [(task.index, task.cause) for task in failed] == [(1, "exit"), (3, "exit")]
        assert failed[0].ended_at >= failed[0].started_at  # within the same millisecond, at times
        several = client.submit_many({"command": ["echo", str(k)]} for k in range(20))
        done = {task.id: b"".join(client.logs(task.id)) for task in client.as_completed(several)}
        assert done == {f"{several.id}.{k}": f"{k}\n".encode() for k in range(20)}
        (ended,) = client.join(several, timeout=30)
        assert ended.ok
        assert client.explain(failed[0].id).state == "failed"
        assert client.batch("sdk").states == {"succeeded": 2, "failed": 2}


def test_explain_tells_the_cause_of_what_failed(stack):
    first = stack.say("submit", "--wait", "sh", "-c", "exit 7").out.split()[0]
    assert "cause exit: exit code 7" in stack.ok("explain", first)
    after = stack.ok("submit", "--requires", first, "true").strip()
    assert stack.say("wait", after).code == 1
    assert "cause requirement" in stack.ok("explain", after)


def test_a_join_retries_what_failed(stack, tmp_path):
    reachable(tmp_path)
    tmp_path.chmod(0o777)
    flaky = f'f={tmp_path}/$LONGSHORE_INDEX; [ -e "$f" ] || {{ touch "$f"; exit 1; }}'
    with longshore.Client(stack.root, environ=stack.environ) as client:
        (end,) = client.join(client.submit_array(flaky, 3), retry=1, timeout=60)
    assert end.ok


def test_while_the_stack_is_down_submissions_wait_on_this_disk(stack):
    stack.ok("down")
    for line in (["task", "list"], ["explain", "last.0"], ["submit", "true"], ["task", "cancel", "last.0"]):
        began = time.monotonic()
        said = stack.say(*line)
        assert (said.code, said.out) == (3, ""), said
        assert "longshore up" in said.err
        assert time.monotonic() - began < 8, "it gives up after about 2 s; the rest is for a busy host"
    said = stack.say("submit", "--spool", "-n", "kept", "echo", "kept")
    assert (said.code, said.out) == (0, "")
    stack.ok("up", "--detach", "--workers", "1", "--concurrency", "2")
    assert "1 sent" in stack.say("flush").err
    assert stack.say("wait", "last").code == 0
    assert stack.ok("task", "logs", "kept") == "kept\n"
    assert "0 sent" in stack.say("flush").err


def test_hosts_are_looked_after_and_say_what_came_of_it(stack):
    stack.until(lambda: stack.lines("worker", "list")[0]["load"])
    (worker,) = stack.lines("worker", "list")
    name = worker["name"]
    assert worker["public_key"].startswith("U")
    assert worker["load"]["memory"]["total"] > 0
    assert "cpu" in stack.ok("worker", "show", name)
    for word, care in (("clean", "clean"), ("forget-resources", "forget-resources")):
        said = stack.say("worker", word, name)
        assert (said.code, said.out.split("\t")[0]) == (0, name), said
        assert json.loads(stack.ok("worker", "show", name, "--json"))["cares"][-1]["care"] == care
    assert stack.say("worker", "clean", "nobody").code == 1
    assert "told to remove kept work directories" in stack.ok("history", name, "--worker")


def test_a_drained_worker_runs_what_it_runs_and_takes_no_more_until_it_is_resumed(stack):
    ((name,),) = ([worker["name"]] for worker in stack.lines("worker", "list"))
    running = stack.id("sleep", "30")
    stack.until(lambda: json.loads(stack.ok("task", "show", running, "--json"))["state"] == "running")
    stack.ok("worker", "drain", name)
    waiting = stack.id("true")
    assert json.loads(stack.ok("worker", "show", name, "--json"))["state"] == "draining"
    assert "draining" in stack.ok("explain", waiting)
    stack.ok("task", "cancel", running)
    stack.until(lambda: json.loads(stack.ok("worker", "show", name, "--json"))["state"] == "drained")
    stack.ok("worker", "resume", name)
    assert stack.say("wait", waiting).code == 0


def test_outputs_go_when_their_time_is_over(stack):
    place = stack.root / "kept"
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    stack.id("--wait", "-b", "brief", "-o", f"file://{place}/", "sh", "-c", "echo 1 > $OUTPUT/one")
    assert (place / "one").read_text() == "1\n"
    stack.ok("batch", "retention", "brief", "--outputs", "0.1")
    stack.until(lambda: not (place / "one").exists())
    assert json.loads(stack.ok("batch", "show", "brief", "--json"))["retention"]["outputs"] == 0.1
    assert "past their time" in stack.ok("history", "last.0")


def test_a_checkpoint_is_asked_for_and_the_next_attempt_goes_on_from_it(stack):
    place = stack.root / "checkpoints"
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    first = 'mkdir -p "$TEMP/state"; echo 7 > "$TEMP/state/n"; echo ready; sleep 60'
    script = f'if [ -e "$TEMP/state/n" ]; then cp "$TEMP/state/n" "$OUTPUT/n"; exit; fi; {first}'
    task = stack.id("-o", f"file://{place}/", "--checkpoint", "state", "--grace", "1s", "sh", "-c", script)
    stack.until(lambda: stack.ok("task", "logs", task) == "ready\n")
    stack.ok("task", "signal", "checkpoint", task)
    assert stack.say("wait", task).code == 0
    assert (place / "n").read_text() == "7\n"
    assert len(json.loads(stack.ok("task", "show", task, "--json"))["attempts"]) == 2
