"""The read model: submissions, touched tasks as rows, untouched ones as ranges, attempts, batches, workers, the archive.

Instants are Unix seconds. Counters (one column per state) are written by the projector in the same transaction as the
rows they count; `recount()` lists where they would differ.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATES = ("waiting", "queued", "assigned", "staging", "running", "delivering", "succeeded", "failed", "cancelled")
COUNTERS = ", ".join(f"{state} bigint NOT NULL DEFAULT 0" for state in STATES)
UNPIVOT = ", ".join(f"('{state}', {state})" for state in STATES)

SCHEMA = f"""
CREATE TABLE position (one boolean PRIMARY KEY DEFAULT true CHECK (one), seq bigint NOT NULL, at float8 NOT NULL);
INSERT INTO position VALUES (true, 0, 0);

CREATE TABLE submission (
    id bigint PRIMARY KEY, user_name text NOT NULL, batch text NOT NULL, size bigint NOT NULL, name text,
    key text NOT NULL, priority bigint NOT NULL, submitted_at float8 NOT NULL, requires text,
    spec bytea, start bigint NOT NULL, step bigint NOT NULL, named boolean NOT NULL,
    status text NOT NULL, reason text NOT NULL, duplicate_of bigint, by_index text, {COUNTERS},
    open bigint GENERATED ALWAYS AS (waiting + queued + assigned + staging + running + delivering) STORED,
    unsettled bigint GENERATED ALWAYS AS
        (waiting + queued + assigned + staging + running + delivering + failed + cancelled) STORED
);
CREATE INDEX submission_batch ON submission (batch, id);
CREATE INDEX submission_user ON submission (user_name, id);
CREATE INDEX submission_name ON submission (name, id) WHERE name IS NOT NULL;
CREATE INDEX submission_open ON submission (id) WHERE open > 0;
CREATE INDEX submission_unsettled ON submission (id) WHERE unsettled > 0;
CREATE INDEX submission_failed ON submission (id) WHERE failed > 0;
CREATE INDEX submission_cancelled ON submission (id) WHERE cancelled > 0;

CREATE TABLE task_range (
    submission bigint NOT NULL, lo bigint NOT NULL, hi bigint NOT NULL, state text NOT NULL,
    cause text, reason text NOT NULL, at float8, PRIMARY KEY (submission, hi)
);

CREATE TABLE task (
    submission bigint NOT NULL, index bigint NOT NULL, state text NOT NULL, attempt bigint NOT NULL,
    worker text NOT NULL, assigned_at float8 NOT NULL, assigned_seq bigint NOT NULL, started_at float8,
    ended_at float8, exit_code bigint, outcome text, cause text, reason text NOT NULL, paused boolean NOT NULL,
    not_before float8 NOT NULL, report text, PRIMARY KEY (submission, index)
);
CREATE INDEX task_state ON task (submission, state, index) WHERE state <> 'succeeded';
CREATE INDEX task_worker ON task (worker, submission DESC, index);
CREATE INDEX task_in_flight ON task (worker, state) WHERE state IN ('assigned', 'staging', 'running', 'delivering');

CREATE TABLE attempt (
    submission bigint NOT NULL, index bigint NOT NULL, n bigint NOT NULL, outcome text NOT NULL, worker text NOT NULL,
    assigned_at float8 NOT NULL, started_at float8, ended_at float8, exit_code bigint, cause text, reason text NOT NULL,
    report text, PRIMARY KEY (submission, index, n)
);

CREATE TABLE spec_part (
    part_seq bigint NOT NULL, chunk bigint NOT NULL, submission bigint, lo bigint NOT NULL, count bigint NOT NULL,
    kind text NOT NULL, owner text NOT NULL, body bytea NOT NULL, PRIMARY KEY (part_seq, chunk)
);
ALTER TABLE spec_part ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX spec_part_submission ON spec_part (submission, kind, lo);

CREATE TABLE task_name (
    part_seq bigint NOT NULL, submission bigint, lo bigint NOT NULL, hi bigint NOT NULL, name text NOT NULL
);
CREATE INDEX task_name_part ON task_name (part_seq) WHERE submission IS NULL;
CREATE INDEX task_name_submission ON task_name (submission, lo);
CREATE INDEX task_name_name ON task_name (name, submission, lo);

CREATE TABLE batch (
    name text PRIMARY KEY, paused boolean NOT NULL, frozen boolean NOT NULL, size bigint NOT NULL,
    submissions bigint NOT NULL, users text[] NOT NULL, submitted_at float8, started_at float8, ended_at float8, {COUNTERS}
);

CREATE TABLE worker (
    name text PRIMARY KEY, state text NOT NULL, paused boolean NOT NULL, concurrency bigint NOT NULL,
    prefetch bigint NOT NULL, batch text NOT NULL, facts text NOT NULL, public_key text NOT NULL, hostname text NOT NULL,
    life bigint NOT NULL, enrolled_at float8, joined_at float8, seen_at float8
);

CREATE TABLE event (
    seq bigint PRIMARY KEY, at float8 NOT NULL, role text NOT NULL, name text NOT NULL, type text NOT NULL,
    subject text NOT NULL, body bytea NOT NULL
);
ALTER TABLE event ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE TABLE event_range (submission bigint NOT NULL, lo bigint NOT NULL, hi bigint NOT NULL, seq bigint NOT NULL);
CREATE INDEX event_range_submission ON event_range (submission, lo, hi, seq);
CREATE TABLE event_about (kind text NOT NULL, name text NOT NULL, seq bigint NOT NULL, PRIMARY KEY (kind, name, seq));
"""

RECOUNT = f"""
CREATE FUNCTION recount() RETURNS TABLE (submission bigint, batch text, state text, stored numeric, counted numeric)
LANGUAGE sql STABLE AS $$
    WITH rows AS (
        SELECT submission, state, count(*)::numeric AS n FROM task GROUP BY 1, 2
        UNION ALL SELECT submission, state, sum(hi - lo + 1) FROM task_range GROUP BY 1, 2
    ), counted AS (
        SELECT submission, state, sum(n) AS n FROM rows GROUP BY 1, 2
    ), stored AS (
        SELECT s.id AS submission, s.batch, c.state, c.n FROM submission s, LATERAL (VALUES {UNPIVOT}) AS c (state, n)
    ), per_submission AS (
        SELECT coalesce(s.submission, c.submission) AS submission, s.batch, coalesce(s.state, c.state) AS state,
               coalesce(s.n, 0)::numeric AS stored, coalesce(c.n, 0) AS counted
        FROM stored s FULL JOIN counted c ON c.submission = s.submission AND c.state = s.state
    ), per_batch AS (
        SELECT b.name AS batch, c.state, c.n::numeric AS stored,
               coalesce((SELECT sum(p.counted) FROM per_submission p WHERE p.batch = b.name AND p.state = c.state), 0)
                   AS counted
        FROM batch b, LATERAL (VALUES {UNPIVOT}) AS c (state, n)
    )
    SELECT submission, batch, state, stored, counted FROM per_submission WHERE stored <> counted
    UNION ALL SELECT NULL, batch, state, stored, counted FROM per_batch WHERE stored <> counted
$$;
"""

TABLES = (
    "event_about", "event_range", "event", "worker", "batch", "task_name", "spec_part", "attempt", "task", "task_range",
    "submission", "position",
)  # fmt: skip


def upgrade() -> None:
    """Make everything."""
    op.execute(SCHEMA)
    op.execute(RECOUNT)


def downgrade() -> None:
    """Forget everything: the log still has it, and `longshore-api rebuild` folds it again."""
    op.execute("DROP FUNCTION recount()")
    op.execute(f"DROP TABLE {', '.join(TABLES)}")
