"""`longshore user`: whom admins let in, what they may do, and the secrets by which they come."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from longshore.cli.words import Json, add_noun, new_app

if TYPE_CHECKING:
    from longshore.people import People, Shown

Name = Annotated[str, typer.Argument(metavar="NAME", help="the user: 1-63 of a-z, 0-9, '-' and '_'")]
Who = Annotated[str | None, typer.Argument(metavar="[NAME]", help="the user; default: you")]
RoleOption = Annotated[str, typer.Option("--role", metavar="ROLE", help="viewer, user or admin")]
RoleWord = Annotated[str, typer.Argument(metavar="ROLE", help="viewer, user or admin")]
Lasts = Annotated[
    str | None, typer.Option("--lasts", metavar="TIME", help="the secret counts so long, as 90d; default: without end")
]
Overlap = Annotated[
    str, typer.Option("--overlap", metavar="TIME", help="the old ones count so long still, as 1d; default: not at all")
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="for the history")]
Called = Annotated[str, typer.Option("--name", metavar="TEXT", help="what its owner calls it, as `laptop`")]
Ident = Annotated[str, typer.Argument(metavar="ID", help="as `list` shows it")]

_CREDENTIAL = ("id", "kind", "name", "issued_at", "expires_at", "by")


def register(root: typer.Typer) -> None:
    """Add this noun."""
    app = new_app("users, what they may do, and their secrets")
    app.command()(add)
    app.command("list")(list_users)
    app.command()(show)
    app.command()(role)
    app.command()(revoke)
    app.command()(rotate)
    secrets = new_app("secrets of users: each of yours, or as an admin anybody's")
    secrets.command("add")(add_secret)
    secrets.command("list")(list_secrets)
    secrets.command("revoke")(revoke_secret)
    add_noun(app, "secret", secrets)
    add_noun(root, "user", app)


def add(
    *, name: Name, role: RoleOption = "user", lasts: Lasts = None, called: Called = "", as_json: Json = False
) -> None:
    """Let somebody in; their first secret is printed, once."""
    told(_people().add(name, role_of(role), lasts=seconds(lasts), secret_name=called), as_json=as_json)


def list_users(*, as_json: Json = False) -> None:
    """All there ever were; those without a role are revoked."""
    rows(_people().users(), ("name", "role", "added_at", "changed_at", "by"), as_json=as_json)


def show(*, name: Who = None, as_json: Json = False) -> None:
    """One user."""
    import msgspec

    from longshore.cli.printing import pairs, raw_lines

    people = _people()
    found = people.user(name or _me(people))
    if as_json:
        raw_lines([msgspec.json.encode(found)])
    else:
        pairs(msgspec.structs.asdict(found) | {"role": found.role or "(revoked)"})


def role(*, name: Name, word: RoleWord) -> None:
    """Give somebody another role; who becomes an admin or more than a viewer logs in again to have all of it."""
    from longshore.cli.printing import note

    changed = _people().change(name, role_of(word))
    note(f"{name} is {word} from here on" if changed.seq else f"{name} is {word} already")


def revoke(*, name: Name, reason: Reason = "") -> None:
    """Void all credentials of somebody, at once; what they submitted goes on, and admins may do with it what they could."""
    from longshore.cli.printing import note

    changed = _people().revoke(name, reason)
    note(f"{name} is revoked" + ("" if changed.seq else " already"))


def rotate(
    *, name: Who = None, overlap: Overlap = "0", lasts: Lasts = None, called: Called = "", as_json: Json = False
) -> None:
    """A new secret in the place of all others, printed once; log in with it."""
    people = _people()
    made = people.rotate(name or _me(people), overlap=seconds(overlap), name=called, lasts=seconds(lasts))
    told(made, as_json=as_json)


def add_secret(*, name: Who = None, lasts: Lasts = None, called: Called = "", as_json: Json = False) -> None:
    """Another secret, printed once, as for another computer."""
    people = _people()
    told(people.issue(name or _me(people), name=called, lasts=seconds(lasts)), as_json=as_json)


def list_secrets(*, name: Who = None, as_json: Json = False) -> None:
    """Secrets, and the keys of NATS got by them; not what they consist of."""
    people = _people()
    rows(people.credentials(name or _me(people)), _CREDENTIAL, as_json=as_json)


def revoke_secret(*, ident: Ident) -> None:
    """Void one, at once, with the keys of NATS got by it."""
    from longshore.cli.printing import note

    changed = _people().withdraw(ident)
    note(f"{ident} is revoked" + ("" if changed.seq else " already"))


# --- shared with the credentials of nobody ------------------------------------------------------------------------------


def _people() -> "People":
    from longshore.cli.door import Door
    from longshore.people import People

    return People(Door().reader)


def _me(people: "People") -> str:
    from longshore_common.errors import BadInput

    if user := people.me().user:
        return user
    raise BadInput("a group's token is nobody's: name a user")


def told(made: "Shown", *, as_json: bool) -> None:
    """A new secret: on stdout, alone; what it is on stderr."""
    import msgspec

    from longshore.cli.printing import data, note, raw_lines

    if as_json:
        raw_lines([msgspec.json.encode(made)])
        return
    found = made.credential
    whose = f" of {found.user}" if found.user else ""
    until = f", until {found.expires_at}" if found.expires_at else ""
    note(f"{found.kind} {found.id}{whose}{until}; this is shown once:")
    data(made.secret)


def rows(found: Any, heads: tuple[str, ...], *, as_json: bool) -> None:
    """Records as a table, or as lines of JSON."""
    import msgspec

    from longshore.cli.printing import raw_lines, table

    if as_json:
        raw_lines(msgspec.json.encode(each) for each in found)
    else:
        table(heads, ([getattr(each, head) for head in heads] for each in found))


def role_of(word: str) -> Any:
    """A role; `BadInput` names those there are."""
    from longshore_common.authority import ROLES
    from longshore_common.errors import BadInput

    if word not in ROLES:
        raise BadInput(f"{word!r} is no role: there are {', '.join(ROLES)}")
    return word


def seconds(text: str | None) -> float:
    """A time as people write it, 0 for none."""
    from longshore.quantities import duration

    return duration(text) if text else 0
