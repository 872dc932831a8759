"""Container tasks against the bare loop: create, start, wait, remove by aiodocker, as many at once, the same engine.

Target (issue "The hands", Speed): at least 0.9 of the loop's rate, in turns within one run. The image is made here of a
static busybox, or of the host's own `true` and what it is linked with, and removed at the end.
"""

import asyncio
import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from common import CORES, Report, Stack, paired, scaled

TASKS, PAIRS, RATIO = 100, 3, 1 / 0.9
IMAGE = f"longshore-bench-{os.getpid()}:one"


def made() -> bytes:
    """A tar of a root with /bin/true."""
    program = shutil.which("busybox") or shutil.which("true") or "/bin/true"
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    needed = [word for line in linked.splitlines() for word in line.split() if word.startswith("/")]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in needed:
            tar.add(Path(path).resolve(), path.lstrip("/"))
        tar.add(Path(program).resolve(), "bin/true")
    return packed.getvalue()


async def loop(n: int) -> None:
    """`n` containers, one per core at once."""
    from aiodocker import Docker

    async with Docker() as docker:
        left = iter(range(n))
        wanted = {"Image": IMAGE, "Cmd": ["/bin/true"], "HostConfig": {"NetworkMode": "none"}}

        async def lane() -> None:
            for _ in left:
                container = await docker.containers.create(wanted)
                await container.start()
                code = await container.wait()
                await container.delete()
                if code["StatusCode"]:
                    raise RuntimeError(f"a container ended {code}")

        await asyncio.gather(*(lane() for _ in range(CORES)))


def main() -> int:
    """Run the pairs."""
    report = Report("containers")
    n = scaled(TASKS)
    subprocess.run(["docker", "import", "-", IMAGE], input=made(), check=True, capture_output=True)
    try:
        with Stack(LONGSHORE_CONTAINER_NETWORK="none") as stack:

            def ours(n: int = n) -> float:
                began = time.perf_counter()
                ids = stack.cli("submit", "--container", IMAGE, "--array", f"0-{n - 1}", "--wait", "--", "/bin/true")
                wall = time.perf_counter() - began
                states = stack.get(f"/submissions/{ids.split()[0].split('.')[0]}")["states"]
                if states.get("succeeded") != n:
                    raise RuntimeError(f"of {n} container tasks: {states}")
                return wall

            def bare() -> float:
                began = time.perf_counter()
                asyncio.run(loop(n))
                return time.perf_counter() - began

            ours(CORES)
            walls = paired(PAIRS, ours, bare)
            report.wall_against(f"create, start, wait, remove of {n}", *walls, RATIO)
    finally:
        subprocess.run(["docker", "rmi", "-f", IMAGE], check=False, capture_output=True)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
