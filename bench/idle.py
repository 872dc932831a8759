"""A stack that has worked and now waits costs next to nothing.

Targets (issue "The spine", Speed): each service below 1 % of a core over 20 s; all processes of the stack together
below 400 MB resident. Children count with their part (PostgreSQL's backends). Beside the sum of RSS, which counts
shared pages again and again, stands the sum of PSS, which counts each page once.
"""

import sys
import time

import psutil
from common import Report, Stack

SECONDS, MB = 20, 1_000_000


def family(process: psutil.Process) -> list[psutil.Process]:
    """A part and its children."""
    return [process, *process.children(recursive=True)]


def cpu(process: psutil.Process) -> float:
    """CPU seconds used so far by a part and the children it has now."""
    return sum(sum(p.cpu_times()[:2]) for p in family(process))


def main() -> int:
    """Work a little, settle, then watch."""
    report = Report("idle")
    with Stack() as stack:
        stack.run_array(500, "true")
        parts = stack.parts()
        supervisor = psutil.Process(next(iter(parts.values())).ppid())
        time.sleep(5)
        before = {name: cpu(process) for name, process in parts.items()}
        own = sum(supervisor.cpu_times()[:2])
        time.sleep(SECONDS)
        for name, process in parts.items():
            report.at_most(f"{name} CPU", 100 * (cpu(process) - before[name]) / SECONDS, 1, "%")
        report.at_most("supervisor CPU", 100 * (sum(supervisor.cpu_times()[:2]) - own) / SECONDS, 1, "%")
        everyone = {p.pid: p for part in [supervisor, *parts.values()] for p in family(part)}
        memory = {p.pid: p.memory_full_info() for p in everyone.values()}
        for name, process in parts.items():
            report.told(f"{name} RSS", f"{sum(memory[p.pid].rss for p in family(process)) / MB:,.0f} MB")
        rss, pss = (sum(getattr(m, what) for m in memory.values()) / MB for what in ("rss", "pss"))
        report.at_most("stack together, RSS", rss, 400, "MB", f"PSS {pss:,.0f} MB")
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
