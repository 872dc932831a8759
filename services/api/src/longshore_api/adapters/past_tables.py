"""The statements behind a look into the past: temporary tables of what has changed since, beside the read model of now.

Everything is in `pg_temp`, which a connection searches first: the readers' statements see the past under the names they
know, and nothing is left when the connection goes. What must not enter: the fold, caching.
"""

import re
from typing import Final

from longshore_api.adapters import tables as t
from longshore_api.core.rows import OPEN_STATES

#: Tables whose rows differ in the past, with the columns that order their pages.
_SPLIT: Final = {
    "submission": ("id", "id DESC"), "task": ("submission", "submission, index"),
    "task_range": ("submission", "submission, hi"), "attempt": ("submission", "submission, index, n"),
}  # fmt: skip

#: Temporary twins of the tables that the fold writes; `changed` are the submissions that are read from them.
PREPARE: Final = "".join(
    f"CREATE TEMPORARY TABLE {name}_then (LIKE public.{name} INCLUDING ALL);"
    for name in (*_SPLIT, "batch", "worker")
) + (
    "CREATE TEMPORARY TABLE changed (id bigint PRIMARY KEY);"
    "CREATE TEMPORARY TABLE replayed (seq bigint PRIMARY KEY);"
)  # fmt: skip


def views(seq: int) -> str:
    """The tables as they were at `seq`: what has not changed since from the read model, the rest from its twin."""
    parts = []
    for name, (owner, order) in _SPLIT.items():
        parts.append(
            f"CREATE TEMPORARY VIEW {name} AS (SELECT * FROM public.{name} WHERE {owner} <= {int(seq)} "
            f"AND {owner} NOT IN (SELECT c.id FROM pg_temp.changed c) ORDER BY {order}) "
            f"UNION ALL (SELECT * FROM pg_temp.{name}_then ORDER BY {order});"
        )
    parts.append("CREATE TEMPORARY VIEW worker AS SELECT * FROM pg_temp.worker_then;")
    parts.append(f"CREATE TEMPORARY VIEW edit AS SELECT * FROM public.edit WHERE seq <= {int(seq)};")
    parts.append("CREATE TEMPORARY VIEW batch AS SELECT * FROM pg_temp.batch_then;")
    return "".join(parts)


_SCOPE: Final = (
    "($3::bigint[] IS NULL OR s.id = ANY($3)) AND ($4::text IS NULL OR s.batch = $4) "
    "AND ($5::text IS NULL OR s.user_name = $5)"
)
#: Submissions up to $1 that are not as they were: something was said of them past $2, or an attempt of theirs is under way
#: (whose end a lost worker may mean without an event of theirs). $3-$5: the scope. Inserts and returns them.
CHANGE: Final = (
    "INSERT INTO changed SELECT s.id FROM public.submission s WHERE s.id IN ("
    "SELECT r.submission FROM public.event_range r WHERE r.seq > $2 AND r.submission <= $1 "
    "UNION SELECT k.submission FROM public.task k WHERE k.submission <= $1 "
    "AND k.state IN ('assigned', 'staging', 'running', 'delivering')) "
    f"AND s.id <= $1 AND {_SCOPE} ON CONFLICT DO NOTHING RETURNING id"
)
#: The events up to $1 that say something of the submissions $2, only of the windows $3-$5 if there are any.
REPLAY: Final = (
    "INSERT INTO replayed SELECT DISTINCT r.seq FROM public.event_range r WHERE r.submission = ANY($2::bigint[]) "
    "AND r.seq <= $1 ON CONFLICT DO NOTHING"
)
REPLAY_WINDOWS: Final = (
    "INSERT INTO replayed SELECT DISTINCT r.seq FROM unnest($3::bigint[], $4::bigint[], $5::bigint[]) AS v (id, lo, hi) "
    "JOIN public.event_range r ON r.submission = v.id AND r.lo <= v.hi AND r.hi >= v.lo "
    "WHERE v.id = ANY($2::bigint[]) AND r.seq <= $1 ON CONFLICT DO NOTHING"
)
#: What was said up to $1 of workers from $2 on, and of batches (submissions are told apart above) ever.
REPLAY_PLACES: Final = (
    "INSERT INTO replayed SELECT DISTINCT a.seq FROM public.event_about a WHERE a.kind = 'worker' AND a.seq <= $1 "
    "AND a.seq >= $2 ON CONFLICT DO NOTHING"
)
REPLAY_BATCHES: Final = (
    "INSERT INTO replayed SELECT DISTINCT a.seq FROM public.event_about a JOIN public.event e ON e.seq = a.seq "
    "WHERE a.kind = 'batch' AND a.seq <= $1 AND e.type <> 'tasks-submitted' AND ($2::text IS NULL OR a.name = $2) "
    "ON CONFLICT DO NOTHING"
)
NEXT: Final = (
    "SELECT e.seq, e.at, e.subject, e.body FROM replayed p JOIN public.event e ON e.seq = p.seq "
    "WHERE p.seq > $1 ORDER BY p.seq LIMIT $2"
)
#: Names of specs come in parts, which a replay of single submissions does not see; they never change.
NAMES: Final = (
    "UPDATE submission_then n SET name = s.name, named = s.named FROM public.submission s WHERE s.id = n.id "
    "AND (n.name, n.named) IS DISTINCT FROM (s.name, s.named)"
)

_SUMS: Final = ", ".join(f"coalesce(sum(s.{c}), 0)::bigint AS {c}" for c in t.COUNTERS)
_OPEN: Final = " + ".join(f"n.{s}" for s in t.COUNTERS if s in OPEN_STATES)
#: Batches as they were: counts from their submissions, the rest from the fold where it had to be told, else from now.
BATCHES: Final = f"""
CREATE TEMPORARY TABLE counted AS SELECT s.batch AS name, {_SUMS},
    coalesce(sum(s.size - s.gone) FILTER (WHERE s.status <> 'duplicate'), 0)::bigint AS size,
    count(*) FILTER (WHERE s.status <> 'duplicate' AND s.gone < s.size) AS submissions,
    array_agg(DISTINCT s.user_name) AS wrote,
    min(s.submitted_at) AS submitted_at FROM submission s GROUP BY s.batch;
INSERT INTO batch_then (name, paused, frozen, size, submissions, users)
    SELECT name, false, false, 0, 0, '{{}}' FROM counted ON CONFLICT DO NOTHING;
UPDATE batch_then n SET size = 0, submissions = 0, {", ".join(f"{c} = 0" for c in t.COUNTERS)};
UPDATE batch_then n SET size = c.size, submissions = c.submissions, submitted_at = c.submitted_at,
    {", ".join(f"{s} = c.{s}" for s in t.COUNTERS)} FROM counted c WHERE c.name = n.name;
UPDATE batch_then n SET users = ARRAY(SELECT u.name FROM unnest(b.users) WITH ORDINALITY AS u (name, nth)
    WHERE u.name = ANY(c.wrote) ORDER BY u.nth) FROM counted c, public.batch b WHERE c.name = n.name AND b.name = n.name;
DROP TABLE counted;
"""
#: Instants of the batch from now where they are not later than $1; where that is later, from the tasks themselves.
BATCH_TIMES: Final = (
    "UPDATE batch_then n SET started_at = least(n.started_at, CASE WHEN b.started_at <= $1::float8 THEN b.started_at END), "
    "ended_at = CASE WHEN b.ended_at <= $1::float8 THEN b.ended_at "
    f"WHEN {_OPEN} > 0 THEN n.ended_at ELSE greatest(n.ended_at, (SELECT max(k.ended_at) FROM task k "
    "JOIN submission s ON s.id = k.submission WHERE s.batch = n.name)) END FROM public.batch b WHERE b.name = n.name"
)


def then(statement: str) -> str:
    """A statement of the projector, writing the twin instead."""
    return re.sub(r"^(UPDATE|INSERT INTO|DELETE FROM) (\w+)", r"\1 pg_temp.\2_then", statement)
