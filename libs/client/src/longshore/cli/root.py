"""The tree of commands: a word is looked up by importing its module and no other. Help and completion import all."""

from importlib import import_module
from typing import Annotated, Any, Final

import click
import typer
from typer.core import TyperGroup
from typer.main import get_command

from longshore.cli.words import new_app
from longshore_common.errors import BadInput

#: First word -> the module in this package that registers it.
MODULES: Final = {
    "up": "stack", "down": "stack", "status": "stack",
    "submit": "submit", "flush": "submit",
    "task": "task", "batch": "batch", "worker": "worker",
    "explain": "ask", "history": "ask", "wait": "ask",
    "db": "admin", "config": "admin", "completion": "completion",
}  # fmt: skip


class Noun(TyperGroup):
    """Commands under one word; the word alone is a question for help."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Nothing typed is `--help`, on stdout and with exit code 0."""
        return super().parse_args(ctx, args or ["--help"])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of the first word; `BadInput` names those there are."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            there_are = ", ".join(self.list_commands(ctx))
            raise BadInput(
                f"`{ctx.command_path}` has no {args[0]!r}; it has {there_are}. Try `{ctx.command_path} --help`."
            )
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command; misuse of it is `BadInput`."""
        try:
            return super().invoke(ctx)
        except click.UsageError as err:
            raise _misuse(err, f"{ctx.command_path} {ctx.invoked_subcommand}") from err


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


def _longshore(*, version: Annotated[bool, typer.Option("-V", "--version", help="print the version")] = False) -> None:
    """Submit commands, follow them, and look after the machines that run them."""
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
        raise _misuse(err, "longshore") from err
    except click.exceptions.Exit as err:
        return err.exit_code
    return code if isinstance(code, int) else 0


def _misuse(err: click.UsageError, path: str) -> BadInput:
    """`path` is whose help tells more, if the error does not know."""
    known = err.ctx.command_path if err.ctx else path
    return BadInput(f"{err.format_message().rstrip('.')}. Try `{known} --help`.")
