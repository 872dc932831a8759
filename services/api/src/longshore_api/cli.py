"""The command `longshore-api`: parses, calls, prints."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from longshore_common import logs
from longshore_common.errors import BadInput, LongshoreError

To = Annotated[
    str, typer.Option("--to", metavar="URI", help="a folder, as s3://bucket/stack; default: LONGSHORE_ARCHIVE")
]
Forget = Annotated[
    str, typer.Option("--forget", metavar="TIME", help="then remove from PostgreSQL what is exported and older, as 90d")
]
Keep = Annotated[str, typer.Option("--keep", metavar="TIME", help="at least so much stays, as 30d")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="only say what would go, and who still needs what")]

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
    """Empty the read model of DATABASE_URL; the api projects all events again: of the archive, then of the log."""
    from longshore_api.adapters import store

    with _told():
        asyncio.run(store.rebuild(_database()))
        typer.echo("emptied; a running api begins again within seconds, else the next one does", err=True)


@app.command()
def archive(*, to: To = "", forget: Forget = "") -> None:
    """Export all projected events as compressed segments; a repeat goes on where the last one stopped."""
    from longshore_api import service

    with _told():
        told = asyncio.run(service.archived(os.environ | {"DATABASE_URL": _database()}, to, forget))
        typer.echo(told)


@app.command()
def trim(*, keep: Keep = "30d", dry_run: DryRun = False) -> None:
    """Take old events off the front of the log, as far as nobody needs them from there."""
    from longshore_api import service

    with _told():
        typer.echo(asyncio.run(service.trimmed(os.environ | {"DATABASE_URL": _database()}, keep, dry=dry_run)))


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
