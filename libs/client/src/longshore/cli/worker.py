"""`longshore worker`: list, show, pause, resume, resize; by name or `--all`."""

from typing import Annotated

import typer

from longshore.cli import live
from longshore.cli.words import Everything, Json, Limit, add_noun, new_app
from longshore_common.errors import BadInput
from longshore_common.ids import WorkerId, token

Name = Annotated[str, typer.Argument(metavar="NAME", help="the worker", autocompletion=live.workers)]
Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="the workers", autocompletion=live.workers)
]
All = Annotated[bool, typer.Option("--all", help="all workers that are known")]
Concurrency = Annotated[int | None, typer.Option("-c", "--concurrency", metavar="N", min=0, help="tasks at once")]
Prefetch = Annotated[str | None, typer.Option("-p", "--prefetch", metavar="N|auto", help="attempts taken in advance")]


def register(root: typer.Typer) -> None:
    """Add this noun."""
    app = new_app("workers, the hosts that run tasks")
    app.command("list")(list_workers)
    for command in (show, pause, resume, resize):
        app.command()(command)
    add_noun(root, "worker", app)


def list_workers(*, as_json: Json = False, limit: Limit = 50, everything: Everything = False) -> None:
    """All workers with their load."""
    from longshore.cli.door import Door
    from longshore.cli.listing import Columns, show_list

    columns = Columns(("name", "state", "concurrency", "prefetch", "batch", "running", "assigned", "last_seen_at"))
    show_list(Door().reader, "/workers", {}, columns, None if everything else limit, as_json=as_json)


def show(*, name: Name, as_json: Json = False) -> None:
    """One worker: its load and what its host offers."""
    from longshore.cli.door import Door
    from longshore.cli.listing import show_one

    show_one(Door().reader.get(f"/workers/{token(name, 'worker')}").body, as_json=as_json)


def pause(*, names: Names = None, everyone: All = False) -> None:
    """Assign nothing more to them; what runs goes on."""
    from longshore.cli.door import Door
    from longshore_common.events import WorkerPauseRequested

    Door().wish(WorkerPauseRequested(workers=_workers(names, everyone=everyone)))
    _tell(names)


def resume(*, names: Names = None, everyone: All = False) -> None:
    """Assign to them again."""
    from longshore.cli.door import Door
    from longshore_common.events import WorkerResumeRequested

    Door().wish(WorkerResumeRequested(workers=_workers(names, everyone=everyone)))
    _tell(names)


def resize(
    *, names: Names = None, everyone: All = False, concurrency: Concurrency = None, prefetch: Prefetch = None
) -> None:
    """Change slots and prefetch at once; lowering kills nothing."""
    from longshore.cli.door import Door
    from longshore_common.events import WorkerResizeRequested

    ahead = None if prefetch is None else -1 if prefetch == "auto" else _whole(prefetch)
    if concurrency is None and ahead is None:
        raise BadInput("say what to change: --concurrency N, --prefetch N or --prefetch auto")
    workers = _workers(names, everyone=everyone)
    Door().wish(WorkerResizeRequested(workers=workers, concurrency=concurrency, prefetch=ahead))
    _tell(names)


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise BadInput(f"--prefetch is a number or `auto`, not {text!r}")
    return int(text)


def _workers(names: list[str] | None, *, everyone: bool) -> tuple[WorkerId, ...]:
    """The names, or none for all; never all by an oversight."""
    if bool(names) == everyone:
        raise BadInput("name workers, or give --all")
    return tuple(WorkerId(token(name, "worker")) for name in names or ())


def _tell(names: list[str] | None) -> None:
    from longshore.cli.printing import data

    for name in names or ["all"]:
        data(name)
