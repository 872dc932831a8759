"""Single tasks asked for at the same time, read together: one statement for as many as wait, so that a task costs little.

What must not enter: lists, HTTP.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from longshore_api.adapters.paging import RANGE, TASK

Row = Any  # an asyncpg.Record
Fetch = Callable[..., Awaitable[list[Row]]]
Place = tuple[int, int]

#: Tasks of one statement at most, and statements on their way at once.
MOST: Final = 200
AT_ONCE: Final = 2

#: A task with what its submission says of it; `parted` or `edited`: more is to be read for it.
_SQL: Final = (
    "SELECT s.id AS submission, s.name AS s_name, s.batch, s.user_name, s.submitted_at, s.priority, s.by_index, s.spec, "
    "s.start, s.step, EXISTS (SELECT 1 FROM part p WHERE p.submission = s.id) AS parted, "
    "EXISTS (SELECT 1 FROM edit e WHERE e.submission = s.id) AS edited, x.* "
    "FROM unnest($1::bigint[], $2::bigint[]) AS v (submission, index) JOIN submission s ON s.id = v.submission "
    f"CROSS JOIN LATERAL (SELECT {TASK} FROM task t WHERE t.submission = v.submission AND t.index = v.index UNION ALL "
    f"SELECT {RANGE.replace('g.index', 'v.index')} FROM task_range r WHERE r.submission = v.submission "
    "AND r.hi >= v.index AND r.lo <= v.index) x "
    "WHERE s.gone = 0 OR NOT s.hidden::int8multirange @> v.index"
)


class Together:
    """One per reader; what is asked for while statements are on their way waits for the next one."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._waiting: dict[Place, list[asyncio.Future[Row | None]]] = {}
        self._flying: set[asyncio.Task[None]] = set()

    async def find(self, submission: int, index: int) -> Row | None:
        """The task, None if there is none; the errors of the statement are those of all who wait for it."""
        future: asyncio.Future[Row | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault((submission, index), []).append(future)
        if len(self._flying) < AT_ONCE:
            flight = asyncio.create_task(self._run(), name="read tasks together")
            self._flying.add(flight)
            flight.add_done_callback(self._flying.discard)
        return await future

    async def _run(self) -> None:
        while self._waiting:
            places = list(self._waiting)[:MOST]
            waiting = {place: self._waiting.pop(place) for place in places}
            try:
                rows = await self._read(places)
            except BaseException as err:  # whoever waits is told, also that it was cancelled
                for future in _open(waiting.values()):
                    future.set_exception(err if isinstance(err, Exception) else ConnectionAbortedError(str(err)))
                if not isinstance(err, Exception):
                    raise
                continue
            for place, futures in waiting.items():
                for future in _open([futures]):
                    future.set_result(rows.get(place))

    async def _read(self, places: Sequence[Place]) -> dict[Place, Row]:
        known = [place for place in places if max(place) < 1 << 63]
        found = await self._fetch(_SQL, *zip(*known, strict=True)) if known else []
        return {(row["submission"], row["index"]): row for row in found}


def _open(groups: Any) -> list[asyncio.Future[Row | None]]:
    return [future for futures in groups for future in futures if not future.done()]
