"""What the fold holds in memory, and the row changes it hands to the store.

In memory is only what can still change soon: tasks on workers, the submissions and batches they belong to, workers.
Everything else is in PostgreSQL and admitted again when an event names it. What must not enter: SQL, the clock.
"""

from typing import Any, Final

from msgspec import Struct, field

from longshore_api.core.runs import Run
from longshore_api.core.spans import Span
from longshore_common.model import STATES, State

#: Task states in the order of a task's life; every counter has one number for each.
TASK_STATES: Final[tuple[State, ...]] = (
    "waiting", "queued", "assigned", "staging", "running", "delivering", "succeeded", "failed", "cancelled",
)  # fmt: skip
OPEN_STATES: Final = frozenset(s for s in TASK_STATES if not STATES[s].terminal)


def counters() -> dict[str, int]:
    """Zero for each state."""
    return dict.fromkeys(TASK_STATES, 0)


class Submission(Struct, eq=False):
    """A submission: `counts` per state, its untouched `spans`, and those of its touched tasks that are in memory.

    `hidden`: ordinals of deleted tasks, in no count.
    """

    id: int
    user: str
    batch: str
    size: int
    name: str | None = None
    key: str = ""
    priority: int = 0
    submitted_at: float = 0
    status: str = "submitted"
    reason: str = ""
    duplicate_of: int | None = None
    by_index: str | None = None
    requires: str | None = None
    spec: bytes | None = None
    start: int = 0
    step: int = 1
    named: bool = False
    hidden: tuple[Run, ...] = ()
    counts: dict[str, int] = field(default_factory=counters)
    # not columns
    spans: list[Span] = []
    rows: dict[int, "Row"] = {}
    counted: dict[str, int] = field(default_factory=counters)
    stored_spans: dict[int, Span] = {}
    stored: bool = False
    dirty: bool = False

    @property
    def open(self) -> int:
        """How many of its tasks have not ended."""
        return sum(self.counts[s] for s in OPEN_STATES)

    @property
    def shown(self) -> int:
        """How many of its tasks are not deleted."""
        return self.size - sum(hi - lo + 1 for lo, hi in self.hidden)

    def visible(self, lo: int, hi: int) -> int:
        """How many of these tasks are not deleted."""
        return hi - lo + 1 - sum(max(0, min(b, hi) - max(a, lo) + 1) for a, b in self.hidden)

    def rows_of(self, lo: int, hi: int) -> list["Row"]:
        """The touched tasks from `lo` to `hi` that are in memory."""
        rows = self.rows
        if hi - lo < len(rows):
            return [rows[i] for i in range(lo, hi + 1) if i in rows]
        return [row for i, row in rows.items() if lo <= i <= hi]


class Row(Struct, eq=False):
    """A touched task with its current (or last) attempt. Instants are Unix seconds.

    `outcome`: how that attempt ended, None while it is current. `report`: JSON of [usage, stdout, stderr, image,
    checkpoint, kept, reused, steps, collected] as reported, without what is not said. `progress`: JSON of a `Progress`,
    of the last transfer.
    """

    submission: Submission
    index: int
    state: str
    attempt: int
    worker: str
    assigned_at: float
    assigned_seq: int
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    outcome: str | None = None
    cause: str | None = None
    reason: str = ""
    paused: bool = False
    not_before: float = 0
    report: str | None = None
    progress: str | None = None
    stored: bool = False
    dirty: bool = False


class Progress(Struct, frozen=True, array_like=True):
    """`done` of `total` bytes by instant `at` in this phase, and what the report before said; totals of 0 are not known."""

    phase: str
    done: int
    total: int
    at: float
    done_before: int | None = None
    at_before: float | None = None


class Batch(Struct, eq=False):
    """A batch; `ended_at` is the last end of any of its tasks, whether or not others still run.

    `retention`: JSON of how long things of its ended tasks are kept, None if nobody said. `ran`: for how many seconds its
    attempts ran, all together, those that failed as well.
    """

    name: str
    paused: bool = False
    frozen: bool = False
    size: int = 0
    submissions: int = 0
    users: list[str] = []
    submitted_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    retention: str | None = None
    ran: float = 0.0
    counts: dict[str, int] = field(default_factory=counters)
    dirty: bool = False


class Worker(Struct, eq=False):
    """A worker as the log knows it; when it was last heard of is a matter of beats, not of the log.

    `paused` and `drain` by a user (`pause_reason`), `hindered` and `evicted` (from `evicted_at` on) as its agent said, by
    their reasons. `held`: how many resources it keeps. `cares`: JSON of the last few answers to care. `quarantine`: why the
    dispatcher gives it nothing until then.
    """

    name: str
    state: str = "enrolled"
    paused: bool = False
    concurrency: int = 0
    prefetch: int = -1
    batch: str = "*"
    facts: str = "{}"
    public_key: str = ""
    hostname: str = ""
    life: int = 0
    enrolled_at: float | None = None
    joined_at: float | None = None
    seen_at: float | None = None
    drain: bool = False
    pause_reason: str = ""
    hindered: str = ""
    evicted: str = ""
    evicted_at: float | None = None
    held: int = 0
    remotes_at: float | None = None
    cares: str = "[]"
    prefetch_percent: int = 0
    quarantine: str = ""
    quarantined_until: float | None = None
    moved: int = 0
    dirty: bool = False


class Needs(Struct, frozen=True):
    """What a slice will touch and memory lacks: tasks by (submission, index), and tasks by (submission, lo, hi, states).

    `tallies`: (submission, lo, hi) of which only the states must be known.
    """

    tasks: list[tuple[int, int]]
    ranges: list[tuple[int, int, int, tuple[str, ...]]]
    tallies: list[tuple[int, int, int]] = []

    def __bool__(self) -> bool:
        return bool(self.tasks or self.ranges or self.tallies)


Tuple = tuple[Any, ...]


class Changes(Struct):
    """Rows to write, one list per statement, each row in the column order of `columns` in the store."""

    before: int
    after: int
    at: float = 0
    submissions_new: list[Tuple] = []
    submissions_changed: list[Tuple] = []
    spans_written: list[Tuple] = []
    spans_removed: list[Tuple] = []
    tasks_new: list[Tuple] = []
    tasks_changed: list[Tuple] = []
    attempts: list[Tuple] = []
    late: dict[tuple[int, int, int], Tuple] = {}
    parts: list[Tuple] = []
    parts_adopted: list[Tuple] = []
    parts_dropped: list[Tuple] = []
    specs: list[Tuple] = []
    names: list[Tuple] = []
    batches: list[Tuple] = []
    workers: list[Tuple] = []
    governing: dict[tuple[str, str], Tuple] = {}
    events: list[Tuple] = []
    links: list[Tuple] = []
    abouts: list[Tuple] = []
    edits: list[Tuple] = []
    tes: list[Tuple] = []
