"""`longshore explain`, `history`, `wait`: questions about anything that has a name."""

from typing import TYPE_CHECKING, Annotated

import typer

from longshore.cli import live
from longshore.cli.words import Json, SomeIds
from longshore_common.errors import BadInput, NotFound

if TYPE_CHECKING:
    from longshore.cli.door import Door
    from longshore.reader import Reader

What = Annotated[
    str,
    typer.Argument(
        metavar="ID|BATCH|WORKER",
        help="a task, a submission, last, a batch or a worker",
        autocompletion=live.anything,
    ),
]
IsBatch = Annotated[bool, typer.Option("--batch", help="it is the name of a batch")]
IsWorker = Annotated[bool, typer.Option("--worker", help="it is the name of a worker")]
Timeout = Annotated[
    str | None, typer.Option("--timeout", metavar="DURATION", help="give up after so long, such as 1h30m")
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="no progress")]


def register(root: typer.Typer) -> None:
    """Add these commands."""
    for command in (explain, history, wait):
        root.command()(command)


def explain(*, what: What, batch: IsBatch = False, worker: IsWorker = False, as_json: Json = False) -> None:
    """Why it is not running, or idle, with counts and the fix."""
    import msgspec

    from longshore.cli.door import Door
    from longshore.cli.printing import data, raw_lines

    door = Door()
    kind, name = _kind(door, what, batch=batch, worker=worker)
    answer = door.write(lambda writer: writer.explain(kind, name))
    if as_json:
        raw_lines([msgspec.json.encode(answer)])
        return
    data(f"{answer.id or name} is {answer.state}" if answer.state else answer.id or name)
    for reason in answer.reasons:
        data(f"  {reason.text}" + (f"\n    → {reason.fix}" if reason.fix else ""))
    if kind == "task" and answer.state in ("failed", "cancelled"):
        _tell_cause(door, name)


def _tell_cause(door: "Door", task: str) -> None:
    """Why it ended so: the dispatcher forgets the reasons of what has ended, the read model keeps them."""
    import msgspec

    from longshore.cli.printing import data
    from longshore_common.errors import LongshoreError

    try:
        row = msgspec.json.decode(door.reader.get(f"/tasks/{task}").body)
    except LongshoreError:
        return  # the answer above stands without it
    if row.get("cause"):
        data(f"  cause {row['cause']}" + (f": {row['reason']}" if row.get("reason") else ""))


def history(*, what: What, batch: IsBatch = False, worker: IsWorker = False, as_json: Json = False) -> None:
    """Everything that happened to it, from the log, with author and time."""
    from longshore.cli.door import Door
    from longshore.cli.listing import Columns, show_list

    door = Door()
    kind, name = _kind(door, what, batch=batch, worker=worker)
    if kind == "submission":
        kind, name = "task", f"{name}.0"
    path = {"task": "/tasks", "batch": "/batches", "worker": "/workers"}[kind]
    columns = Columns(("seq", "at", "author", "type", "text"))
    show_list(door.reader, f"{path}/{name}/history", {}, columns, None, as_json=as_json)


def _kind(door: "Door", what: str, *, batch: bool, worker: bool) -> tuple[str, str]:
    """(task, submission, batch or worker; its id or name) of a word; asks the api only where the word does not tell."""
    from longshore.selectors import looks_like_one
    from longshore_common.ids import token

    if batch or worker:
        kind = "batch" if batch else "worker"
        return kind, token(what, kind)
    if looks_like_one(what):
        (found, *more) = door.ranges([what])
        if more or (len(found) > 1 and "." in what):
            raise BadInput(f"{what!r} names several: ask about one task, or the submission {found.submission}")
        whole = "." not in what and len(found) > 1
        return ("submission", str(found.submission)) if whole else ("task", f"{found.submission}.{found.lo}")
    return _named(door.reader, token(what, "batch or worker")), what


def _named(reader: "Reader", name: str) -> str:
    for kind, path in (("batch", "/batches"), ("worker", "/workers")):
        try:
            reader.get(f"{path}/{name}")
        except NotFound:
            continue
        return kind
    raise NotFound(f"no batch and no worker is called {name!r}: see `longshore batch list` and `longshore worker list`")


def wait(*, ids: SomeIds, timeout: Timeout = None, quiet: Quiet = False) -> int:
    """Wait until they ended; exit 0 only if all succeeded, 1 if not or if the time is up. Ctrl-C cancels nothing."""
    from longshore.cli.door import Door
    from longshore.cli.waits import wait_for
    from longshore.quantities import duration

    door = Door()
    ranges = door.ranges(ids)
    return wait_for(door, ranges, timeout=duration(timeout) if timeout else None, quiet=quiet)
