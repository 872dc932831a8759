"""What the command line's modules share: how an app is made, and the words that mean the same everywhere.

What must not enter: what any command does.
"""

from typing import Annotated, Final

import typer

from longshore.cli import live
from longshore.cli.noun import Noun

_IDS: Final = "1204.17, 1204.0-99, 1204 for a whole submission, last, or a task's name"

Json = Annotated[bool, typer.Option("--json", help="JSON for programs: lists print one object per line")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="at most so many")]
Everything = Annotated[bool, typer.Option("-a", "--all", help="all pages")]
At = Annotated[
    str | None, typer.Option("--at", metavar="TIME|SEQ", help="as it was: a sequence, an instant, or such as `2h ago`")
]
Batch = Annotated[
    str | None,
    typer.Option("-b", "--batch", metavar="NAME", help="the tasks of this batch", autocompletion=live.batches),
]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help=_IDS, autocompletion=live.tasks)]
SomeIds = Annotated[list[str], typer.Argument(metavar="ID...", help=_IDS, autocompletion=live.tasks)]
OneId = Annotated[str, typer.Argument(metavar="ID", help="1204.17, last, or a task's name", autocompletion=live.tasks)]


def new_app(help_text: str = "") -> typer.Typer:
    """An app in our manners: plain text, which spares importing rich, and errors that main tells."""
    return typer.Typer(
        help=help_text, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    )  # fmt: skip


def add_noun(root: typer.Typer, word: str, app: typer.Typer) -> None:
    """The app's commands under one word."""
    root.add_typer(app, name=word, cls=Noun)
