"""`longshore undo`: take back what a wish of yours changed, by its number, or the last one."""

from typing import Annotated

import typer

from longshore.cli.steering import DryRun
from longshore.cli.words import Json
from longshore_common.errors import BadInput

Which = Annotated[
    str, typer.Argument(metavar="SEQ|last", help="the number that the command told, or that `longshore history` shows")
]


def register(root: typer.Typer) -> None:
    """Add this command."""
    root.command()(undo)


def undo(*, which: Which = "last", dry_run: DryRun = False, as_json: Json = False) -> int:
    """Append the opposite of what was changed, as far as it still applies; an undo can be undone by its own number."""
    from longshore.cli import previewing
    from longshore.cli.door import Door
    from longshore.cli.printing import data
    from longshore_common.events import UndoRequested

    if which != "last" and not (which.isascii() and which.isdigit() and int(which)):
        raise BadInput(f"{which!r} is no wish: give its number, or `last`")
    wish = UndoRequested(request=0 if which == "last" else int(which))
    door = Door()
    if dry_run:
        return previewing.show(door, [wish], as_json=as_json)
    door.wish(wish)
    data(which)
    return 0
