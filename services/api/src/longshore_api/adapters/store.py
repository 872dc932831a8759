"""The projector's own connection: writes changes and position in one transaction, and reads back what memory lacks.

Exactly once: the position moves only from where this writer left it, under a lock only one process holds. A commit does
not wait for the disk: what a crash of PostgreSQL takes is rows and position together, and is folded again. What must
not enter: the meaning of events, reads for users.
"""

import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import asyncpg

from longshore_api.adapters import tables as t
from longshore_api.core.memory import Memory
from longshore_api.core.rows import TASK_STATES, Batch, Changes, Needs, Row, Submission, Tuple, Worker
from longshore_api.core.runs import joined, parsed
from longshore_api.core.spans import Span
from longshore_common.adapters.records import read
from longshore_common.errors import Conflict, Unreachable
from longshore_common.log import Recorded

#: Held by the one process that projects.
PROJECTOR_LOCK: Final = 0x10_00_6E_02
#: Seconds for any one statement of a batch.
_STATEMENT: Final = 60

_ROW_COLUMNS: Final = ", ".join(f"t.{c}" for c in t.TASK)
_SUBMISSION_COLUMNS: Final = ", ".join(t.SUBMISSION)
#: Columns whose field is called otherwise, because SQL reserves the word.
_FIELD: Final = {"user_name": "user"}


def away(err: BaseException) -> Unreachable:
    """PostgreSQL did not answer, said once for every caller."""
    return Unreachable(f"PostgreSQL does not answer ({err or type(err).__name__}): start it, or check DATABASE_URL")


def recorded(row: Any) -> Recorded:
    """An event as a row of the archive has it."""
    body: bytes = row["body"]
    deflated = body[:1] == b"\x78"  # zlib's first byte; JSON begins with a brace
    author, event = read(row["subject"], body, {"Content-Encoding": "deflate"} if deflated else None)
    return Recorded(row["seq"], row["at"], author, row["subject"], event, "", "", body)


def plain(body: bytes) -> bytes:
    """A body of the archive as the JSON it is, inflated if it was deflated."""
    if body[:1] != b"\x78":
        return body
    try:
        return zlib.decompress(body)
    except zlib.error:
        return body


async def rebuild(url: str) -> None:
    """Empty the read model but for the archive of events; the running api, or the next one, projects all of it again."""
    store = await Store.open(url)
    try:
        await store.empty()
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as err:
        raise away(err) from err
    finally:
        await store.close()


class Store:
    """One writer. Any error of the connection ends it: open another and load the memory anew."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._db = connection
        #: The first and last event of the archive when the memory was loaded: what is folded again is not kept twice.
        self._begins = self._ends = 0

    @classmethod
    async def open(cls, url: str) -> "Store":
        """Connect; `Unreachable` if PostgreSQL does not answer within 10 seconds."""
        try:
            connection = await asyncpg.connect(
                url, timeout=10, command_timeout=_STATEMENT,
                server_settings={"synchronous_commit": "off", "application_name": "longshore-projector"},
            )  # fmt: skip
        except (OSError, TimeoutError, asyncpg.PostgresError) as err:
            raise away(err) from err
        return cls(connection)

    async def close(self) -> None:
        """Let go, at most 2 seconds; the lock goes with the connection."""
        try:
            await self._db.close(timeout=2)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._db.terminate()

    async def claim(self) -> bool:
        """Become the one projector; False if another process is."""
        return bool(await self._db.fetchval("SELECT pg_try_advisory_lock($1)", PROJECTOR_LOCK))

    async def position(self) -> int:
        """Up to which sequence the log is projected."""
        return int(await self._db.fetchval("SELECT seq FROM position"))

    async def load(self) -> Memory:
        """What a fold must hold from the start: batches, workers, parts that wait for their submission, work in flight."""
        async with self._db.transaction(isolation="repeatable_read", readonly=True):
            memory = Memory(await self.position())
            (bounds,) = await self._db.fetch("SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) FROM event")
            self._begins, self._ends = bounds
            for r in await self._db.fetch(f"SELECT {', '.join(t.BATCH)} FROM batch"):
                plain = dict(zip(t.BATCH[: -len(TASK_STATES)], r.values(), strict=False))
                memory.batches[r["name"]] = Batch(**plain, counts=_counts(r))
            for r in await self._db.fetch(f"SELECT {', '.join(t.WORKER)} FROM worker"):
                memory.workers[r["name"]] = Worker(*r)
            for r in await self._db.fetch(t.USERS):
                memory.users.put(r["kind"], r["value"], r["seq"])
            await self._load_pending(memory)
            flying = "t.state IN ('assigned', 'staging', 'running', 'delivering')"
            ids = await self._db.fetch(f"SELECT DISTINCT t.submission FROM task t WHERE {flying}")
            await self.admit_submissions(memory, [r[0] for r in ids])
            _admit(memory, await self._db.fetch(f"SELECT {_ROW_COLUMNS} FROM task t WHERE {flying}"))
        return memory

    async def _load_pending(self, memory: Memory) -> None:
        rows = await self._db.fetch("SELECT seq, owner, count, named FROM part WHERE submission IS NULL ORDER BY seq")
        for r in rows:
            user, part, key = r["owner"].split(" ", 2)
            memory.pending.setdefault((user, key), {}).setdefault(int(part), (r["seq"], r["count"], r["named"]))

    async def admit_submissions(self, memory: Memory, ids: Iterable[int]) -> None:
        """Read these submissions and their spans into the memory; unknown ones are passed over."""
        wanted = [i for i in ids if 0 <= i < 1 << 63]
        if not wanted:
            return
        spans: dict[int, list[Span]] = {}
        for r in await self._db.fetch(
            f"SELECT {', '.join(t.RANGE)} FROM task_range WHERE submission = ANY($1::bigint[]) ORDER BY submission, hi",
            wanted,
        ):
            spans.setdefault(r["submission"], []).append(Span(*tuple(r)[1:]))
        for r in await self._db.fetch(
            f"SELECT {_SUBMISSION_COLUMNS} FROM submission WHERE id = ANY($1::bigint[])", wanted
        ):
            plain = {_FIELD.get(c, c): r[c] for c in t.SUBMISSION[: -len(TASK_STATES)] if c != "gone"}
            plain["hidden"] = parsed(plain["hidden"])
            found = Submission(**plain, counts=_counts(r), spans=spans.get(r["id"], []))
            memory.admit_submission(found)

    async def admit_tasks(self, memory: Memory, needs: Needs) -> None:
        """Read the tasks that the next slice will touch."""
        if needs.tallies:
            await self._tally(memory, needs)
        if needs.tasks:
            submissions, indices = zip(*needs.tasks, strict=True)
            found = await self._db.fetch(
                f"SELECT {_ROW_COLUMNS} FROM unnest($1::bigint[], $2::bigint[]) AS v (submission, index) "
                "JOIN task t ON t.submission = v.submission AND t.index = v.index",
                submissions, indices,
            )  # fmt: skip
            _admit(memory, found)
        for states in {r[3] for r in needs.ranges}:
            some = [r for r in needs.ranges if r[3] == states]
            found = await self._db.fetch(
                f"SELECT {_ROW_COLUMNS} FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS v (submission, lo, hi) "
                "JOIN task t ON t.submission = v.submission AND t.index BETWEEN v.lo AND v.hi "
                "WHERE t.state <> 'succeeded' AND t.state = ANY($4::text[])",
                *_columns(r[:3] for r in some), list(states),
            )  # fmt: skip
            _admit(memory, found)

    async def _tally(self, memory: Memory, needs: Needs) -> None:
        """The states of tasks that are only counted, as runs."""
        wanted: dict[int, list[tuple[int, int]]] = {}
        for sid, lo, hi in needs.tallies:
            wanted.setdefault(sid, []).append((lo, hi))
        windows = [(sid, *run) for sid, runs in wanted.items() for run in joined(runs)]
        memory.tallies = {}
        for r in await self._db.fetch(t.TALLY, *_columns(windows)):
            memory.tallies.setdefault(r["submission"], []).append((r["lo"], r["hi"], r["state"]))

    async def apply(self, changes: Changes) -> None:
        """All of it, and the position, or nothing. `Conflict` if another projector moved the position meanwhile."""
        async with self._db.transaction():
            moved = await self._db.execute(
                "UPDATE position SET seq = $2, at = $3 WHERE seq = $1", changes.before, changes.after, changes.at
            )
            if moved != "UPDATE 1":
                raise Conflict(f"another projector moved the position on from {changes.before}: load it again")
            await self._archive(changes)
            await self._write_submissions(changes)
            await self._write_tasks(changes)
            await self._run(t.WRITE_WORKERS, changes.workers)
            await self._run(t.WRITE_GOVERNING, list(changes.governing.values()))
            if changes.batches:
                await self._db.executemany(t.WRITE_BATCH, changes.batches)

    async def empty(self) -> None:
        """Back to sequence 0, to fold all events again; they themselves stay."""
        async with self._db.transaction():
            await self._db.execute(t.EMPTY)

    async def _archive(self, changes: Changes) -> None:
        if changes.before < self._ends:
            changes.events = [row for row in changes.events if row[0] > self._ends]
            changes.links = [row for row in changes.links if row[3] >= self._begins]
            changes.abouts = [row for row in changes.abouts if row[2] >= self._begins]
        await self._copy("event", t.EVENT, changes.events)
        await self._copy("event_range", t.EVENT_RANGE, changes.links)
        await self._copy("event_about", t.EVENT_ABOUT, changes.abouts)
        await self._copy("edit", t.EDIT, changes.edits)

    async def _write_submissions(self, changes: Changes) -> None:
        await self._copy("submission", t.SUBMISSION, changes.submissions_new)
        await self._run(t.CHANGE_SUBMISSIONS, changes.submissions_changed)
        await self._run(t.REMOVE_RANGES, changes.spans_removed)
        await self._run(t.WRITE_RANGES, changes.spans_written)
        await self._copy("part", t.PART, changes.parts)
        await self._copy("spec_part", t.SPEC_PART, changes.specs)
        await self._copy("task_name", t.TASK_NAME, changes.names)
        await self._copy("tes", t.TES, changes.tes)
        await self._run(t.ADOPT_PARTS, changes.parts_adopted)
        for statement in t.DROP_PARTS:
            await self._run(statement, changes.parts_dropped)

    async def _write_tasks(self, changes: Changes) -> None:
        await self._copy("attempt", t.ATTEMPT, changes.attempts)
        await self._copy("task", t.TASK, changes.tasks_new)
        await self._run(t.CHANGE_TASKS, changes.tasks_changed)
        late = [(*key, *value) for key, value in changes.late.items()]
        await self._run(t.LATE_TASKS, late)
        await self._run(t.LATE_ATTEMPTS, late)

    async def _copy(self, table: str, columns: Sequence[str], rows: list[Tuple]) -> None:
        if rows:
            await self._db.copy_records_to_table(table, records=rows, columns=columns, timeout=_STATEMENT)

    async def _run(self, statement: str, rows: Sequence[Tuple]) -> None:
        """One statement for all rows, its parameters the columns as arrays."""
        if rows:
            await self._db.execute(statement, *_columns(rows))


def _columns(rows: Iterable[Tuple]) -> list[Any]:
    return list(zip(*rows, strict=True))


def _counts(record: Any) -> dict[str, int]:
    return {state: record[state] for state in TASK_STATES}


def _admit(memory: Memory, records: Iterable[Any]) -> None:
    for r in records:
        submission = memory.submissions.get(r["submission"])
        if submission is not None:
            memory.admit(Row(submission, *tuple(r)[1:]))
