"""`longshore-dispatcher`: read the settings, connect, run. What must not enter: decisions."""

import asyncio
import os
from collections.abc import Awaitable, Callable

import typer

from longshore_common import logs, settings
from longshore_common.adapters import nats_log
from longshore_common.errors import LongshoreError
from longshore_common.log import Transport
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


@app.command()
def restore(archive: str = typer.Option("", help="where the log was exported to; default: LONGSHORE_ARCHIVE")) -> None:
    """Fold archive and log again, and leave the snapshot that a dispatcher begins from: for a log without its front."""
    from longshore_dispatcher.adapters.restoring import restore as restored

    logs.configure("dispatcher")
    folder = archive or os.environ.get("LONGSHORE_ARCHIVE", "")
    try:
        chosen: Settings = settings.load(Settings, os.environ).value
        seq = asyncio.run(_with(chosen, lambda transport: restored(transport, folder, os.environ)))
    except LongshoreError as err:
        typer.echo(str(err), err=True)
        raise SystemExit(err.exit_code) from err
    typer.echo(f"a snapshot at {seq} is stored: start the dispatcher", err=True)


async def _with(chosen: Settings, work: Callable[[Transport], Awaitable[int]]) -> int:
    transport = await nats_log.connect(
        chosen.nats_url, creds=chosen.nats_creds or None, role="dispatch", name=chosen.name
    )
    try:
        return await work(transport)
    finally:
        await transport.close()


async def _serve(chosen: Settings) -> None:
    transport = await nats_log.connect(
        chosen.nats_url, creds=chosen.nats_creds or None, role="dispatch", name=chosen.name
    )
    await serve(transport, chosen)


def run() -> None:
    """The entry point of the command."""
    app()
