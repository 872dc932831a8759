"""`longshore up`, `down`, `status`: the embedded stack, if `longshore-infra` is installed. The only module that knows it."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from longshore.cli.words import Json
from longshore_common.errors import Refused
from longshore_common.profile import state_dir

StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir", metavar="DIR", help="Where everything is kept; default LONGSHORE_STATE_DIR, else by XDG."
    ),
]


def register(root: typer.Typer) -> None:
    """Add these commands."""
    root.command()(up)
    root.command()(down)
    root.command()(status)


def up(
    detach: Annotated[bool, typer.Option("--detach", help="Return when everything is ready.")] = False,  # noqa: FBT002 -- typer reads flags so
    directory: StateDir = None,
    workers: Annotated[int, typer.Option("--workers", min=0, max=64, metavar="N", help="Agents on this host.")] = 1,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", min=0, metavar="N", help="Slots of each; default: the CPUs.")
    ] = None,
) -> int:
    """Start a whole stack under one directory: NATS, PostgreSQL, the services and local workers."""
    slots = (os.cpu_count() or 1) if concurrency is None else concurrency
    return int(
        _stack().up(_where(directory), detach=detach, workers=workers, concurrency=slots, environ=dict(os.environ))
    )


def down(directory: StateDir = None) -> int:
    """Stop the stack; all state is kept."""
    return int(_stack().down(_where(directory)) or 0)


def status(directory: StateDir = None, as_json: Json = False) -> int:  # noqa: FBT002 -- typer reads flags so
    """The parts of the stack and their health; exit 3 if it is not ready."""
    found: dict[str, Any] = _stack().status(_where(directory))
    if as_json:
        import msgspec

        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    else:
        from longshore.cli.printing import note, table

        heads = ("name", "pid", "state", "since", "restarts")
        table(heads, ([part.get(head) for head in heads] for part in found.get("processes", ())))
        note("ready" if found.get("ready") else "not ready: `longshore up` starts it")
    return 0 if found.get("ready") else 3


def _where(directory: Path | None) -> Path:
    return directory.absolute() if directory else state_dir(os.environ)


def _stack() -> Any:
    try:
        from longshore_infra import stack
    except ImportError as err:
        raise Refused(
            f"the embedded stack is not installed ({err}): pip install 'longshore[embedded]', "
            "or set LONGSHORE_STATE_DIR to that of a stack elsewhere"
        ) from err
    return stack
