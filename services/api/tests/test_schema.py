"""The schema is brought up once, by whoever comes first, and no further than this release knows."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from longshore_api.adapters import schema
from longshore_api.adapters.store import Store
from longshore_api.adapters.tables import (
    ATTEMPT,
    BATCH,
    EVENT,
    PART,
    RANGE,
    SPEC_PART,
    SUBMISSION,
    TASK,
    TASK_NAME,
    TES,
    WORKER,
)
from longshore_common.errors import Refused, Unreachable


@pytest.fixture
async def bare(postgres: str) -> AsyncIterator[str]:
    """The URL of a database without any table."""
    connection = await asyncpg.connect(f"postgresql://test@/postgres?host={postgres}")
    await connection.execute("DROP DATABASE IF EXISTS bare WITH (FORCE)")
    await connection.execute("CREATE DATABASE bare")
    yield f"postgresql://test@/bare?host={postgres}"
    await connection.close()


def test_head_is_the_newest_revision() -> None:
    versions = Path(schema.__file__).with_name("migrations") / "versions"
    assert max(p.name[:4] for p in versions.glob("0*.py")) == schema.HEAD


async def test_many_processes_may_migrate_at_once_and_one_does(bare: str) -> None:
    done = await asyncio.gather(*(schema.migrate(bare) for _ in range(4)))
    assert sorted(done) == [False, False, False, True]


async def test_a_database_of_a_newer_release_is_refused(bare: str) -> None:
    await schema.migrate(bare)
    connection = await asyncpg.connect(bare)
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    await connection.close()
    with pytest.raises(Refused, match="upgrade the api"):
        await schema.migrate(bare)


async def test_a_database_that_is_not_there_is_unreachable(postgres: str) -> None:
    with pytest.raises(Unreachable, match="DATABASE_URL"):
        await schema.migrate(f"postgresql://test@/nothing?host={postgres}")


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("submission", SUBMISSION), ("task", TASK), ("attempt", ATTEMPT), ("task_range", RANGE), ("batch", BATCH),
        ("worker", WORKER), ("event", EVENT), ("part", PART),
        ("spec_part", SPEC_PART), ("task_name", TASK_NAME), ("tes", TES),
    ],
)  # fmt: skip
async def test_tables_have_the_columns_the_projector_writes(
    database: str, table: str, columns: tuple[str, ...]
) -> None:
    connection = await asyncpg.connect(database)
    rows = await connection.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_name = $1 AND is_generated = 'NEVER'", table
    )
    await connection.close()
    assert {r[0] for r in rows} == set(columns)


async def test_the_read_model_of_the_release_before_is_kept_and_read(bare: str) -> None:
    connection = await asyncpg.connect(bare)
    await connection.execute(schema.script("", "0002"))
    await connection.execute("UPDATE position SET seq = 5")
    await connection.execute(
        "INSERT INTO worker VALUES ('w1', 'up', false, 2, -1, '*', '{}', 'U', 'h', 1, NULL, NULL, NULL)"
    )
    await connection.execute(
        "INSERT INTO batch (name, paused, frozen, size, submissions, users) VALUES ('b', true, false, 1, 1, '{ann}')"
    )
    await connection.close()
    assert await schema.migrate(bare)
    store = await Store.open(bare)
    memory = await store.load()
    await store.close()
    worker, batch = memory.workers["w1"], memory.batches["b"]
    assert (memory.position, worker.state, worker.hindered, worker.cares) == (5, "up", "", "[]")
    assert (batch.paused, batch.users, batch.retention) == (True, ["ann"], None)
