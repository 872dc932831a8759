"""`longshore up`, `down`, `status`: the embedded stack, if `longshore-infra` is installed. The only module that knows it."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from longshore.cli.words import Json
from longshore_common.errors import Refused
from longshore_common.profile import stack_dir

StateDir = Annotated[
    Path | None,
    typer.Option("--state-dir", metavar="DIR", help="where all is kept; default LONGSHORE_STATE_DIR or by XDG"),
]
Detach = Annotated[bool, typer.Option("--detach", help="return when everything is ready")]
Workers = Annotated[int, typer.Option("--workers", metavar="N", min=0, help="agents on this host")]
Concurrency = Annotated[
    str | None,
    typer.Option(
        "--concurrency", metavar="N|auto", help="slots of each; default: CPUs; auto: what tasks request decides"
    ),
]


def register(root: typer.Typer) -> None:
    """Add these commands."""
    for command in (up, down, status):
        root.command()(command)


def up(
    *, detach: Detach = False, directory: StateDir = None, workers: Workers = 1, concurrency: Concurrency = None
) -> int:
    """Start a whole stack under one directory: NATS, PostgreSQL, the services and local workers."""
    from longshore.amounts import concurrency as parsed

    slots = (os.cpu_count() or 1) if concurrency is None else parsed(concurrency)
    return int(
        _stack().up(_where(directory), detach=detach, workers=workers, concurrency=slots, environ=dict(os.environ)) or 0
    )


def down(*, directory: StateDir = None) -> int:
    """Stop the stack; all state is kept."""
    return int(_stack().down(_where(directory)) or 0)


def status(*, directory: StateDir = None, as_json: Json = False) -> int:
    """The parts of the stack and their health; exit 3 if nothing runs."""
    found: dict[str, Any] = _stack().status(_where(directory))
    if as_json:
        import msgspec

        from longshore.cli.printing import raw_lines

        raw_lines([msgspec.json.encode(found)])
    else:
        from longshore.cli.printing import note, table

        heads = ("name", "pid", "state", "since", "restarts")
        table(heads, ([part.get(head) for head in heads] for part in found.get("processes", ())))
        note("ready" if found.get("ready") else f"not ready: {found.get('missing') or 'start it with `longshore up`'}")
    return 0 if found.get("supervisor") else 3


def _where(directory: Path | None) -> Path:
    return directory.absolute() if directory else stack_dir(os.environ)


def _stack() -> Any:
    try:
        from longshore_infra import stack
    except ImportError as err:
        raise Refused(
            f"the embedded stack is not installed ({err}): pip install 'longshore[embedded]', "
            "or set LONGSHORE_STATE_DIR to that of a stack elsewhere"
        ) from err
    return stack
