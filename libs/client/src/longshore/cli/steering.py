"""What `longshore task` and `longshore batch` change: cancel, retry, edit, delete; by id or filter, with a preview.

What must not enter: what an edit means (`longshore.editing`), which tasks may be changed (the dispatcher says).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longshore.cli import live
from longshore.cli.words import Batch, Ids, Json
from longshore_common.errors import BadInput

if TYPE_CHECKING:
    from longshore.cli.door import Door
    from longshore.editing import Replacement
    from longshore.filters import Filter
    from longshore_common.events import Event
    from longshore_common.ids import TaskRange

State = Annotated[str | None, typer.Option("-s", "--state", metavar="STATE", help="in these states, with commas")]
Name = Annotated[str | None, typer.Option("-n", "--name", metavar="NAME", help="with this name; * and ? stand for any")]
Cause = Annotated[str | None, typer.Option("--cause", metavar="CAUSE", help="that failed for these, such as oom,exit")]
Worker = Annotated[
    str | None, typer.Option("-w", "--worker", metavar="NAME", help="on this worker", autocompletion=live.workers)
]
ExitCode = Annotated[int | None, typer.Option("--exit-code", metavar="N", help="that ended with it")]
Submission = Annotated[int | None, typer.Option("--submission", metavar="N", min=0, help="of this submission")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what would be done, and do nothing")]
Kill = Annotated[bool, typer.Option("--kill", help="what runs is killed, without being asked to stop")]
Restore = Annotated[bool, typer.Option("--restore", help="show deleted ones again")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="such as memory=8G, env.SEED=7 or 'command=a b'"),
]
Unset = Annotated[list[str] | None, typer.Option("--unset", metavar="FIELD", help="as if it had not been given")]
Find = Annotated[
    list[str] | None, typer.Option("--find", metavar="TEXT", help="what to replace, each by its --replace")
]
Replace = Annotated[list[str] | None, typer.Option("--replace", metavar="TEXT", help="what to put there")]
Fields = Annotated[
    list[str] | None, typer.Option("--in", metavar="FIELD", help="where to look: command (default), inputs, env, …")
]
BatchName = Annotated[str, typer.Argument(metavar="NAME", help="the batch", autocompletion=live.batches)]


def cancel(  # noqa: PLR0913 -- one per filter
    *,
    ids: Ids = None,
    batch: Batch = None,
    state: State = None,
    name: Name = None,
    cause: Cause = None,
    worker: Worker = None,
    exit_code: ExitCode = None,
    submission: Submission = None,
    kill: Kill = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> int:
    """They shall not run, or stop."""
    from longshore_common.events import CancelRequested

    chosen = _filter(batch, state, name, cause, worker, exit_code, submission)
    return _over(
        ids, chosen, lambda tasks, batch: CancelRequested(tasks=tasks, batch=batch, kill=kill), dry_run, as_json=as_json
    )


def retry(  # noqa: PLR0913 -- one per filter
    *,
    ids: Ids = None,
    batch: Batch = None,
    state: State = None,
    name: Name = None,
    cause: Cause = None,
    worker: Worker = None,
    exit_code: ExitCode = None,
    submission: Submission = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> int:
    """Failed or cancelled ones run again, held ones are released."""
    from longshore_common.events import RetryRequested

    chosen = _filter(batch, state, name, cause, worker, exit_code, submission)
    return _over(ids, chosen, lambda tasks, batch: RetryRequested(tasks=tasks, batch=batch), dry_run, as_json=as_json)


def edit(  # noqa: PLR0913 -- one per filter and kind of change
    *,
    ids: Ids = None,
    batch: Batch = None,
    state: State = None,
    name: Name = None,
    cause: Cause = None,
    worker: Worker = None,
    exit_code: ExitCode = None,
    submission: Submission = None,
    sets: Sets = None,
    unset: Unset = None,
    find: Find = None,
    replace: Replace = None,
    fields: Fields = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> int:
    """Change tasks that have not started; what runs keeps what it was given. Failed ones are changed for their retry."""
    from longshore.editing import assignments, change
    from longshore_common.events import EditRequested

    made = change(assignments(sets or (), unset or ()), _replacements(find or (), replace or (), fields or ()))
    chosen = _filter(batch, state, name, cause, worker, exit_code, submission)
    return _over(
        ids, chosen, lambda tasks, batch: EditRequested(change=made, tasks=tasks, batch=batch), dry_run, as_json=as_json
    )


def delete(  # noqa: PLR0913 -- one per filter
    *,
    ids: Ids = None,
    batch: Batch = None,
    state: State = None,
    name: Name = None,
    cause: Cause = None,
    worker: Worker = None,
    exit_code: ExitCode = None,
    submission: Submission = None,
    restore: Restore = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> int:
    """Ended ones are in no list any more; the archive keeps them."""
    from longshore_common.events import DeleteRequested

    chosen = _filter(batch, state, name, cause, worker, exit_code, submission)
    if restore and (chosen.narrow or chosen.batch is not None) and not ids:
        raise BadInput("no filter finds what is deleted: name the tasks, or `longshore undo` the deletion")
    return _over(
        ids, chosen, lambda tasks, batch: DeleteRequested(tasks=tasks, batch=batch, restore=restore), dry_run,
        as_json=as_json,
    )  # fmt: skip


def delete_batch(*, name: BatchName, restore: Restore = False, dry_run: DryRun = False, as_json: Json = False) -> int:
    """All of it, once it has ended, is in no list any more; the archive keeps it."""
    from longshore.cli.door import Door
    from longshore.filters import Filter, chunks, ranges
    from longshore.specs import batch_name
    from longshore_common.errors import NotFound
    from longshore_common.events import DeleteRequested

    door = Door()
    if restore:
        return _send(door, [DeleteRequested(batch=batch_name(name), restore=True)], [name], dry_run, as_json=as_json)
    try:  # what a dispatcher has forgotten, the read model knows
        tasks = ranges(door.reader, Filter(batch=batch_name(name)), door.profile.user)
    except NotFound as err:
        raise NotFound(f"you have no tasks in a batch {name!r}: see `longshore batch list`") from err
    wishes = [DeleteRequested(tasks=some) for some in chunks(tasks)]
    return _send(door, wishes, [name], dry_run, as_json=as_json)


def stop_batch(*, name: BatchName, dry_run: DryRun = False, as_json: Json = False) -> int:
    """All of it that has not ended is cancelled; what runs is asked to stop."""
    return cancel(batch=name, dry_run=dry_run, as_json=as_json)


def kill_batch(*, name: BatchName, dry_run: DryRun = False, as_json: Json = False) -> int:
    """All of it that has not ended is cancelled; what runs is killed."""
    return cancel(batch=name, kill=True, dry_run=dry_run, as_json=as_json)


def edit_batch(  # noqa: PLR0913 -- one per kind of change
    *,
    batch: BatchName,
    sets: Sets = None,
    unset: Unset = None,
    find: Find = None,
    replace: Replace = None,
    fields: Fields = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> int:
    """Change all its tasks that have not started."""
    return edit(
        batch=batch, sets=sets, unset=unset, find=find, replace=replace, fields=fields, dry_run=dry_run, as_json=as_json
    )  # fmt: skip


# --- what they share ------------------------------------------------------------------------------------------------------


def _replacements(find: Sequence[str], put: Sequence[str], fields: Sequence[str]) -> "list[Replacement]":
    from longshore.editing import Replacement

    if len(find) != len(put):
        raise BadInput(f"{len(find)} --find and {len(put)} --replace: give one for each other, '' removes")
    where = tuple(word for field in fields for word in field.split(",")) or ("command",)
    return [Replacement(a, b, where) for a, b in zip(find, put, strict=True)]


def _filter(  # noqa: PLR0913 -- one per filter
    batch: str | None,
    state: str | None,
    name: str | None,
    cause: str | None,
    worker: str | None,
    exit_code: int | None,
    submission: int | None,
) -> "Filter":
    from longshore.filters import Filter

    return Filter(
        batch=batch, state=state, name=name, cause=cause, worker=worker, exit_code=exit_code, submission=submission
    )


def _over(
    ids: list[str] | None,
    chosen: "Filter",
    make: "Callable[[tuple[TaskRange, ...], str | None], Event]",
    dry_run: bool,  # noqa: FBT001 -- passed through
    *,
    as_json: bool,
) -> int:
    """The wish over named tasks, a whole batch, or what the filters find."""
    from longshore import filters
    from longshore.cli.door import Door
    from longshore.specs import batch_name

    door = Door()
    named = door.ranges(ids or ())
    if not (named or chosen.narrow or chosen.batch is not None):
        raise BadInput("name tasks, a batch by --batch, or a filter such as --state failed")
    if chosen.batch is not None:
        batch_name(chosen.batch)
    if chosen.batch is not None and not (named or chosen.narrow):
        return _send(door, [make((), chosen.batch)], [chosen.batch], dry_run, as_json=as_json)
    tasks = named
    if chosen.narrow or chosen.batch is not None:
        tasks = filters.ranges(door.reader, chosen, door.profile.user, named)
    return _send(door, [make(some, None) for some in filters.chunks(tasks)], tasks, dry_run, as_json=as_json)


def _send(
    door: "Door",
    wishes: "Sequence[Event]",
    named: Sequence[object],
    dry_run: bool,  # noqa: FBT001 -- passed through
    *,
    as_json: bool,
) -> int:
    from longshore.cli import previewing
    from longshore.cli.printing import data

    if dry_run:
        return previewing.show(door, wishes, as_json=as_json)
    for wish in wishes:
        door.wish(wish)
    for one in named:
        data(str(one))
    return 0


def register_tasks(app: typer.Typer) -> None:
    """Add these to `longshore task`."""
    for command in (cancel, retry, edit, delete):
        app.command()(command)


def register_batches(app: typer.Typer) -> None:
    """Add these to `longshore batch`."""
    commands: dict[str, Callable[..., Any]] = {
        "edit": edit_batch, "stop": stop_batch, "kill": kill_batch, "delete": delete_batch,
    }  # fmt: skip
    for word, command in commands.items():
        app.command(word)(command)
