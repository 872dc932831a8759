"""What governs all: shares of batches and users, the operator's policy; and prefetch as a percentage of what a worker has.

Nothing is emptied: no event of before says any of it.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE governing (
    kind text NOT NULL, name text NOT NULL, value text NOT NULL, seq bigint NOT NULL, at float8 NOT NULL,
    request bigint NOT NULL, PRIMARY KEY (kind, name)
);
ALTER TABLE worker ADD COLUMN prefetch_percent bigint NOT NULL DEFAULT 0;
"""

DOWN = """
ALTER TABLE worker DROP COLUMN prefetch_percent;
DROP TABLE governing;
"""


def upgrade() -> None:
    """Add them."""
    op.execute(UP)


def downgrade() -> None:
    """Drop them."""
    op.execute(DOWN)
