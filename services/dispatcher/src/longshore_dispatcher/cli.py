"""`longshore-dispatcher`: read the settings, connect, run. What must not enter: decisions."""

import asyncio
import os

import typer

from longshore_common import logs, settings
from longshore_common.adapters import nats_log
from longshore_common.errors import LongshoreError
from longshore_dispatcher.service import Settings, serve

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Decides which attempt runs on which worker.")


@app.callback()
def _main() -> None:
    """Longshore's dispatcher; run two for a hot standby."""


@app.command("run")
def run_service() -> None:
    """Follow the log and lead when nobody else does, until SIGTERM. Settings come from the environment."""
    logs.configure("dispatcher")
    try:
        asyncio.run(_serve(settings.load(Settings, os.environ).value))
    except LongshoreError as err:
        typer.echo(str(err), err=True)
        raise SystemExit(err.exit_code) from err


async def _serve(chosen: Settings) -> None:
    transport = await nats_log.connect(
        chosen.nats_url, creds=chosen.nats_creds or None, role="dispatch", name=chosen.name
    )
    await serve(transport, chosen)


def run() -> None:
    """The entry point of the command."""
    app()
