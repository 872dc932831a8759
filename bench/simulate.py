"""The real core against traces in virtual time, beside FIFO first-fit, tightest fit and HyperQueue's rule.

`bench/simulate.py [SEED [SCALE]]` prints one row per trace and policy. Times are virtual seconds; the same seed gives the same
figures, but for the last column: CPU microseconds per task that our core took to decide and to fold.
"""

import sys
from statistics import fmean

from common import Report
from simulator.engine import Engine, Policy
from simulator.measures import Measures, measure
from simulator.ours import Longshore
from simulator.peers import HyperQueue, Peer, TightestFit
from simulator.standard import standard
from simulator.trace import Trace

POLICIES = (Longshore, Peer, TightestFit, HyperQueue)
#: Makespan over its bound that our core must not pass on any trace of the standard set.
TARGET = 1.1


def run(trace: Trace, policy: type) -> tuple[Measures, Policy]:
    """One run."""
    made = policy(trace)
    return measure(trace, Engine(trace, made).run()), made


def row(trace: Trace, name: str, m: Measures, cost: str) -> str:
    """One line of the table."""
    fair = "" if m.jain is None else f"{m.jain:.2f} / {m.astray:.2f}"
    return (
        f"| {trace.name} | {name} | {m.makespan:,.0f} | {m.ratio:.3f} | {m.mean_wait:,.1f} | {m.p95_wait:,.1f} "
        f"| {m.slowdown:.2f} | {fair} | {cost} |"
    )


def main(arguments: list[str]) -> int:
    """Every trace under every policy."""
    seed, scale = int((arguments or ["1"])[0]), float((arguments[1:] or ["1"])[0])
    report = Report("simulate")
    print("| trace | policy | makespan s | / bound | mean wait s | p95 wait s | slowdown | Jain / astray | µs a task |")
    print("|---|---|---|---|---|---|---|---|---|")
    ratios: dict[str, list[float]] = {policy.name: [] for policy in POLICIES}
    for trace in standard(seed, scale):
        for policy in POLICIES:
            found, made = run(trace, policy)
            cost = f"{made.seconds / trace.size * 1e6:,.0f}" if isinstance(made, Longshore) else ""
            print(row(trace, policy.name, found, cost), flush=True)
            ratios[policy.name].append(found.ratio)
    ours = ratios[Longshore.name]
    means = ", ".join(f"{name} {fmean(found):.3f}" for name, found in ratios.items() if name != Longshore.name)
    report.raw["ratios"] = ratios
    report.at_most("virtual makespan / bound, worst trace", max(ours), TARGET, "", beside=f"mean {fmean(ours):.3f}")
    report.at_most("virtual makespan / bound, mean", fmean(ours), TARGET, "", beside=means)
    return report.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
