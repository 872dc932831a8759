"""`python -m tests.mutants [NAME…]`: break one rule after the other and say which tests notice.

Each mutant is a copy of its package with one passage replaced, before ours on the path. The stories and the core's own
tests run against it, then histories of the whole system until one fails, then the properties of scheduling. Exit code 0
if every mutant was caught.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from .rules import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
#: What runs against each mutant; of the seeds the first that fails is enough, and the last only if nothing failed before.
QUICK = (
    "tests/story", "services/dispatcher/tests", "services/agent/tests/test_attempts.py",
    "services/api/tests/test_projection.py",
)  # fmt: skip
SEEDS = "1-40"
PROPERTIES = ("tests/simulation/test_scheduling.py", "tests/simulation/test_fairness.py")
#: Seconds after which a run counts as hung, which is a failure too.
PATIENCE = 300


class Found(NamedTuple):
    """What noticed a mutant: tests, the seed of a history, properties."""

    tests: list[str]
    seed: str
    properties: list[str]


def source_of(mutant: Mutant) -> Path:
    """The directory that holds the mutant's package."""
    package = mutant.path.partition("/")[0]
    return next(path for path in (*ROOT.glob("services/*/src"), *ROOT.glob("libs/*/src")) if (path / package).is_dir())


def gone(mutant: Mutant) -> bool:
    """Whether its passage is not there exactly once."""
    file = source_of(mutant) / mutant.path
    count = file.read_text().count(mutant.old) if file.exists() else 0
    if count != 1:
        print(
            f"{mutant.name}: its passage is {count} times in {mutant.path}; the source moved on, follow it",
            file=sys.stderr,
        )
    return count != 1


def mutate(mutant: Mutant, where: Path) -> None:
    """A copy of the mutant's package below `where`, changed."""
    package = mutant.path.partition("/")[0]
    shutil.copytree(source_of(mutant) / package, where / package, ignore=shutil.ignore_patterns("__pycache__"))
    file = where / mutant.path
    file.write_text(file.read_text().replace(mutant.old, mutant.new))


def run(where: Path | None, *command: str) -> tuple[int, str]:
    """(exit code, what it said) of a command in the repository, the mutant first on its path."""
    environ = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "LONGSHORE_MUTANT": "1"}
    paths = [str(where)] if where else []
    environ["PYTHONPATH"] = os.pathsep.join([*paths, environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    try:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1, "FAILED it hangs"
    return done.returncode, done.stdout + done.stderr


def failing(where: Path | None, *tests: str) -> list[str]:
    """The tests that fail, by name."""
    present = [test for test in tests if (ROOT / test).exists()]
    _, said = run(where, "-m", "pytest", "-q", "--tb=no", "-rfE", "-m", "not slow", *present)
    return re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", said, re.MULTILINE)


def check(mutant: Mutant, known: set[str]) -> Found:
    """What notices this mutant, of what does not fail anyway."""
    with tempfile.TemporaryDirectory(prefix="longshore-mutant-") as place:
        where = Path(place)
        mutate(mutant, where)
        tests = [test for test in failing(where, *QUICK) if test not in known]
        code, said = run(where, "-m", "tests.simulation.whole", SEEDS)
        seed = re.search(r"^seed (\d+) failed", said, re.MULTILINE)
        found = seed.group(1) if seed else ("?" if code else "")
        properties = [] if tests or found else failing(where, *PROPERTIES)
        return Found(tests, found, [test for test in properties if test not in known])


def show(mutant: Mutant, found: Found) -> str:
    """One row of the table."""
    tests = (
        f"{found.tests[0].rpartition('::')[2]}" + (f" and {len(found.tests) - 1} more" if found.tests[1:] else "")
        if found.tests
        else ""
    )
    properties = ", ".join(name.rpartition("::")[2] for name in found.properties)
    verdict = "caught" if any(found) else "SURVIVED"
    return f"| {mutant.name} | {mutant.rule} | {verdict} | {tests} | {found.seed and 'seed ' + found.seed} | {properties} |"


def main(names: list[str]) -> int:
    """All mutants, or those that are named."""
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    if any([gone(mutant) for mutant in chosen]):
        return 2
    known = {*failing(None, *QUICK), *failing(None, *PROPERTIES)}
    for test in sorted(known):
        print(f"fails without any mutant, and does not count: {test}", file=sys.stderr)
    print("| mutant | the rule it breaks | | tests | whole system | properties |")
    print("|---|---|---|---|---|---|")
    survived = 0
    with ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as pool:
        for mutant, found in zip(chosen, pool.map(lambda m: check(m, known), chosen), strict=True):
            survived += not any(found)
            print(show(mutant, found), flush=True)
    print(f"{len(chosen) - survived} of {len(chosen)} mutants caught")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
