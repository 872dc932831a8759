"""What the api answers: one struct per kind of body. Times are ISO 8601 with zone or null, sizes bytes, durations seconds."""

from typing import Any, Literal

from msgspec import Struct

from longshore_common.model import Request, TaskSpec


class Progress(Struct):
    """A transfer: bytes `done` of `total` (0 = not known) in this phase, bytes a second, seconds to go."""

    phase: str
    done: int
    total: int
    at: str | None
    rate: float | None = None
    eta: float | None = None


class Task(Struct, kw_only=True):
    """A task; `attempt` is the number of its current or last attempt, null before the first. `edited`: since submission."""

    id: str
    name: str | None
    batch: str
    state: str
    command: list[str]
    container: str | None
    worker: str | None
    attempt: int | None
    exit_code: int | None
    cause: str | None
    reason: str | None
    submitted_at: str | None
    started_at: str | None
    ended_at: str | None
    peak_memory: int | None
    cpu_seconds: float | None
    submission: int
    index: int
    label: int | None
    entry: str | None
    user: str
    priority: int
    paused: bool
    inputs: list[str]
    output: str | None
    retries: int
    not_before: str | None = None
    progress: Progress | None = None
    edited: bool = False


class TaskPage(Struct):
    """Tasks, newest submission first, index ascending; `next` is the cursor of the page after, `position` the log's."""

    items: list[Task]
    next: str | None
    position: int


class Ranges(Struct):
    """Tasks as ranges `[submission, lo, hi]`, both ends included, ascending, and how many tasks they are.

    `whole` is false if there are more of them than one answer holds.
    """

    items: list[tuple[int, int, int]]
    count: int
    whole: bool
    position: int


class Spec(Struct):
    """All that a task is to run, as an agent is told it: the spec, and what the placeholders in it stand for."""

    task: str
    attempt: int | None
    label: int
    entry: str
    batch: str
    user: str
    spec: TaskSpec


class Stream(Struct):
    """One output stream of an ended attempt: bytes, sha256 in hex, where all of it is stored ("" = in the report)."""

    size: int
    digest: str
    stored: str


class Step(Struct, kw_only=True):
    """How a step of an attempt ended; `stdout`, `stderr`: where its bytes of the attempt's output begin, and how many."""

    exit_code: int
    cause: str | None
    started_at: str | None
    ended_at: str | None
    peak_memory: int
    cpu_seconds: float
    image: str | None
    stdout: tuple[int, int]
    stderr: tuple[int, int]


class Upload(Struct, kw_only=True):
    """A file that was collected: its path in the containers, where to, bytes, sha256 in hex."""

    path: str
    uri: str
    size: int
    digest: str


class Attempt(Struct, kw_only=True):
    """One try of a task on one worker; `kept`: its work directory is still on that host.

    `reused`: the attempt whose outputs it took instead of running. `given`: what of its host it was given, of the task's
    request and its alternatives, as far as it asked for anything.
    """

    id: str
    n: int
    state: str
    worker: str
    exit_code: int | None
    cause: str | None
    reason: str | None
    assigned_at: str | None
    staging_at: str | None
    started_at: str | None
    ended_at: str | None
    finished_at: str | None
    peak_memory: int | None
    cpu_seconds: float | None
    read_bytes: int | None
    written_bytes: int | None
    staged_bytes: int | None
    delivered_bytes: int | None
    stdout: Stream | None
    stderr: Stream | None
    image: str | None = None
    checkpoint: bool = False
    kept: bool = False
    reused: str | None = None
    progress: Progress | None = None
    given: Request | None = None
    steps: list[Step] = []
    collected: list[Upload] = []


class Attempts(Struct):
    """All attempts of a task, the first one first."""

    items: list[Attempt]


class Line(Struct):
    """One event in a sentence; `request`: the sequence of the wish that it answers."""

    seq: int
    at: str
    author: str
    type: str
    text: str
    request: int | None = None


class History(Struct):
    """What happened, oldest first; `next` is the cursor of the page after."""

    items: list[Line]
    next: str | None


class Submission(Struct, kw_only=True):
    """A submission and how many of its tasks are in each state."""

    id: int
    user: str
    batch: str
    name: str | None
    size: int
    states: dict[str, int]
    submitted_at: str | None
    status: str
    reason: str | None
    duplicate_of: int | None


class Batch(Struct, kw_only=True):
    """A batch; `ended_at` is null while any of its tasks is not over. `retention`: seconds by kind, 0 = for ever.

    `ran_seconds`: for how long its attempts ran, all together.
    """

    name: str
    paused: bool
    frozen: bool
    size: int
    states: dict[str, int]
    submissions: int
    users: list[str]
    submitted_at: str | None
    started_at: str | None
    ended_at: str | None
    retention: dict[str, float] | None = None
    ran_seconds: float = 0


class Batches(Struct):
    """Batches, the newest first."""

    items: list[Batch]
    next: str | None
    position: int


class Care(Struct, kw_only=True):
    """What came of an order to look after a host: a line for people, bytes that became free, the wish behind it."""

    worker: str
    at: str | None
    care: str
    text: str
    freed: int
    request: int


class Worker(Struct, kw_only=True):
    """A worker and its load. `held`: resources it keeps.

    `concurrency` -1 = automatic: what tasks request decides; `prefetch` -1 = automatic, or `prefetch_percent` if not 0.

    `state`: enrolled, up, paused, draining, drained, hindered, quarantined, evicted, lost or left; `reason` why it takes
    no work.
    """

    name: str
    state: str
    concurrency: int
    prefetch: int
    prefetch_percent: int
    batch: str
    public_key: str
    hostname: str
    facts: dict[str, Any]
    running: int
    assigned: int
    last_seen_at: str | None
    joined_at: str | None
    reason: str | None = None
    evicted_at: str | None = None
    held: int = 0
    remotes_at: str | None = None
    cares: list[Care] = []
    quarantined_until: str | None = None
    load: dict[str, Any] | None = None


class Metrics(Struct):
    """What a host does: the last sample, and means by the minute, oldest first; shapes are the agent's.

    `cpu` in percent of all processors; memory and mounts in bytes; disks and network in bytes a second.
    """

    latest: dict[str, Any] | None
    minutes: list[dict[str, Any]]


class Share(Struct, kw_only=True):
    """What a batch or user gets beside others: `weight` of its share, tasks on workers at once (0 = any)."""

    kind: Literal["batch", "user"]
    name: str
    weight: float
    max_running: int
    since: str | None
    request: int


class Shares(Struct):
    """Batches and users whose share is not the usual one, by kind and name."""

    items: list[Share]
    position: int


class Policy(Struct, kw_only=True):
    """The operator's policy, the instant since which it holds, and the wish behind it (0 = nobody ever set one)."""

    policy: dict[str, Any]
    since: str | None
    request: int


class Workers(Struct):
    """Workers by name."""

    items: list[Worker]
    next: str | None
    position: int


class Readiness(Struct):
    """Whether reads are answered, the projected sequence, the newest one in the log, and how many events changed nothing
    because this release could not read or project them (0 while not ready)."""

    ready: bool
    position: int
    last: int
    passed_over: int


class Alive(Struct):
    """This process answers."""

    alive: bool = True


class Answer(Struct):
    """What became of a wish: `refused` if nothing or not all of it was done, with the reason; `none` is no answer yet.

    With `done`, the reason says what the wish named and had no need of a change.

    `seq` is the last event of the answer, 0 for none. `workers` were told by it, `cares` are what they said since.
    """

    request: int
    answer: Literal["done", "refused", "none"]
    reason: str | None = None
    seq: int = 0
    workers: list[str] = []
    cares: list[Care] = []


class Enrolment(Struct, forbid_unknown_fields=True):
    """A host that wants to be a worker: the name it would like and the public key (nkey) it made."""

    name: str
    public_key: str
    hostname: str = ""


class Credentials(Struct):
    """The name it got, its signed claim, and where to connect."""

    worker: str
    jwt: str
    nats_url: str


class Rebuilding(Struct):
    """The projection begins again at sequence 0; `last` is where it will be complete."""

    position: int
    last: int


class Fault(Struct):
    """What is wrong with one field, and what to write instead."""

    field: str
    remedy: str


class Problem(Struct, omit_defaults=True):
    """What went wrong (RFC 9457); `detail` names the fix, `errors` what is wrong with which field."""

    title: str
    detail: str
    status: int
    errors: list[Fault] = []
