"""`longshore remote`: rclone's remotes as schemes of the workers; share, withdraw, list, show."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from longshore.cli import live
from longshore.cli.words import Json, add_noun, new_app
from longshore_common.errors import BadInput

if TYPE_CHECKING:
    from longshore.cli.door import Door
    from longshore.records import Worker
    from longshore_data.remotes import Remotes

_WORKER = "this worker, `all` for all (the default); may be repeated"
Config = Annotated[
    str | None, typer.Option("--config", metavar="FILE", help="rclone's configuration; default: where rclone keeps it")
]
Only = Annotated[
    list[str] | None, typer.Option("--only", metavar="NAME", help="only this remote, and those that it stands upon")
]
Workers = Annotated[
    list[str] | None,
    typer.Option("-w", "--worker", metavar="WORKER", help=_WORKER, autocompletion=live.workers),
]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0, help="wait so long for the workers")]

#: Seconds between two looks at what the workers offer.
_LOOK: Final = 0.2


def register(root: typer.Typer) -> None:
    """Add this noun."""
    app = new_app("rclone's remotes as schemes of the workers: sftp, WebDAV, Azure, Google and all that rclone knows")
    app.command()(share)
    app.command()(withdraw)
    app.command("list")(list_schemes)
    app.command()(show)
    add_noun(root, "remote", app)


def share(*, config: Config = None, only: Only = None, workers: Workers = None, timeout: Timeout = 10) -> int:
    """Make remotes of this computer schemes of the workers: NAME://path in inputs, resources and outputs.

    The configuration replaces what was shared before. It is sealed here for each worker, with the key that its host
    made: neither the stack nor its log can read it. Workers that enrol later need another `share`. A host can have
    remotes of its own by RCLONE_CONFIG in its agent's environment; of two of one name the shared one holds.

    The exit code is 1 if a worker has not taken it within --timeout; it will when it is back.
    """
    from longshore.cli.door import Door

    remotes = _configured(config, only)
    if not remotes.names:
        raise BadInput("rclone has no remotes here: make one with `rclone config`, or name a file with --config")
    door = Door()
    return _await(door, _give(door, remotes, workers), remotes.names, timeout)


def withdraw(*, workers: Workers = None) -> None:
    """Take back what was shared. What a host has by its own RCLONE_CONFIG stays."""
    from longshore.cli.door import Door
    from longshore.cli.printing import data
    from longshore_data.remotes import Remotes

    for worker in _give(Door(), Remotes(), workers):
        data(worker.name)


def list_schemes(*, as_json: Json = False) -> None:
    """Which remotes each worker offers, besides the schemes that all have."""
    import json

    from longshore.cli.door import Door
    from longshore.cli.printing import raw_lines, table
    from longshore.sharing import schemes

    rows = [(w.name, w.state, schemes(w)) for w in Door().reader.workers()]
    if as_json:
        raw_lines(json.dumps(dict(zip(("worker", "state", "schemes"), row, strict=True))).encode() for row in rows)
    else:
        table(("worker", "state", "schemes"), rows)


def show(*, config: Config = None) -> None:
    """The remotes of this computer: names, types, and who moves their bytes; never the values."""
    from longshore.cli.printing import table
    from longshore_data.stores.s3_remote import ours

    remotes = _configured(config, None)
    sections = [(name, remotes.section(name)) for name in remotes.names]
    table(("name", "type", "by"), [(n, s["type"], "longshore" if ours(s) else "rclone") for n, s in sections])


def _configured(config: str | None, only: list[str] | None) -> "Remotes":
    import os

    from longshore.cli.printing import note
    from longshore_data.configuration import own_remotes

    found = own_remotes(os.environ, config)
    for name in found.nameless if not only else ():
        note(f"{name!r} cannot be a scheme: rename it, or stand another remote of type alias upon it")
    if only and (absent := [name for name in only if name not in found.names]):
        raise BadInput(f"rclone has no remote {', '.join(absent)} here; it has {', '.join(found.names) or 'none'}")
    return found.only(only) if only else found


def _give(door: "Door", remotes: "Remotes", names: list[str] | None) -> "tuple[Worker, ...]":
    """Seal and write; those whom it was written to."""
    from longshore.cli.printing import note
    from longshore.sharing import meant, sealed

    found = meant(door.reader.workers(), [] if not names or "all" in names else names)
    for line in found.others:
        note(line)
    if not found.workers:
        raise BadInput("there is no worker that it could be given to: see `longshore worker list`")
    for event in sealed(remotes, found.workers):
        door.wish(event)
    return found.workers


def _await(door: "Door", workers: "tuple[Worker, ...]", names: tuple[str, ...], timeout: float) -> int:
    """Say of each worker what it offers, once it offers all of this; of those that do not so in time, why."""
    import time

    from longshore.cli.printing import data, note
    from longshore.sharing import schemes

    waiting, end = {w.name for w in workers}, time.monotonic() + timeout
    while True:
        now = {w.name: w for w in door.reader.workers() if w.name in waiting}
        for name, worker in now.items():
            if set(names) <= set(schemes(worker)):
                data(f"{name}\t{' '.join(schemes(worker))}")
                waiting.discard(name)
        if not waiting or time.monotonic() > end:
            break
        time.sleep(_LOOK)
    for name in sorted(waiting):
        note(f"{name} is {now[name].state or 'away'} and has not taken it yet: see its agent's log if it stays so")
    return 1 if waiting else 0
