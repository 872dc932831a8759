"""Questions to the read model about TES tasks: one by its id, and pages of those that all filters admit, newest first.

What must not enter: HTTP words, what an answer looks like.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from longshore_api.adapters.reader import Reader
from longshore_api.core import selection
from longshore_common.errors import BadInput, NotFound
from longshore_common.ids import split_task
from longshore_common.model import OWN_CAUSES

Row = Any  # an asyncpg.Record

#: Tasks of a page if the client names no number, and at most.
PAGE: Final = 256
LARGEST_PAGE: Final = 2_047
_LARGEST_ID: Final = 1 << 62

_OWN: Final = "(" + ", ".join(f"'{cause}'" for cause in sorted(OWN_CAUSES)) + ")"
_CAUSE: Final = "coalesce(t.cause, r.cause, '')"
_PREEMPTED: Final = f"(x.once AND {_CAUSE} = 'evicted')"
_PAUSED: Final = "(s.waiting > 0 OR coalesce(t.paused, false))"
#: A submission of one task: its counters say its state. First what a partial index knows.
_STATES: Final = {
    "QUEUED": f"s.open > 0 AND s.queued > 0 AND NOT {_PAUSED}",
    "INITIALIZING": f"s.open > 0 AND s.assigned + s.staging > 0 AND NOT {_PAUSED}",
    "RUNNING": f"s.open > 0 AND s.running + s.delivering > 0 AND NOT {_PAUSED}",
    "PAUSED": f"s.open > 0 AND {_PAUSED}",
    "COMPLETE": "s.succeeded > 0",
    "EXECUTOR_ERROR": f"s.failed > 0 AND {_CAUSE} IN {_OWN}",
    "SYSTEM_ERROR": f"s.failed > 0 AND {_CAUSE} NOT IN {_OWN} AND NOT {_PREEMPTED}",
    "PREEMPTED": f"s.failed > 0 AND {_PREEMPTED}",
    "CANCELED": "s.cancelled > 0",
    "CANCELING": "false",
    "UNKNOWN": "false",
}
_BRIEF: Final = (
    "x.submission, s.user_name, s.submitted_at, s.status, s.duplicate_of, coalesce(t.state, r.state) AS state, x.once, "
    "coalesce(t.paused, false) AS paused, coalesce(t.cause, r.cause) AS cause"
)
_WHOLE: Final = (
    f"{_BRIEF}, x.document, coalesce(nullif(coalesce(t.reason, r.reason), ''), s.reason) AS reason, "
    "coalesce(t.attempt, 0) AS attempt, t.worker, t.assigned_at, t.started_at, t.ended_at, t.exit_code, t.outcome, t.report"
)
_FROM: Final = (
    "FROM tes x JOIN submission s ON s.id = x.submission "
    "LEFT JOIN task t ON t.submission = x.submission AND t.index = 0 "
    "LEFT JOIN task_range r ON r.submission = x.submission"
)
_SHOWN: Final = "NOT s.hidden::int8multirange @> 0::bigint"


class Filters(NamedTuple):
    """All of which hold; None or empty = any. `tags`: (key, value), an empty value = any that has the key."""

    prefix: str = ""
    state: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


def number(task: str) -> int:
    """The submission of a TES task's id, which is that of its task; `NotFound` if it is none."""
    unknown = f"there is no TES task {task[:80]!r}: its id looks like 1204.0"
    try:
        sid, index = split_task(task if "." in task else f"{task}.0")
    except (BadInput, ValueError) as err:  # Python reads no number of more than 4,300 digits
        raise NotFound(unknown) from err
    if index != 0 or not 0 < sid < _LARGEST_ID:
        raise NotFound(unknown)
    return int(sid)


async def one(reader: Reader, sid: int, *, whole: bool) -> Row:
    """A task; of a repeated one the first. `NotFound` if there is none, or none that came as a TES task."""
    columns = _WHOLE if whole else _BRIEF
    for _ in range(2):
        found = await reader.fetch(f"SELECT {columns} {_FROM} WHERE x.submission = $1 AND {_SHOWN}", sid)
        if not found:
            raise NotFound(f"there is no TES task {sid}.0: list what there is")
        if found[0]["duplicate_of"] is None:
            return found[0]
        sid = found[0]["duplicate_of"]
    raise NotFound(f"there is no TES task {sid}.0: list what there is")


async def page(reader: Reader, filters: Filters, size: int, after: int | None, *, whole: bool) -> list[Row]:
    """Up to `size` + 1 tasks before `after`, the newest first."""
    args: list[object] = [size + 1]
    where = [_SHOWN, "s.duplicate_of IS NULL"]
    for condition, value in _conditions(filters, after):
        args.append(value)
        where.append(condition.format(f"${len(args)}"))
    if filters.state is not None:
        where.append(_STATES[filters.state])
    columns = _WHOLE if whole else _BRIEF
    return await reader.fetch(
        f"SELECT {columns} {_FROM} WHERE {' AND '.join(where)} ORDER BY x.submission DESC LIMIT $1", *args
    )


def _conditions(filters: Filters, after: int | None) -> Iterator[tuple[str, object]]:
    """(condition, the value for its place)."""
    if after is not None:
        yield "x.submission < {}", after
    if filters.prefix:
        yield "left(x.name, 200) LIKE {}", f"{_escaped(filters.prefix[:200])}%"
        yield "starts_with(x.name, {})", filters.prefix
    for key, value in filters.tags:
        if value:
            yield "x.tags @> {}::jsonb", msgspec.json.encode({key: value}).decode()
        else:
            yield "x.tags ? {}", key


async def earlier(reader: Reader, submissions: Sequence[int]) -> dict[int, list[Row]]:
    """The attempts before the current one of each of these tasks, the first one first."""
    rows = await reader.fetch(
        "SELECT * FROM attempt WHERE submission = ANY($1::bigint[]) AND index = 0 ORDER BY submission, n",
        list(submissions),
    )
    result: dict[int, list[Row]] = {}
    for row in rows:
        result.setdefault(row["submission"], []).append(row)
    return result


def state(text: str | None) -> str | None:
    """A state to filter by; `BadInput` names those there are."""
    if not text:
        return None
    if text not in _STATES:
        raise BadInput(f"state={text[:80]!r} is no state of TES: use one of {', '.join(_STATES)}")
    return text


def size(number: int | None) -> int:
    """Tasks of a page; more than there may be are cut."""
    if number is None or number == 0:
        return PAGE
    if number < 0:
        raise BadInput(f"page_size={number}: give 1 to {LARGEST_PAGE}")
    return min(number, LARGEST_PAGE)


def place(token: str | None) -> int | None:
    """Where the page before ended; `BadInput` if the token is none of ours."""
    if not token:
        return None
    words = selection.read(token)
    if len(words) != 1 or not words[0].isascii() or not words[0].isdigit() or len(words[0]) > 18:
        raise BadInput(f"page_token={token[:80]!r} is none of ours: pass next_page_token of the page before, unchanged")
    return int(words[0])


def tags(keys: Sequence[str] | None, values: Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    """Keys and values, zipped by their places; a value that is missing is any."""
    given = list(values or ())
    names = list(keys or ())
    return tuple((name, given[n] if n < len(given) else "") for n, name in enumerate(names))


def _escaped(prefix: str) -> str:
    return prefix.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
