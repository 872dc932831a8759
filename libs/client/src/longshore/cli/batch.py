"""`longshore batch`: list, show, pause, resume, and how long its things are kept."""

from typing import Annotated

import typer

from longshore.cli import live
from longshore.cli.steering import register_batches
from longshore.cli.words import At, Everything, Json, Limit, add_noun, new_app
from longshore.specs import batch_name

Name = Annotated[str, typer.Argument(metavar="NAME", help="the batch", autocompletion=live.batches)]
Freeze = Annotated[bool, typer.Option("--freeze", help="pause what runs as well")]

_KEPT = "kept so long after a task ended, such as 30d; 0 = for ever"
Outputs = Annotated[
    str, typer.Option("--outputs", metavar="TIME", show_default=False, help=f"published outputs: {_KEPT}")
]
Logs = Annotated[str, typer.Option("--logs", metavar="TIME", show_default=False, help="stdout and stderr")]
Failed = Annotated[
    str, typer.Option("--failed", metavar="TIME", show_default=False, help="what failed attempts delivered")
]
Inputs = Annotated[str, typer.Option("--inputs", metavar="TIME", show_default=False, help="inputs uploaded by submit")]


def register(root: typer.Typer) -> None:
    """Add this noun."""
    app = new_app("batches, which tie tasks together")
    app.command("list")(list_batches)
    for command in (show, pause, resume, retention):
        app.command()(command)
    register_batches(app)
    add_noun(root, "batch", app)


def list_batches(*, at: At = None, as_json: Json = False, limit: Limit = 50, everything: Everything = False) -> None:
    """All batches with their counts."""
    from longshore.cli.door import Door
    from longshore.cli.listing import Columns, show_list

    columns = Columns(("name", "size", "states", "paused", "submitted_at"))
    show_list(Door().reader, "/batches", {"at": at}, columns, None if everything else limit, as_json=as_json)


def show(*, name: Name, at: At = None, as_json: Json = False) -> None:
    """One batch: counts per state, paused or not, since when."""
    from longshore.cli.door import Door
    from longshore.cli.listing import show_one, tell_standing

    reader = Door().reader
    show_one(reader.get(f"/batches/{batch_name(name)}", {"at": at}).body, as_json=as_json)
    tell_standing(reader)


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


def retention(
    *, name: Name, outputs: Outputs = "0", logs: Logs = "0", failed: Failed = "0", inputs: Inputs = "0"
) -> None:
    """How long the things of its ended tasks are kept; what is not named is kept for ever."""
    from longshore.cli.door import Door
    from longshore.cli.printing import data
    from longshore.quantities import duration
    from longshore_common.events import BatchRetentionRequested
    from longshore_common.model import Retention

    times = Retention(outputs=duration(outputs), logs=duration(logs), failed=duration(failed), inputs=duration(inputs))
    Door().wish(BatchRetentionRequested(batch=batch_name(name), retention=times))
    data(name)
