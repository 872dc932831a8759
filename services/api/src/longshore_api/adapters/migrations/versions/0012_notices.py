"""What users are to be told, until it was: an outbox of notices; and since when batches wait without anything running.

Nothing is emptied: these are no projections, and a rebuild keeps them, so that nobody is told twice.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE notice (
    id text PRIMARY KEY, rule text NOT NULL, way text NOT NULL, target text NOT NULL, body text NOT NULL,
    made_at float8 NOT NULL, due_at float8, tries integer NOT NULL DEFAULT 0, sent_at float8, error text NOT NULL DEFAULT ''
);
CREATE INDEX notice_due ON notice (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX notice_rule ON notice (rule, made_at);
CREATE TABLE notice_watch (batch text PRIMARY KEY, since float8 NOT NULL);
"""


def upgrade() -> None:
    """Add them."""
    op.execute(UP)


def downgrade() -> None:
    """Drop them; what was not told yet is not told."""
    op.execute("DROP TABLE notice; DROP TABLE notice_watch")
