"""`longshore secret`: passwords and keys that tasks get as variables, sealed here for the workers that run them."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from longshore.cli import live
from longshore.cli.words import Json, add_noun, new_app
from longshore_common.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from longshore.cli.door import Door
    from longshore.records import Worker
    from longshore_common.confidential import Sheet
    from longshore_data.grants import Granted

Name = Annotated[str, typer.Argument(metavar="NAME", help="the name of the variable that tasks get")]
Dash = Annotated[str | None, typer.Argument(metavar="[-]", help="read the value from stdin")]
FromFile = Annotated[
    str | None, typer.Option("--from-file", metavar="FILE", help="the value is what is in this file; - is stdin")
]
Workers = Annotated[
    list[str] | None,
    typer.Option(
        "-w", "--worker", metavar="WORKER", help="this worker only; may be repeated", autocompletion=live.workers
    ),
]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0, help="wait so long for the workers")]
Endpoint = Annotated[
    str | None, typer.Option("--endpoint", metavar="URL", help="the S3 server; default: AWS_ENDPOINT_URL, else AWS")
]
Prefix = Annotated[
    list[str],
    typer.Option("--prefix", metavar="URI", help="what they open, such as s3://bucket/run7/; may be repeated"),
]
For = Annotated[str, typer.Option("--for", metavar="TIME", help="how long they open it, such as 12h")]
ReadOnly = Annotated[bool, typer.Option("--read-only", help="to read, not to write or remove")]
RoleArn = Annotated[
    str | None, typer.Option("--role", metavar="ARN", help="the role to take on, where the server has roles, as AWS")
]
Sts = Annotated[
    str | None,
    typer.Option("--sts", metavar="URL", help="who gives temporary credentials; default: the S3 server, or AWS"),
]
Uris = Annotated[list[str], typer.Argument(metavar="URI...", help="objects, such as s3://bucket/genome.fa")]

#: Workers that are named in a line.
_NAMED: Final = 5


def register(root: typer.Typer) -> None:
    """Add this noun."""
    app = new_app("passwords and keys for tasks: sealed here, opened only by the workers that run them")
    app.command("set")(set_value)
    app.command()(share)
    app.command("list")(list_secrets)
    app.command()(delete)
    app.command()(s3)
    app.command()(presign)
    add_noun(root, "secret", app)


def set_value(
    name: Name, dash: Dash = None, *, from_file: FromFile = None, workers: Workers = None, timeout: Timeout = 10
) -> int:
    """Give tasks of yours a secret: those submitted with --secret NAME find it in the variable NAME.

    The value is asked for, or read from stdin (-) or a file; one line break at its end is left out. It is sealed here for
    each worker with the key that its host made: neither the stack nor its log can read it, and nothing here keeps it.
    Workers that enrol later get it by `secret share`. Only tasks of yours can name it.

    The exit code is 1 if a worker has not taken it within --timeout; it will when it is back.
    """
    sheet = _sheet(name, _value(name, dash, from_file))
    return _give(sheet, lambda worker: True, workers, timeout)


def share(
    name: Name, dash: Dash = None, *, from_file: FromFile = None, workers: Workers = None, timeout: Timeout = 10
) -> int:
    """Give the secret to the workers that lack it, such as those that enrolled later. Its value is needed again."""
    from longshore.sharing import secrets

    sheet = _sheet(name, _value(name, dash, from_file))
    return _give(sheet, lambda worker: f"{sheet.owner}/{name}" not in secrets(worker), workers, timeout)


def list_secrets(*, as_json: Json = False) -> None:
    """Your secrets, and which workers hold them; never the values."""
    from longshore.cli.door import Door
    from longshore.cli.printing import note, raw_lines, table

    door = Door()
    if as_json:
        raw_lines(map(bytes, door.reader.raw_items("/secrets")))
        return
    able = [worker.name for worker in door.reader.workers() if worker.public_key]
    rows = []
    for one in door.reader.secrets():
        lacking = [name for name in able if name not in one.hold]
        own = one.owner == door.profile.user
        name = one.name if own else f"{one.owner}/{one.name}"
        if own and lacking:
            note(f"{len(lacking)} of {len(able)} workers lack {name}: longshore secret share {name}")
        some = " ".join(lacking[:_NAMED]) + (" …" if len(lacking) > _NAMED else "")
        rows.append((name, f"{len(one.hold)} of {len(able)}", some, one.since))
    table(("name", "workers", "lacking", "since"), rows)


def delete(name: Name) -> None:
    """Have all workers forget it. What runs keeps it; tasks that name it wait, and `explain` says so."""
    from longshore.cli.door import Door
    from longshore_common.events import SecretShared

    Door().wish(SecretShared(name=name))


def s3(  # noqa: PLR0913 - the options of a command
    name: Name,
    *,
    prefix: Prefix,
    endpoint: Endpoint = None,
    for_: For = "12h",
    read_only: ReadOnly = False,
    role: RoleArn = None,
    sts: Sts = None,
    workers: Workers = None,
    timeout: Timeout = 10,
) -> int:
    """Give tasks of yours temporary credentials for a part of a storage, as AWS_… variables.

    They are asked for with your own credentials (as S3 tools find them: AWS_ACCESS_KEY_ID … or --profile's files), which stay
    here. They open nothing but --prefix, and that for a time. The agent stages the s3:// inputs, resources and outputs of
    such tasks with them too.
    """
    import os

    from longshore.quantities import duration
    from longshore_common.clock import SystemClock
    from longshore_data.grants import Asked, temporary

    asked = Asked(
        prefixes=tuple(prefix), seconds=duration(for_), endpoint=endpoint or "", read_only=read_only, role=role or "",
        sts=sts or "",
    )  # fmt: skip
    granted = temporary(asked, os.environ, SystemClock().now())
    return _give_granted(name, granted, workers, timeout)


def presign(  # noqa: PLR0913 - the options of a command
    name: Name,
    uris: Uris,
    *,
    endpoint: Endpoint = None,
    for_: For = "12h",
    workers: Workers = None,
    timeout: Timeout = 10,
) -> int:
    """Give tasks of yours objects of a storage that has no temporary credentials: each by a signed address, for a time.

    Tasks with --secret NAME and these URIs as inputs or resources fetch them by the signed addresses.
    """
    import os

    from longshore.quantities import duration
    from longshore_common.clock import SystemClock
    from longshore_data.grants import presigned

    granted = presigned(tuple(uris), duration(for_), endpoint or "", os.environ, SystemClock().now())
    return _give_granted(name, granted, workers, timeout)


def _give_granted(name: str, granted: "Granted", workers: list[str] | None, timeout: float) -> int:
    """What opens a storage for a time, for agents as well."""
    sheet = _sheet(name, granted.values, expires=granted.expires, store=True)
    return _give(sheet, lambda worker: True, workers, timeout)


def _value(name: str, dash: str | None, from_file: str | None) -> str:
    """Never from the words of the command, which all on this computer can see."""
    import sys
    from pathlib import Path

    if dash not in (None, "-"):
        raise BadInput(
            "a value does not belong on a command line, where others can see it: leave it out to be asked, or use -"
        )
    if dash and from_file not in (None, "-"):
        raise BadInput("- and --from-file both say where the value is: give one of them")
    try:
        if dash or from_file == "-":
            raw = sys.stdin.buffer.read()
        elif from_file is not None:
            raw = Path(from_file).read_bytes()
        else:
            return _asked(name)
        text = raw.decode()
    except OSError as err:
        raise BadInput(f"{from_file} cannot be read: {err.strerror}") from err
    except UnicodeDecodeError:
        raise BadInput("the value is no UTF-8 text: encode it, such as with base64") from None
    return text.removesuffix("\n").removesuffix("\r")


def _asked(name: str) -> str:
    """Typed unseen, twice; nobody sees a slip in it."""
    import getpass
    import sys

    if not sys.stdin.isatty():
        raise BadInput("there is nobody to ask for the value: give it by stdin (-) or --from-file FILE")
    first = getpass.getpass(f"value of {name}: ")
    if getpass.getpass("once more: ") != first:
        raise BadInput("the two are not the same: nothing was changed")
    return first


def _sheet(name: str, value: "str | dict[str, str]", *, expires: float = 0, store: bool = False) -> "Sheet":
    from longshore.cli.door import Door
    from longshore_common import confidential

    if not value:
        raise BadInput("the value is empty: nothing was changed; `longshore secret delete` removes a secret")
    values = {name: value} if isinstance(value, str) else value
    sheet = confidential.Sheet(owner=Door().profile.user, name=name, values=values, expires=expires, store=store)
    confidential.text(sheet)  # or it is refused before anybody is asked for workers
    return sheet


def _give(sheet: "Sheet", wanted: "Callable[[Worker], bool]", names: list[str] | None, timeout: float) -> int:
    """Seal it for those workers that are wanted, write it, and wait until they hold it."""
    from longshore.cli.door import Door
    from longshore.cli.printing import note
    from longshore.sharing import confided, meant

    door = Door()
    found = meant(door.reader.workers(), [] if not names or "all" in names else names)
    for line in found.others:
        note(line.replace("name a configuration on its host with RCLONE_CONFIG", "let it enrol"))
    if not found.workers:
        raise BadInput("there is no worker that it could be given to: see `longshore worker list`")
    chosen = [worker for worker in found.workers if wanted(worker)]
    if not chosen:
        note(f"all workers hold {sheet.name}; `longshore secret set` changes its value")
    for event in confided(sheet, chosen):
        door.wish(event)
    return _await(door, f"{sheet.owner}/{sheet.name}", [worker.name for worker in chosen], timeout)


def _await(door: "Door", key: str, workers: list[str], timeout: float) -> int:
    """Name each worker once it holds the secret; of those that do not in time, say so."""
    from longshore.cli.polling import polled
    from longshore.cli.printing import data, note
    from longshore.sharing import secrets

    waiting, states = set(workers), dict[str, str]()

    def taken() -> bool:
        for worker in door.reader.workers() if waiting else ():
            states[worker.name] = worker.state
            if worker.name in waiting and key in secrets(worker):
                data(worker.name)
                waiting.discard(worker.name)
        return not waiting

    polled(taken, timeout)
    for name in sorted(waiting):
        note(f"{name} is {states.get(name, 'away')} and has not taken it yet: it will when it is back")
    return 1 if waiting else 0
