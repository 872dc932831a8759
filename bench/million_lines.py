"""1,000,000 different tasks from a JSON-lines file, workers paused: `longshore submit --from-json FILE`.

Targets (issue "The spine", Speed): at most 10 s until the dispatcher has accepted all of them, at most 500 MB in the
dispatcher. The wall runs from starting the command to `accepted` in the read model. Beside it: the plain time that
`json.loads` of the standard library takes for the same file, as a floor.
"""

import json
import sys
from pathlib import Path

from common import Report, Stack, resident, scaled, seconds, until

MB = 1_000_000


def write_lines(file: Path, n: int) -> None:
    """`n` tasks that differ in their command and their name."""
    with file.open("w") as out:
        for k in range(n):
            out.write(
                f'{{"command": ["python3", "fit.py", "--seed", "{k}", "sample-{k % 977}.csv"], "name": "fit-{k}"}}\n'
            )


def read_plainly(file: Path) -> None:
    """The floor: parse every line once."""
    with file.open() as lines:
        for line in lines:
            json.loads(line)


def main() -> int:
    """Write the file, submit it, wait for the verdict."""
    report = Report("million_lines")
    n = scaled(1_000_000)
    with Stack(concurrency=1) as stack:
        file = stack.state / "tasks.jsonl"
        write_lines(file, n)
        stack.cli("submit", "--wait", "--", "true")
        stack.cli("worker", "pause", "--all")
        dispatcher = stack.part("dispatcher")
        floor = seconds(lambda: read_plainly(file))
        ids: list[str] = []
        wall = seconds(lambda: ids.append(stack.cli("submit", "--from-json", str(file))))
        submission = ids[0].strip().split(".")[0]
        wall += until(
            lambda: stack.get(f"/submissions/{submission}", after=submission)["status"] == "accepted", 120, "verdict"
        )
        report.at_most(f"{n:,} different tasks accepted", wall, 10, "s", f"json.loads alone {floor:.1f} s")
        report.at_most(
            "dispatcher holds", resident(dispatcher) / MB, 500, "MB", f"file {file.stat().st_size / MB:.0f} MB"
        )
        api = resident(stack.part("api"))
        report.told("api process holds", f"{api / MB:,.0f} MB")
        last = stack.get(f"/tasks/{submission}.{n - 1}")
        if last["name"] != f"fit-{n - 1}":
            raise RuntimeError(f"the last task is not the last line: {last}")
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
