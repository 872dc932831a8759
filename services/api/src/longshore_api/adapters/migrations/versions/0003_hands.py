"""What attempts and hosts say while they work: progress of transfers, why a worker takes no work, what it keeps, its load.

Nothing is emptied: no event of before says any of it. `worker_metric` holds samples of beats, which no log repeats.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE task ADD COLUMN progress text;
ALTER TABLE batch ADD COLUMN retention text;
ALTER TABLE worker
    ADD COLUMN drain boolean NOT NULL DEFAULT false, ADD COLUMN pause_reason text NOT NULL DEFAULT '',
    ADD COLUMN hindered text NOT NULL DEFAULT '', ADD COLUMN evicted text NOT NULL DEFAULT '',
    ADD COLUMN evicted_at float8, ADD COLUMN held bigint NOT NULL DEFAULT 0, ADD COLUMN remotes_at float8,
    ADD COLUMN cares text NOT NULL DEFAULT '[]';
CREATE TABLE worker_metric (worker text NOT NULL, minute bigint NOT NULL, sample text NOT NULL, PRIMARY KEY (worker, minute));
"""

DOWN = """
DROP TABLE worker_metric;
ALTER TABLE worker DROP COLUMN drain, DROP COLUMN pause_reason, DROP COLUMN hindered, DROP COLUMN evicted,
    DROP COLUMN evicted_at, DROP COLUMN held, DROP COLUMN remotes_at, DROP COLUMN cares;
ALTER TABLE batch DROP COLUMN retention;
ALTER TABLE task DROP COLUMN progress;
"""


def upgrade() -> None:
    """Add them."""
    op.execute(UP)


def downgrade() -> None:
    """Drop them."""
    op.execute(DOWN)
