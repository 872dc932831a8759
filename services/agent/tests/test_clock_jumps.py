"""The host's clock is set by a day, forward and back, while attempts are in every phase: nothing ends early or late for it."""

import asyncio
import os
import subprocess

import pytest

from longshore_agent.core.attempts import Attempts
from longshore_agent.core.verdict import Instants, in_order
from longshore_common import events as e
from longshore_common.model import TaskSpec
from longshore_common.testing.waiting import until

from .clocks import SetClock
from .engine import IMAGE, engine_image  # noqa: F401  a fixture

DAY = 86_400.0
UNTIL_GO = "while [ ! -e {go} ]; do sleep 0.02; done"

#: What gives a process another wall clock: seconds to add are the content of the file $AHEAD.
SHIM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t which, struct timespec *at) {
    int told = syscall(SYS_clock_gettime, which, at);
    if (which == CLOCK_REALTIME) {
        char text[32] = {0};
        int file = open(getenv("AHEAD"), O_RDONLY | O_CLOEXEC);
        if (file >= 0) { if (read(file, text, 31) > 0) at->tv_sec += atol(text); close(file); }
    }
    return told;
}
"""


class Jumping(SetClock):
    """One that the spawner follows."""

    def __init__(self, file) -> None:
        super().__init__()
        self._file = file

    def jump(self, seconds: float) -> None:
        self.ahead += seconds
        self._file.write_text(str(int(self.ahead)))


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    where = tmp_path_factory.mktemp("clock")
    (where / "clock.c").write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", where / "clock.so", where / "clock.c"], check=True, timeout=60)
    return where / "clock.so"


@pytest.fixture
async def set_yard(yard, shim, tmp_path):
    """A yard whose clock, and whose spawner's clock, can be set."""
    yard.spawner.stop()
    yard.spawner.environ = {"LD_PRELOAD": str(shim), "AHEAD": str(tmp_path / "ahead")}
    yard.clock = Jumping(tmp_path / "ahead")
    await yard.spawner.start()
    yard.spawner.link.close()
    return yard


class Source:
    """An HTTP server that answers when told."""

    def __init__(self) -> None:
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def answer(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        self.asked.set()
        await self.go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        await writer.drain()
        writer.close()

    async def open(self):
        self.server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/in.txt"


def in_time_order(usage):
    known = [at for at in (usage.staging_at, usage.started_at, usage.ended_at, usage.finished_at) if at is not None]
    return known == sorted(known)


@pytest.mark.parametrize("jump", [DAY, -DAY], ids=["forward", "back"])
async def test_what_is_under_way_goes_on_as_if_nothing_had_been(set_yard, tmp_path, jump):
    yard, go, source = set_yard, tmp_path / "go", Source()
    agent = await yard.start_agent(slots=3)
    wait = UNTIL_GO.format(go=go)
    (running,) = await yard.assign("sh", "-c", wait, run_timeout=60)
    (paused,) = await yard.assign("sh", "-c", wait, run_timeout=60)
    (stopping,) = await yard.assign("sh", "-c", f"trap '{wait}; exit 7' TERM; while :; do sleep 0.02; done", grace=60)
    for name in (running, paused, stopping):
        await yard.running(name)
    (waiting,) = await yard.assign("true")
    (staging,) = await yard.assign("cat", "../input/in.txt", inputs=(await source.open(),), download_timeout=60)
    await yard.signal("pause", paused)
    await yard.signal("stop", stopping)
    await until(lambda: len([m for m in yard.moves(paused) if m == "running"]) == 2)
    await asyncio.wait_for(source.asked.wait(), 10)
    beats = agent.watch.read()["at"]
    yard.clock.jump(jump)
    assert agent.watch.read()["at"] - beats == pytest.approx(jump, abs=20)
    await agent.watch.look()
    assert yard.events(e.AttemptsReported)[-1].ended == ()
    held = {name: attempt.phase for name, attempt in agent.desk.attempts.held.items()}
    assert [held[n] for n in (running, paused, stopping, staging)] == ["running"] * 3 + ["staging"]
    await yard.signal("run", paused)
    source.go.set()
    go.touch()
    ends = {n: await yard.ended(n) for n in (running, paused, stopping, waiting, staging)}
    source.server.close()
    assert [ends[n].outcome for n in (running, paused, waiting, staging)] == ["succeeded"] * 4
    assert (ends[stopping].outcome, ends[stopping].exit_code) == ("cancelled", 7)
    for end in ends.values():
        assert in_time_order(end.usage), end
        assert 0 <= end.usage.ended_at - end.usage.started_at < 60


@pytest.mark.parametrize("jump", [DAY, -DAY], ids=["forward", "back"])
async def test_limits_end_in_their_time_whatever_the_clock_is_set_to(set_yard, tmp_path, jump):
    yard, source = set_yard, Source()
    await yard.start_agent(slots=2)
    (late,) = await yard.assign("sleep", "60", run_timeout=1.0)
    (deaf,) = await yard.assign("sh", "-c", "trap '' TERM; while :; do sleep 0.02; done", grace=1.0)
    (unfetched,) = await yard.assign("true", inputs=(await source.open(),), download_timeout=1.0)
    await asyncio.wait_for(source.asked.wait(), 10)
    await yard.running(deaf)
    await yard.signal("stop", deaf)
    yard.clock.jump(jump)
    assert (await yard.ended(late)).cause == "timeout-running"
    assert (await yard.ended(deaf)).exit_code == 137
    assert (await yard.ended(unfetched)).cause == "timeout-staging"
    source.go.set()
    source.server.close()


@pytest.mark.parametrize("jump", [DAY, -DAY], ids=["forward", "back"])
async def test_outputs_wait_for_their_leave_and_are_published_after_it(set_yard, tmp_path, jump):
    yard = set_yard
    await yard.start_agent()
    (name,) = await yard.assign("sh", "-c", "echo x > $OUTPUT/x", output=f"file://{tmp_path}/out", upload_timeout=60)
    await until(lambda: [d for r in yard.events(e.AttemptsReported) for d in r.delivered])
    yard.clock.jump(jump)
    await yard.signal("publish", name)
    end = await yard.ended(name)
    assert (end.outcome, end.files) == ("succeeded", 1)
    assert in_time_order(end.usage)


@pytest.mark.engine
@pytest.mark.usefixtures("engine_image")
@pytest.mark.parametrize("jump", [DAY, -DAY], ids=["ahead", "behind"])
async def test_containers_have_their_time_whatever_clock_the_engine_has(set_yard, tmp_path, jump):
    yard = set_yard
    yard.clock.jump(jump)
    await yard.start_agent(docker=dict(os.environ))
    (enough,) = await yard.assign("sleep", "0.5", container=IMAGE, run_timeout=60)
    (late,) = await yard.assign("sleep", "600", container=IMAGE, run_timeout=1.0, grace=0.2)
    end = await yard.ended(enough, 60)
    assert end.outcome == "succeeded", end
    assert in_time_order(end.usage)
    assert (await yard.ended(late, 60)).cause == "timeout-running"


@pytest.mark.engine
@pytest.mark.usefixtures("engine_image")
async def test_after_a_restart_with_the_clock_set_back_a_container_has_its_limit_and_no_more(set_yard, tmp_path):
    yard = set_yard
    agent = await yard.start_agent(docker=dict(os.environ))
    (name,) = await yard.assign("sleep", "600", container=IMAGE, run_timeout=3.0, grace=0.2)
    await until(lambda: "running" in yard.moves(name), 60)
    await yard.kill_agent(agent)
    yard.clock.jump(-DAY)
    await yard.start_agent()
    assert (await yard.ended(name, 30)).cause == "timeout-running"


def ordered(*instants):
    return tuple(in_order(Instants(*instants)))


def test_instants_that_a_set_clock_put_out_of_order_are_told_in_order():
    assert ordered(None, 5.0, None, 9.0) == (None, 5.0, None, 9.0)
    assert ordered(DAY, 5.0, 7.0, 7.0) == (5.0, 5.0, 7.0, 7.0)
    assert ordered(DAY, None, None, 7.0) == (7.0, None, None, 7.0)


@pytest.mark.parametrize(("ahead", "grace"), [(0, 40), (DAY, 25), (-DAY, 600)], ids=["right", "forward", "back"])
def test_a_notice_by_another_clock_leaves_time_to_save_what_runs(ahead, grace):
    attempts, now = Attempts(1), 5 * DAY
    starts = (e.Start(0, 1, 0),)
    order = e.Order(submission=7, spec=TaskSpec(command=("x",), grace=600), batch="b", user="u", starts=starts)
    attempts.hear(1, e.AttemptsAssigned(orders=(order,)), now)
    (attempt,) = attempts.next_to_launch(0)
    attempts.started(attempt, now)
    (act,) = attempts.evict(now + 45, now + ahead)
    assert (act.deed, act.grace) == ("terminate", grace)
