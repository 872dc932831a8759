"""`longshore history`: what happened to one thing, to a user's wishes, or at all, the newest last."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from longshore.cli import live
from longshore.cli.words import Everything, Json
from longshore_common.errors import BadInput

if TYPE_CHECKING:
    from longshore.reader import Reader

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ID|BATCH|WORKER | user NAME]",
        help="a task, a submission, last, a batch, a worker, or `user NAME`; nothing = everything",
        autocompletion=live.anything,
    ),
]
IsBatch = Annotated[bool, typer.Option("--batch", help="it is the name of a batch")]
IsWorker = Annotated[bool, typer.Option("--worker", help="it is the name of a worker")]
Since = Annotated[str | None, typer.Option("--since", metavar="TIME|SEQ", help="from here on, such as `2h ago`")]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME|SEQ", help="up to here")]
Author = Annotated[
    str | None, typer.Option("--author", metavar="NAME", help="by this user, `worker NAME`, dispatch, api or recruit")
]
Kinds = Annotated[str | None, typer.Option("--type", metavar="KIND,...", help="only such events, as tasks-edited")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="the last so many of everything")]

_FIELDS = ("seq", "at", "author", "type", "text")
_PATHS = {"task": "tasks", "batch": "batches", "worker": "workers"}
_KINDS = (*_PATHS, "submission", "user")


def register(root: typer.Typer) -> None:
    """Add this command."""
    root.command()(history)


def history(  # noqa: PLR0913 -- one per filter
    *,
    words: Words = None,
    batch: IsBatch = False,
    worker: IsWorker = False,
    since: Since = None,
    until: Until = None,
    author: Author = None,
    kinds: Kinds = None,
    limit: Limit = 100,
    everything: Everything = False,
    as_json: Json = False,
) -> None:
    """What happened, from the log, with author and time, the newest last; `longshore undo SEQ` takes a wish back.

    `history user ada` is what ada asked for. Without a name it is everything, the last 100 events if no --since is given.
    """
    from longshore.cli.door import Door
    from longshore.cli.listing import Columns, show_list

    filters = {"since": since, "until": until, "author": author, "type": kinds}
    reader = Door().reader
    if words:
        if any(filters.values()):
            raise BadInput(
                "--since, --until, --author and --type are for the history of everything: leave the name out"
            )
        path = _path(words, batch=batch, worker=worker)
        show_list(reader, f"{path}/history", {}, Columns(_FIELDS), None, as_json=as_json)
    elif since or everything:
        show_list(reader, "/history", filters, Columns(_FIELDS), None, as_json=as_json)
    else:
        _show_last(reader, filters, limit, as_json=as_json)


def _show_last(reader: "Reader", filters: dict[str, Any], limit: int, *, as_json: bool) -> None:
    """The newest `limit`, the newest last."""
    from longshore.cli.listing import Columns
    from longshore.cli.printing import note, raw_lines, table
    from longshore.reader import as_builtin

    pages, left, cursor = [], limit, None
    while left > 0:
        page = reader.page("/history", {**filters, "newest": "true", "limit": min(left, 1000), "cursor": cursor})
        pages.append(page.items)
        left, cursor = left - len(page.items), page.next
        if cursor is None:
            break
    items = [item for page_items in reversed(pages) for item in page_items]
    if as_json:
        raw_lines(bytes(item) for item in items)
    else:
        table(_FIELDS, (Columns(_FIELDS).row(as_builtin(item)) for item in items))
    if cursor is not None and not as_json:
        note(f"there is more before these {limit}: use --limit N, --since TIME or --all")


def _path(words: list[str], *, batch: bool, worker: bool) -> str:
    """Where the history of this thing is."""
    from longshore.cli.ask import kind_of
    from longshore.cli.door import Door
    from longshore_common.ids import token

    if len(words) > 2 or (len(words) == 2 and words[0] not in _KINDS):
        raise BadInput("one thing at a time: a name, or its kind and name, such as `longshore history user ada`")
    if words[0] == "user" and len(words) == 2:
        return f"/users/{token(words[1], 'user')}"
    given = words[0] if len(words) == 2 else ""
    kind, name = kind_of(Door(), words[-1], batch=batch or given == "batch", worker=worker or given == "worker")
    if kind == "submission":
        kind, name = "task", f"{name}.0"
    return f"/{_PATHS[kind]}/{name}"
