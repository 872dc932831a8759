"""Which tasks a wish means that is made by filters: ranges, in one statement, however many tasks they are.

What must not enter: pages of tasks (see `paging`), HTTP.
"""

from typing import Final

from msgspec import Struct

from longshore_api.core.rows import TASK_STATES
from longshore_api.core.selection import Selection

#: Ranges of one answer at most.
MOST: Final = 200_000


class Filters(Struct, frozen=True, kw_only=True):
    """Filters of single tasks, all of which hold; None = any. `glob` is a name with `*` and `?`."""

    causes: tuple[str, ...] = ()
    exit_code: int | None = None
    glob: str | None = None


class _Arguments:
    def __init__(self) -> None:
        self.values: list[object] = []

    def __call__(self, value: object, kind: str) -> str:
        self.values.append(value)
        return f"${len(self.values)}::{kind}"


def statement(chosen: Selection, filters: Filters, most: int = MOST) -> tuple[str, list[object]]:
    """(SQL, arguments): rows `submission`, `lo`, `hi`, ascending, `most` + 1 of them at most."""
    put = _Arguments()
    where = ["s.gone < s.size", *_of_submission(chosen, put)]
    task, span = _of_task(chosen, filters, put)
    name = f" AND n.name LIKE {put(_like(filters.glob), 'text')}" if filters.glob is not None else ""
    names = (
        " CROSS JOIN LATERAL (SELECT 0::bigint AS lo, s.size - 1 AS hi, s.name WHERE NOT s.named UNION ALL "
        "SELECT p.base + m.lo, p.base + m.hi, coalesce(nullif(m.name, ''), s.name) FROM part p "
        "JOIN task_name m ON m.part_seq = p.seq WHERE s.named AND p.submission = s.id) n"
        if name
        else " CROSS JOIN LATERAL (SELECT 0::bigint AS lo, s.size - 1 AS hi) n"
    )
    windows = ""
    lo, hi = "n.lo", "n.hi"
    if chosen.windows is not None:
        arrays = [put([w[i] for w in chosen.windows], "bigint[]") for i in range(3)]
        windows = f" JOIN unnest({', '.join(arrays)}) AS w (submission, lo, hi) ON w.submission = s.id"
        lo, hi = "greatest(n.lo, w.lo)", "least(n.hi, w.hi)"
    base = (
        f"SELECT s.id, s.hidden, s.gone, {lo} AS lo, {hi} AS hi FROM submission s{windows}{names} "
        f"WHERE {' AND '.join(where)}{name} AND {lo} <= {hi}"
    )
    rows = (
        "SELECT b.id AS submission, t.index, t.index AS last FROM base b JOIN task t ON t.submission = b.id "
        f"AND t.index BETWEEN b.lo AND b.hi WHERE {task} AND (b.gone = 0 OR NOT b.hidden::int8multirange @> t.index)"
    )
    spans = (
        "SELECT b.id, lower(p), upper(p) - 1 FROM base b JOIN task_range r ON r.submission = b.id AND r.hi >= b.lo "
        "AND r.lo <= b.hi CROSS JOIN LATERAL unnest(int8multirange(int8range(greatest(r.lo, b.lo), "
        f"least(r.hi, b.hi) + 1)) - b.hidden::int8multirange) AS p WHERE {span}"
    )
    parts = rows if span == "false" else f"{rows} UNION ALL {spans}"
    # a run begins where the task before it is not there; the number of begins so far is the number of the run
    sql = (
        f"WITH base AS ({base}), found AS ({parts}), marked AS (SELECT submission, index, last, "
        "CASE WHEN index <= 1 + max(last) OVER (PARTITION BY submission ORDER BY index ROWS BETWEEN UNBOUNDED PRECEDING "
        "AND 1 PRECEDING) THEN 0 ELSE 1 END AS begins FROM found), numbered AS (SELECT submission, index, last, "
        "sum(begins) OVER (PARTITION BY submission ORDER BY index) AS run FROM marked) "
        "SELECT submission, min(index) AS lo, max(last) AS hi FROM numbered GROUP BY submission, run "
        f"ORDER BY submission, lo LIMIT {put(most + 1, 'bigint')}"
    )
    return sql, put.values


def _of_submission(chosen: Selection, put: _Arguments) -> list[str]:
    found = []
    if chosen.batch is not None:
        found.append(f"s.batch = {put(chosen.batch, 'text')}")
    if chosen.user is not None:
        found.append(f"s.user_name = {put(chosen.user, 'text')}")
    if chosen.submission is not None:
        found.append(f"s.id = {put(chosen.submission, 'bigint')}")
    if chosen.states and set(chosen.states) != set(TASK_STATES):
        found.append("(" + " OR ".join(f"s.{state} > 0" for state in chosen.states) + ")")
    return found


def _of_task(chosen: Selection, filters: Filters, put: _Arguments) -> tuple[str, str]:
    """(condition on touched tasks, condition on untouched ranges)"""
    task, span = ["true"], ["true"]
    if chosen.states:
        states = put(list(chosen.states), "text[]")
        task.append(f"t.state = ANY({states})")
        span.append(f"r.state = ANY({states})")
        if "succeeded" not in chosen.states:
            task.append("t.state <> 'succeeded'")
    if filters.causes:
        causes = put(list(filters.causes), "text[]")
        task.append(f"t.cause = ANY({causes})")
        span.append(f"r.cause = ANY({causes})")
    if filters.exit_code is not None:
        task.append(f"t.exit_code = {put(filters.exit_code, 'bigint')}")
    if chosen.worker is not None:
        task.append(f"t.worker = {put(chosen.worker, 'text')}")
    untouched = filters.exit_code is None and chosen.worker is None  # nothing untouched has either
    return " AND ".join(task), " AND ".join(span) if untouched else "false"


def _like(glob: str) -> str:
    """`run-*` as a pattern of SQL."""
    escaped = glob.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")
