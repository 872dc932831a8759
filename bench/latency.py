"""How soon a single task starts, and how soon a waiting program knows that it is over.

Targets (issue "The spine", Speed): submit to its process started p50 <= 5 ms, p95 <= 15 ms, HyperQueue beside it;
submit to result known to a waiting SDK client p50 <= 10 ms. The start is the instant the agent noted when it started
the process; "program reads the clock" is what the program itself says (`date`), exec and dynamic linking included, and
is what the peer is compared by. Tasks go one at a time, with pauses, to an idle stack.
"""

import os
import sys
import time

from common import CORES, Report, Stack, percentile, scaled
from peer_hyperqueue import HyperQueue

import longshore

TASKS, PAUSE = 200, 0.02


def measure(client: longshore.Client, n: int) -> tuple[list[float], dict[str, float]]:
    """Seconds from submit to known of `n` tasks one after the other, and per task the instant before its submit."""
    known: list[float] = []
    submitted: dict[str, float] = {}
    client.listen()
    for _ in range(n):
        instant, began = time.time(), time.perf_counter()
        sent = client.submit(["date", "+%s.%N"])
        end = client.wait(sent, timeout=30)
        known.append(time.perf_counter() - began)
        if not end.ok:
            raise RuntimeError(f"task {sent} ended as {end}")
        submitted[f"{sent.id}.0"] = instant
        time.sleep(PAUSE)
    return known, submitted


def starts(client: longshore.Client, submitted: dict[str, float]) -> tuple[list[float], list[float]]:
    """Seconds from the submit to the start as the agent and as the program saw it."""
    agent, program = [], []
    for one, instant in submitted.items():
        task = client.task(one)
        assert task.started_at is not None
        agent.append(task.started_at.timestamp() - instant)
        program.append(float(b"".join(client.logs(one))) - instant)
    return agent, program


def ms(values: list[float], share: float) -> float:
    """A percentile in milliseconds."""
    return 1000 * percentile(values, share)


def main() -> int:
    """One stack and one HyperQueue, one task at a time."""
    report = Report("latency")
    n = scaled(TASKS)
    with Stack() as stack, HyperQueue(CORES) as hyperqueue:
        os.environ.update(stack.environ)
        with longshore.Client(stack.state) as client:
            measure(client, 20)
            known, submitted = measure(client, n)
            agent, program = starts(client, submitted)
        peer = hyperqueue.starts(n)
    beside = f"HyperQueue {ms(peer, 0.5):.1f} / {ms(peer, 0.95):.1f} ms"
    report.at_most("submit -> process started, p50", ms(agent, 0.5), 5, "ms")
    report.at_most("submit -> process started, p95", ms(agent, 0.95), 15, "ms")
    report.at_most("submit -> program reads the clock, p50", ms(program, 0.5), ms(peer, 0.5), "ms", beside)
    report.at_most("submit -> known to a waiting client, p50", ms(known, 0.5), 10, "ms")
    report.told("submit -> known to a waiting client, p95", f"{ms(known, 0.95):.1f} ms")
    report.raw.update(known=known, agent=agent, program=program, peer=peer)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
