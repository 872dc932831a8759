"""Everything but processes: log, dispatcher, one agent with a no-op executor, projector, as real processes.

Target (issue "The spine", Speed): at least 20,000 tasks/s on two cores, from starting `submit --wait` to all results
projected. Beside it the same with real processes (`true`), which shows that process start is the bottleneck, not us.
"""

import statistics
import sys

from common import Report, Stack, scaled

TASKS, RUNS = 200_000, 3


def main() -> int:
    """Three runs of one array; the median counts."""
    report = Report("noop_executor")
    n = scaled(TASKS)
    with Stack() as real:
        real.run_array(200, "true")
        some = scaled(4_000)
        beside = some / real.run_array(some, "true")
    with Stack(LONGSHORE_EXECUTOR="noop") as stack:
        stack.run_array(1_000, "true")
        walls = [stack.run_array(n, "true") for _ in range(RUNS)]
    report.raw["walls"] = walls
    report.at_least(
        "no-op tasks/s end to end", n / statistics.median(walls), 20_000, "/s", f"with processes {beside:,.0f} /s"
    )
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
