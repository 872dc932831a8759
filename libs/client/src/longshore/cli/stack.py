"""`longshore up`, `down`, `status`: the embedded stack, if `longshore-infra` is installed. The only module that knows it."""

import os
from pathlib import Path
from typing import Any, Final

from longshore.cli.words import JSON, Command, flag, option, whole
from longshore_common.errors import Refused
from longshore_common.profile import state_dir

_STATE_DIR: Final = option(
    "--state-dir",
    meta="DIR",
    type=Path,
    dest="directory",
    help="where all is kept; default LONGSHORE_STATE_DIR or by XDG",
)


def up(*, detach: bool, directory: Path | None, workers: int, concurrency: int) -> int:
    """Start a whole stack under one directory: NATS, PostgreSQL, the services and local workers."""
    return int(
        _stack().up(
            _where(directory), detach=detach, workers=workers, concurrency=concurrency, environ=dict(os.environ)
        )
        or 0
    )


def down(*, directory: Path | None) -> int:
    """Stop the stack; all state is kept."""
    return int(_stack().down(_where(directory)) or 0)


def status(*, directory: Path | None, as_json: bool) -> int:
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


COMMANDS: Final = {
    "up": Command(
        up,
        (
            flag("--detach", help="return when everything is ready"),
            _STATE_DIR,
            option("--workers", meta="N", type=whole, default=1, help="agents on this host; default 1"),
            option(
                "--concurrency", meta="N", type=whole, default=os.cpu_count() or 1, help="slots of each; default: CPUs"
            ),
        ),
    ),
    "down": Command(down, (_STATE_DIR,)),
    "status": Command(status, (_STATE_DIR, JSON)),
}
