"""`longshore join-secret` and `longshore group-token`: what hosts join with, and what a group reads with."""

from typing import TYPE_CHECKING

import typer

from longshore.cli.people import Called, Ident, Lasts, Overlap, rows, seconds, told
from longshore.cli.words import Json, add_noun, new_app

if TYPE_CHECKING:
    from longshore.people import People, Shared

_HEADS = ("id", "name", "issued_at", "expires_at", "by")


def register(root: typer.Typer) -> None:
    """Add these nouns."""
    _register(
        root, "join-secret", "join", "what hosts show to become workers; the one in the stack's file counts as well"
    )
    _register(root, "group-token", "group", "what a group shows to read everything, and write nothing")


def _register(root: typer.Typer, word: str, kind: "Shared", help_text: str) -> None:
    app = new_app(help_text)

    @app.command("add")
    def add(*, called: Called = "", lasts: Lasts = None, as_json: Json = False) -> None:
        """A new one, printed once; several may count at once."""
        told(_people().share(kind, name=called, lasts=seconds(lasts)), as_json=as_json)

    @app.command("list")
    def list_them(*, as_json: Json = False) -> None:
        """Those that count; not what they consist of."""
        rows(_people().shared(kind), _HEADS, as_json=as_json)

    @app.command()
    def rotate(*, ident: Ident, overlap: Overlap = "0", as_json: Json = False) -> None:
        """A new one in the place of this, printed once."""
        told(_people().replace(ident, overlap=seconds(overlap)), as_json=as_json)

    @app.command()
    def revoke(*, ident: Ident) -> None:
        """Void one, at once; workers that joined by it stay."""
        from longshore.cli.printing import note

        changed = _people().withdraw(ident)
        note(f"{ident} is revoked" + ("" if changed.seq else " already"))

    add_noun(root, word, app)


def _people() -> "People":
    from longshore.cli.door import Door
    from longshore.people import People

    return People(Door().reader)
