"""Edits of tasks, as rows that are only added; deleted tasks, as a multirange of their submission; where workers moved.

Nothing is emptied: no event of before says any of it.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

STATES = ("waiting", "queued", "assigned", "staging", "running", "delivering", "succeeded", "failed", "cancelled")
UNPIVOT = ", ".join(f"('{state}', {state})" for state in STATES)


def recount(hidden: bool) -> str:  # noqa: FBT001 - with or without what is hidden
    """The function that lists where counters differ from what they count."""
    task = "WHERE NOT s.hidden::int8multirange @> t.index" if hidden else ""
    span = "sum(r.hi - r.lo + 1)"
    if hidden:
        span += (
            " - coalesce(sum((SELECT sum(upper(p) - lower(p)) FROM unnest(s.hidden::int8multirange "
            "* int8multirange(int8range(r.lo, r.hi + 1))) AS p)), 0)"
        )
    return f"""
CREATE OR REPLACE FUNCTION recount()
RETURNS TABLE (submission bigint, batch text, state text, stored numeric, counted numeric)
LANGUAGE sql STABLE AS $$
    WITH rows AS (
        SELECT t.submission, t.state, count(*)::numeric AS n FROM task t JOIN submission s ON s.id = t.submission
            {task} GROUP BY 1, 2
        UNION ALL SELECT r.submission, r.state, {span}
            FROM task_range r JOIN submission s ON s.id = r.submission GROUP BY 1, 2
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


UP = """
ALTER TABLE submission ADD COLUMN hidden text NOT NULL DEFAULT '{}', ADD COLUMN gone bigint NOT NULL DEFAULT 0;
ALTER TABLE worker ADD COLUMN moved bigint NOT NULL DEFAULT 0;
CREATE TABLE edit (
    submission bigint NOT NULL, lo bigint NOT NULL, hi bigint NOT NULL, seq bigint NOT NULL, undoes bigint NOT NULL,
    restored boolean NOT NULL, change text
);
CREATE INDEX edit_submission ON edit (submission, seq);
"""

DOWN = """
DROP TABLE edit;
ALTER TABLE worker DROP COLUMN moved;
ALTER TABLE submission DROP COLUMN hidden, DROP COLUMN gone;
"""


def upgrade() -> None:
    """Add them."""
    op.execute(UP)
    op.execute(recount(hidden=True))


def downgrade() -> None:
    """Drop them."""
    op.execute(recount(hidden=False))
    op.execute(DOWN)
