"""`longshore worker`: list, show, pause, drain, resume, resize, and care for their hosts; by name or `--all`."""

from typing import TYPE_CHECKING, Annotated

import typer

from longshore.cli import live
from longshore.cli.words import At, Everything, Json, Limit, add_noun, new_app
from longshore_common.errors import BadInput
from longshore_common.ids import WorkerId, token

if TYPE_CHECKING:
    from longshore_common.model import Care

Name = Annotated[str, typer.Argument(metavar="NAME", help="the worker", autocompletion=live.workers)]
Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="the workers", autocompletion=live.workers)
]
All = Annotated[bool, typer.Option("--all", help="all workers that are known")]
Concurrency = Annotated[
    str | None,
    typer.Option("-c", "--concurrency", metavar="N|auto", help="tasks at once; auto: what they request decides"),
]
Timeout = Annotated[str, typer.Option("--timeout", metavar="TIME", help="wait so long for what they say")]
Prefetch = Annotated[
    str | None,
    typer.Option("-p", "--prefetch", metavar="N|P%|auto", help="attempts taken in advance, P% of what it has"),
]


Serves = Annotated[
    str, typer.Option("-b", "--batch", metavar="NAME", help="the batch, * for any", autocompletion=live.batches)
]


def register(root: typer.Typer) -> None:
    """Add this noun."""
    app = new_app("workers, the hosts that run tasks")
    app.command("list")(list_workers)
    for command in (show, pause, drain, resume, resize, move, clean, forget_resources, prune_images, restart, doctor):
        app.command()(command)
    add_noun(root, "worker", app)


def list_workers(*, at: At = None, as_json: Json = False, limit: Limit = 50, everything: Everything = False) -> None:
    """All workers with their load."""
    from longshore.cli import hosts
    from longshore.cli.door import Door
    from longshore.cli.listing import Columns, show_list

    columns = Columns(
        (
            "name",
            "state",
            "concurrency",
            "prefetch",
            "batch",
            "running",
            "assigned",
            "cpu",
            "memory",
            "disk",
            "last_seen_at",
        ),
        {
            "cpu": hosts.cpu,
            "memory": hosts.memory,
            "disk": hosts.disk,
            "concurrency": hosts.concurrency,
            "prefetch": hosts.prefetch,
        },
    )
    show_list(Door().reader, "/workers", {"at": at}, columns, None if everything else limit, as_json=as_json)


def show(*, name: Name, at: At = None, as_json: Json = False) -> None:
    """One worker: its load, what its host offers and does, why it takes no work, what it was told."""
    from longshore.cli.door import Door
    from longshore.cli.hosts import show_worker
    from longshore.cli.listing import tell_standing
    from longshore.cli.printing import raw_lines
    from longshore.reader import as_builtin

    reader = Door().reader
    found = reader.get(f"/workers/{token(name, 'worker')}", {"at": at}).body
    if as_json:
        raw_lines([found])
    else:
        show_worker(as_builtin(found))
    tell_standing(reader)


def pause(*, names: Names = None, everyone: All = False) -> None:
    """Assign nothing more to them; what runs goes on."""
    from longshore.cli.door import Door
    from longshore_common.events import WorkerPauseRequested

    Door().wish(WorkerPauseRequested(workers=_workers(names, everyone=everyone)))
    _tell(names)


def drain(*, names: Names = None, everyone: All = False) -> None:
    """Empty them for good: what waits there goes to others, what runs ends. `resume` undoes it."""
    from longshore.cli.door import Door
    from longshore_common.events import WorkerPauseRequested

    Door().wish(WorkerPauseRequested(workers=_workers(names, everyone=everyone), drain=True))
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
    from longshore.amounts import resized
    from longshore.cli.door import Door

    if concurrency is None and prefetch is None:
        raise BadInput("say what to change: --concurrency N, --concurrency auto, --prefetch N, 50% or auto")
    workers = _workers(names, everyone=everyone)
    Door().wish(resized(workers, concurrency, prefetch))
    _tell(names)


def move(*, names: Names = None, everyone: All = False, batch: Serves) -> None:
    """They serve this batch from here on; what runs there ends there, what waits there of others goes to others."""
    from longshore.cli.door import Door
    from longshore.specs import batch_name
    from longshore_common.events import WorkerMoveRequested

    workers = _workers(names, everyone=everyone)
    Door().wish(WorkerMoveRequested(batch=batch if batch == "*" else batch_name(batch), workers=workers))
    _tell(names)


def clean(*, names: Names = None, everyone: All = False, timeout: Timeout = "60s") -> int:
    """Remove work directories that were kept of failed attempts."""
    return _care("clean", names, everyone=everyone, timeout=timeout)


def forget_resources(*, names: Names = None, everyone: All = False, timeout: Timeout = "60s") -> int:
    """Forget the resources that their hosts keep; those in use stay until then."""
    return _care("forget-resources", names, everyone=everyone, timeout=timeout)


def prune_images(*, names: Names = None, everyone: All = False, timeout: Timeout = "60s") -> int:
    """Remove container images that no attempt uses."""
    return _care("prune-images", names, everyone=everyone, timeout=timeout)


def restart(*, names: Names = None, everyone: All = False, timeout: Timeout = "60s") -> int:
    """Restart their agents, as after an upgrade; attempts go on."""
    return _care("restart", names, everyone=everyone, timeout=timeout)


def doctor(*, names: Names = None, everyone: All = False, timeout: Timeout = "120s") -> int:
    """Have their agents look for what is wrong with their hosts, and tell the fixes. `resume` ends a quarantine."""
    return _care("doctor", names, everyone=everyone, timeout=timeout)


def _care(care: "Care", names: list[str] | None, *, everyone: bool, timeout: str) -> int:
    from longshore.cli import hosts
    from longshore.cli.door import Door
    from longshore.quantities import duration
    from longshore_common.events import WorkerCareRequested

    patience = duration(timeout)
    return hosts.care(Door(), WorkerCareRequested(care=care, workers=_workers(names, everyone=everyone)), patience)


def _workers(names: list[str] | None, *, everyone: bool) -> tuple[WorkerId, ...]:
    """The names, or none for all; never all by an oversight."""
    if bool(names) == everyone:
        raise BadInput("name workers, or give --all")
    return tuple(WorkerId(token(name, "worker")) for name in names or ())


def _tell(names: list[str] | None) -> None:
    from longshore.cli.printing import data

    for name in names or ["all"]:
        data(name)
