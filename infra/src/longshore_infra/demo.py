"""`make demo`: the main job on real input, on a stack of its own, checked against a plain computation.

Several hundred real source files go into an S3 bucket; one array counts the words of each and compresses the counts; a
second batch, which requires the first, gathers them into one table. The table must equal what one process computes.
What must not enter: shortcuts past the commands a user would type.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from longshore_infra.demo_image import counting_image
from longshore_infra.demo_s3 import Bucket, serve_s3

#: Enough to see a queue at work, few enough for a coffee: about half a minute on two cores.
FILES = 400
#: How long a batch may take, in minutes, and how often its progress is told, in seconds.
MINUTES = 10
TELL_EVERY = 3.0
COUNT = r"""
export LC_ALL=C
for f in "$INPUT"/*; do
  tr -cs 'A-Za-z_' '\n' < "$f" | sort | uniq -c | gzip > "$OUTPUT/${f##*/}.counts.gz"
done
"""
GATHER = r"""
export LC_ALL=C
find "$INPUT" -name '*.counts.gz' -exec gunzip -c {} + |
  awk 'NF == 2 { n[$2] += $1 } END { for (w in n) printf "%d\t%s\n", n[w], w }' | sort -k1,1nr -k2 > "$OUTPUT/words.tsv"
echo "$(find "$INPUT" -name '*.counts.gz' | wc -l) files gathered"
"""


class DemoFailed(Exception):
    """The demo's result is wrong or did not come; its text says what to look at."""


def main() -> int:
    """Run the demo; 0 if its table is right."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="longshore-demo-") as scratch:
        root = Path(scratch)
        root.chmod(0o755)  # PostgreSQL's own user must pass through
        try:
            with serve_s3(root / "s3") as bucket, stack(root / "state", bucket):
                rehearse(root, bucket)
        except DemoFailed as err:
            print(f"\nThe demo failed: {err}", file=sys.stderr)
            return 1
    print(
        f"\nDemo done in {time.monotonic() - began:.0f} s: every word of the table equals a plain single-process count."
    )
    return 0


def rehearse(root: Path, bucket: Bucket) -> None:
    """Submit both batches, show them at work, and compare."""
    corpus = pick_corpus()
    say(f"putting {len(corpus)} of Python's own sources into {bucket.uri('corpus/')}")
    bucket.put({f"corpus/{name}": path.read_bytes() for name, path in corpus.items()})
    entries = root / "entries.txt"
    entries.write_text("".join(f"{bucket.uri(f'corpus/{name}')}\n" for name in corpus))
    image = counting_image()
    say(
        f"a container engine is here: tasks run in {image}"
        if image
        else "no container engine: tasks run as plain processes"
    )
    container = ["--container", image, "-O", "--network=none"] if image else []
    counts, table = bucket.uri("counts/"), bucket.uri("table/")
    first = longshore(
        "submit",
        "-b",
        "count",
        "--each-line",
        str(entries),
        *container,
        "-i",
        "{entry}",
        "-o",
        counts,
        "--shell",
        COUNT,
    ).strip()
    second = longshore(
        "submit", "-b", "gather", "--requires", first, *container, "-i", counts, "-o", table, "--shell", GATHER
    ).strip()
    print(longshore("explain", second), end="")
    watch("count", len(corpus))
    watch("gather", 1)
    print(longshore("task", "logs", second), end="")
    result = bucket.get("table/words.tsv").decode()
    compare(result, corpus)
    summarise(result, bucket)


def pick_corpus() -> dict[str, Path]:
    """The first `FILES` modules of this Python's standard library, by flat unique names."""
    library = Path(sysconfig.get_paths()["stdlib"])
    files = (p for p in sorted(library.rglob("*.py")) if "site-packages" not in p.parts and p.stat().st_size)
    return {"__".join(p.relative_to(library).parts): p for p, _ in zip(files, range(FILES), strict=False)}


def compare(table: str, corpus: dict[str, Path]) -> None:
    """Recount in this process; `DemoFailed` at the first difference."""
    plain: Counter[str] = Counter()
    for path in corpus.values():
        plain.update(w.decode() for w in re.findall(rb"[A-Za-z_]+", path.read_bytes()))
    told = {word: int(n) for n, word in (line.split("\t") for line in table.splitlines())}
    for word in plain.keys() | told.keys():
        if plain[word] != told.get(word, 0):
            raise DemoFailed(
                f"{word!r} counted {told.get(word, 0)} times by the tasks, {plain[word]} times by one process"
            )


def summarise(table: str, bucket: Bucket) -> None:
    """The head of the table, timings from the tasks themselves, and where to look next."""
    lines = table.splitlines()
    print("\n   count  word")
    for line in lines[:8]:
        n, word = line.split("\t")
        print(f"{int(n):8,}  {word}")
    listed = longshore("task", "list", "--batch", "count", "--all", "--json", quiet=True)
    tasks = [json.loads(line) for line in listed.splitlines()]
    by_worker = Counter(t["worker"] for t in tasks)
    cpu = sum(t["cpu_seconds"] or 0 for t in tasks)
    peak = max(t["peak_memory"] or 0 for t in tasks)
    print(
        f"\n{len(lines):,} different words from {len(tasks)} tasks; CPU {cpu:.1f} s, largest peak {peak / 2**20:.0f} MB"
    )
    print("tasks per worker: " + ", ".join(f"{w} {n}" for w, n in sorted(by_worker.items())))
    print(f"results stood in {bucket.uri('counts/')} and {bucket.uri('table/words.tsv')}, each with a manifest")
    print("next: `longshore up`, then `longshore submit -- echo hello`; the README has a five-minute tour")


def watch(batch: str, size: int) -> None:
    """Show the batch's states until all its tasks ended; `DemoFailed` if one did not succeed or `MINUTES` pass."""
    deadline, shown, told_at = time.monotonic() + MINUTES * 60, "", 0.0
    while time.monotonic() < deadline:
        states: dict[str, int] = json.loads(longshore("batch", "show", batch, "--json", quiet=True))["states"]
        line = f"{batch:>8}: " + ", ".join(f"{n} {s}" for s, n in sorted(states.items()) if n)
        over = states.get("succeeded", 0) == size
        if line != shown and (over or time.monotonic() - told_at > TELL_EVERY):
            print(line, flush=True)
            shown, told_at = line, time.monotonic()
        bad = states.get("failed", 0) + states.get("cancelled", 0)
        if bad:
            print(longshore("task", "list", "--batch", batch, "--state", "failed", "--limit", "3", "--json"))
            raise DemoFailed(f"{bad} tasks of batch {batch} did not succeed (the first are above)")
        if over:
            return
        time.sleep(0.5)
    raise DemoFailed(f"batch {batch} was not done in {MINUTES} minutes: {shown}")


@contextmanager
def stack(state: Path, bucket: Bucket) -> Iterator[None]:
    """An embedded stack with two agents that can reach the bucket; stopped at the end."""
    os.environ.update(bucket.environ, LONGSHORE_STATE_DIR=str(state))
    try:
        longshore("up", "--detach", "--workers", "2", "--concurrency", "2")
        yield
    finally:
        subprocess.run([command(), "down"], check=False, timeout=60, stdout=subprocess.DEVNULL)


def longshore(*words: str, quiet: bool = False) -> str:
    """Run the command line as a user would and return what it printed; `DemoFailed` with its words if it refuses."""
    if not quiet:
        shown = shlex.join(words)
        say("longshore " + (shown if len(shown) < 200 else shown.split("\n")[0] + " …'"))
    done = subprocess.run([command(), *words], check=False, timeout=180, capture_output=True, text=True)
    if done.returncode:
        raise DemoFailed(f"`longshore {words[0]}` exited {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def command() -> str:
    """The `longshore` of this environment."""
    beside = Path(sys.executable).with_name("longshore")
    return str(beside) if beside.exists() else shutil.which("longshore") or "longshore"


def say(what: Any) -> None:
    """A step, set apart from results."""
    print(f"\n$ {what}" if str(what).startswith("longshore ") else f"\n# {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
