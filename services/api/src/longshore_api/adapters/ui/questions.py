"""Questions that only pages ask: sums of all, what is open, workers by what they are. What must not enter: HTML."""

from collections.abc import Sequence
from typing import Any, Final

from longshore_api.adapters import present
from longshore_api.adapters.reader import WORKERS, Reader, Row
from longshore_api.core.rows import OPEN_STATES, TASK_STATES

_SUMS: Final = ", ".join(f"coalesce(sum({s}), 0)::bigint AS {s}" for s in TASK_STATES)
_OPEN: Final = " + ".join(s for s in TASK_STATES if s in OPEN_STATES)
_PLACED: Final = "coalesce(submitted_at, 0) AS placed"


async def totals(reader: Reader) -> dict[str, int]:
    """Tasks by state, all of them."""
    row = (await reader.fetch(f"SELECT {_SUMS} FROM batch"))[0]
    return {s: int(row[s]) for s in TASK_STATES}


async def open_batches(reader: Reader, limit: int) -> list[Row]:
    """Up to `limit` + 1 batches that are not over, the ones submitted to last first."""
    return await reader.fetch(
        f"SELECT *, {_PLACED} FROM batch WHERE ({_OPEN}) > 0 ORDER BY submitted_at DESC NULLS LAST, name DESC LIMIT $1",
        limit + 1,
    )


async def batches(reader: Reader, wanted: str, text: str, limit: int, after: tuple[float, str] | None) -> list[Row]:
    """Up to `limit` + 1 batches whose name holds `text`: all, or those that are `open`, `failed`, `paused`."""
    where = {"open": f"({_OPEN}) > 0", "failed": "failed > 0", "paused": "paused"}.get(wanted, "true")
    at, name = after or (1e300, "")
    return await reader.fetch(
        f"SELECT *, {_PLACED} FROM batch WHERE (coalesce(submitted_at, 0), name) < ($1::float8, $2::text) AND {where} "
        "AND (size > 0 OR paused OR submitted_at IS NULL) AND ($3 = '' OR strpos(lower(name), lower($3)) > 0) "
        "ORDER BY coalesce(submitted_at, 0) DESC, name DESC LIMIT $4",
        at, name, text, limit + 1,
    )  # fmt: skip


async def submissions(reader: Reader, batch: str, limit: int) -> list[Row]:
    """The last submissions to a batch, the newest first."""
    return await reader.fetch("SELECT * FROM submission WHERE batch = $1 ORDER BY id DESC LIMIT $2", batch, limit)


async def workers_at_a_glance(reader: Reader) -> list[dict[str, Any]]:
    """Every worker with what it is and why: its name, state, reason, batch, slots."""
    rows = await reader.fetch(
        "SELECT name, state, paused, drain, pause_reason, evicted, quarantine, hindered, concurrency, batch, hostname, "
        "EXISTS (SELECT FROM task t WHERE t.worker = w.name AND t.outcome IS NULL "
        "AND t.state IN ('assigned', 'staging', 'running', 'delivering')) AS assigned FROM worker w ORDER BY name"
    )
    found = []
    for row in rows:
        state, reason = present.state_of(row)
        found.append({**row, "state": state, "reason": reason})
    return found


async def workers(reader: Reader, names: Sequence[str]) -> list[Row]:
    """These workers with what they run and hold."""
    return await reader.fetch(f"{WORKERS} WHERE w.name = ANY($1::text[]) ORDER BY w.name", list(names))


async def names_of_batches(reader: Reader, limit: int) -> list[str]:
    """To choose from: the ones submitted to last."""
    found = await reader.fetch(
        "SELECT name FROM batch WHERE size > 0 ORDER BY submitted_at DESC NULLS LAST LIMIT $1", limit
    )
    return [row["name"] for row in found]
