"""Column orders of what the fold hands over, and the set-based statements that write it.

One place beside the migrations that spells columns; the tuples are made in `core.memory`. What must not enter:
connections, single-row writes.
"""

from typing import Final

from longshore_api.core.rows import TASK_STATES
from longshore_api.core.users import ACCOUNT, CREDENTIAL

COUNTERS: Final = tuple(TASK_STATES)

SUBMISSION: Final = (
    "id", "user_name", "batch", "size", "name", "key", "priority", "submitted_at", "requires", "spec", "start", "step",
    "named", "status", "reason", "duplicate_of", "by_index", "hidden", "gone", *COUNTERS,
)  # fmt: skip
TASK: Final = (
    "submission", "index", "state", "attempt", "worker", "assigned_at", "assigned_seq", "started_at", "ended_at",
    "exit_code", "outcome", "cause", "reason", "paused", "not_before", "report",
    "progress",
)  # fmt: skip
ATTEMPT: Final = (
    "submission", "index", "n", "outcome", "worker", "assigned_at", "started_at", "ended_at", "exit_code", "cause",
    "reason", "report",
)  # fmt: skip
RANGE: Final = ("submission", "lo", "hi", "state", "cause", "reason", "at")
PART: Final = ("seq", "owner", "count", "named", "submission", "base")
SPEC_PART: Final = ("part_seq", "lo", "count", "kind", "body")
TASK_NAME: Final = ("part_seq", "lo", "hi", "name")
BATCH: Final = (
    "name", "paused", "frozen", "size", "submissions", "users", "submitted_at", "started_at", "ended_at",
    "retention", "ran", *COUNTERS,
)  # fmt: skip
WORKER: Final = (
    "name", "state", "paused", "concurrency", "prefetch", "batch", "facts", "public_key", "hostname", "life",
    "enrolled_at", "joined_at", "seen_at", "drain", "pause_reason", "hindered", "evicted", "evicted_at", "held",
    "remotes_at", "cares", "prefetch_percent", "quarantine", "quarantined_until", "moved",
)  # fmt: skip
GOVERNING: Final = ("kind", "name", "value", "seq", "at", "request")
EDIT: Final = ("submission", "lo", "hi", "seq", "undoes", "restored", "change")
TES: Final = ("submission", "name", "tags", "document", "contents", "once")
EVENT: Final = ("seq", "at", "role", "name", "type", "subject", "body")
EVENT_RANGE: Final = ("submission", "lo", "hi", "seq")
EVENT_ABOUT: Final = ("kind", "name", "seq")

_TYPES: Final = {
    **dict.fromkeys(
        ("state", "worker", "outcome", "hidden", "cause", "reason", "report", "name", "status", "by_index", "batch", "facts",
         "public_key", "hostname", "progress", "retention", "pause_reason", "hindered", "evicted", "cares", "kind",
         "value", "quarantine"), "text",
    ),
    **dict.fromkeys(("assigned_at", "started_at", "ended_at", "not_before", "submitted_at", "enrolled_at", "joined_at",
                     "seen_at", "at", "evicted_at", "remotes_at", "quarantined_until"), "float8"),
    **dict.fromkeys(("paused", "frozen", "drain"), "boolean"),
}  # fmt: skip


def _unnest(columns: tuple[str, ...]) -> str:
    arrays = ", ".join(f"${i}::{_TYPES.get(c, 'bigint')}[]" for i, c in enumerate(columns, 1))
    return f"unnest({arrays}) AS v ({', '.join(columns)})"


def _set(columns: tuple[str, ...]) -> str:
    return ", ".join(f"{c} = v.{c}" for c in columns)


def _upsert(table: str, columns: tuple[str, ...], key: tuple[str, ...], source: str) -> str:
    names = ", ".join(columns)
    news = ", ".join(f"{c} = excluded.{c}" for c in columns if c not in key)
    return f"INSERT INTO {table} ({names}) {source} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {news}"


SUBMISSION_CHANGED: Final = ("id", "status", "reason", "duplicate_of", "by_index", "hidden", "gone", *COUNTERS)
LATE: Final = ("submission", "index", "attempt", "worker", "started_at", "ended_at", "exit_code", "report")
_LATE_SET: Final = (
    "report = v.report, exit_code = v.exit_code, started_at = coalesce(t.started_at, v.started_at), "
    "ended_at = coalesce(t.ended_at, v.ended_at)"
)

CHANGE_SUBMISSIONS: Final = (
    f"UPDATE submission s SET {_set(SUBMISSION_CHANGED[1:])} FROM {_unnest(SUBMISSION_CHANGED)} WHERE s.id = v.id"
)
CHANGE_TASKS: Final = (
    f"UPDATE task t SET {_set(TASK[2:])} FROM {_unnest(TASK)} WHERE t.submission = v.submission AND t.index = v.index"
)
WRITE_RANGES: Final = _upsert(
    "task_range", RANGE, ("submission", "hi"), f"SELECT {', '.join(RANGE)} FROM {_unnest(RANGE)}"
)
REMOVE_RANGES: Final = (
    "DELETE FROM task_range r USING unnest($1::bigint[], $2::bigint[]) AS v (submission, hi) "
    "WHERE r.submission = v.submission AND r.hi = v.hi"
)
WRITE_WORKERS: Final = _upsert("worker", WORKER, ("name",), f"SELECT {', '.join(WORKER)} FROM {_unnest(WORKER)}")
WRITE_GOVERNING: Final = _upsert(
    "governing", GOVERNING, ("kind", "name"), f"SELECT {', '.join(GOVERNING)} FROM {_unnest(GOVERNING)}"
)
#: Accounts and credentials.
USERS: Final = f"SELECT kind, value, seq FROM governing WHERE kind IN ('{ACCOUNT}', '{CREDENTIAL}')"
#: Row by row: an array of arrays of different lengths is none in SQL.
WRITE_BATCH: Final = _upsert(
    "batch", BATCH, ("name",), "VALUES (" + ", ".join(f"${i}" for i in range(1, len(BATCH) + 1)) + ")"
)
LATE_TASKS: Final = (
    f"UPDATE task t SET {_LATE_SET} FROM {_unnest(LATE)} WHERE t.submission = v.submission AND t.index = v.index "
    "AND t.attempt = v.attempt AND t.worker = v.worker AND t.outcome IS NOT NULL AND t.report IS NULL"
)
LATE_ATTEMPTS: Final = (
    f"UPDATE attempt t SET {_LATE_SET} FROM {_unnest(LATE)} WHERE t.submission = v.submission AND t.index = v.index "
    "AND t.n = v.attempt AND t.worker = v.worker AND t.report IS NULL"
)
#: One row a part: what hangs on the part's own sequence is never written again.
ADOPT_PARTS: Final = (
    "UPDATE part p SET submission = v.submission, base = v.base "
    "FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS v (seq, submission, base) WHERE p.seq = v.seq"
)
_OF_DROPPED: Final = "= ANY(ARRAY(SELECT seq FROM part WHERE submission = ANY($1::bigint[])))"
DROP_PARTS: Final = (
    f"DELETE FROM spec_part WHERE part_seq {_OF_DROPPED}",
    f"DELETE FROM task_name WHERE part_seq {_OF_DROPPED}",
    "DELETE FROM part WHERE submission = ANY($1::bigint[])",
)
#: Runs of stored tasks in one state within windows.
TALLY: Final = (
    "SELECT submission, state, min(index) AS lo, max(index) AS hi FROM (SELECT t.submission, t.state, t.index, "
    "t.index - row_number() OVER (PARTITION BY t.submission, t.state ORDER BY t.index) AS island "
    "FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS v (submission, lo, hi) "
    "JOIN task t ON t.submission = v.submission AND t.index BETWEEN v.lo AND v.hi) x GROUP BY submission, state, island"
)
EMPTY: Final = (
    "TRUNCATE event_about, event_range, worker, batch, task_name, spec_part, part, attempt, task, task_range, "
    "submission, governing, edit, tes; UPDATE position SET seq = 0, at = 0"
)
