"""Which workers are in quarantine, why, and until when. Nothing is emptied: no event of before says any of it."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

UP = """
ALTER TABLE worker ADD COLUMN quarantine text NOT NULL DEFAULT '', ADD COLUMN quarantined_until float8;
"""

DOWN = """
ALTER TABLE worker DROP COLUMN quarantine, DROP COLUMN quarantined_until;
"""


def upgrade() -> None:
    """Add them."""
    op.execute(UP)


def downgrade() -> None:
    """Drop them."""
    op.execute(DOWN)
