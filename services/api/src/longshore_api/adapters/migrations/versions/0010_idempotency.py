"""What requests with an Idempotency-Key were answered."""

from alembic import op

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE idempotency (
    user_name text NOT NULL, key text NOT NULL, digest bytea NOT NULL, answer bytea NOT NULL, at float8 NOT NULL,
    PRIMARY KEY (user_name, key)
);
CREATE INDEX idempotency_at ON idempotency (at);
"""


def upgrade() -> None:
    """Add it."""
    op.execute(UP)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE idempotency")
