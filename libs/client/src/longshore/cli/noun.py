"""A first word with commands under it, and how their misuse is told: one line that names the help.

What must not enter: which words there are.
"""

from typing import Any

import click
from typer.core import TyperGroup

from longshore_common.errors import BadInput


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
            raise misuse(err, f"{ctx.command_path} {ctx.invoked_subcommand}") from err


def misuse(err: click.UsageError, path: str) -> BadInput:
    """The error as ours; `path` is whose help tells more, if the error does not know."""
    known = err.ctx.command_path if err.ctx else path
    return BadInput(f"{err.format_message().rstrip('.')}. Try `{known} --help`.")
