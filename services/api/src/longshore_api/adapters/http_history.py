"""Histories as narrative: of a task, a batch, a worker, a user, and of everything; who asked for what was answered.

What must not enter: sentences (see `core.narrative`), SQL.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Final

from litestar import Router, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, QueryParameter

from longshore_api.adapters import present, views
from longshore_api.adapters.doors import CaughtUp, Cursor, House, Limit, TheHouse
from longshore_api.adapters.reader import Chronicle, Reader, Row
from longshore_api.core import archive, narrative, past, selection
from longshore_common.errors import BadInput, Refused
from longshore_common.events import AUTHOR, UndoRequested
from longshore_common.ids import split_task

Sentences = Callable[[Row, object], Iterable[str]]

#: Every kind of event.
KINDS: Final = frozenset(str(kind.__struct_config__.tag) for kind in AUTHOR)
_ROLES: Final = frozenset(AUTHOR.values())
Place = Annotated[str | None, QueryParameter(description="A sequence, an instant (ISO 8601), or how long ago (2h ago)")]
Who = Annotated[str | None, QueryParameter(description="A user's name, `worker NAME`, or dispatch, api, recruit")]
Kind = Annotated[str | None, QueryParameter(name="type", description="Kinds of events, separated by commas")]
Newest = Annotated[bool, QueryParameter(description="The last ones; `next` leads to those before")]


@get("/tasks/{task:str}/history", summary="What happened to it, oldest first", tags=["tasks"])
async def of_task(
    house: TheHouse, caught_up: CaughtUp, task: FromPath[str], limit: Limit = 1000, cursor: Cursor = None
) -> views.History:
    """The events of the log that say something about this task, as sentences."""
    submission, index = split_task(task)
    await house.reader.task(submission, index)
    rows = await house.reader.history_of_task(submission, index, limit, sequence(cursor))

    def sentences(row: Row, event: object) -> list[str]:
        return narrative.of_task(event, row["seq"], submission, index, worker=row["subject"].split(".")[2])

    return await told(house.reader, rows, limit, sentences)


@get("/batches/{name:str}/history", summary="What happened to it, oldest first", tags=["batches"])
async def of_batch(
    house: TheHouse, caught_up: CaughtUp, name: FromPath[str], limit: Limit = 1000, cursor: Cursor = None
) -> views.History:
    """Submissions, pauses, edits, shares and wishes."""
    await house.reader.batch(name)
    rows = await house.reader.history_of("batch", [name], limit, sequence(cursor))
    return await told(house.reader, rows, limit, lambda row, event: [narrative.of_batch(event, row["seq"])])


@get("/workers/{name:str}/history", summary="What happened to it, oldest first", tags=["workers"])
async def of_worker(
    house: TheHouse, caught_up: CaughtUp, name: FromPath[str], limit: Limit = 1000, cursor: Cursor = None
) -> views.History:
    """Enrolment, joins, losses, pauses, sizes, moves, quarantine."""
    await house.reader.worker(name)
    rows = await house.reader.history_of("worker", [name, archive.EVERY], limit, sequence(cursor))
    return await told(house.reader, rows, limit, lambda _, event: [narrative.of_worker(event)])


@get("/users/{name:str}/history", summary="What a user asked for, and what was set for it", tags=["history"])
async def of_user(
    house: TheHouse, caught_up: CaughtUp, name: FromPath[str], limit: Limit = 1000, cursor: Cursor = None
) -> views.History:
    """Oldest first; empty for a user of whom the log has nothing."""
    rows = await house.reader.history_of_user(name, limit, sequence(cursor))
    return await told(house.reader, rows, limit, whole)


@get("/history", summary="What happened at all", tags=["history"])
async def of_all(
    house: TheHouse, caught_up: CaughtUp, chosen: NamedDependency[Chronicle], limit: Limit = 1000, cursor: Cursor = None
) -> views.History:
    """Oldest first within a page."""
    rows = await house.reader.history(chosen, limit, sequence(cursor) if cursor else None)
    page = await told(house.reader, rows, limit, whole)
    if chosen.newest and page.next is not None:
        page.next = selection.written((rows[0]["seq"],))
    return page


async def chosen(
    house: TheHouse, places: NamedDependency[tuple[int, int | None]], author: Who = None, kind: Kind = None, *,
    newest: Newest = False,
) -> Chronicle:  # fmt: skip
    """The filters of a history of everything."""
    role, name = author_of(author)
    return Chronicle(*places, role, name, kinds_of(kind), newest)


async def places(
    house: TheHouse, caught_up: CaughtUp, since: Place = None, until: Place = None
) -> tuple[int, int | None]:
    """From which sequence to which."""
    first = await place_of(house, caught_up, since)
    last = await place_of(house, caught_up, until)
    return (0 if first is None else first + isinstance(first, _Passed)), last


class _Passed(int):
    """A sequence that is the last one not after an instant, rather than the one that was named."""


async def place_of(house: House, position: int, text: str | None) -> int | None:
    """The sequence of a place in the log, None without one."""
    if not text:
        return None
    if house.pasts is None:
        raise Refused("this api does not look back: it was started without a database of its own")
    moment = past.moment(text, house.pasts.now)
    return moment.seq if moment.seq is not None else _Passed(await house.pasts.until(moment.instant, position))


def author_of(text: str | None) -> tuple[str | None, str | None]:
    """(role, name) of an author as people write it."""
    if not text:
        return None, None
    first, _, rest = text.strip().partition(" ")
    if first in _ROLES and not rest:
        return first, None
    return (first, rest.strip()) if first in _ROLES and rest else ("user", first)


def kinds_of(text: str | None) -> tuple[str, ...]:
    """Kinds of events, separated by commas; `BadInput` names those that are near."""
    named = tuple(word for word in (text or "").replace(" ", "").split(",") if word)
    if odd := [word for word in named if word not in KINDS]:
        near = sorted(kind for kind in KINDS if odd[0].split("-")[0] in kind)[:5]
        raise BadInput(
            f"{odd[0]!r} is no kind of event: {'did you mean ' + ', '.join(near) if near else 'see the manual'}"
        )
    return named


def whole(row: Row, event: object) -> list[str]:
    """An event in one sentence."""
    words = row["subject"].split(".")
    return [narrative.of_event(event, row["seq"], words[2] if len(words) > 2 else "")]


async def told(reader: Reader, rows: Sequence[Row], limit: int, sentences: Sentences) -> views.History:
    """The rows as lines; of an answer it is said who asked for it, and where: `longshore undo` takes that sequence."""
    events = [(row, present.event(row)) for row in rows]
    wishes = {request for _, event in events if (request := wish(event))}
    asked = await reader.authors(wishes) if wishes else {}
    lines = []
    for row, event in events:
        request = wish(event)
        by = f", as {asked[request]} asked at {request}" if request in asked else ""
        for text in sentences(row, event):
            line = present.line(row, f"{text or whole(row, event)[0]}{by}")
            line.request = request or None
            lines.append(line)
    return views.History(lines, selection.written((rows[-1]["seq"],)) if len(rows) == limit else None)


def wish(event: object) -> int:
    """The sequence of the wish that this event answers, 0 if it answers none."""
    return 0 if isinstance(event, UndoRequested) else int(getattr(event, "request", 0) or 0)


def sequence(cursor: str | None) -> int:
    """The sequence a cursor of a history holds, 0 without one."""
    words = selection.read(cursor) if cursor else ["0"]
    if len(words) != 1 or not words[0].isdigit():
        raise BadInput(f"{cursor!r} is not a cursor of a history: pass `next` of the page before, unchanged")
    return int(words[0])


router: Final = Router(
    "/",
    route_handlers=[of_task, of_batch, of_worker, of_user, of_all],
    dependencies={"chosen": Provide(chosen), "places": Provide(places)},
)
