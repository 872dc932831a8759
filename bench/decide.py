"""What the dispatcher's judgement costs: the pure core alone, without a log.

Targets (issue "The judgement", Speed): 100,000 assignments a second of 50 mixed requests on 1,000 workers; turns of at most
20 ms (p99) at a million queued tasks of 1,000 batches and 100 users; the same cost per task from 10 thousand to 10 million
queued ones, which fit in 1 GB; 10,000 workers that beat every two seconds take at most one core. A turn is the decision
and the folding of its events.
"""

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import psutil
from common import Report, percentile, scaled
from decide_world import World, needs

from longshore_common import events as e
from longshore_common.model import HostFacts, TaskSpec

#: Seconds between two turns at least: what came meanwhile is decided on together.
TICK = 0.005


def floor(count: int) -> float:
    """Starts a second that Python makes and puts into a dict and nothing else: what no planner can be faster than."""
    began = time.perf_counter()
    kept = {}
    for k in range(count):
        kept[f"1.{k}.1"] = e.Start(k, 1, k)
    return count / (time.perf_counter() - began)


def rate(report: Report) -> None:
    """Mixed requests onto empty workers, until all are full."""
    world = World()
    world.workers(1000)
    for k, spec in enumerate(needs(50)):
        world.submit(scaled(20_000), spec, f"user{k % 10}", f"b{k}")
    world.deciding = world.folding = 0.0
    placed = turns = 0
    slowest = 0.0
    while True:
        before = world.deciding
        found = sum(
            len(order.starts)
            for event, _ in world.turn()
            if isinstance(event, e.AttemptsAssigned)
            for order in event.orders
        )
        slowest = max(slowest, world.deciding - before)
        if not found:
            break
        placed, turns = placed + found, turns + 1
    lowest = floor(placed)
    report.at_least("assignments of 50 mixed requests, 1,000 workers", placed / world.deciding, 100_000, "/s",
                    f"{lowest:,.0f} /s bare structs")  # fmt: skip
    both = placed / (world.deciding + world.folding)
    report.told("the same with the folding of their events", f"{both:,.0f} /s", f"{placed:,} in {turns} turns")
    report.told("longest decision of these", f"{slowest * 1e3:,.1f} ms")


def turns(report: Report) -> None:
    """A busy cluster with a long queue: reports come in, places are filled again."""
    world = World()
    world.workers(1000)
    specs = needs(50)
    tasks = scaled(1_000_000) // 1000
    for k in range(1000):
        world.submit(tasks, specs[k * 7 % 50], f"user{k % 100}", f"b{k}")
    mean = 60.0
    while True:
        if not world.begin(world.turn(), mean):
            break
    gc.collect()
    gc.freeze()
    pace = len(world.ends) / 2 / mean  # half of what workers hold they have in advance
    took, ended = _taken(world, mean, 3000, lambda before: max(1, round(pace * max(before, TICK))))
    report.at_most("turn at 1 M queued, 1,000 batches, p99", percentile(took, 0.99) * 1e3, 20, "ms",
                   f"p50 {percentile(took, 0.5) * 1e3:.2f}, longest {max(took) * 1e3:.1f} ms")  # fmt: skip
    report.told("  of so many that end per second", f"{pace:,.0f}", f"{ended / len(took):.1f} a turn")
    sizes = cycle(range(1, 101))
    took, _ = _taken(world, mean, 1000, lambda _: next(sizes))
    report.told("  in bursts of 1 to 100 that end at once, p99", f"{percentile(took, 0.99) * 1e3:.1f} ms",
                f"p50 {percentile(took, 0.5) * 1e3:.2f}, longest {max(took) * 1e3:.1f} ms")  # fmt: skip
    queued = sum(line.tasks for line in world.state.queue.lines.values())
    report.told("  queued at the end", f"{queued:,}")


def _taken(world: World, mean: float, turns: int, ends: Callable[[float], int]) -> tuple[list[float], int]:
    """(seconds of each turn with the folding of what it decided, attempts that ended); `ends`: how many, after such a turn."""
    took, ended = [TICK], 0
    for _ in range(turns):
        ended += world.report(ends(took[-1]), mean)
        before = world.deciding + world.folding
        decisions = world.turn()
        took.append(world.deciding + world.folding - before)
        world.begin(decisions, mean)
    return took[1:], ended


def cost(queued: int, submissions: int) -> float:
    """Seconds per task from the queue to its end, with so many in line."""
    world = World()
    world.workers(20, held=False)
    specs = needs(10)
    for k in range(submissions):
        world.submit(queued // submissions, specs[k % 10], f"user{k % 5}", f"b{k % 20}")
    while world.begin(world.turn(), 1.0):
        pass
    world.deciding = world.folding = 0.0
    done = 0
    while done < 8000:
        done += world.report(100, 1.0)
        world.begin(world.turn(), 1.0)
    return (world.deciding + world.folding) / done


def flat(report: Report) -> None:
    """The cost of a task does not depend on how many wait."""
    few, many = min(cost(10_000, 10) for _ in range(3)), min(cost(10_000_000, 10) for _ in range(3))
    long = min(cost(10_000_000, 10_000) for _ in range(2))
    report.at_most("cost per task, 10 M queued over 10 k", many / few, 1.3, "x", f"{few * 1e6:.1f} us at 10 k")
    report.at_most("the same as 10,000 submissions", long / few, 1.5, "x", f"{long * 1e6:.1f} us")


def memory(report: Report) -> None:
    """Resident memory of a process that holds ten million queued tasks."""
    for name, submissions in (("as one array", 1), ("as 10,000 submissions", 10_000)):
        command = [sys.executable, "-c", f"import decide; print(decide.resident({submissions}))"]
        here = Path(__file__).parent
        out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, cwd=here)
        report.at_most(f"10 M queued {name}", int(out.stdout) / 1e6, 1000, "MB")


def resident(submissions: int) -> int:
    """Bytes of this process with 10 M queued tasks."""
    world = World()
    for k in range(submissions):
        world.submit(10_000_000 // submissions, needs(50)[k % 50], f"user{k % 100}", f"b{k % 1000}")
    return int(psutil.Process().memory_info().rss)


def beats(report: Report) -> None:
    """Ten thousand idle workers, a few reports a second, and one that does something now and then."""
    from decide_beats import cores

    used, heard = asyncio.run(cores(10_000, seconds=10))
    report.at_most("10,000 workers beating every 2 s", used, 1, "cores", f"{heard:,.0f} beats/s heard")


def large(report: Report) -> None:
    """One task at a time on 10,000 idle workers: a turn must not look at all of them."""
    world = World()
    world.workers(0, held=False, facts=[HostFacts(cpus=16, memory=64 << 30) for _ in range(10_000)])
    took = []
    for k in range(200):
        world.submit(1, TaskSpec(command=("true",), cpus=1 + k % 4), "ada", "b")
        before = world.deciding + world.folding
        world.begin(world.turn(), 1.0)
        took.append(world.deciding + world.folding - before)
    report.at_most("a turn with 10,000 idle workers, p50", percentile(took, 0.5) * 1e3, 2, "ms",
                   f"p99 {percentile(took, 0.99) * 1e3:.2f} ms")  # fmt: skip


def main(names: list[str]) -> int:
    """All parts, or those named."""
    report = Report("decide")
    for part in (rate, turns, flat, memory, large, beats):
        if not names or part.__name__ in names:
            part(report)
            gc.unfreeze()
            gc.collect()
    return report.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
