"""`longshore dir submit` of 500 small directories that link to one reference: how fast, how much is sent, in how much memory.

The peer that inspired it reported 75 directories of one file a second without any fsync, on an idle host, and read each
directory into memory. Ours fsyncs a promise per directory, stores with fsync, and asks for each verdict. The floor beside
it is `tar` and `zstd` of the same directories, one after the other, and the target two fifths of that. Workers are paused:
containers would take the cores.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import BIN, Report, Stack, scaled, seconds

MB = 1 << 20
REFERENCE, LARGE = 256 * MB, 2048 * MB
IMAGE = "busybox:1"


def submitted(stack: Stack, root: Path, *words: str) -> tuple[float, int, str]:
    """Wall seconds, the peak of resident memory in bytes, and what it said at the end."""
    command = [BIN / "longshore", "dir", "submit", *words, IMAGE, "true"]
    with tempfile.TemporaryFile("w+") as said:
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=root, env=stack.environ, stdout=subprocess.DEVNULL, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        last = said.read().strip().splitlines()[-1]
    if process.returncode:
        raise RuntimeError(last)
    return wall, used.ru_maxrss << 10, last


def packed(root: Path) -> None:
    """The floor: each directory by tar and zstd."""
    for case in sorted(root.glob("case-*")):
        with tempfile.TemporaryFile() as out:
            subprocess.run(
                ["tar", "-c", "--zstd", "--exclude=ref.bin", "-C", case, "."], stdout=out, check=True, timeout=60
            )


def main() -> int:
    """Make the directories, submit them, and look at the store."""
    report = Report("directories")
    n = scaled(500)
    with Stack(concurrency=1) as stack, tempfile.TemporaryDirectory(prefix="longshore-bench-") as where:
        root = Path(where)
        stack.cli("worker", "pause", "--all")
        with (root / "reference").open("wb") as file:
            for _ in range(REFERENCE // MB):
                file.write(os.urandom(MB))
        for k in range(n):
            (root / f"case-{k}").mkdir()
            (root / f"case-{k}/in.txt").write_text(str(k))
            (root / f"case-{k}/ref.bin").symlink_to(root / "reference")
        floor = seconds(lambda: packed(root))
        wall, peak, said = submitted(stack, root, "--batch", "case-*")
        report.at_least(f"{n:,} directories", n / wall, 0.4 * n / floor, "/s", f"tar and zstd alone {n / floor:.0f} /s")
        store = stack.state / "directories"
        stored = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
        report.at_most(
            "stored of them", stored / MB, 1.1 * REFERENCE / MB, "MB", f"linked {n * REFERENCE / MB:,.0f} MB"
        )
        report.told("it said", said.rpartition("; ")[2])
        again, _, _ = submitted(stack, root, "--batch", "case-*")
        report.at_least("the same again", n / again, 300, "/s")
        (root / "large").mkdir()
        with (root / "large/big.bin").open("wb") as file:
            file.truncate(LARGE)
        for k in range(20_000):
            (root / f"large/{k}").write_bytes(b"x" * 1000)
        wall, large, _ = submitted(stack, root, "-C", "large", "--max-size", "4G")
        report.at_most("peak memory, 2 GiB and 20,000 files", large / MB, 150, "MB", f"of the many {peak / MB:.0f} MB")
        report.told("which took", f"{wall:.1f} s")
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
