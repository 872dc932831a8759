"""A dispatcher that is killed with 1 M finished and 1 M queued tasks leads again, and the projection is rebuilt.

Targets (issue "The spine", Speed): leading again within 5 s of the kill (the supervisor's restart included), seen as a
newer `leader-elected` in the log; the projection, rebuilt from zero over that log, catches up at 50,000 tasks/s or more.
The finished tasks come from the no-op executor.
"""

import asyncio
import sys

from common import Report, Stack, resident, scaled, seconds, until
from log_reader import leader

MILLION = 1_000_000


def main() -> int:
    """Finish a million, queue a million, kill the dispatcher, then rebuild the read model."""
    report = Report("restart")
    n = scaled(MILLION)
    with Stack(LONGSHORE_EXECUTOR="noop") as stack:
        wall = stack.run_array(n, "true")
        report.told(f"{n:,} finished by the no-op executor", f"{n / wall:,.0f} /s")
        stack.cli("worker", "pause", "--all")
        stack.cli("submit", "--array", f"0-{n - 1}", "--", "true")
        dispatcher = stack.part("dispatcher")
        report.told("dispatcher before", f"{resident(dispatcher) / 1e6:,.0f} MB")
        before = asyncio.run(leader(stack.state))
        dispatcher.kill()
        taken = until(lambda: asyncio.run(leader(stack.state)) > before, 60, "a new leader")
        report.at_most("leading again after", taken, 5, "s")
        rebuild(report, stack, n)
    return report.close()


def rebuild(report: Report, stack: Stack, n: int) -> None:
    """Project everything again from sequence 0."""

    def complete() -> bool:
        try:
            states = stack.get("/batches/default")["states"]
        except (RuntimeError, OSError):
            return False  # it is being emptied, or read anew
        return states == {"succeeded": n, "queued": n}

    taken = seconds(lambda: stack.cli("db", "rebuild"))
    taken += until(complete, 300, "projection")
    report.at_least("projection rebuilt, finished tasks/s", n / taken, 50_000, "/s")


if __name__ == "__main__":
    sys.exit(main())
