"""What tasks are after the edits that hold for them. What must not enter: HTTP, what an edit means."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from longshore_api.core import edits
from longshore_common.model import TaskSpec

Row = Any  # an asyncpg.Record
Fetch = Callable[..., Awaitable[list[Row]]]

_OF_TASKS: Final = (
    "SELECT v.submission, v.index, e.seq, e.undoes, e.restored, e.change FROM unnest($1::bigint[], $2::bigint[]) "
    "AS v (submission, index) JOIN edit e ON e.submission = v.submission AND e.lo <= v.index AND e.hi >= v.index "
    "ORDER BY e.seq"
)


class Edits:
    """The edits of some tasks, by (submission, index)."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows: dict[tuple[int, int], list[Row]] = {}
        for row in rows:
            self._rows.setdefault((row["submission"], row["index"]), []).append(row)

    @classmethod
    async def of(cls, fetch: Fetch, tasks: Sequence[Row]) -> "Edits":
        """Those of these tasks, as the connection sees them: of now, or of then."""
        if not tasks:
            return cls(())
        places = [(r["submission"], r["index"]) for r in tasks]
        return cls(await fetch(_OF_TASKS, *zip(*places, strict=True)))

    def applied(self, spec: TaskSpec, submission: int, index: int) -> TaskSpec:
        """What the task is; the very same spec where no edit holds."""
        return edits.applied(spec, self._rows.get((submission, index), ()))

    def holds(self, submission: int, index: int) -> bool:
        """Whether any edit holds for the task."""
        return bool(edits.changes(self._rows.get((submission, index), ())))
