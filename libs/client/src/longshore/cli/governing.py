"""`longshore share`: what batches and users get beside others; `longshore policy`: what the operator decides for all."""

from typing import Annotated, Any

import typer

from longshore.cli import live
from longshore.cli.words import Json, add_noun, new_app

Batch = Annotated[str, typer.Argument(metavar="NAME", help="the batch", autocompletion=live.batches)]
User = Annotated[str, typer.Argument(metavar="NAME", help="the user")]
Weight = Annotated[
    float | None, typer.Option("--weight", metavar="W", help="of its share: 1 as any other, 2 twice as much")
]
MaxRunning = Annotated[
    int | None, typer.Option("--max-running", metavar="N", help="tasks on workers at once; 0 = no limit")
]
Usual = Annotated[bool, typer.Option("--reset", help="as any other again")]
Words = Annotated[list[str], typer.Argument(metavar="KEY=VALUE...", help="such as half_life=7d or trouble.host=3")]
Keys = Annotated[list[str] | None, typer.Argument(metavar="[KEY]...", help="only these; none = all of it")]


def register(root: typer.Typer) -> None:
    """Add these nouns."""
    app = new_app("what batches and users get beside others")
    app.command("list")(list_shares)
    app.command("batch")(of_batch)
    app.command("user")(of_user)
    add_noun(root, "share", app)
    app = new_app("what the operator decides for all")
    app.command("show")(show_policy)
    app.command("set")(set_policy)
    app.command("reset")(reset_policy)
    add_noun(root, "policy", app)


def list_shares(*, as_json: Json = False) -> None:
    """Batches and users whose share is not the usual one (weight 1, no limit)."""
    import msgspec

    from longshore.cli.door import Door
    from longshore.cli.printing import raw_lines, table
    from longshore.governing import shares

    found = shares(Door().reader)
    if as_json:
        raw_lines(msgspec.json.encode(one) for one in found)
    else:
        heads = ("kind", "name", "weight", "max_running", "since")
        table(heads, ([getattr(one, head) for head in heads] for one in found))


def of_batch(*, name: Batch, weight: Weight = None, max_running: MaxRunning = None, reset: Usual = False) -> None:
    """What a batch gets beside others; what is not named stays as it is."""
    _share("batch", name, (weight, max_running), reset=reset)


def of_user(*, name: User, weight: Weight = None, max_running: MaxRunning = None, reset: Usual = False) -> None:
    """What a user gets beside others; what is not named stays as it is."""
    _share("user", name, (weight, max_running), reset=reset)


def _share(kind: Any, name: str, values: tuple[float | None, int | None], *, reset: bool) -> None:
    from longshore.cli.door import Door
    from longshore.cli.printing import data
    from longshore.governing import share, usual
    from longshore_common.errors import BadInput

    if reset and values != (None, None):
        raise BadInput("--reset takes back --weight and --max-running: give it alone")
    Door().wish(usual(kind, name) if reset else share(kind, name, *values))
    data(name)


def show_policy(*, as_json: Json = False) -> None:
    """All values, and since when they hold."""
    from longshore.cli.door import Door
    from longshore.cli.printing import raw_lines
    from longshore.governing import ruling

    reader = Door().reader
    if as_json:
        raw_lines([reader.get("/policy").body])
        return
    _show(ruling(reader))


def _show(ruling: Any) -> None:
    import msgspec

    from longshore.cli.printing import note, pairs
    from longshore.governing import is_time
    from longshore.quantities import shown_duration

    shown: dict[str, object] = {}
    for name, value in msgspec.structs.asdict(ruling.policy).items():
        if isinstance(value, dict):
            shown |= {f"{name}.{cause}": str(times) for cause, times in value.items()}
        else:
            shown[name] = shown_duration(value) if is_time(name) else str(value)
    pairs(shown)
    note(f"set by event {ruling.request}, {ruling.since}" if ruling.request else "nobody has changed it")


def set_policy(*, words: Words) -> None:
    """Change values: times such as 7d or 90s, `trouble.CAUSE=N` for attempts again per cause."""
    from longshore.cli.door import Door
    from longshore.governing import changed, ruling

    door = Door()
    _wish(door, changed(ruling(door.reader).policy, words))


def reset_policy(*, names: Keys = None) -> None:
    """These values, or all of them, as they come."""
    from longshore.cli.door import Door
    from longshore.governing import forgotten, ruling

    door = Door()
    _wish(door, forgotten(ruling(door.reader).policy, names or ()))


def _wish(door: Any, policy: Any) -> None:
    from longshore.governing import Ruling
    from longshore_common.events import PolicyRequested

    seq = door.wish(PolicyRequested(policy=policy))
    _show(Ruling(policy=policy, request=seq))
