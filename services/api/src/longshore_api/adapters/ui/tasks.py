"""Pages of tasks: a list with filters, one task with attempts, log and why; and the bytes of its log.

What must not enter: actions (see `acting`).
"""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, Literal

from litestar import Request, Response, get
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream

from longshore_api.adapters import http_history, http_tasks, present, views
from longshore_api.adapters.back import Seen
from longshore_api.adapters.doors import CaughtUp, House, TheHouse
from longshore_api.adapters.output import Part, Span
from longshore_api.adapters.reader import Row
from longshore_api.adapters.ui import questions, words
from longshore_api.adapters.ui.entry import TheDesk
from longshore_api.adapters.ui.filters import TASKS, Query, chosen
from longshore_api.adapters.ui.rendering import HEADERS, page
from longshore_api.core import narrative, selection
from longshore_api.core.rows import OPEN_STATES
from longshore_common.errors import NotFound
from longshore_common.ids import split_task

_PAGE: Final = 50
_LINES: Final = 200
#: Bytes of one answer to a log that is looked at, and of a piece of one that is saved.
_CHUNK: Final = 256 * 1024
_PIECE: Final = 4 << 20

StreamName = Annotated[Literal["stdout", "stderr"], QueryParameter(name="stream")]
Attempt = Annotated[int | None, QueryParameter(ge=1)]
Offset = Annotated[int, QueryParameter(ge=0)]


@get("/tasks", include_in_schema=False)
async def tasks(request: Request[Any, Any, Any], seen: Seen) -> Response[bytes]:
    """A page of the tasks that all filters admit."""
    query = Query.of("/tasks", request.query_params, (*TASKS, "cursor"))
    wanted, cursor = chosen(query), query.get("cursor")
    rows = await seen.reader.tasks(wanted, _PAGE, selection.place(cursor) if cursor else None)
    found = rows[:_PAGE]
    details = await seen.reader.details(found)
    last = (found[-1]["submission"], found[-1]["index"]) if len(rows) > _PAGE else None
    first = query(cursor=None)
    values = {
        "query": Query("/tasks", {k: v for k, v in query.words.items() if k != "cursor"}),
        "tasks": [present.task(row, of, whole=False) for row, of in zip(found, details, strict=True)],
        "next": query(cursor=selection.written(last)) if last else None,
        "first": first if cursor else None,
        "counts": None if seen.past else await _counts(seen.reader, wanted),
        "past": seen if seen.past else None,
    }
    return page(request, "tasks.html", values)


async def _counts(reader: Any, wanted: selection.Selection) -> dict[str, int] | None:
    """Tasks by state behind the other filters, where counters know: of everything, of a batch, of a submission."""
    if wanted.name or wanted.worker or wanted.user or wanted.windows:
        return None
    try:
        if wanted.submission is not None:
            return present.submission(await reader.submission(wanted.submission)).states
        if wanted.batch is not None:
            return present.batch(await reader.batch(wanted.batch)).states
    except NotFound:
        return {}
    return await questions.totals(reader)


@get("/tasks/{task:str}", include_in_schema=False)
async def task(
    request: Request[Any, Any, Any], house: TheHouse, seen: Seen, desk: TheDesk, task: FromPath[str]
) -> Response[bytes]:
    """One task."""
    submission, index = split_task(task)
    row = await seen.reader.task(submission, index)
    (of,) = await seen.reader.details([row])
    shown, visitor = present.task(row, of), request.scope["user"]
    attempts = await _attempts(seen.reader, row)
    values = {
        "task": shown,
        "spec": of.spec,
        "editable": shown.state in ("waiting", "queued") and of.spec is not None and not of.spec.steps,
        "attempts": attempts,
        "phases": [phases(a, desk.clock.now()) for a in attempts],
        "why": None if seen.past else await desk.why("task", task, visitor.user),
        "lines": (await _lines(house, submission, index))[::-1],
        "open": shown.state in OPEN_STATES,
        "mine": visitor.may("admin") or shown.user == visitor.user,
        "query": Query.of(f"/tasks/{task}", request.query_params, ("at",)),
        "past": seen if seen.past else None,
    }
    return page(request, "task.html", values)


@get("/why/{task:str}", include_in_schema=False)
async def why(request: Request[Any, Any, Any], house: TheHouse, desk: TheDesk, task: FromPath[str]) -> Response[bytes]:
    """Why a task of a list is as it is."""
    await house.reader.task(*split_task(task))
    said = await desk.why("task", task, request.scope["user"].user)
    return page(request, "why.html", {"why": said, "task": task})


async def _attempts(reader: Any, row: Row) -> list[views.Attempt]:
    submission, index = row["submission"], row["index"]
    rows = await reader.earlier_attempts(submission, index)
    found = [present.attempt(r, submission, index, r["n"]) for r in rows]
    if row["attempt"]:
        found.append(present.attempt(row, submission, index, row["attempt"]))
    return found[::-1]


async def _lines(house: House, submission: int, index: int) -> list[views.Line]:
    rows = await house.reader.history_of_task(submission, index, _LINES, 0)

    def sentences(row: Row, event: object) -> list[str]:
        return narrative.of_task(event, row["seq"], submission, index, worker=row["subject"].split(".")[2])

    return (await http_history.told(house.reader, rows, _LINES, sentences)).items


def phases(attempt: views.Attempt, now: float) -> list[dict[str, Any]]:
    """How long an attempt was in each phase, as parts of its whole time."""
    stops = [
        ("assigned", attempt.assigned_at),
        ("staging", attempt.staging_at),
        ("running", attempt.started_at),
        ("delivering", attempt.ended_at if attempt.finished_at else None),
    ]
    end = words.instant(attempt.finished_at or attempt.ended_at) or now
    begun = [(name, at) for name, text in stops if (at := words.instant(text)) is not None]
    if not begun:
        return []
    found: list[dict[str, Any]] = []
    whole = max(1e-9, end - begun[0][1])
    for (name, at), following in zip(begun, [*[at for _, at in begun[1:]], end], strict=True):
        seconds = max(0.0, following - at)
        found.append({"state": name, "seconds": seconds, "width": round(words.share(seconds, whole), 3)})
    place = 0.0
    for one in found:
        one["at"], place = round(place, 3), place + one["width"]
    return found


@get("/tasks/{task:str}/output", include_in_schema=False)
async def output(  # noqa: PLR0913 - what a log is asked for
    house: TheHouse, caught_up: CaughtUp, task: FromPath[str], stream: StreamName = "stdout", attempt: Attempt = None,
    offset: Offset = 0,
) -> Response[bytes]:  # fmt: skip
    """Some bytes of a log, and where the next ones begin."""
    part = await _part(house, task, (stream, attempt), Span(offset, _CHUNK))
    headers = {
        **HEADERS,
        "Cache-Control": "private, no-store",
        "Longshore-Next-Offset": str(offset + len(part.data)),
        "Longshore-Ended": "true" if part.ended else "false",
    }
    return Response(part.data, headers=headers, media_type="text/plain; charset=utf-8")


async def _part(house: House, task: str, wanted: tuple[str, int | None], span: Span) -> Part:
    return await http_tasks.part_of(house, *split_task(task), http_tasks.Wanted(wanted[0], wanted[1], span))


@get("/tasks/{task:str}/saved", include_in_schema=False)
async def saved(
    house: TheHouse, caught_up: CaughtUp, task: FromPath[str], stream: StreamName = "stdout", attempt: Attempt = None
) -> Stream:
    """All of a log that there is at this moment, as a file."""
    first = await _part(house, task, (stream, attempt), Span(0, _PIECE))
    name = f"{task}{f'.{attempt}' if attempt else ''}.{stream}.txt"
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "private, no-store"}
    return Stream(
        _pieces(house, task, (stream, attempt), first), media_type="text/plain; charset=utf-8", headers=headers
    )


async def _pieces(house: House, task: str, wanted: tuple[str, int | None], part: Part) -> AsyncIterator[bytes]:
    at = 0
    while part.data:
        yield part.data
        at += len(part.data)
        if part.ended:
            return
        part = await _part(house, task, wanted, Span(at, _PIECE))


def selected(query: str) -> selection.Selection:
    """The selection of a list's query, as its form carries it."""
    return chosen(Query.read(query, TASKS))
