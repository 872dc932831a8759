"""`longshore explain` and `wait`: questions about anything that has a name."""

from typing import TYPE_CHECKING, Annotated

import typer

from longshore.cli import live
from longshore.cli.words import Json, SomeIds
from longshore_common.errors import BadInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from longshore.cli.door import Door
    from longshore.reader import Reader
    from longshore.records import Explanation

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
    for command in (explain, wait):
        root.command()(command)


def explain(*, what: What, batch: IsBatch = False, worker: IsWorker = False, as_json: Json = False) -> None:
    """Why it is not running, or idle, with counts and the fix."""
    import msgspec

    from longshore.cli.door import Door
    from longshore.cli.printing import data, raw_lines

    door = Door()
    kind, name = kind_of(door, what, batch=batch, worker=worker)
    answer = door.write(lambda writer: writer.explain(kind, name))
    if as_json:
        raw_lines([msgspec.json.encode(answer)])
        return
    for line in explained(answer, name):
        data(line)
    if kind == "task" and answer.state in ("failed", "cancelled"):
        _tell_cause(door, name)


def explained(answer: "Explanation", name: str) -> "Iterator[str]":
    """The answer in lines: what it is, why, what would help, and when it will be over."""
    from longshore.quantities import about

    yield f"{answer.id or name} is {answer.state}" if answer.state else answer.id or name
    if (eta := answer.eta) is not None:
        yield f"  it {eta.what}s in about {about(eta.seconds)} ({eta.basis})"
    for reason in answer.reasons:
        yield f"  {reason.text}"
        if len(reason.parts) < 2:
            yield from (f"      {part.text}" for part in reason.parts if ": " in part.text)
            yield f"    → {reason.fix}"
        wide = max((len(str(part.count)) for part in reason.parts), default=0)
        for part in reason.parts[1:] and reason.parts:
            yield f"    {part.count:{wide}}  {part.text}"
            yield f"    {'':{wide}}  → {part.fix}"


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


def kind_of(door: "Door", what: str, *, batch: bool, worker: bool) -> tuple[str, str]:
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
