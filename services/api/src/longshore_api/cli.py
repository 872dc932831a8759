"""The command `longshore-api`: parses, calls, prints."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from longshore_common import logs
from longshore_common.errors import BadInput, LongshoreError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Projects the log into PostgreSQL and serves it.",
)


@app.command("run")
def serve() -> None:
    """Project and serve until SIGTERM; settings come from the environment."""
    import uvloop

    from longshore_api import service

    logs.configure("api")
    with _told():
        uvloop.run(service.serve(service.configured(os.environ)))


@app.command()
def migrate() -> None:
    """Bring the schema of DATABASE_URL up to this release."""
    from longshore_api.adapters import schema

    logs.configure("api")  # `run` starts this too, and its log is one JSON object per line
    with _told():
        done = asyncio.run(schema.migrate(_database()))
        logs.get_logger().info("schema-migrated" if done else "schema-current")


@app.command()
def rebuild() -> None:
    """Empty the read model of DATABASE_URL; the api projects the whole log again."""
    from longshore_api.adapters import store

    with _told():
        asyncio.run(store.rebuild(_database()))
        typer.echo("emptied; a running api begins again within seconds, else the next one does", err=True)


def _database() -> str:
    if url := os.environ.get("DATABASE_URL"):
        return url
    raise BadInput("set DATABASE_URL to the PostgreSQL that holds the read model: postgresql://user:password@host/name")


@contextmanager
def _told() -> Iterator[None]:
    """One of our errors becomes one line and its exit code."""
    try:
        yield
    except LongshoreError as err:
        typer.echo(f"longshore-api: {err}", err=True)
        raise typer.Exit(err.exit_code) from err


def run() -> None:
    """The entry point."""
    app()
