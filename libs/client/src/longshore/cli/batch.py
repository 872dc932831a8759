"""`longshore batch`: list, show, pause, resume."""

from typing import Annotated

import typer

from longshore.cli.words import Everything, Json, Limit, new_app

Name = Annotated[str, typer.Argument(metavar="NAME", help="The batch.")]


def register(root: typer.Typer) -> None:
    """Add this noun."""
    app = new_app("Batches: what belongs together.")
    app.command("list")(list_batches)
    app.command()(show)
    app.command()(pause)
    app.command()(resume)
    root.add_typer(app, name="batch")


def list_batches(as_json: Json = False, limit: Limit = 50, everything: Everything = False) -> None:  # noqa: FBT002 -- typer reads flags so
    """All batches with their counts."""
    from longshore.cli.door import Door
    from longshore.cli.listing import Columns, show_list

    columns = Columns(
        ("name", "size", "states", "paused", "submitted_at"), {"state": lambda b: "paused" if b["paused"] else ""}
    )
    show_list(Door().reader, "/batches", {}, columns, None if everything else limit, as_json=as_json)


def show(name: Name, as_json: Json = False) -> None:  # noqa: FBT002 -- typer reads flags so
    """One batch: counts per state, paused or not, since when."""
    from longshore.cli.door import Door
    from longshore.cli.listing import show_one
    from longshore.specs import batch_name

    show_one(Door().reader.get(f"/batches/{batch_name(name)}").body, as_json=as_json)


def pause(
    name: Name,
    freeze: Annotated[bool, typer.Option("--freeze", help="Pause what runs as well.")] = False,  # noqa: FBT002 -- typer reads flags so
) -> None:
    """Hand out no more of it."""
    from longshore.cli.door import Door
    from longshore.cli.printing import data
    from longshore.specs import batch_name
    from longshore_common.events import BatchPauseRequested

    Door().wish(BatchPauseRequested(batch=batch_name(name), freeze=freeze))
    data(name)


def resume(name: Name) -> None:
    """Hand it out again, and let what was frozen run on."""
    from longshore.cli.door import Door
    from longshore.cli.printing import data
    from longshore.specs import batch_name
    from longshore_common.events import BatchResumeRequested

    Door().wish(BatchResumeRequested(batch=batch_name(name)))
    data(name)
