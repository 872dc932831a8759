"""`longshore db`, `longshore config`: what an operator asks for."""

import os

import msgspec
import typer

from longshore.cli.words import Json, add_noun, new_app


def register(root: typer.Typer) -> None:
    """Add these commands."""
    app = new_app("the read model: PostgreSQL, made from the log")
    app.command()(rebuild)
    add_noun(root, "db", app)
    root.command()(config)


def rebuild() -> None:
    """Make the read model anew from the log; reads wait meanwhile, running tasks do not notice."""
    from longshore.cli.door import Door
    from longshore.cli.printing import note

    Door().reader.post("/projection/rebuild")
    note("the read model is made anew from the log; `longshore status` tells how far it is")


def config(*, as_json: Json = False) -> None:
    """The settings in force, and where each comes from."""
    from longshore.cli.configured import configured
    from longshore.cli.printing import raw_lines, table
    from longshore_common.profile import load, state_dir

    where = state_dir(os.environ)
    loaded = configured(os.environ)
    rows = [
        {"name": "state_dir", "value": str(where), "origin": loaded.origins["state_dir"]},
        {"name": "batch", "value": loaded.value.batch, "origin": loaded.origins["batch"]},
    ]
    file = where / "client.json"
    if file.exists():
        rows += [
            {"name": name, "value": value, "origin": str(file)}
            for name, value in msgspec.structs.asdict(load(where)).items()
        ]
    if as_json:
        raw_lines(msgspec.json.encode(row) for row in rows)
    else:
        table(("name", "value", "origin"), (list(row.values()) for row in rows))
