"""The tree of commands: a word is looked up by importing its module and no other. Help and completion import all."""

import os
from importlib import import_module
from typing import Annotated, Any, Final

import click
import typer
from typer.main import get_command

from longshore.cli.noun import Noun, misuse
from longshore.cli.words import new_app

#: First word -> the module in this package that registers it.
MODULES: Final = {
    "up": "stack", "down": "stack", "status": "stack",
    "login": "entering", "logout": "entering", "whoami": "entering", "user": "people", "join-secret": "shared",
    "group-token": "shared",
    "submit": "submit", "flush": "submit",
    "task": "task", "batch": "batch", "worker": "worker", "data": "data", "dir": "dir", "remote": "remote",
    "secret": "secret", "notify": "notify", "image": "image",
    "undo": "undoing", "share": "governing", "policy": "governing",
    "explain": "ask", "demand": "demand", "history": "chronicle", "wait": "ask",
    "db": "admin", "config": "admin", "completion": "completion",
    "slurm-shim": "slurm",
}  # fmt: skip


class Root(Noun):
    """All first words, each found in its module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the manual."""
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the word's module."""
        if cmd_name not in MODULES:
            return None
        app = new_app()
        app.callback()(_longshore)  # so that typer makes a group even of a module with one command
        import_module(f"longshore.cli.{MODULES[cmd_name]}").register(app)
        group = get_command(app)
        assert isinstance(group, click.Group)
        return group.commands[cmd_name]


def _longshore(
    *,
    version: Annotated[bool, typer.Option("-V", "--version", help="print the version")] = False,
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="NAME", help="as whom and where, see login; or LONGSHORE_PROFILE")
    ] = None,
) -> None:
    """Submit commands, follow them, and look after the machines that run them."""
    if profile:
        os.environ["LONGSHORE_PROFILE"] = profile
    if version:
        from longshore import __version__

        print(f"longshore {__version__}")
        raise typer.Exit


def tree() -> click.Command:
    """The whole command line."""
    app = new_app()
    app.callback(cls=Root)(_longshore)
    return get_command(app)


def called(words: list[str]) -> int:
    """Read the words, call their command, and return the exit code; misuse is `BadInput` that names the help.

    Not by click's own `main`, which would swallow an interrupt and end the process.
    """
    command: Any = tree()
    try:
        with command.make_context("longshore", ["--help"] if words == ["help"] else words) as ctx:
            code = command.invoke(ctx)
    except click.UsageError as err:
        raise misuse(err, "longshore") from err
    except click.exceptions.Exit as err:
        return err.exit_code
    return code if isinstance(code, int) else 0
