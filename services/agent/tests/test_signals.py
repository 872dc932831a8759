"""Signals in every phase, with real processes: each has its effect within a second, and the reason told is the true one."""

import http.server
import threading
import time

import pytest

from longshore_common import events as e
from longshore_common.testing.waiting import until

from .conftest import alive

PROMPT = 1.0  # seconds from the order to its effect


class SlowSource:
    """An HTTP server that sends its file when `release` is set, and not before."""

    def __init__(self):
        self.release, self.asked = threading.Event(), threading.Event()
        source = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()

            def do_GET(self):
                source.asked.set()
                source.release.wait(30)
                self.do_HEAD()
                self.wfile.write(b"x\n")

            def log_message(self, *_):
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.uri = f"http://127.0.0.1:{self.server.server_address[1]}/in.txt"

    def close(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def source():
    one = SlowSource()
    yield one
    one.close()


async def promptly(yard, wanted, name):
    """Signal, and the end of the attempt, which came in time."""
    told = time.monotonic()
    await yard.signal(wanted, name)
    end = await yard.ended(name)
    assert time.monotonic() - told < PROMPT
    return end


def state(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0]


async def pid_of(yard, path):
    return int(await until(lambda: path.exists() and path.read_text().strip()))


@pytest.mark.parametrize("wanted", ["stop", "kill"])
async def test_while_it_is_staged_it_ends_and_never_starts(yard, source, tmp_path, wanted):
    await yard.start_agent()
    (name,) = await yard.assign("touch", f"{tmp_path}/ran", inputs=(source.uri,))
    await until(source.asked.is_set)
    end = await promptly(yard, wanted, name)
    assert (end.outcome, end.cause, end.exit_code) == ("cancelled", "operator", None)
    assert not (tmp_path / "ran").exists()


async def test_a_pause_while_it_is_staged_holds_it_before_its_start(yard, source, tmp_path):
    agent = await yard.start_agent()
    (name,) = await yard.assign("touch", f"{tmp_path}/ran", inputs=(source.uri,))
    await until(source.asked.is_set)
    await yard.signal("pause", name)
    (marker,) = await yard.assign("true")
    assert (await yard.ended(marker)).outcome == "succeeded"  # the pause before it was heard
    source.release.set()
    await until(lambda: agent.desk.attempts.held[name].phase == "ready")
    (other,) = await yard.assign("true")
    assert (await yard.ended(other)).outcome == "succeeded"
    assert not (tmp_path / "ran").exists()
    await yard.signal("run", name)
    assert (await yard.ended(name)).outcome == "succeeded"
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("wanted", ["stop", "kill", "checkpoint"])
async def test_while_it_waits_in_the_spawner_it_ends_and_never_starts(yard, tmp_path, wanted):
    agent = await yard.start_agent(slots=1)
    (first,) = await yard.assign("sleep", "600")
    await yard.running(first)
    (name,) = await yard.assign("touch", f"{tmp_path}/ran")
    await until(lambda: name in agent.desk.attempts.held and agent.desk.attempts.held[name].phase == "launched")
    end = await promptly(yard, wanted, name)
    expected = ("failed", "evicted") if wanted == "checkpoint" else ("cancelled", "operator")
    assert (end.outcome, end.cause, end.exit_code) == (*expected, None)
    await yard.signal("kill", first)
    await yard.ended(first)
    (last,) = await yard.assign("true")
    await yard.ended(last)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("wanted", "code"), [("stop", 143), ("kill", 137)])
async def test_while_it_runs_its_whole_process_tree_ends(yard, tmp_path, wanted, code):
    await yard.start_agent()
    (name,) = await yard.assign("sh", "-c", f"sleep 600 & echo $! > {tmp_path}/pid; wait")
    child = await pid_of(yard, tmp_path / "pid")
    end = await promptly(yard, wanted, name)
    assert (end.outcome, end.cause, end.exit_code) == ("cancelled", "operator", code)
    await until(lambda: not alive(child), PROMPT)


async def test_a_frozen_one_stands_still_goes_on_and_can_be_stopped(yard, tmp_path):
    await yard.start_agent()
    (name,) = await yard.assign("sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 600 & wait")
    pid = await pid_of(yard, tmp_path / "pid")
    await yard.signal("pause", name)
    await until(lambda: state(pid) == "T", PROMPT)
    await yard.signal("run", name)
    await until(lambda: state(pid) != "T", PROMPT)
    await yard.signal("pause", name)
    await until(lambda: state(pid) == "T", PROMPT)
    assert (await promptly(yard, "stop", name)).cause == "operator"


@pytest.mark.parametrize("wanted", ["stop", "kill"])
async def test_while_its_output_cannot_be_delivered_it_ends_and_keeps_its_exit_code(yard, wanted):
    await yard.start_agent(
        environ={"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    )
    (name,) = await yard.assign("sh", "-c", "echo x > $OUTPUT/x; exit 0", output="s3://bucket/out/")
    await until(lambda: "delivering" in yard.moves(name))
    end = await promptly(yard, wanted, name)
    assert (end.outcome, end.cause, end.exit_code) == ("cancelled", "operator", 0)


async def test_while_it_waits_for_leave_to_publish_a_stop_publishes_nothing(yard, tmp_path):
    await yard.start_agent()
    (name,) = await yard.assign("sh", "-c", "echo x > $OUTPUT/x", output=f"file://{tmp_path}/out")
    await until(lambda: [d for r in yard.events(e.AttemptsReported) for d in r.delivered])
    assert (await promptly(yard, "stop", name)).outcome == "cancelled"
    assert not (tmp_path / "out" / "x").exists()


async def test_a_checkpoint_wish_leaves_alone_what_has_its_results(yard, tmp_path):
    await yard.start_agent()
    (name,) = await yard.assign("sh", "-c", "echo x > $OUTPUT/x", output=f"file://{tmp_path}/out")
    await until(lambda: [d for r in yard.events(e.AttemptsReported) for d in r.delivered])
    await yard.signal("checkpoint", name)
    await yard.signal("publish", name)
    assert (await yard.ended(name)).outcome == "succeeded"
    assert (tmp_path / "out" / "x").read_text() == "x\n"


@pytest.mark.parametrize("wanted", ["stop", "kill", "checkpoint"])
async def test_told_while_the_agent_is_away_it_ends_when_the_agent_is_back(yard, tmp_path, wanted):
    agent = await yard.start_agent(slots=1)
    (name,) = await yard.assign("sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 600")
    (waiting,) = await yard.assign("touch", f"{tmp_path}/ran")
    pid = await pid_of(yard, tmp_path / "pid")
    await yard.kill_agent(agent)
    await yard.signal(wanted, waiting, name)
    assert alive(pid)
    await yard.start_agent()
    cause = "evicted" if wanted == "checkpoint" else "operator"
    assert ((await yard.ended(name)).cause, (await yard.ended(waiting)).cause) == (cause, cause)
    assert not alive(pid)
    assert not (tmp_path / "ran").exists()


async def test_a_stop_that_the_agent_died_with_is_done_by_its_next_life(yard, tmp_path):
    agent = await yard.start_agent()
    (name,) = await yard.assign("sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 600")
    await pid_of(yard, tmp_path / "pid")
    agent.bare.send = lambda _: None  # the order is journalled, and what follows from it is lost on its way
    await yard.signal("kill", name)
    await until(lambda: agent.desk.attempts.held[name].wanted == "kill")
    await yard.kill_agent(agent)
    await yard.start_agent()
    assert (await yard.ended(name)).cause == "operator"


async def test_an_end_that_only_looks_like_a_stop_is_the_tasks_own(yard):
    await yard.start_agent()
    ends = {}
    for number in (15, 9, 1):
        (name,) = await yard.assign("sh", "-c", f"kill -{number} $$")
        ends[number] = await yard.ended(name)
    assert {k: (x.outcome, x.cause, x.exit_code) for k, x in ends.items()} == {
        k: ("failed", "exit", 128 + k) for k in ends
    }


async def test_a_task_that_leaves_with_zero_after_a_stop_is_cancelled_all_the_same(yard, tmp_path):
    await yard.start_agent()
    (name,) = await yard.assign(
        "sh", "-c", f"trap 'exit 0' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.02; done"
    )
    await pid_of(yard, tmp_path / "pid")
    end = await promptly(yard, "stop", name)
    assert (end.outcome, end.cause, end.exit_code) == ("cancelled", "operator", 0)
