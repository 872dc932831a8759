"""An array of 1,000,000 tasks costs what one task costs.

Targets (issue "The spine", Speed): acknowledged within 0.2 s, the dispatcher grows by at most 5 MB, the first page of
`task list` within 100 ms while all of them wait. The peer holds one object per task: HyperQueue's LocalCluster took
7.2 s and 1.2 GiB for the same number of explicit tasks (limits measured beside it on this kind of machine).
The command line's own start (`longshore --version`) is taken off its wall and shown.
"""

import statistics
import sys

from common import Report, Stack, resident, scaled, seconds, until

MIB = 1024 * 1024


def main() -> int:
    """Submit with the workers paused, then look."""
    report = Report("million")
    n = scaled(1_000_000)
    with Stack(concurrency=1) as stack:
        stack.cli("submit", "--wait", "--", "true")
        stack.cli("worker", "pause", "--all")
        dispatcher = stack.part("dispatcher")
        before = resident(dispatcher)
        start = statistics.median(seconds(lambda: stack.cli("--version")) for _ in range(5))
        ids: list[str] = []
        wall = seconds(lambda: ids.append(stack.cli("submit", "--array", f"0-{n - 1}", "--", "sleep", "60")))
        submission = ids[0].strip().split(".")[0]
        report.at_most("submit acknowledged, without CLI start", wall - start, 0.2, "s", f"CLI start {start:.2f} s")
        listed = until(lambda: stack.get(f"/submissions/{submission}")["states"].get("queued") == n, 60, "projection")
        report.at_most("seen in the read model after another", listed, 1, "s")  # one row: see `restart` for the rate
        pages = [seconds(lambda: stack.get("/tasks", limit=50)) for _ in range(21)]
        report.at_most("first page over HTTP, p50", 1000 * statistics.median(pages), 100, "ms")
        walls = [seconds(lambda: stack.cli("task", "list", "--json", "--limit", "50")) for _ in range(5)]
        report.at_most("first page by CLI, without its start", 1000 * (statistics.median(walls) - start), 100, "ms")
        report.at_most(
            "dispatcher grew by", (resident(dispatcher) - before) / MIB, 5, "MiB", f"{before / MIB:.0f} MiB before"
        )
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
