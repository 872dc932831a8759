"""What looking back, trimming and telling take: what was said since a sequence, what a user said, how far the export is.

Nothing is emptied. A BRIN index costs the projector next to nothing: sequences only rise.
"""

from alembic import op

revision = "0006"
down_revision = "0004"
branch_labels = None
depends_on = None

UP = """
CREATE INDEX event_range_seq ON event_range USING brin (seq) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX event_about_seq ON event_about USING brin (seq) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX event_user ON event (name, seq) WHERE role = 'user';
CREATE TABLE exported (destination text PRIMARY KEY, seq bigint NOT NULL, at float8 NOT NULL);
"""

DOWN = """
DROP TABLE exported;
DROP INDEX event_user;
DROP INDEX event_about_seq;
DROP INDEX event_range_seq;
"""


def upgrade() -> None:
    """Add them."""
    op.execute(UP)


def downgrade() -> None:
    """Drop them."""
    op.execute(DOWN)
