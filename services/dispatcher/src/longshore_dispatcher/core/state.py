"""What the dispatcher knows, all of it folded from the log.

The structs are the state and go into snapshots. What `State` holds beside them is derived from them (indexes, sums,
queues), rebuilt by `snapshot`. What must not enter: rules; `evolve` changes this, `decide` reads it.
"""

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct, field

from longshore_common.authority import Authority
from longshore_common.ids import TaskRange
from longshore_common.model import STATES, Cause, HostFacts, Policy, Retention, Share
from longshore_dispatcher.core.claims import Reservation
from longshore_dispatcher.core.closing import Closed as Closed  # part of the state
from longshore_dispatcher.core.content import Content, Need, Shelf
from longshore_dispatcher.core.deeds import Deed
from longshore_dispatcher.core.edition import Edit, Origin
from longshore_dispatcher.core.ledger import Keys, Ledger
from longshore_dispatcher.core.load import Load as Load  # part of the state
from longshore_dispatcher.core.queue import Queue
from longshore_dispatcher.core.ranges import Ranges, Run
from longshore_dispatcher.core.residue import Residue, Sweep
from longshore_dispatcher.core.roster import Roster
from longshore_dispatcher.core.shares import Account, Books, Hold
from longshore_dispatcher.core.standing import Seen, Staged, Standing, Trials
from longshore_dispatcher.core.ties import Tied, Ties
from longshore_dispatcher.core.wish import Wish as Wish  # part of the state

#: Where an attempt counts on its worker: 0 not started, 1 holds a slot, 2 only delivers.
PHASE: Final = {s: (0 if t.may_be_recalled else 1 if t.holds_slot else 2) for s, t in STATES.items() if t.on_worker}


class End(Struct, frozen=True, array_like=True, gc=False):
    """How the current attempt ended, while the verdict is open. `outcome` "lost": it ended with its worker.

    `peak`: bytes of memory it was seen to use, 0 if not known. `definite`: see `Ended`. `code`: its exit code.
    """

    outcome: str
    cause: Cause | None = None
    reason: str = ""
    peak: int = 0
    definite: bool = False
    code: int | None = None


class Task(Struct, array_like=True, gc=False):
    """A task that is on a worker, awaits a verdict, or is queued again; all others are runs in their submission.

    `n` is the last attempt; `seq` and `at` say where and when it was assigned, `started` when it began to run.
    `wait`: seconds by which `not_before` was ahead. `staged`: what it has fetched. `asked_at`: when it was recalled.
    `spent` counts retries by own causes, `trouble` those by infrastructure, `losses` those by lost workers.
    `cancel` is the wish that cancels it, `granted` the attempt whose outputs are the result. `asks`: see `reuse`.
    `need`: what the last attempt was given of its host, None: nothing but a slot. `returned`: `avoid` gave it back and did
    not fail: it may start there, and is not taken there in advance.
    """

    submission: int
    index: int
    n: int = 0
    state: str = "queued"
    worker: str = ""
    seq: int = 0
    at: float = 0.0
    started: float = 0.0
    spent: int = 0
    trouble: int = 0
    losses: int = 0
    not_before: float = 0.0
    avoid: str = ""
    wanted: str = "run"
    frozen: bool = False
    recalled: bool = False
    cancel: int = 0
    delivered: bool = False
    granted: int = 0
    end: End | None = None
    reason: str = ""
    wait: float = 0.0
    staged: Staged | None = None
    asked_at: float = 0.0
    asks: str = ""
    need: Need | None = None
    returned: bool = False

    @property
    def attempt(self) -> str:
        """The id of the last attempt."""
        return f"{self.submission}.{self.index}.{self.n}"

    @property
    def placed(self) -> bool:
        """Whether a worker holds it: its last attempt is current."""
        return self.end is None and self.state != "queued"


class Lot(Struct, array_like=True, gc=False):
    """The queued tasks of a submission that need the same: untouched ones as runs, those queued again by ordinal.

    Lots beyond those that `lot_of` names hold tasks that got more memory after they ran out of it.
    """

    need: Need
    fresh: Ranges
    again: dict[int, int] = {}


class Submission(Struct, gc=False):
    """An open submission. Its succeeded tasks are those that are nowhere else.

    `lot_starts` and `lot_of` say which lot a task belongs to (both empty: the first). `kept` are held tasks, `tried`
    the failed or cancelled ones that had attempts, `last` their last attempt where it is not the first.
    `waiting`: what it requires is open; `met`: it was met once, which holds for ever.
    `memory`: bytes for those tasks that ran out of what they had. `resources`: keys that all its tasks share.
    For sweeps: whether any task `delivers` outputs or `fetches` inputs or resources, the workers that `ran` any, and
    `numbers` of attempts of succeeded tasks where not the first. `well`: two workers at most on which any succeeded.
    `pace` is a moving average of run times in seconds, negative while unknown. `edits`, `origin`: see `edition`;
    `deleted`: ended tasks that no list shows.
    """

    id: int
    user: str
    batch: str
    key: str
    size: int
    at: float
    content: Content
    lots: list[Lot]
    name: str | None = None
    priority: int = 0
    max_running: int = 0
    requires: tuple[TaskRange, ...] = ()
    any_outcome: bool = False
    accepted: bool = False
    waiting: bool = False
    met: bool = False
    fault: str = ""
    problems: list[tuple[int, str]] = []
    lot_starts: list[int] = []
    lot_of: list[int] = []
    kept: Ranges = field(default_factory=Ranges)
    failed: Ranges = field(default_factory=Ranges)
    cancelled: Ranges = field(default_factory=Ranges)
    tried: Ranges = field(default_factory=Ranges)
    last: dict[int, int] = {}
    tasks: dict[int, Task] = {}
    succeeded: int = 0
    placed: int = 0
    pace: float = -1.0
    memory: dict[int, int] = {}
    resources: tuple[str, ...] = ()
    delivers: bool = False
    fetches: bool = False
    ran: dict[str, None] = {}
    numbers: dict[int, int] = {}
    well: tuple[str, ...] = ()
    ties: Ties | None = None
    edits: list[Edit] = []
    origin: Origin | None = None
    deleted: Ranges = field(default_factory=Ranges)

    @property
    def ended(self) -> bool:
        """Whether every task is in a final state."""
        return self.succeeded + self.failed.count + self.cancelled.count == self.size

    def state_of(self, index: int) -> str:
        """The state of one task."""
        if (task := self.tasks.get(index)) is not None:
            return task.state
        if self.failed.has(index):
            return "failed"
        if self.cancelled.has(index):
            return "cancelled"
        if self.kept.has(index) or (self.ties is not None and self.ties.blocked.has(index)):
            return "waiting"
        if any(lot.fresh.has(index) for lot in self.lots):
            return "waiting" if self.waiting or not self.accepted else "queued"
        return "succeeded"

    def number(self, index: int) -> int:
        """The last attempt of an untouched or ended task, 0 if there was none."""
        if n := self.last.get(index):
            return n
        return 1 if self.tried.count and self.tried.has(index) else 0

    def tasks_in(self, lo: int, hi: int) -> Iterator[Task]:
        """The task objects between two ordinals, both in, in no order."""
        if hi - lo < len(self.tasks):
            return (task for i in range(lo, hi + 1) if (task := self.tasks.get(i)) is not None)
        return (task for i, task in self.tasks.items() if lo <= i <= hi)


class Result(Struct, array_like=True, gc=False):
    """A succeeded attempt whose outputs can be used again, and the folder they are in."""

    attempt: str
    output: str


class Worker(Struct):
    """A worker. `life` of its agent; `lost` are attempts taken from it unheard, with their place in its subject.

    `paused` (and, if it shall become empty for good, `drain`) by a user, `hindered` by its host for this reason,
    `evicted` from `evicted_at` on for this reason. `held`: keys of the resources that its host keeps. `moved`: the place in
    its subject at which it was told its batch.
    """

    name: str
    state: str = "enrolled"
    paused: bool = False
    life: int = 0
    facts: HostFacts = HostFacts()
    concurrency: int = 0
    prefetch: int = -1
    batch: str = "*"
    since: float = 0.0
    reason: str = ""
    lost: dict[str, int] = {}
    kill: dict[str, int] = {}
    drain: bool = False
    pause_reason: str = ""
    hindered: str = ""
    evicted: str = ""
    evicted_at: float = 0.0
    held: dict[str, None] = {}
    trust: Standing = field(default_factory=Standing)
    prefetch_percent: int = 0
    moved: int = 0

    @property
    def takes_work(self) -> bool:
        """Whether it may be assigned anything."""
        return not self.trust.quarantine and self.willing

    @property
    def willing(self) -> bool:
        """Whether nothing but a quarantine may keep it from work."""
        return self.state == "up" and not (self.paused or self.hindered or self.evicted)


class Batch(Struct, array_like=True):
    """A batch that is paused."""

    paused: bool = False
    frozen: bool = False


class Part(Struct, array_like=True):
    """One part of a submission to come: its blob, sizes, runs of equal needs `(count, need)`, and its bad specs."""

    blob: bytes
    count: int
    raw: int
    needs: list[tuple[int, Need]]
    problems: list[tuple[int, str]]
    resources: tuple[str, ...] = ()
    delivers: bool = False
    fetches: bool = False
    edges: bytes = b""


class Parts(Struct):
    """The parts sent so far with one key, by number."""

    at: float
    parts: dict[int, Part] = {}


class Told:
    """What the log told up to sequence `seq`, all of which a snapshot keeps; `leader`: the fence of the last one elected."""

    def __init__(self) -> None:
        self.seq = 0
        self.at = 0.0
        self.leader = 0
        self.leader_name = ""
        self.submissions: dict[int, Submission] = {}
        self.closed = Ledger()
        self.keys = Keys()
        self.parts: dict[str, Parts] = {}
        self.broken_parts: dict[str, str] = {}
        self.workers: dict[str, Worker] = {}
        self.batches: dict[str, Batch] = {}
        self.wishes: dict[int, Wish] = {}
        self.paces: dict[str, float] = {}
        self.retention: dict[str, Retention] = {}
        self.residues: dict[int, Residue] = {}
        self.sweeps: dict[int, Sweep] = {}
        self.shares: dict[tuple[str, str], Share] = {}
        self.policy = Policy()
        self.authority = Authority()
        self.deeds: dict[int, Deed] = {}
        self.results: dict[str, Result] = {}
        self.usage: dict[tuple[str, str], Account] = {}
        self.reservations: dict[str, Reservation] = {}
        self.secrets: dict[str, dict[str, None]] = {}  # `owner/name` -> the workers that were given it


class State(Told):
    """Everything known, with what is derived from it: indexes, sums and queues, made anew from a snapshot."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: dict[str, Load] = {}
        self.priorities: dict[int, int] = {}  # how many open submissions have each
        self.queue = Queue()
        self.roster = Roster()
        self.holds: dict[tuple[str, str], Hold] = {}
        self.books: dict[tuple[str, str], Books] = {}
        self.delayed: list[tuple[float, int, int]] = []
        self.furthest = self.longest = 0.0  # no instant in `delayed` is later, nor was any further ahead
        self.trials, self.seen = Trials(), Seen()
        self.asked_back: dict[str, Task] = {}  # attempts whose recall is not answered
        self.verdicts: dict[tuple[int, int], Task] = {}
        self.grants: dict[tuple[int, int], Task] = {}
        self.asked: dict[tuple[int, int], Task] = {}
        self.open: dict[int, list[int]] = {}
        self.ripe: set[int] = set()
        self.tied = Tied()
        self.dependents: dict[int, dict[int, list[Run]]] = {}
        self.frozen: set[str] = set()
        self.due: dict[tuple[str, str], list[tuple[float, int, str]]] = {}
        self.shelf = Shelf()
        self.edited: dict[int, Any] = {}  # see `edits`
        # submissions whose counts changed since whoever reads this cleared it; no part of the state
        self.news: dict[int, None] = {}

    def count_priority(self, priority: int, by: int) -> None:
        """So many more submissions of this priority are open."""
        if left := self.priorities.get(priority, 0) + by:
            self.priorities[priority] = left
        else:
            del self.priorities[priority]

    def load(self, worker: str) -> Load:
        """What this worker holds."""
        load = self.loads.get(worker)
        if load is None:
            load = self.loads[worker] = Load()
        return load

    def original(self, submission: int) -> int:
        """The submission that holds the tasks of this one: itself, or the first one of its key."""
        while (closed := self.closed.get(submission)) is not None and closed.first:
            submission = closed.first
        return submission
