"""Two dispatchers, of which the leader is frozen and thawed: the fence keeps a stale leader's decisions out of the log."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from .books import check_books, ledger_of
from .ledger import Ledger
from .outputs import Evidence
from .stack import BIN, Stack, eventually

SIZE = 600


@contextmanager
def second_dispatcher(stack: Stack) -> Iterator[int]:
    """A standby with the same credentials as the stack's own dispatcher."""
    environ = stack.environ_of("dispatcher") | {"LONGSHORE_NAME": "second"}
    with (stack.state / "logs" / "second.jsonl").open("wb") as log:
        process = subprocess.Popen([BIN / "longshore-dispatcher", "run"], env=environ, stdout=log, stderr=log)
        try:
            yield process.pid
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            assert process.wait(timeout=15) == 0, "the second dispatcher did not stop cleanly"


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def led_by(stack: Stack, more_than: int) -> Ledger | None:
    ledger = ledger_of(stack)
    return ledger if len(ledger.leaders) > more_than else None


def test_a_leader_that_was_frozen_and_continued_assigns_nothing_twice(start):
    stack = start(concurrency=4)
    first = stack.part("dispatcher")[1]
    with second_dispatcher(stack) as second:
        eventually(
            lambda: b"caught-up" in (stack.state / "logs" / "second.jsonl").read_bytes(), "a standby that follows"
        )
        evidence = Evidence(stack, SIZE, 0.05)
        eventually(lambda: stack.succeeded(evidence.submission) >= SIZE // 6, "a sixth of the tasks done")
        before = len(ledger_of(stack).leaders)
        with frozen(first):
            ledger = eventually(lambda: led_by(stack, before), "the standby leads", 30)
            assert ledger.leaders[-1][1] != ledger.leaders[before - 1][1]
            done = stack.succeeded(evidence.submission)
            eventually(lambda: stack.succeeded(evidence.submission) > done, "work goes on under the second")
        eventually(lambda: stack.succeeded(evidence.submission) >= SIZE // 2, "half of the tasks done")
        with frozen(second):
            eventually(lambda: led_by(stack, len(ledger.leaders)), "the first leads again", 30)
        stack.finish(evidence.submission, SIZE)
        check_books(stack, evidence)
        assert evidence.run_more_than_once() == {}
    assert stack.part("dispatcher")[1] == first, "the deposed leader must live on as a standby"
    stack.good()
