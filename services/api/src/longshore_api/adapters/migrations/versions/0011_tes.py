"""Tasks of the GA4GH TES door by their own words, and what their inputs hold, encrypted.

Nothing is emptied: no event of before says any of it.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE tes (
    submission bigint PRIMARY KEY, name text NOT NULL, tags jsonb NOT NULL, document bytea NOT NULL,
    contents text[] NOT NULL, once boolean NOT NULL
);
CREATE INDEX tes_name ON tes (left(name, 200) text_pattern_ops, submission);
CREATE INDEX tes_tags ON tes USING gin (tags);
CREATE INDEX tes_contents ON tes USING gin (contents) WHERE contents <> '{}';
CREATE TABLE tes_content (id text PRIMARY KEY, at float8 NOT NULL, body bytea NOT NULL);
ALTER TABLE tes_content ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX tes_content_at ON tes_content (at);
"""


def upgrade() -> None:
    """Add them."""
    op.execute(UP)


def downgrade() -> None:
    """Drop them; what inputs held is gone."""
    op.execute("DROP TABLE tes_content; DROP TABLE tes")
