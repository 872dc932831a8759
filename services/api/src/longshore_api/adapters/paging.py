"""The one statement behind every list of tasks: touched rows and untouched ranges, merged, a page at a time.

It walks submissions from the newest backwards and takes at most a page from each, so its time depends on the page and
not on how many tasks there are. What must not enter: connections.
"""

from typing import Final

from longshore_api.core.rows import OPEN_STATES, TASK_STATES
from longshore_api.core.selection import Place, Selection
from longshore_common.model import ON_WORKER

#: What is read of a touched task, as `t`; and of one in an untouched range, as `r` and `g`.
TASK: Final = (
    "t.index, t.state, t.attempt, t.worker, t.assigned_at, t.started_at, t.ended_at, t.exit_code, t.outcome, t.cause, "
    "t.reason, t.paused, t.not_before, t.report, t.progress"
)
RANGE: Final = (
    "g.index, r.state, 0::bigint AS attempt, '' AS worker, NULL::float8 AS assigned_at, NULL::float8 AS started_at, "
    "r.at AS ended_at, NULL::bigint AS exit_code, NULL::text AS outcome, r.cause, r.reason, false AS paused, "
    "0::float8 AS not_before, NULL::text AS report, NULL::text AS progress"
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
    if selection.worker is not None and not _narrowed(selection):
        return _by_worker(selection, count, after, put), put.values
    limit = put(count, "bigint")
    where = [*_of_submission(selection, put), *_states_counted(selection)]
    lo_of, submission = "{}", None
    if after is not None:
        submission, index = put(after.submission, "bigint"), put(after.index, "bigint")
        where.append(f"s.id <= {submission}")
        lo_of = f"CASE WHEN s.id = {submission} THEN greatest({{0}}, {index} + 1) ELSE {{0}} END"
    condition = " AND ".join(where) or "true"
    source, windows, lo, hi = _windows(selection, put, condition, limit)
    worker = f" AND t.worker = {put(selection.worker, 'text')}" if selection.worker is not None else ""
    parts = [
        part
        for state in selection.states or (None,)
        for part in _one_state(state, put(state, "text") if state else "", worker, limit)
    ]
    newest = "s.id" if selection.name is None else "c.id"
    sql = (
        f"SELECT s.id AS submission, x.* FROM {source} {windows} "
        f"CROSS JOIN LATERAL (SELECT {lo_of.format(lo)} AS lo, {hi} AS hi) v "
        f"CROSS JOIN LATERAL (SELECT * FROM ({' UNION ALL '.join(parts)}) y ORDER BY index LIMIT {limit}) x "
        f"WHERE {condition} ORDER BY {newest} DESC, x.index LIMIT {limit}"
    )
    return sql, put.values


def _narrowed(selection: Selection) -> bool:
    """Whether something says which submissions to look into."""
    return any(
        f is not None
        for f in (selection.batch, selection.user, selection.submission, selection.name, selection.windows)
    )


def _one_state(state: str | None, value: str, worker: str, limit: str) -> list[str]:
    """Rows and ranges of one submission in a window, in one state, or in any. The index of states leaves out successes."""
    of_task = of_range = ""
    if state is not None:
        of_task = f" AND t.state = {value}" + ("" if state == "succeeded" else " AND t.state <> 'succeeded'")
        of_range = f" AND r.state = {value}"
    tasks = (
        f"(SELECT {TASK} FROM task t WHERE t.submission = s.id AND t.index BETWEEN v.lo AND v.hi{of_task}{worker} "
        f"AND (s.gone = 0 OR NOT s.hidden::int8multirange @> t.index) ORDER BY t.index LIMIT {limit})"
    )
    if worker:  # nothing untouched has one
        return [tasks]
    ranges = (
        f"(SELECT {RANGE} FROM task_range r CROSS JOIN LATERAL generate_series(greatest(r.lo, v.lo), "
        f"least(r.hi, v.hi, greatest(r.lo, v.lo) + {limit} - 1)) AS g (index) "
        f"WHERE r.submission = s.id AND r.hi >= v.lo AND r.lo <= v.hi{of_range} AND s.gone = 0 "
        f"ORDER BY r.hi, g.index LIMIT {limit})"
    )
    shown = (  # where some are deleted
        f"(SELECT {RANGE} FROM task_range r CROSS JOIN LATERAL unnest(int8multirange(int8range(greatest(r.lo, v.lo), "
        "least(r.hi, v.hi) + 1)) - s.hidden::int8multirange) AS p CROSS JOIN LATERAL "
        f"generate_series(lower(p), least(upper(p), lower(p) + {limit}) - 1) AS g (index) "
        f"WHERE r.submission = s.id AND r.hi >= v.lo AND r.lo <= v.hi{of_range} AND s.gone > 0 "
        f"ORDER BY r.hi, g.index LIMIT {limit})"
    )
    return [tasks, ranges, shown]


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
    """Only submissions that have tasks in these states; the counters say so, in words the partial indexes have."""
    wanted = set(selection.states)
    if not wanted or wanted == set(TASK_STATES):
        return []
    counted = ["(" + " OR ".join(f"s.{state} > 0" for state in selection.states) + ")"]
    if wanted <= OPEN_STATES:
        counted.append("s.open > 0")
    elif len(wanted) > 1 and "succeeded" not in wanted:
        counted.append("s.unsettled > 0")
    return counted


def _windows(selection: Selection, put: _Arguments, condition: str, limit: str) -> tuple[str, str, str, str]:
    """(source of s, joins, lo, hi): the ranges of ordinals asked for; by name they are the runs of equal names."""
    source, join, lows, highs = "submission s", "", ["0::bigint"], ["s.size - 1"]
    if selection.name is not None:
        name = put(selection.name, "text")
        most = f"LIMIT {limit}" if selection.windows is None and selection.worker is None else ""
        source = (
            f"((SELECT s.id FROM submission s WHERE s.name = {name} AND NOT s.named AND {condition} ORDER BY s.id DESC {most}) "
            f"UNION SELECT p.submission FROM task_name n JOIN part p ON p.seq = n.part_seq "
            f"WHERE n.name = {name} AND p.submission IS NOT NULL "
            f"UNION SELECT s.id FROM submission s WHERE s.name = {name} AND s.named) c "
            "CROSS JOIN LATERAL (SELECT * FROM submission s WHERE s.id = c.id OFFSET 0) s"
        )
        join += (
            " CROSS JOIN LATERAL (SELECT 0::bigint AS lo, s.size - 1 AS hi "
            f"WHERE NOT s.named AND s.name = {name} UNION ALL SELECT p.base + n.lo, p.base + n.hi FROM part p "
            f"JOIN task_name n ON n.part_seq = p.seq WHERE s.named AND p.submission = s.id "
            f"AND n.name IN ({name}, CASE WHEN s.name = {name} THEN '' END)) n"
        )
        lows.append("n.lo")
        highs.append("n.hi")
    if selection.windows is not None:
        arrays = [put([w[i] for w in selection.windows], "bigint[]") for i in range(3)]
        join += f" JOIN unnest({', '.join(arrays)}) AS w (submission, lo, hi) ON w.submission = s.id"
        lows.append("w.lo")
        highs.append("w.hi")
    return source, join, f"greatest({', '.join(lows)})", f"least({', '.join(highs)})"


def _by_worker(selection: Selection, count: int, after: Place | None, put: _Arguments) -> str:
    """A worker's tasks by its own index, two stretches of it after a cursor."""
    limit = put(count, "bigint")
    where = (
        f"t.worker = {put(selection.worker, 'text')} AND NOT coalesce((SELECT s.hidden::int8multirange @> t.index "
        "FROM submission s WHERE s.id = t.submission AND s.gone > 0), false)"
    )
    if selection.states:
        where += f" AND t.state = ANY({put(list(selection.states), 'text[]')})"
        if set(selection.states) <= ON_WORKER:
            where += " AND t.state IN ('assigned', 'staging', 'running', 'delivering')"
    stretches = ["true"]
    if after is not None:
        submission, index = put(after.submission, "bigint"), put(after.index, "bigint")
        stretches = [f"t.submission = {submission} AND t.index > {index}", f"t.submission < {submission}"]
    parts = [
        f"(SELECT t.submission, {TASK} FROM task t WHERE {where} AND {each} ORDER BY t.submission DESC, t.index LIMIT {limit})"
        for each in stretches
    ]
    return f"SELECT * FROM ({' UNION ALL '.join(parts)}) x ORDER BY submission DESC, index LIMIT {limit}"
