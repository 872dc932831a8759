"""What every command line module shares: how an app is made, and the options that mean the same everywhere."""

from typing import Annotated

import typer


def new_app(help_text: str, *, root: bool = False) -> typer.Typer:
    """A Typer app in our manners: plain text, our own errors, completion at the root only."""
    app = typer.Typer(
        help=help_text,
        add_completion=root,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    if root:
        app.callback(invoke_without_command=False)(_version)
    return app


def _version(version: Annotated[bool, typer.Option("--version", "-V", help="Print the version.")] = False) -> None:  # noqa: FBT002 -- typer reads flags so
    """Submit commands, follow them, and look after the machines that run them."""
    if version:
        from longshore import __version__

        print(f"longshore {__version__}")
        raise typer.Exit


Json = Annotated[bool, typer.Option("--json", help="JSON for programs: lists one object per line.")]
Batch = Annotated[str | None, typer.Option("-b", "--batch", metavar="NAME", help="The tasks of this batch.")]
Limit = Annotated[int, typer.Option("--limit", min=1, metavar="N", help="At most so many.")]
Everything = Annotated[bool, typer.Option("--all", "-a", help="All pages.")]
Ids = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]…", help="1204.17, 1204.0-99, 1204, last, or a task's name.")
]
