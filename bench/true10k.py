"""10,000 x `true` as one array: from starting `longshore submit --wait` to all results known, projected, output captured.

Targets (issue "The spine", Speed): wall at most that of `xargs -P<cores> -n1 true`, at least 1.5 times taskiq-nats, at
least 4 times HyperQueue's LocalCluster, each with as many slots as cores, in turns within one run. Peers slower than
we are get fewer tasks; rates compare. The wall includes starting the command line.
"""

import statistics
import subprocess
import sys

from common import BIN, CORES, Report, Stack, paired, scaled, seconds
from peer_hyperqueue import HyperQueue
from peer_taskiq import TaskiqNats

TASKS, PEER_TASKS, PAIRS = 10_000, 3_000, 3


def xargs(n: int) -> float:
    """Seconds for `seq n | xargs -P<cores> -n1 true`."""
    command = f"seq {n} | xargs -P{CORES} -n1 true"
    return seconds(lambda: subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL))


def captured(stack: Stack) -> bool:
    """Whether output of such tasks is really kept: the check that the runs measured what they claim."""
    ids = stack.cli("submit", "--wait", "--", "printf", "kept").split()
    return stack.cli("task", "logs", ids[0]) == "kept"


def main() -> int:
    """Run the pairs and print the three figures."""
    report = Report("true10k")
    n, few = scaled(TASKS), scaled(PEER_TASKS)
    with Stack() as stack, TaskiqNats(BIN / "nats-server", CORES) as taskiq, HyperQueue(CORES) as hyperqueue:
        stack.run_array(500, "true")
        taskiq.run(500)
        if not captured(stack):
            raise RuntimeError("the output of a task was not captured")
        ours, floor = paired(PAIRS, lambda: stack.run_array(n, "true"), lambda: xargs(n))
        report.wall_against(f"xargs -P{CORES} -n1", ours, floor, 1.0)
        ours, peer = paired(PAIRS, lambda: stack.run_array(n, "true"), lambda: taskiq.run(few))
        report.rate_against("taskiq-nats", n / statistics.median(ours), few / statistics.median(peer), 1.5)
        ours, peer = paired(PAIRS, lambda: stack.run_array(n, "true"), lambda: hyperqueue.run(few))
        report.rate_against("HyperQueue LocalCluster", n / statistics.median(ours), few / statistics.median(peer), 4)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
