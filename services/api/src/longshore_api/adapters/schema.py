"""Brings the database's schema to what this release expects; safe to run by any number of processes at once.

Alembic only writes the SQL (no second database driver, and it stays out of a serving process's memory: `migrate` runs
when the version differs, in a process of its own).
"""

import io
from pathlib import Path
from typing import Final

import asyncpg

from longshore_common.errors import Refused, Unreachable

#: The newest revision below `migrations/versions`; a test holds it to that.
HEAD: Final = "0013"
#: Taken while migrating.
_MIGRATION_LOCK: Final = 0x10_00_6E_01


async def revision(connection: asyncpg.Connection) -> str:
    """The revision the database is at, "" if it has none of our tables."""
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return ""
    return str(await connection.fetchval("SELECT version_num FROM alembic_version") or "")


async def migrate(url: str) -> bool:
    """Upgrade to `HEAD` in one transaction; False if there was nothing to do. `Refused` if the database is newer."""
    try:
        return await _migrate(url)
    except (OSError, TimeoutError, asyncpg.PostgresError) as err:
        raise Unreachable(
            f"the schema cannot be brought up to date ({err}): check DATABASE_URL and PostgreSQL"
        ) from err


async def _migrate(url: str) -> bool:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK, timeout=120)
            at = await revision(connection)
            if at == HEAD:
                return False
            if at > HEAD:
                raise Refused(
                    f"the database is at revision {at}, newer than this release knows ({HEAD}): upgrade the api"
                )
            await connection.execute(script(at, HEAD), timeout=600)
        return True
    finally:
        await connection.close(timeout=5)


def script(start: str, to: str) -> str:
    """The SQL that leads from one revision to another."""
    from alembic import command
    from alembic.config import Config

    out = io.StringIO()
    config = Config(output_buffer=out, stdout=out)
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, f"{start or 'base'}:{to}", sql=True)
    return out.getvalue()
