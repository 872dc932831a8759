"""From the words of a request to ranges of tasks: ids, whole submissions, filters.

What must not enter: what is done with them.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from longshore_api.adapters import bodies, ranging
from longshore_api.adapters.doors import House, Visitor
from longshore_api.core import selection
from longshore_common.errors import BadInput, NotFound
from longshore_common.ids import SubmissionId, TaskRange

#: Ranges named by one wish at most; it must fit in a message.
PER_WISH: Final = 20_000


async def ranges(house: House, words: Sequence[str]) -> tuple[TaskRange, ...]:
    """What these words name; the read model is asked only for the size of a whole submission. `BadInput`, `NotFound`."""
    found = []
    for submission, lo, hi in selection.windows(",".join(words)):
        if hi == selection.EVERY:
            hi = int((await house.reader.submission(submission))["size"]) - 1
        if lo > hi:
            raise BadInput(f"the range {submission}.{lo}-{hi} is empty: the first task comes first")
        found.append(TaskRange(SubmissionId(submission), lo, hi))
    return tuple(found)


async def meant(house: House, visitor: Visitor, body: bodies.Named) -> tuple[tuple[TaskRange, ...], str | None]:
    """(tasks, batch) of a body, one of them; `BadInput` unless it names one."""
    if (bool(body.tasks), body.batch is not None, body.filter is not None).count(True) != 1:
        raise BadInput("tasks, batch, filter: name the tasks by one of these")
    if body.filter is not None:
        return await _admitted(house, visitor, body.filter), None
    return (await ranges(house, body.tasks) if body.tasks else ()), body.batch


async def _admitted(house: House, visitor: Visitor, wanted: bodies.Filter) -> tuple[TaskRange, ...]:
    chosen = selection.Selection(
        batch=wanted.batch,
        user=None if wanted.user == "*" else wanted.user or visitor.user,
        submission=wanted.submission,
        worker=wanted.worker,
        states=selection.states(wanted.state or ""),
    )
    causes = tuple(filter(None, (word.strip() for word in (wanted.cause or "").split(","))))
    filters = ranging.Filters(causes=causes, exit_code=wanted.exit_code, glob=wanted.name)
    rows = await house.reader.ranges(chosen, filters)
    if len(rows) > ranging.MOST:
        raise BadInput(f"filter: these are more than {ranging.MOST} separate ranges of tasks, narrow it")
    if not rows:
        raise NotFound("filter: no task is so, see GET /tasks with the same filters")
    return tuple(TaskRange(SubmissionId(r["submission"]), r["lo"], r["hi"]) for r in rows)


def chunks(tasks: Sequence[TaskRange]) -> Iterator[tuple[TaskRange, ...]]:
    """As many as one wish may name; once nothing, for a wish that names none."""
    for at in range(0, max(len(tasks), 1), PER_WISH):
        yield tuple(tasks[at : at + PER_WISH])
