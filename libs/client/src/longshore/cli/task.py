"""`longshore task`: list, show, logs, pause, resume, signal; what changes tasks over a filter is in `steering`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from longshore.cli import live
from longshore.cli.steering import register_tasks
from longshore.cli.words import At, Batch, Everything, Ids, Json, Limit, OneId, SomeIds, add_noun, new_app
from longshore_common.errors import BadInput

if TYPE_CHECKING:
    from longshore_common.ids import TaskRange


State = Annotated[str | None, typer.Option("-s", "--state", metavar="STATE", help="in this state")]
Name = Annotated[str | None, typer.Option("-n", "--name", metavar="NAME", help="with this name")]
Worker = Annotated[
    str | None,
    typer.Option("-w", "--worker", metavar="NAME", help="on this worker", autocompletion=live.workers),
]
User = Annotated[str | None, typer.Option("-u", "--user", metavar="NAME", help="of this user")]
Submission = Annotated[int | None, typer.Option("--submission", metavar="N", min=0, help="of this submission")]
Follow = Annotated[bool, typer.Option("-f", "--follow", help="go on until the attempt has ended")]
Stderr = Annotated[bool, typer.Option("--stderr", help="what it wrote to stderr")]
Stdout = Annotated[bool, typer.Option("--stdout", help="what it wrote to stdout; the default")]
Attempt = Annotated[
    int | None, typer.Option("--attempt", metavar="N", min=1, help="of this attempt; default: the last")
]
Offset = Annotated[int, typer.Option("--offset", metavar="BYTES", min=0, help="from here on")]
Signal = Annotated[
    str, typer.Argument(metavar="SIGNAL", help="stop, kill, pause, continue, checkpoint, or such as SIGUSR1")
]
Kept = Annotated[bool, typer.Option("--kept", help="a shell where its last failed attempt worked, on this computer")]
DebugShell = Annotated[bool, typer.Option("--shell", help="a shell instead of its command")]
Directory = Annotated[str, typer.Option("--directory", metavar="DIR", help="where to work; default: a new one here")]
DebugCommand = Annotated[list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="instead of its own")]


def register(root: typer.Typer) -> None:
    """Add this noun."""
    app = new_app("tasks: look at them and steer them")
    app.command("list")(list_tasks)
    for command in (show, logs, pause, resume, signal, debug):
        app.command()(command)
    register_tasks(app)
    add_noun(root, "task", app)


def list_tasks(  # noqa: PLR0913 -- one per filter
    *,
    ids: Ids = None,
    batch: Batch = None,
    state: State = None,
    name: Name = None,
    worker: Worker = None,
    user: User = None,
    submission: Submission = None,
    limit: Limit = 50,
    everything: Everything = False,
    at: At = None,
    as_json: Json = False,
) -> None:
    """Tasks, the newest submission first."""
    from longshore.cli.door import Door
    from longshore.cli.listing import Columns, show_list
    from longshore.cli.printing import command_line
    from longshore.cli.transfers import state_of

    door = Door()
    query = {
        "batch": batch, "state": _state(state), "name": name, "worker": worker, "user": user, "submission": submission,
        "ids": ",".join(map(str, door.ranges(ids))) if ids else None,
        "at": at,
    }  # fmt: skip
    columns = Columns(
        ("id", "state", "batch", "name", "worker", "attempt", "exit_code", "cause", "command"),
        {"command": lambda task: command_line(task["command"]), "state": state_of},
    )
    show_list(door.reader, "/tasks", query, columns, None if everything else limit, as_json=as_json)


def _state(word: str | None) -> str | None:
    from typing import get_args

    from longshore_common.model import State

    if word is not None and word not in get_args(State):
        raise BadInput(f"{word!r} is no state of a task; they are {', '.join(get_args(State))}")
    return word


def _single(word: str) -> "TaskRange":
    """The one task meant; `BadInput` if the word means several."""
    from longshore.cli.door import Door

    ranges = Door().ranges([word])
    if len(ranges) != 1 or len(ranges[0]) != 1:
        raise BadInput(f"{word!r} names several tasks: give one, such as {ranges[0].submission}.{ranges[0].lo}")
    return ranges[0]


def show(*, task: OneId, at: At = None, as_json: Json = False) -> None:
    """One task with its attempts."""
    import msgspec

    from longshore.cli.door import Door
    from longshore.cli.listing import tell_standing
    from longshore.cli.printing import raw_lines
    from longshore.cli.transfers import show_task
    from longshore.reader import as_builtin

    door = Door()
    name = str(_single(task))
    found = as_builtin(door.reader.get(f"/tasks/{name}", {"at": at}).body)
    if door.reader.standing is not None:
        at = str(door.reader.standing.seq)
    found["attempts"] = [as_builtin(item) for item in door.reader.page(f"/tasks/{name}/attempts", {"at": at}).items]
    if as_json:
        raw_lines([msgspec.json.encode(found)])
    else:
        show_task(found)
    tell_standing(door.reader)


def logs(  # noqa: PLR0913 -- one per option
    *,
    ids: SomeIds,
    follow: Follow = False,
    stderr: Stderr = False,
    stdout: Stdout = False,
    attempt: Attempt = None,
    offset: Offset = 0,
) -> None:
    """The bytes a task wrote, untouched; of a range, one task after the other."""
    from longshore.cli.door import Door
    from longshore.cli.printing import raw_bytes

    if stderr and stdout:
        raise BadInput("one of --stdout and --stderr: they are separate streams")
    door = Door()
    stream = "stderr" if stderr else "stdout"
    for task in _each(door.ranges(ids)):
        raw_bytes(door.reader.logs(task, stream=stream, attempt=attempt, offset=offset, follow=follow))


def _each(ranges: "tuple[TaskRange, ...]") -> "Iterator[str]":
    for one in ranges:
        for index in range(one.lo, one.hi + 1):
            yield f"{one.submission}.{index}"


def debug(
    *,
    task: OneId,
    kept: Kept = False,
    shell: DebugShell = False,
    directory: Directory = "",
    command: DebugCommand = None,
) -> int:
    """Run one task by hand on this computer: inputs staged, its environment, this terminal. Nothing is published.

    With --kept a shell opens in the work directory that its last failed attempt left here. Needs `longshore-agent`.
    """
    from longshore.cli.debugging import debugged
    from longshore.cli.door import Door

    spec = Door().reader.get(f"/tasks/{_single(task)}/spec").body
    return debugged(spec, kept=kept, shell=shell, directory=directory, command=command or [])


def pause(*, ids: SomeIds) -> None:
    """Freeze what runs of them, and hold what waits."""
    _signal(ids, "pause")


def resume(*, ids: SomeIds) -> None:
    """Let what was frozen run on, and release what is held."""
    _signal(ids, "continue")


def signal(*, signal: Signal, ids: SomeIds) -> None:
    """Send a signal to what runs of them; `checkpoint` stops them so that their next attempts go on from there."""
    import signal as unix

    name = signal.upper() if signal.upper().startswith("SIG") else f"SIG{signal.upper()}"
    if signal in ("stop", "kill", "pause", "continue", "checkpoint"):
        _signal(ids, signal)
    elif name in unix.Signals.__members__:
        _signal(ids, name)
    else:
        raise BadInput(
            f"{signal!r} is no signal: use stop, kill, pause, continue, checkpoint, or a name such as SIGUSR1"
        )


def _signal(ids: list[str], signal: str) -> None:
    from longshore.cli.door import Door
    from longshore_common.events import SignalRequested

    door = Door()
    tasks = door.ranges(ids)
    door.wish(SignalRequested(tasks=tasks, signal=signal))
    _tell(tasks)


def _tell(tasks: "tuple[TaskRange, ...]") -> None:
    """What was asked for, once the log has it."""
    from longshore.cli.printing import data

    for one in tasks:
        data(str(one))
