"""`longshore worker`: list, show, pause, resume, resize; by name or `--all`."""

from typing import Final

from longshore.cli.words import EVERYTHING, JSON, LIMIT, Command, Noun, argument, flag, option, whole
from longshore_common.errors import BadInput
from longshore_common.ids import WorkerId, token

_NAME: Final = argument("name", metavar="NAME", help="the worker")
_NAMES: Final = argument("names", nargs="*", metavar="NAME", help="the workers")
_ALL: Final = flag("--all", dest="everyone", help="all workers that are known")


def list_workers(*, as_json: bool, limit: int, everything: bool) -> None:
    """All workers with their load."""
    from longshore.cli.door import Door
    from longshore.cli.listing import Columns, show_list

    columns = Columns(("name", "state", "concurrency", "prefetch", "batch", "running", "assigned", "last_seen_at"))
    show_list(Door().reader, "/workers", {}, columns, None if everything else limit, as_json=as_json)


def show(*, name: str, as_json: bool) -> None:
    """One worker: its load and what its host offers."""
    from longshore.cli.door import Door
    from longshore.cli.listing import show_one

    show_one(Door().reader.get(f"/workers/{token(name, 'worker')}").body, as_json=as_json)


def pause(*, names: list[str], everyone: bool) -> None:
    """Assign nothing more to them; what runs goes on."""
    from longshore.cli.door import Door
    from longshore_common.events import WorkerPauseRequested

    Door().wish(WorkerPauseRequested(workers=_workers(names, everyone=everyone)))
    _tell(names)


def resume(*, names: list[str], everyone: bool) -> None:
    """Assign to them again."""
    from longshore.cli.door import Door
    from longshore_common.events import WorkerResumeRequested

    Door().wish(WorkerResumeRequested(workers=_workers(names, everyone=everyone)))
    _tell(names)


def resize(*, names: list[str], everyone: bool, concurrency: int | None, prefetch: str | None) -> None:
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


def _workers(names: list[str], *, everyone: bool) -> tuple[WorkerId, ...]:
    """The names, or none for all; never all by an oversight."""
    if bool(names) == everyone:
        raise BadInput("name workers, or give --all")
    return tuple(WorkerId(token(name, "worker")) for name in names)


def _tell(names: list[str]) -> None:
    from longshore.cli.printing import data

    for name in names or ["all"]:
        data(name)


COMMANDS: Final = {
    "worker": Noun(
        "workers, the hosts that run tasks",
        {
            "list": Command(list_workers, (JSON, LIMIT, EVERYTHING)),
            "show": Command(show, (_NAME, JSON)),
            "pause": Command(pause, (_NAMES, _ALL)),
            "resume": Command(resume, (_NAMES, _ALL)),
            "resize": Command(
                resize,
                (
                    _NAMES,
                    _ALL,
                    option("-c", "--concurrency", meta="N", type=whole, help="tasks at once"),
                    option("-p", "--prefetch", meta="N|auto", help="attempts taken in advance"),
                ),
            ),
        },
    )
}
