"""The one statement behind every list of tasks: touched rows and untouched ranges, merged, a page at a time.

It walks submissions from the newest backwards and takes at most a page from each, so its time depends on the page and
not on how many tasks there are. What must not enter: connections.
"""

from typing import Final

from longshore_api.core.rows import OPEN_STATES, TASK_STATES
from longshore_api.core.selection import Place, Selection

_TASK: Final = (
    "t.index, t.state, t.attempt, t.worker, t.assigned_at, t.started_at, t.ended_at, t.exit_code, t.outcome, t.cause, "
    "t.reason, t.paused, t.not_before, t.report"
)
_RANGE: Final = (
    "g.index, r.state, 0::bigint AS attempt, '' AS worker, NULL::float8 AS assigned_at, NULL::float8 AS started_at, "
    "r.at AS ended_at, NULL::bigint AS exit_code, NULL::text AS outcome, r.cause, r.reason, false AS paused, "
    "0::float8 AS not_before, NULL::text AS report"
)


class _Arguments:
    """Collects values and hands out their places in the statement."""

    def __init__(self) -> None:
        self.values: list[object] = []

    def __call__(self, value: object, kind: str) -> str:
        self.values.append(value)
        return f"${len(self.values)}::{kind}"


def statement(selection: Selection, count: int, after: Place | None) -> tuple[str, list[object]]:
    """(SQL, arguments) of up to `count` tasks past `after`."""
    put = _Arguments()
    if selection.worker is not None:
        return _by_worker(selection, count, after, put), put.values
    where = [*_of_submission(selection, put), *_states_counted(selection)]
    windows, lo, hi = _windows(selection, put)
    if after is not None:
        submission, index = put(after.submission, "bigint"), put(after.index, "bigint")
        where.append(f"s.id <= {submission}")
        lo = f"CASE WHEN s.id = {submission} THEN greatest({lo}, {index} + 1) ELSE {lo} END"
    limit = put(count, "bigint")
    parts = [
        part.format(limit=limit)
        for state in selection.states or (None,)
        for part in _one_state(put(state, "text") if state else None, succeeded=state == "succeeded")
    ]
    sql = (
        f"SELECT s.id AS submission, x.* FROM submission s {windows} "
        f"CROSS JOIN LATERAL (SELECT {lo} AS lo, {hi} AS hi) v "
        f"CROSS JOIN LATERAL ({' UNION ALL '.join(parts)} ORDER BY index LIMIT {limit}) x "
        f"WHERE {' AND '.join(where) or 'true'} ORDER BY s.id DESC, x.index LIMIT {limit}"
    )
    return sql, put.values


def _one_state(state: str | None, *, succeeded: bool) -> tuple[str, str]:
    """Rows and ranges of one submission in a window, in one state, or in any. The index of states leaves out successes."""
    of_task = of_range = ""
    if state is not None:
        of_task = f" AND t.state = {state}" + ("" if succeeded else " AND t.state <> 'succeeded'")
        of_range = f" AND r.state = {state}"
    return (
        f"(SELECT {_TASK} FROM task t WHERE t.submission = s.id AND t.index BETWEEN v.lo AND v.hi{of_task} "
        "ORDER BY t.index LIMIT {limit})",
        f"(SELECT {_RANGE} FROM task_range r CROSS JOIN LATERAL generate_series(greatest(r.lo, v.lo), "
        "least(r.hi, v.hi, greatest(r.lo, v.lo) + {limit} - 1)) AS g (index) "
        f"WHERE r.submission = s.id AND r.hi >= v.lo AND r.lo <= v.hi{of_range} "
        "ORDER BY r.hi, g.index LIMIT {limit})",
    )


def _of_submission(selection: Selection, put: _Arguments) -> list[str]:
    found = []
    if selection.batch is not None:
        found.append(f"s.batch = {put(selection.batch, 'text')}")
    if selection.user is not None:
        found.append(f"s.user_name = {put(selection.user, 'text')}")
    if selection.submission is not None:
        found.append(f"s.id = {put(selection.submission, 'bigint')}")
    return found


def _states_counted(selection: Selection) -> list[str]:
    """Only submissions that have tasks in these states; the counters say so."""
    if not selection.states or set(selection.states) == set(TASK_STATES):
        return []
    counted = " OR ".join(f"s.{state} > 0" for state in selection.states)
    return [f"({counted})", *(["s.open > 0"] if set(selection.states) <= OPEN_STATES else [])]


def _windows(selection: Selection, put: _Arguments) -> tuple[str, str, str]:
    """(joins, lo, hi): the ranges of ordinals asked for; by name they are the runs of equal names."""
    join, lows, highs = "", ["0::bigint"], ["s.size - 1"]
    if selection.name is not None:
        name = put(selection.name, "text")
        join += (
            " CROSS JOIN LATERAL (SELECT 0::bigint AS lo, s.size - 1 AS hi "
            f"WHERE NOT s.named AND s.name = {name} UNION ALL SELECT n.lo, n.hi FROM task_name n WHERE s.named "
            f"AND n.submission = s.id AND (n.name = {name} OR (n.name = '' AND s.name = {name}))) n"
        )
        lows.append("n.lo")
        highs.append("n.hi")
    if selection.windows is not None:
        arrays = [put([w[i] for w in selection.windows], "bigint[]") for i in range(3)]
        join += f" JOIN unnest({', '.join(arrays)}) AS w (submission, lo, hi) ON w.submission = s.id"
        lows.append("w.lo")
        highs.append("w.hi")
    return join, f"greatest({', '.join(lows)})", f"least({', '.join(highs)})"


def _by_worker(selection: Selection, count: int, after: Place | None, put: _Arguments) -> str:
    """A worker's tasks by its own index; nothing untouched has a worker."""
    where = [f"t.worker = {put(selection.worker, 'text')}", *_of_submission(selection, put)]
    if selection.states:
        where.append(f"t.state = ANY({put(list(selection.states), 'text[]')})")
    if after is not None:
        submission, index = put(after.submission, "bigint"), put(after.index, "bigint")
        where.append(f"t.submission <= {submission} AND (t.submission < {submission} OR t.index > {index})")
    windows, lo, hi = _windows(selection, put)
    return (
        f"SELECT t.submission, {_TASK} FROM task t JOIN submission s ON s.id = t.submission {windows} "
        f"WHERE {' AND '.join(where)} AND t.index BETWEEN {lo} AND {hi} "
        f"ORDER BY t.submission DESC, t.index LIMIT {put(count, 'bigint')}"
    )
