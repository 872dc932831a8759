"""The command `longshore-recruiter`: parses, calls, prints."""

import asyncio
import os

import typer

from longshore_common import logs
from longshore_common.errors import LongshoreError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Knows what machines are wanted for.",
)


@app.callback()
def _main() -> None:
    """Follows what waits for machines."""


@app.command("run")
def serve() -> None:
    """Follow demand until SIGTERM; settings come from the environment."""
    from longshore_recruiter import service

    logs.configure("recruiter")
    try:
        asyncio.run(service.serve(service.configured(os.environ)))
    except LongshoreError as err:
        typer.echo(f"longshore-recruiter: {err}", err=True)
        raise typer.Exit(err.exit_code) from err


def run() -> None:
    """The entry point."""
    app()
