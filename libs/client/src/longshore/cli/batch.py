"""`longshore batch`: list, show, pause, resume."""

from typing import Annotated

import typer

from longshore.cli import live
from longshore.cli.words import Everything, Json, Limit, add_noun, new_app
from longshore.specs import batch_name

Name = Annotated[str, typer.Argument(metavar="NAME", help="the batch", autocompletion=live.batches)]
Freeze = Annotated[bool, typer.Option("--freeze", help="pause what runs as well")]


def register(root: typer.Typer) -> None:
    """Add this noun."""
    app = new_app("batches, which tie tasks together")
    app.command("list")(list_batches)
    for command in (show, pause, resume):
        app.command()(command)
    add_noun(root, "batch", app)


def list_batches(*, as_json: Json = False, limit: Limit = 50, everything: Everything = False) -> None:
    """All batches with their counts."""
    from longshore.cli.door import Door
    from longshore.cli.listing import Columns, show_list

    columns = Columns(("name", "size", "states", "paused", "submitted_at"))
    show_list(Door().reader, "/batches", {}, columns, None if everything else limit, as_json=as_json)


def show(*, name: Name, as_json: Json = False) -> None:
    """One batch: counts per state, paused or not, since when."""
    from longshore.cli.door import Door
    from longshore.cli.listing import show_one

    show_one(Door().reader.get(f"/batches/{batch_name(name)}").body, as_json=as_json)


def pause(*, name: Name, freeze: Freeze = False) -> None:
    """Hand out no more of it."""
    from longshore.cli.door import Door
    from longshore.cli.printing import data
    from longshore_common.events import BatchPauseRequested

    Door().wish(BatchPauseRequested(batch=batch_name(name), freeze=freeze))
    data(name)


def resume(*, name: Name) -> None:
    """Hand it out again, and let what was frozen run on."""
    from longshore.cli.door import Door
    from longshore.cli.printing import data
    from longshore_common.events import BatchResumeRequested

    Door().wish(BatchResumeRequested(batch=batch_name(name)))
    data(name)
