"""1 GB from a local S3 server onto the disk, as one object and as 10,000, by what the agent stages with; and back.

Targets (issue "The hands", Speed): at least 0.9 of the rate of the faster of `rclone copy` (tuned) and a bare parallel
loop over aiobotocore, in turns within one run; memory of the process at most 150 MB. The server is `rclone serve s3`, in
memory if there is room, so it takes its share of the cores from all alike. Ours runs in a process that has imported the
agent and has staged something before, as an agent has; the peers' start of a process counts for about 0.05 s.
"""

import asyncio
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from common import BIN, Report, paired, scaled, until

OBJECTS, SIZE, PAIRS, RATIO, MEMORY = 10_000, 100_000, 3, 1 / 0.9, 150
KEYS = ("longshorebench", "longshoresecret")


@contextmanager
def room() -> Iterator[Path]:
    """A directory in memory if 6 GB are free there, else on the disk."""
    shm = Path("/dev/shm")
    there = shm if shm.is_dir() and shutil.disk_usage(shm).free > 6 << 30 else None
    with tempfile.TemporaryDirectory(prefix="longshore-bench-", dir=there) as made:
        yield Path(made)


@contextmanager
def served(root: Path) -> Iterator[dict[str, str]]:
    """`rclone serve s3` over `root`; what a client needs in its environment."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [
        BIN / "rclone", "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", ",".join(KEYS),
        "--config", "/dev/null", "--vfs-cache-mode", "off", root,
    ]  # fmt: skip
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    endpoint = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    try:
        until(answers, 20, "rclone serve s3")
        remote = {"TYPE": "s3", "PROVIDER": "Rclone", "ENDPOINT": endpoint, "FORCE_PATH_STYLE": "true"}
        remote |= {"ACCESS_KEY_ID": KEYS[0], "SECRET_ACCESS_KEY": KEYS[1]}
        yield {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": KEYS[0],
            "AWS_SECRET_ACCESS_KEY": KEYS[1],
            **{f"RCLONE_CONFIG_BENCH_{name}": value for name, value in remote.items()},
        }
    finally:
        server.kill()
        server.wait()


def fill(root: Path, objects: int) -> None:
    """Buckets `many` (100 kB each, 100 to a folder), `one` (as many bytes) and `out`; nothing in them can be compressed."""
    for bucket in ("many", "one", "out"):
        (root / bucket).mkdir(parents=True)
    with (root / "one" / "object").open("wb") as one:
        for k in range(objects):
            data = os.urandom(SIZE)
            one.write(data)
            folder = root / "many" / f"{k % 100:02}"
            folder.mkdir(exist_ok=True)
            (folder / f"object {k}").write_bytes(data)


class Bench:
    """Runs each way once in a directory of its own and checks that all of it came."""

    def __init__(self, base: Path, environ: dict[str, str], objects: int) -> None:
        self.base, self.objects = base, objects
        self.environ = {**os.environ, **environ, "RCLONE_CONFIG": "/dev/null"}
        self.memory: list[float] = []
        self.cpu: dict[str, float] = {}

    def down(self, bucket: str, how: str) -> float:
        """Seconds to bring a bucket here."""
        target = self.base / "target"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        seconds = self._run(how, f"bench:{bucket}", str(target), bucket)
        came = [f.stat().st_size for f in target.rglob("*") if f.is_file()]
        if sum(came) != self.objects * SIZE:
            raise RuntimeError(f"{how}: {len(came)} files of {sum(came)} bytes came")
        return seconds

    def up(self, bucket: str, how: str) -> float:
        """Seconds to send the same files to a bucket."""
        shutil.rmtree(self.base / "s3" / "out" / how, ignore_errors=True)
        return self._run(how + "-up", str(self.base / "s3" / bucket), f"bench:out/{how}/{time.time_ns()}", bucket)

    def _run(self, how: str, source: str, target: str, bucket: str) -> float:
        if how.startswith("rclone"):
            command = [BIN / "rclone", "copy", source, target, "--transfers", "16", "--checkers", "16",
                       "--multi-thread-streams", "4"]  # fmt: skip
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(command, env=self.environ, check=True, timeout=300)
            after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
            self.cpu[how] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            return wall
        command = [sys.executable, __file__, how, source, target]
        said = subprocess.run(command, env=self.environ, check=True, timeout=300, capture_output=True).stdout
        told = json.loads(said)
        self.cpu[how] = told["cpu"]
        if how.startswith("ours"):
            self.memory.append(told["rss"])
        return float(told["wall"])


async def ours(source: str, target: str) -> tuple[float, float]:
    """Seconds, and CPU seconds, of the agent's own staging in this process."""
    import longshore_agent.service  # noqa: F401  # the memory of an agent
    from longshore_agent.adapters.staging import StorageStager
    from longshore_agent.core.contract import Places
    from longshore_common.events import Start
    from longshore_common.ids import AttemptId
    from longshore_common.model import TaskSpec
    from longshore_data.storage import Storage
    from longshore_data.store import StoreError
    from longshore_data.stores.s3 import S3Store
    from longshore_data.uri import parse

    storage = Storage(os.environ)
    stager = StorageStager(storage)
    store = storage.of(parse("s3://one/"))
    assert isinstance(store, S3Store)
    with tempfile.TemporaryDirectory() as elsewhere, suppress(StoreError):  # loaded and connected after it
        await store.fetch(parse("s3://one/not-there"), f"{elsewhere}/x")
    spec = TaskSpec(command=("true",), inputs=(f"s3://{source.removeprefix('bench:')}/",))
    began, cpu = time.perf_counter(), time.process_time()
    if target.startswith("bench:"):
        await stager.deliver(AttemptId("1.0.1"), f"s3://{target.removeprefix('bench:')}/", source)
    else:
        await stager.stage_in(AttemptId("1.0.1"), spec, Start(0, 1), Places(target, "", "", target))
    spent = time.perf_counter() - began, time.process_time() - cpu
    await stager.close()
    return spent


async def aiobotocore(source: str, target: str) -> tuple[float, float]:
    """The same by hand: list, then GET 16 at once into files; large objects in 16 MiB ranges. Nothing is verified."""
    from aiobotocore.config import AioConfig
    from aiobotocore.session import get_session

    bucket, part = source.removeprefix("bench:"), 16 << 20
    config = AioConfig(max_pool_connections=16, s3={"addressing_style": "path"})
    async with get_session().create_client("s3", region_name="us-east-1", config=config) as client:
        await client.list_buckets()
        began, cpu = time.perf_counter(), time.process_time()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        found = [entry async for page in pages for entry in page["Contents"]]
        for folder in {Path(target, entry["Key"]).parent for entry in found}:
            folder.mkdir(parents=True, exist_ok=True)
        todo = iter([(e["Key"], at, min(e["Size"], at + part)) for e in found for at in range(0, e["Size"], part)])

        async def lane() -> None:
            for key, start, end in todo:
                answer = await client.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}")
                data = await answer["Body"].read()
                fd = os.open(f"{target}/{key}", os.O_WRONLY | os.O_CREAT, 0o644)
                os.pwrite(fd, data, start)
                os.close(fd)

        await asyncio.gather(*(lane() for _ in range(16)))
        return time.perf_counter() - began, time.process_time() - cpu


def child(how: str, source: str, target: str) -> None:
    """One run in this process; tells JSON."""
    way: Any = ours if how.startswith("ours") else aiobotocore
    wall, cpu = asyncio.run(way(source, target))
    print(json.dumps({"wall": wall, "cpu": cpu, "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000}))


def main() -> int:
    """Both shapes, down against both peers and up against rclone, and the memory of it all."""
    report = Report("staging")
    objects = scaled(OBJECTS)
    shapes = {"one": f"one object of {objects * SIZE / 1e9:g} GB", "many": f"{objects:,} objects"}
    with room() as base:
        fill(base / "s3", objects)
        with served(base / "s3") as environ:
            bench = Bench(base, environ, objects)
            for bucket, shape in shapes.items():
                for peer, pairs in (("rclone", PAIRS), ("aiobotocore", 1)):
                    walls = paired(
                        pairs, lambda b=bucket: bench.down(b, "ours"), lambda b=bucket, p=peer: bench.down(b, p)
                    )
                    report.wall_against(f"{peer}, {shape} down", *walls, RATIO)
                told = ", ".join(f"{how} {cpu:.1f}" for how, cpu in bench.cpu.items())
                report.told(f"CPU seconds, {shape} down", told)
                bench.cpu.clear()
            for bucket, shape in shapes.items():
                walls = paired(PAIRS, lambda b=bucket: bench.up(b, "ours"), lambda b=bucket: bench.up(b, "rclone"))
                report.wall_against(f"rclone, {shape} up", *walls, RATIO)
            report.at_most("memory of the process, peak", max(bench.memory), MEMORY, "MB")
    return report.close()


if __name__ == "__main__":
    if len(sys.argv) == 4:
        child(*sys.argv[1:])
    else:
        sys.exit(main())
