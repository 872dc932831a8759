"""Routes about tasks."""

from typing import Annotated, Final, Literal, NamedTuple

from litestar import Response, Router, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, QueryParameter
from msgspec import structs

from longshore_api.adapters import present, ranging, views
from longshore_api.adapters.back import Seen
from longshore_api.adapters.doors import CaughtUp, Cursor, House, Limit, TheHouse, TheVisitor, Visitor
from longshore_api.adapters.given import asks, given, ordered
from longshore_api.adapters.output import LARGEST, Part, Span
from longshore_api.core import selection
from longshore_common.errors import NotFound
from longshore_common.ids import attempt_id, split_attempt, split_task
from longshore_common.model import ON_WORKER, TERMINAL
from longshore_data import uri

_Text = str | None


class Wanted(NamedTuple):
    """Which output is wanted: the stream, of which attempt (None: the current one), which bytes."""

    """Which bytes of which stream and attempt; None: the current or last one."""

    stream: str
    attempt: int | None
    span: Span


def of_submissions(
    batch: FromQuery[_Text] = None, user: FromQuery[_Text] = None, submission: FromQuery[int | None] = None
) -> selection.Selection:
    """Filters on the submissions of tasks."""
    return selection.Selection(batch=batch, user=user, submission=submission)


def of_tasks(
    base: NamedDependency[selection.Selection],
    name: FromQuery[_Text] = None,
    worker: FromQuery[_Text] = None,
    wanted: Annotated[_Text, QueryParameter(name="state", description="States, separated by commas")] = None,
    ids: Annotated[_Text, QueryParameter(description="1204.17, 1204.0-99 or 1204, separated by commas")] = None,
) -> selection.Selection:
    """Filters on tasks themselves."""
    return selection.Selection(
        batch=base.batch,
        user=base.user,
        submission=base.submission,
        name=name,
        worker=worker,
        states=selection.states(wanted or ""),
        windows=selection.windows(ids) if ids is not None else None,
    )


@get("/tasks", summary="Tasks, newest submission first, index ascending")
async def tasks(
    seen: Seen,
    chosen: NamedDependency[selection.Selection],
    limit: Limit = 50,
    cursor: Cursor = None,
) -> views.TaskPage:
    """A page of the tasks that all filters admit."""
    rows = await seen.reader.tasks(chosen, limit, selection.place(cursor) if cursor else None)
    shown = rows[:limit]
    details = await seen.reader.details(shown)
    items = [present.task(row, of, whole=False) for row, of in zip(shown, details, strict=True)]
    last = (shown[-1]["submission"], shown[-1]["index"]) if len(rows) > limit else None
    return views.TaskPage(items, selection.written(last) if last else None, seen.position)


@get("/tasks/ranges", summary="The tasks that all filters admit, as ranges: what a wish over a filter is made of")
async def ranges(
    house: TheHouse,
    caught_up: CaughtUp,
    chosen: NamedDependency[selection.Selection],
    cause: Annotated[_Text, QueryParameter(description="Causes, separated by commas")] = None,
    exit_code: FromQuery[int | None] = None,
) -> views.Ranges:
    """All of them at once; `name` may hold `*` and `?` here."""
    causes = tuple(filter(None, (word.strip() for word in (cause or "").split(","))))
    filters = ranging.Filters(causes=causes, exit_code=exit_code, glob=chosen.name)
    rows = await house.reader.ranges(chosen, filters)
    items = [(r["submission"], r["lo"], r["hi"]) for r in rows[: ranging.MOST]]
    count = sum(hi - lo + 1 for _, lo, hi in items)
    return views.Ranges(items, count, len(rows) <= ranging.MOST, caught_up)


@get("/tasks/{task:str}", summary="One task")
async def task(seen: Seen, task: FromPath[str]) -> views.Task:
    """The task with its whole command."""
    row, details = await seen.reader.single(*split_task(task))
    return present.task(row, details)


@get("/tasks/{task:str}/spec", summary="All that it is to run, as an agent is told it")
async def spec(
    house: TheHouse,
    visitor: TheVisitor,
    caught_up: CaughtUp,
    task: FromPath[str],
    attempt: Annotated[int | None, QueryParameter(ge=1, description="What this attempt was really given")] = None,
) -> views.Spec:
    """What its next attempt gets: as submitted, with the edits since, its label and entry; or what an attempt got."""
    row = await house.reader.task(*split_task(task))
    if attempt is not None:
        return _veiled(await _given(house, task, attempt), visitor)
    (of,) = await house.reader.details([row])
    if of.spec is None:
        raise NotFound(f"what {task} was to run is not known (any more): its submission was never whole")
    owner = of.submission
    user, entry = owner["user_name"], of.entry or ""
    return _veiled(views.Spec(task, row["attempt"], of.label or 0, entry, owner["batch"], user, of.spec), visitor)


def _veiled(found: views.Spec, visitor: Visitor) -> views.Spec:
    """Addresses that are credentials themselves are for the task's owner and admins."""
    if visitor.may("admin") or visitor.user == found.user:
        return found
    mounts = tuple(structs.replace(mount, uri=uri.shown(mount.uri)) for mount in found.spec.mounts)
    return structs.replace(found, spec=structs.replace(found.spec, mounts=mounts))


async def _given(house: House, task: str, n: int) -> views.Spec:
    submission, index = split_task(task)
    for order, start in ordered(await house.reader.assignments(submission, index), submission, index):
        if start.n == n:
            return views.Spec(task, n, start.label, start.entry, order.batch, order.user, order.spec)
    raise NotFound(f"task {task} has no attempt {n}: see `longshore task show {task}`")


@get("/tasks/{task:str}/attempts", summary="Its attempts, the first one first")
async def attempts(house: TheHouse, seen: Seen, task: FromPath[str]) -> views.Attempts:
    """Earlier attempts and the current one."""
    submission, index = split_task(task)
    row = await seen.reader.task(submission, index)
    rows = await seen.reader.earlier_attempts(submission, index)
    items = [present.attempt(r, submission, index, r["n"]) for r in rows]
    if row["attempt"]:
        items.append(present.attempt(row, submission, index, row["attempt"]))
        (of,) = await seen.reader.details([row])
        if asks(of.spec):
            found = given(await house.reader.assignments(submission, index), submission, index)
            items = [structs.replace(item, given=found.get(item.n)) for item in items]
    return views.Attempts(items)


def of_output(
    stream: Annotated[Literal["stdout", "stderr"], QueryParameter(description="Which of the two")] = "stdout",
    attempt: Annotated[
        int | None, QueryParameter(ge=1, description="Its number; the current or last one if not given")
    ] = None,
    offset: Annotated[int, QueryParameter(ge=0, description="Bytes to pass over")] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=LARGEST, description="Most bytes of the answer")] = 1 << 20,
) -> Wanted:
    """Which bytes are wanted."""
    return Wanted(stream, attempt, Span(offset, limit))


@get(
    "/tasks/{task:str}/output",
    summary="Bytes of stdout or stderr, live or stored",
    media_type="application/octet-stream",
)
async def output(
    house: TheHouse, caught_up: CaughtUp, task: FromPath[str], bytes_of: NamedDependency[Wanted]
) -> Response[bytes]:
    """Headers: Longshore-Next-Offset, and Longshore-Ended: true when nothing will come after these bytes."""
    part = await part_of(house, *split_task(task), bytes_of)
    following = str(bytes_of.span.offset + len(part.data))
    ended = "true" if part.ended else "false"
    return Response(part.data, headers={"Longshore-Next-Offset": following, "Longshore-Ended": ended})


#: An attempt that did not run took outputs of one that may not have run either, and so on: so many are followed.
_CHAIN: Final = 32


def _source(attempt: str, wanted: Wanted) -> tuple[int, int, Wanted]:
    """What an attempt that ran instead of another wrote."""
    submission, index, n = split_attempt(attempt)
    return submission, index, wanted._replace(attempt=n)


async def part_of(house: House, submission: int, index: int, wanted: Wanted, left: int = _CHAIN) -> Part:
    """These bytes, wherever they are; `NotFound` if there is no such task or attempt."""
    """Bytes of it, and whether more will come; `left`: how many attempts may stand for another still."""
    row = await house.reader.task(submission, index)
    n = wanted.attempt or row["attempt"]
    if n != row["attempt"]:
        earlier = await house.reader.earlier_attempts(submission, index)
        found = [r for r in earlier if r["n"] == n]
        if not found:
            raise NotFound(
                f"task {submission}.{index} has no attempt {n}: see `longshore task show {submission}.{index}`"
            )
        row = found[0]
    if row["report"]:
        told = present.report(row)
        if told.reused and left:
            return await part_of(house, *_source(told.reused, wanted), left - 1)
        stored = told.stderr if wanted.stream == "stderr" else told.stdout
        return await house.outputs.stored(stored, wanted.span, row["worker"])
    if row["outcome"] is None and row["state"] in ON_WORKER:
        return await house.outputs.live(row["worker"], attempt_id(submission, index, n), wanted.stream, wanted.span)
    return Part(b"", ended=row["outcome"] is not None or row["state"] in TERMINAL)


router: Final = Router(
    "/",
    route_handlers=[tasks, ranges, task, spec, attempts, output],
    tags=["tasks"],
    dependencies={
        "base": Provide(of_submissions, sync_to_thread=False),
        "chosen": Provide(of_tasks, sync_to_thread=False),
        "bytes_of": Provide(of_output, sync_to_thread=False),
    },
)
