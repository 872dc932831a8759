"""`longshore batch`: list, show, pause, resume."""

from typing import Final

from longshore.cli.words import EVERYTHING, JSON, LIMIT, Command, Noun, argument, flag
from longshore.specs import batch_name

_NAME: Final = argument("name", metavar="NAME", help="the batch")


def list_batches(*, as_json: bool, limit: int, everything: bool) -> None:
    """All batches with their counts."""
    from longshore.cli.door import Door
    from longshore.cli.listing import Columns, show_list

    columns = Columns(("name", "size", "states", "paused", "submitted_at"))
    show_list(Door().reader, "/batches", {}, columns, None if everything else limit, as_json=as_json)


def show(*, name: str, as_json: bool) -> None:
    """One batch: counts per state, paused or not, since when."""
    from longshore.cli.door import Door
    from longshore.cli.listing import show_one

    show_one(Door().reader.get(f"/batches/{batch_name(name)}").body, as_json=as_json)


def pause(*, name: str, freeze: bool) -> None:
    """Hand out no more of it."""
    from longshore.cli.door import Door
    from longshore.cli.printing import data
    from longshore_common.events import BatchPauseRequested

    Door().wish(BatchPauseRequested(batch=batch_name(name), freeze=freeze))
    data(name)


def resume(*, name: str) -> None:
    """Hand it out again, and let what was frozen run on."""
    from longshore.cli.door import Door
    from longshore.cli.printing import data
    from longshore_common.events import BatchResumeRequested

    Door().wish(BatchResumeRequested(batch=batch_name(name)))
    data(name)


COMMANDS: Final = {
    "batch": Noun(
        "batches, which tie tasks together",
        {
            "list": Command(list_batches, (JSON, LIMIT, EVERYTHING)),
            "show": Command(show, (_NAME, JSON)),
            "pause": Command(pause, (_NAME, flag("--freeze", help="pause what runs as well"))),
            "resume": Command(resume, (_NAME,)),
        },
    )
}
