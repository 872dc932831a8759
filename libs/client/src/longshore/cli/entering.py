"""`longshore login`, `logout`, `whoami`: as whom commands are given, and to which stack."""

import os
from typing import Annotated, Final

import typer

from longshore.cli.words import Json

Api = Annotated[
    str | None, typer.Option("--api", metavar="URL", help="of the stack, as https://host; default: the one in force")
]
SecretFile = Annotated[
    str | None,
    typer.Option("--secret-file", metavar="FILE", help="where the secret is, `-` for stdin; default: you are asked"),
]
OverHttp = Annotated[bool, typer.Option("--http", help="everything over HTTP: NATS cannot be reached from here")]

#: Where programs without a terminal may put it; an argument would be seen by all users of a host.
_VARIABLE: Final = "LONGSHORE_SECRET"


def register(root: typer.Typer) -> None:
    """Add these commands."""
    for command in (login, logout, whoami):
        root.command()(command)


def login(*, api: Api = None, secret_file: SecretFile = None, http: OverHttp = False) -> None:
    """Show an api secret and become its user, in the profile named by --profile or LONGSHORE_PROFILE, else `default`.

    The default profile is what commands use where neither a profile nor LONGSHORE_STATE_DIR is named.
    """
    from longshore import logins
    from longshore.cli.printing import data, note
    from longshore_common.profile import DEFAULT, load, profile_dir, stack_dir

    name = os.environ.get("LONGSHORE_PROFILE") or DEFAULT
    where = profile_dir(name, os.environ)
    known = where if (where / "client.json").is_file() else stack_dir(os.environ)
    me = logins.login(where, api or load(known).api_url, _secret(secret_file), nats=not http)
    note(f"logged in as {me.user or 'a group, to read'} ({me.role}), profile {name}")
    data(me.user)


def _secret(file: str | None) -> str:
    import getpass
    import sys
    from pathlib import Path

    from longshore_common.errors import BadInput

    if file is None and (given := os.environ.get(_VARIABLE)):
        return given.strip()
    if file is None and sys.stdin.isatty():
        return getpass.getpass("api secret: ").strip()
    try:
        return (sys.stdin.read() if file in (None, "-") else Path(str(file)).read_text()).strip()
    except (OSError, UnicodeDecodeError) as err:
        raise BadInput(f"the secret {file} cannot be read: {err}") from err


def logout() -> None:
    """Remove the profile, and void its key of NATS; the secret still counts, `user secret revoke` ends it."""
    from longshore import logins
    from longshore.cli.printing import note
    from longshore_common.profile import state_dir

    where = state_dir(os.environ)
    if not logins.logout(where):
        note("the api did not answer: the key of NATS ends by itself, within a week")
    note(f"logged out, profile {where.name} is gone")


def whoami(*, as_json: Json = False) -> None:
    """The user, what they may do, by which credential, and at which stack."""
    import msgspec

    from longshore.cli.door import Door
    from longshore.cli.printing import pairs, raw_lines
    from longshore.people import People

    door = Door()
    me = msgspec.structs.asdict(People(door.reader).me()) | {"api_url": door.profile.api_url}
    if as_json:
        raw_lines([msgspec.json.encode(me)])
    else:
        pairs(me | {"user": me["user"] or "(a group)"})
