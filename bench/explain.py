"""What a question costs, and what telling demand costs: the pure core with a million tasks queued, without a log.

Target (issue "The judgement", point 7): an answer about a task, submission, batch or worker takes at most 50 ms (p99) at a
million tasks of 1,000 batches on 1,000 workers, encoded for the wire. Beside it a floor of the same run: one look at every
worker and every line of the queue, without a question. Demand is counted once a second at most, so its cost is a share of
a core.
"""

import gc
import sys
import time

import msgspec
from common import Report, percentile, scaled
from decide_world import World, needs

from longshore_common import events as e
from longshore_common.demand import BatchDemand
from longshore_dispatcher.core import questions
from longshore_dispatcher.core.demand import Crew, demands

BATCHES = 1000
ASKED = 300
LIMIT = 50.0


def world(submissions: int) -> World:
    """A million tasks in so many submissions per batch, some paused, on 1,000 workers that are full and were measured."""
    made = World()
    made.workers(1000)
    specs = needs(50)
    each = max(1, scaled(1_000_000) // BATCHES // submissions)
    for k in range(BATCHES):
        for _ in range(submissions):
            made.submit(each, specs[k * 7 % 50], f"user{k % 100}", f"b{k}")
    while made.begin(made.turn(), 60.0):
        pass
    for _ in range(100):
        made.report(20, 60.0)
        made.begin(made.turn(), 60.0)
    for k in range(0, BATCHES, 97):
        made.add(e.BatchPaused(batch=f"b{k}"))
    for k in range(0, 1000, 41):
        made.add(e.WorkerPaused(), f"w{k}")
    return made


def floor(made: World) -> float:
    """Milliseconds to look once at all workers and lines."""
    took = []
    for _ in range(20):
        began = time.process_time()
        sum(worker.takes_work for worker in made.state.workers.values())
        sum(line.tasks for line in made.state.queue.lines.values())
        took.append((time.process_time() - began) * 1e3)
    return percentile(took, 0.5)


def answers(report: Report, made: World, what: str) -> None:
    """Questions of each kind about anything."""
    gc.collect()
    gc.freeze()
    lowest = floor(made)
    subs = list(made.state.submissions.values())
    dice = made.dice
    kinds = {
        "task": lambda: f"{(sub := dice.choice(subs)).id}.{dice.randrange(sub.size)}",
        "submission": lambda: str(dice.choice(subs).id),
        "batch": lambda: f"b{dice.randrange(BATCHES)}",
        "worker": lambda: f"w{dice.randrange(1000)}",
    }
    for kind, some in kinds.items():
        took, spent = [], []
        for _ in range(ASKED):
            body = msgspec.json.encode({"id": some(), "kind": kind})
            began, busy = time.perf_counter(), time.process_time()
            questions.answer(made.state, body, made.now)
            took.append((time.perf_counter() - began) * 1e3)
            spent.append((time.process_time() - busy) * 1e3)
        worst = percentile(spent, 0.99)
        beside = f"median {percentile(spent, 0.5):.2f} ms, floor {lowest:.2f} ms, {worst / lowest:.0f}x"
        report.at_most(f"{kind}, p99 CPU, {what}", worst, LIMIT, "ms", beside)
        report.told(f"{kind}, p99 wall, {what}", f"{percentile(took, 0.99):.1f} ms", "as busy as the machine was")


def demand(report: Report, made: World, what: str) -> None:
    """Counting all demand, and what the recruiter then has to read."""
    crew = Crew()
    demands(made.state, crew, 1)
    took = []
    for _ in range(10):
        began = time.perf_counter()
        bodies = [msgspec.json.encode(told) for told in demands(made.state, crew, 1).values()]
        took.append((time.perf_counter() - began) * 1e3)
    report.told(f"demand of all counted, {what}", f"{percentile(took, 0.5):.1f} ms", f"{len(bodies)} batches")
    began = time.perf_counter()
    for body in bodies:
        msgspec.json.decode(body, type=BatchDemand)
    spent = (time.perf_counter() - began) * 1e3
    report.told(f"demand of all read, {what}", f"{spent:.1f} ms", f"{sum(map(len, bodies)):,} bytes")


def main() -> int:
    report = Report("explain")
    for submissions in (1, 20):
        made = world(submissions)
        what = f"{len(made.state.submissions):,} submissions"
        answers(report, made, what)
        demand(report, made, what)
        del made
        gc.unfreeze()
        gc.collect()
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
