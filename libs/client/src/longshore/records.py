"""What the SDK hands out: typed, frozen, with real datetimes (UTC). Unknown fields of a newer API are left out.

Sizes are bytes, durations seconds. What must not enter: I/O.
"""

from datetime import datetime
from typing import Final, Literal

from msgspec import Struct, field

from longshore_common.demand import BatchDemand
from longshore_common.ids import SubmissionId, TaskRange
from longshore_common.model import TERMINAL

_SUCCEEDED: Final = "succeeded"


class Record(Struct, frozen=True, kw_only=True):
    """What notebooks show as a table of its fields."""

    def _repr_html_(self) -> str:
        from longshore.showing import record  # only where somebody looks

        return record(self)


class Transfer(Struct, frozen=True, kw_only=True):
    """A transfer: bytes `done` of `total` (0 = not known) in this phase, bytes a second, seconds to go."""

    phase: str = ""
    done: int = 0
    total: int = 0
    at: datetime | None = None
    rate: float | None = None
    eta: float | None = None


class Task(Record, frozen=True, kw_only=True):
    """A task as the read model knows it; `state` is one of `longshore_common.model.State`."""

    id: str
    name: str | None = None
    batch: str = ""
    state: str = "queued"
    command: tuple[str, ...] = ()
    container: str | None = None
    worker: str | None = None
    attempt: int | str | None = None
    exit_code: int | None = None
    cause: str | None = None
    reason: str | None = None
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    peak_memory: int | None = None
    cpu_seconds: float | None = None
    submission: int = 0
    index: int = 0
    label: int | str | None = None
    entry: str | None = None
    user: str = ""
    priority: int = 0
    paused: bool = False
    edited: bool = False
    retries: int = 0
    output: str | None = None
    progress: Transfer | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it without a retry."""
        return self.state in TERMINAL


class StepEnd(Struct, frozen=True, kw_only=True):
    """How a step of an attempt ended; `stdout` and `stderr`: where its bytes of the attempt's output begin, and how many."""

    exit_code: int = 0
    cause: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    peak_memory: int = 0
    cpu_seconds: float = 0
    image: str | None = None
    stdout: tuple[int, int] = (0, 0)
    stderr: tuple[int, int] = (0, 0)


class Upload(Struct, frozen=True, kw_only=True):
    """A file that was collected: its path in the containers, where to, bytes, sha256 in hex."""

    path: str = ""
    uri: str = ""
    size: int = 0
    digest: str = ""


class Attempt(Record, frozen=True, kw_only=True):
    """One try of a task on one worker."""

    id: str = ""
    n: int = 0
    state: str = ""
    worker: str | None = None
    exit_code: int | None = None
    cause: str | None = None
    reason: str | None = None
    assigned_at: datetime | None = None
    staging_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    finished_at: datetime | None = None
    peak_memory: int | None = None
    cpu_seconds: float | None = None
    image: str | None = None
    checkpoint: bool = False
    kept: bool = False
    progress: Transfer | None = None
    steps: list[StepEnd] = []
    collected: list[Upload] = []


class Submission(Record, frozen=True, kw_only=True):
    """A submission and how many of its tasks are in each state."""

    id: int
    user: str = ""
    batch: str = ""
    name: str | None = None
    size: int = 0
    states: dict[str, int] = {}
    submitted_at: datetime | None = None
    status: str = "submitted"
    reason: str | None = None
    duplicate_of: int | None = None


class Batch(Record, frozen=True, kw_only=True):
    """A batch: what it holds, and whether it is handed out. `ran_seconds`: for how long its attempts ran, all together."""

    name: str
    paused: bool = False
    frozen: bool = False
    size: int = 0
    states: dict[str, int] = {}
    submissions: int = 0
    users: tuple[str, ...] | int = ()
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    retention: dict[str, float] | None = None
    ran_seconds: float = 0


class Care(Struct, frozen=True, kw_only=True):
    """What came of an order to look after a host: a line for people, bytes that became free."""

    worker: str = ""
    at: datetime | None = None
    care: str = ""
    text: str = ""
    freed: int = 0
    request: int = 0


class Worker(Record, frozen=True, kw_only=True):
    """A worker and its load; `concurrency` -1 = automatic: by requests; `prefetch` -1 = automatic, or `prefetch_percent`
    if not 0. `public_key`: the nkey that its host made.

    `state`: enrolled, up, paused, draining, drained, hindered, quarantined, evicted, lost or left, and `reason` why. `held`:
    resources it keeps; `load`: what its host does now. After `quarantined_until` it is tried out with one task.
    """

    name: str
    state: str = ""
    public_key: str = ""
    hostname: str = ""
    concurrency: int = 0
    prefetch: int = -1
    prefetch_percent: int = 0
    batch: str = "*"
    facts: dict[str, object] = {}
    running: int = 0
    assigned: int = 0
    last_seen_at: datetime | None = None
    joined_at: datetime | None = None
    reason: str | None = None
    evicted_at: datetime | None = None
    held: int = 0
    remotes_at: datetime | None = None
    cares: tuple[Care, ...] = ()
    quarantined_until: datetime | None = None
    load: dict[str, object] | None = None


class Secret(Record, frozen=True, kw_only=True):
    """A secret, of which nobody can show the value: the workers that were `given` it, and those that `hold` it and can open
    it. `since`: when it was given last.
    """

    owner: str
    name: str
    given: tuple[str, ...] = ()
    hold: tuple[str, ...] = ()
    since: datetime | None = None


class Metrics(Record, frozen=True, kw_only=True):
    """What a host does: the last sample, and means by the minute, oldest first. Shapes are the agent's."""

    latest: dict[str, object] | None = None
    minutes: tuple[dict[str, object], ...] = ()


class HistoryEntry(Record, frozen=True, kw_only=True):
    """One event of the log in a sentence, with its author: the audit trail."""

    seq: int
    at: datetime | None = None
    author: str = ""
    type: str = ""
    text: str = ""


class Reason(Struct, frozen=True, kw_only=True):
    """Why something waits, for how many tasks or workers, and what to do about it; `parts` divide that count."""

    text: str
    fix: str = ""
    count: int = 1
    parts: tuple["Reason", ...] = ()


class Eta(Struct, frozen=True, kw_only=True):
    """In about how many seconds it starts or ends, and the measured figures that say so."""

    what: str
    seconds: float
    basis: str


class Explanation(Record, frozen=True, kw_only=True):
    """What the dispatcher says about a task, submission, batch or worker; `counts` are tasks per state."""

    id: str = ""
    state: str = ""
    reasons: tuple[Reason, ...] = ()
    eta: Eta | None = None
    counts: dict[str, int] = {}


class Demand(Struct, frozen=True, kw_only=True):
    """What waits, batch by batch."""

    batches: tuple[BatchDemand, ...] = ()


class Outcome(Struct, frozen=True, kw_only=True):
    """What would become of so many tasks."""

    text: str
    count: int


class Sample(Struct, frozen=True, kw_only=True):
    """A task as it is and as an edit would make it; both as the fields of its spec."""

    task: str
    before: dict[str, object]
    after: dict[str, object]


class Preview(Record, frozen=True, kw_only=True):
    """What a wish would do as of sequence `seq`; `refused`: why nothing, or not all, of it."""

    seq: int = 0
    outcomes: tuple[Outcome, ...] = ()
    samples: tuple[Sample, ...] = ()
    refused: str = ""


class Answer(Record, frozen=True, kw_only=True):
    """What became of the wish at sequence `request`; `seq` is the last event of the answer, 0 while there is none.

    `workers` were told by it, `cares` are what they said since.
    """

    request: int
    answer: Literal["done", "refused", "none"]
    reason: str | None = None
    seq: int = 0
    workers: tuple[str, ...] = ()
    cares: tuple[Care, ...] = ()


class Submitted(Record, frozen=True, kw_only=True):
    """The receipt of a submission. `id` is None while it is only in the local spool (`spooled`)."""

    size: int
    key: str
    id: int | None = None

    @property
    def spooled(self) -> bool:
        """Kept on this machine, not yet in the log; `flush` sends it."""
        return self.id is None

    @property
    def tasks(self) -> TaskRange:
        """All its tasks; `ValueError` while it is only spooled."""
        if self.id is None:
            raise ValueError("this submission is still in the local spool and has no id yet: call flush()")
        return TaskRange(SubmissionId(self.id), 0, self.size - 1)

    def __str__(self) -> str:
        return str(self.tasks)


class Progress(Record, frozen=True, kw_only=True):
    """How far a submission is; `states` counts tasks, `seq` is the log position it was true at."""

    submission: int
    size: int
    states: dict[str, int] = {}
    seq: int = 0
    status: str = "accepted"
    reason: str = ""
    tasks: tuple[TaskRange, ...] = field(default=())

    @property
    def done(self) -> int:
        """Tasks that ended, however."""
        return sum(count for state, count in self.states.items() if state in TERMINAL)

    @property
    def succeeded(self) -> int:
        """Tasks that succeeded."""
        return self.states.get(_SUCCEEDED, 0)

    @property
    def failed(self) -> int:
        """Tasks that ended otherwise than succeeded."""
        return self.done - self.succeeded

    @property
    def finished(self) -> bool:
        """Whether every task ended, or none will run."""
        return self.status in ("rejected", "duplicate") or (self.size > 0 and self.done >= self.size)

    @property
    def ok(self) -> bool:
        """Whether every task succeeded."""
        return self.status not in ("rejected", "duplicate") and self.size > 0 and self.succeeded >= self.size

    def _repr_html_(self) -> str:
        from longshore.showing import bar  # only where somebody looks

        return bar(self.done, self.size, self.states)
