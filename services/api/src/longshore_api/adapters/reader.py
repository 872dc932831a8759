"""Answers from PostgreSQL, one function per question, each flat in time however many tasks there are.

What must not enter: HTTP words, writes.
"""

import zlib
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, Protocol

import asyncpg
import msgspec

from longshore_api.adapters import paging, ranging
from longshore_api.adapters.edited import Edits
from longshore_api.adapters.store import away
from longshore_api.adapters.together import Together
from longshore_api.core import archive
from longshore_api.core.selection import Place, Selection, Window
from longshore_common.errors import BadInput, NotFound, Unreachable
from longshore_common.model import TaskSpec

#: Connections for reads; they are made when needed and closed after half a minute without use.
CONNECTIONS: Final = 4
#: Seconds a question may take.
PATIENCE: Final = 10
#: Pages are few rows by an index, from memory or flash: the planner must not think each costs a seek of a disk.
SETTINGS: Final = {
    "application_name": "longshore-api", "random_page_cost": "1.1", "jit": "off", "max_parallel_workers_per_gather": "0",
}  # fmt: skip

_specs: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_spec: Final = msgspec.json.Decoder(TaskSpec).decode
_entries: Final = msgspec.json.Decoder(list[str]).decode

Row = Any  # an asyncpg.Record

#: What asyncpg raises when the server is gone, going, coming or full; other errors are defects of ours.
_AWAY: Final = (
    OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError, asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError,
)  # fmt: skip


async def _kept(_: asyncpg.Connection) -> None:
    """Readers leave nothing behind in a session: to reset it would double the way to the server and back."""


class Details(msgspec.Struct):
    """What belongs to a task and stands in its submission: the spec with its edits, the label, the entry."""

    submission: Row
    spec: TaskSpec | None = None
    label: int | None = None
    entry: str | None = None
    edited: bool = False


class Chronicle(NamedTuple):
    """Filters on all events, which all hold; None or empty = any. `since` and `until` are sequences, both included."""

    since: int = 0
    until: int | None = None
    role: str | None = None
    name: str | None = None
    kinds: tuple[str, ...] = ()
    newest: bool = False


class Connections(Protocol):
    """Where a reader has its connections from: asyncpg's pool, or a look into the past."""

    def acquire(self, *, timeout: float) -> Any:
        """A context in which a connection is the reader's own."""
        ...

    def terminate(self) -> None:
        """Let all go."""
        ...


class Reader:
    """Questions to the read model. `Unreachable` when PostgreSQL does not answer."""

    def __init__(self, pool: Connections) -> None:
        self._pool = pool
        self._together = Together(self.fetch)

    @classmethod
    async def open(cls, url: str) -> "Reader":
        """A pool that connects at the first question; PostgreSQL need not be there yet."""
        pool = await asyncpg.create_pool(
            url, min_size=0, max_size=CONNECTIONS, command_timeout=PATIENCE, timeout=5,
            max_inactive_connection_lifetime=30, server_settings=SETTINGS, reset=_kept,
        )  # fmt: skip
        return cls(pool)

    async def close(self) -> None:
        """Let the connections go."""
        self._pool.terminate()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            async with self._pool.acquire(timeout=PATIENCE) as connection:
                yield connection
        except asyncpg.UndefinedTableError as err:
            raise Unreachable("the read model is being set up: ask again in a moment") from err
        except asyncpg.DataError as err:
            raise BadInput(f"a value is out of range: {err}") from err
        except _AWAY as err:
            raise away(err) from err

    async def fetch(self, sql: str, *args: object) -> list[Row]:
        """Rows of one statement."""
        async with self._connection() as db:
            return list(await db.fetch(sql, *args))

    async def tasks(self, selection: Selection, limit: int, after: Place | None = None) -> list[Row]:
        """Up to `limit` + 1 tasks of the selection past `after`, newest submission first, index ascending."""
        sql, args = paging.statement(selection, limit + 1, after)
        return await self.fetch(sql, *args)

    async def ranges(self, selection: Selection, filters: ranging.Filters) -> list[Row]:
        """The tasks of the selection as ranges; more than `ranging.MOST` are cut there, with one more."""
        sql, args = ranging.statement(selection, filters)
        return await self.fetch(sql, *args)

    async def task(self, submission: int, index: int) -> Row:
        """One task; `NotFound` if there is none."""
        found = await self.tasks(Selection(windows=(Window(submission, index, index),)), 1)
        if not found:
            raise NotFound(
                f"there is no task {submission}.{index}: see `longshore task list`, or restore it if it was deleted"
            )
        return found[0]

    async def single(self, submission: int, index: int) -> tuple[Row, Details]:
        """One task and what its submission says of it, read together with others that are asked for; `NotFound`."""
        row = await self._together.find(submission, index)
        if row is None:
            row = await self.task(submission, index)  # raises, and tells what to do
            (details,) = await self.details([row])
            return row, details
        if row["spec"] is None or row["parted"] or row["edited"]:
            (details,) = await self.details([row])
            return row, details
        of = {name: row[name] for name in ("batch", "user_name", "submitted_at", "priority", "by_index")}
        label = row["start"] + index * row["step"]
        return row, Details({**of, "name": row["s_name"]}, _spec(row["spec"]), label)

    async def details(self, tasks: Sequence[Row]) -> list[Details]:
        """What the submissions of these tasks say of each."""
        ids = {r["submission"] for r in tasks}
        rows = await self.fetch(_OF_TASKS, list(ids))
        submissions = {r["id"]: r for r in rows}
        shared = {i: _spec(r["spec"]) for i, r in submissions.items() if r["spec"] is not None}
        parts = await self._parts([r for r in tasks if submissions[r["submission"]]["parted"]])
        edits = await Edits.of(self.fetch, [r for r in tasks if submissions[r["submission"]]["edited"]])
        result = []
        for task in tasks:
            sid, index = task["submission"], task["index"]
            of = submissions[sid]
            spec, label = shared.get(sid), of["start"] + index * of["step"]
            if spec is None:
                body = parts.get((sid, index, "specs"))
                spec, label = (_spec(body) if body is not None else None), index
            entry = parts.get((sid, index, "entries"))
            made = None if spec is None else edits.applied(spec, sid, index)
            text = msgspec.json.decode(entry) if entry is not None else None
            result.append(Details(of, made, label, text, edits.holds(sid, index)))
        return result

    async def _parts(self, tasks: Sequence[Row]) -> dict[tuple[int, int, str], msgspec.Raw]:
        """(submission, index, kind) -> JSON, out of the blobs that hold different specs and entries."""
        if not tasks:
            return {}
        places = [(r["submission"], r["index"]) for r in tasks]
        found = await self.fetch(
            "SELECT DISTINCT q.submission, q.base + p.lo AS lo, p.count, p.kind, p.body "
            "FROM unnest($1::bigint[], $2::bigint[]) AS v (submission, index) CROSS JOIN LATERAL (SELECT * FROM part q "
            "WHERE q.submission = v.submission AND q.base <= v.index AND q.base + q.count > v.index "
            "ORDER BY q.base DESC LIMIT 1) q CROSS JOIN LATERAL (SELECT * FROM spec_part p WHERE p.part_seq = q.seq "
            "AND p.lo <= v.index - q.base ORDER BY p.lo DESC LIMIT 1) p",
            *zip(*places, strict=True),
        )
        result: dict[tuple[int, int, str], msgspec.Raw] = {}
        wanted = set(places)
        for r in found:
            values = _specs(zlib.decompress(r["body"]))
            for k in range(r["count"]):
                if (r["submission"], r["lo"] + k) in wanted:
                    result[r["submission"], r["lo"] + k, r["kind"]] = values[k]
        return result

    async def earlier_attempts(self, submission: int, index: int) -> list[Row]:
        """Attempts before the current one, the first one first."""
        return await self.fetch(
            "SELECT * FROM attempt WHERE submission = $1 AND index = $2 ORDER BY n", submission, index
        )

    async def submission(self, sid: int) -> Row:
        """A submission; `NotFound` if there is none."""
        return self._one(await self.fetch("SELECT * FROM submission WHERE id = $1", sid), f"submission {sid}")

    async def owners(self, ids: Iterable[int]) -> set[str]:
        """Whose these submissions are, as far as there are such."""
        found = await self.fetch(
            "SELECT DISTINCT user_name FROM submission WHERE id = ANY($1::bigint[])", [i for i in ids if i < 1 << 63]
        )
        return {row["user_name"] for row in found}

    async def submissions_of(self, batch: str) -> set[int]:
        """The submissions to a batch."""
        return {row["id"] for row in await self.fetch("SELECT id FROM submission WHERE batch = $1", batch)}

    async def batches(self, limit: int, after: tuple[float, str] | None) -> list[Row]:
        """Up to `limit` + 1 batches, the one submitted to last first."""
        at, name = after or (1e300, "")
        return await self.fetch(
            "SELECT *, coalesce(submitted_at, 0) AS placed FROM batch "
            "WHERE (coalesce(submitted_at, 0), name) < ($1::float8, $2::text) "
            "AND (size > 0 OR paused OR submitted_at IS NULL) "
            "ORDER BY coalesce(submitted_at, 0) DESC, name DESC LIMIT $3",
            at, name, limit + 1,
        )  # fmt: skip

    async def batch(self, name: str) -> Row:
        """A batch; `NotFound` if there is none."""
        return self._one(await self.fetch("SELECT * FROM batch WHERE name = $1", name), f"batch {name!r}")

    async def workers(self, limit: int, after: str) -> list[Row]:
        """Up to `limit` + 1 workers by name past `after`, with what they run and hold."""
        return await self.fetch(f"{WORKERS} WHERE w.name > $1 ORDER BY w.name LIMIT $2", after, limit + 1)

    async def worker(self, name: str) -> Row:
        """A worker; `NotFound` if there is none."""
        return self._one(await self.fetch(f"{WORKERS} WHERE w.name = $1", name), f"worker {name!r}")

    async def metrics(self, name: str, since: float, limit: int) -> list[Row]:
        """A worker's minutes from `since` on, the oldest first."""
        return await self.fetch(
            "SELECT minute, sample FROM worker_metric WHERE worker = $1 AND minute >= $2 ORDER BY minute LIMIT $3",
            name, int(since), limit,
        )  # fmt: skip

    async def history_of_task(self, submission: int, index: int, limit: int, after: int) -> list[Row]:
        """Events that may say something about a task, past sequence `after`."""
        return await self.fetch(
            "SELECT e.* FROM event e JOIN (SELECT DISTINCT seq FROM event_range WHERE submission = $1 AND lo <= $2 "
            "AND hi >= $2 AND seq > $4) r ON r.seq = e.seq ORDER BY e.seq LIMIT $3",
            submission, index, limit, after,
        )  # fmt: skip

    async def history_of(self, kind: str, names: Iterable[str], limit: int, after: int) -> list[Row]:
        """Events about a worker or a batch, past sequence `after`."""
        return await self.fetch(
            "SELECT e.* FROM event e JOIN (SELECT DISTINCT seq FROM event_about WHERE kind = $1 AND name = ANY($2::text[]) "
            "AND seq > $4) r ON r.seq = e.seq ORDER BY e.seq LIMIT $3",
            kind, list(names), limit, after,
        )  # fmt: skip

    async def history_of_last(self, kind: str, names: Iterable[str], limit: int) -> list[Row]:
        """The last events about a worker or a batch, oldest first."""
        return await self.fetch(
            "SELECT e.* FROM event e JOIN (SELECT DISTINCT seq FROM event_about WHERE kind = $1 AND name = ANY($2::text[]) "
            "ORDER BY seq DESC LIMIT $3) r ON r.seq = e.seq ORDER BY e.seq",
            kind, list(names), limit,
        )  # fmt: skip

    async def governing(self, *kinds: str) -> list[Row]:
        """Shares or the policy, by kind and name."""
        return await self.fetch("SELECT * FROM governing WHERE kind = ANY($1::text[]) ORDER BY kind, name", list(kinds))

    async def assignments(self, submission: int, index: int) -> list[Row]:
        """The events that may have assigned attempts of this task, in order."""
        return await self.fetch(
            "SELECT e.* FROM event e JOIN (SELECT DISTINCT seq FROM event_range WHERE submission = $1 AND lo <= $2 "
            "AND hi >= $2) r ON r.seq = e.seq WHERE e.type = 'attempts-assigned' ORDER BY e.seq",
            submission, index,
        )  # fmt: skip

    async def history_of_user(self, name: str, limit: int, after: int) -> list[Row]:
        """What a user wrote, and what is set for it, past sequence `after`."""
        return await self.fetch(
            "SELECT * FROM ((SELECT * FROM event WHERE role = 'user' AND name = $1 AND seq > $3 ORDER BY seq LIMIT $2) "
            "UNION (SELECT e.* FROM event_about a JOIN event e ON e.seq = a.seq WHERE a.kind = 'user' AND a.name = $1 "
            "AND a.seq > $3 ORDER BY a.seq LIMIT $2)) x ORDER BY seq LIMIT $2",
            name, limit, after,
        )  # fmt: skip

    async def history(self, chosen: Chronicle, limit: int, cursor: int | None) -> list[Row]:
        """All events that the filters admit, past `cursor`, or before it if the newest are asked for; oldest first."""
        args: list[object] = [limit, chosen.since, (1 << 62) if chosen.until is None else chosen.until]
        where = ["seq >= $2 AND seq <= $3"]

        def put(condition: str, value: object) -> None:
            args.append(value)
            where.append(condition.format(f"${len(args)}"))

        if chosen.role is not None:
            where.append(f"role = '{chosen.role}'")  # one of our own words; the partial index needs to see it
        if chosen.name is not None:
            put("name = {}", chosen.name)
        if chosen.kinds:
            put("type = ANY({}::text[])", list(chosen.kinds))
        if cursor is not None:
            put("seq < {}" if chosen.newest else "seq > {}", cursor)
        order = "DESC" if chosen.newest else "ASC"
        found = await self.fetch(
            f"SELECT * FROM event WHERE {' AND '.join(where)} ORDER BY seq {order} LIMIT $1", *args
        )
        return found[::-1] if chosen.newest else found

    async def authors(self, seqs: Iterable[int]) -> dict[int, str]:
        """Who wrote the events at these sequences, where they are kept."""
        found = await self.fetch("SELECT seq, name FROM event WHERE seq = ANY($1::bigint[])", list(seqs))
        return {row["seq"]: row["name"] for row in found if row["name"]}

    async def passed_over(self) -> int:
        """How many events are archived that could not be read or projected."""
        found = await self.fetch("SELECT count(*) AS n FROM event_about WHERE kind = $1", archive.PASSED_OVER)
        return int(found[0]["n"])

    def _one(self, rows: list[Row], what: str) -> Row:
        if not rows:
            raise NotFound(f"there is no {what}: list what there is")
        return rows[0]


#: Workers with what they run and hold; a condition on `w` may follow.
_OF_TASKS: Final = (
    "SELECT s.*, EXISTS (SELECT 1 FROM part p WHERE p.submission = s.id) AS parted, "
    "EXISTS (SELECT 1 FROM edit e WHERE e.submission = s.id) AS edited FROM submission s WHERE s.id = ANY($1::bigint[])"
)
WORKERS: Final = (
    "SELECT w.*, f.running, f.assigned FROM worker w CROSS JOIN LATERAL (SELECT "
    "count(*) FILTER (WHERE t.state = 'running') AS running, count(*) AS assigned FROM task t WHERE t.worker = w.name "
    "AND t.state IN ('assigned', 'staging', 'running', 'delivering') AND t.outcome IS NULL) f"
)
