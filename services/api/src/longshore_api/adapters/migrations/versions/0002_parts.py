"""Specs and names stay under the sequence of the event that brought them; one row a part says whose tasks they are.

So a submission of a million different tasks adopts its parts by writing as many rows as there are parts. The read model
is emptied: the next api projects the log again.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

EMPTY = """
TRUNCATE event_about, event_range, event, worker, batch, attempt, task, task_range, submission;
UPDATE position SET seq = 0, at = 0;
"""

UP = """
DROP TABLE spec_part, task_name;

CREATE TABLE part (
    seq bigint PRIMARY KEY, owner text NOT NULL, count bigint NOT NULL, named boolean NOT NULL,
    submission bigint, base bigint NOT NULL
);
CREATE INDEX part_submission ON part (submission, base);

CREATE TABLE spec_part (
    part_seq bigint NOT NULL, lo bigint NOT NULL, count bigint NOT NULL, kind text NOT NULL, body bytea NOT NULL,
    PRIMARY KEY (part_seq, lo)
);
ALTER TABLE spec_part ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE task_name (part_seq bigint NOT NULL, lo bigint NOT NULL, hi bigint NOT NULL, name text COLLATE "C" NOT NULL);
CREATE INDEX task_name_part ON task_name USING brin (part_seq) WITH (autosummarize = on);
CREATE INDEX task_name_name ON task_name (name, part_seq, lo);
"""

DOWN = """
DROP TABLE task_name, spec_part, part;

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
"""


def upgrade() -> None:
    """Begin anew with the new tables."""
    op.execute(EMPTY)
    op.execute(UP)


def downgrade() -> None:
    """Begin anew with the old ones."""
    op.execute(EMPTY)
    op.execute(DOWN)
