"""The schema's history, by alembic. Every statement is PostgreSQL's own SQL; a released revision never changes."""
