"""Alembic's door: it only writes SQL here (offline mode), the adapter runs it over its own connection."""

from alembic import context

context.configure(dialect_name="postgresql", literal_binds=True, transactional_ddl=False)
context.run_migrations()
