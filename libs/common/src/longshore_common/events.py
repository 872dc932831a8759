"""Every event there is: facts in the past tense, and who alone may write each.

Read the docstrings in order and you know the protocol. A fold needs nothing else: `evolve` in the dispatcher, the
projector of the api and the recruiter's demand are folds of these. Fields are only ever added, with defaults.

Three rules make the folds agree. An attempt is *current* while it is the last one assigned to its task and no later
event ended it. A report about an attempt that is not current is history and changes no task. A current attempt that is
reported `succeeded` settles its task as succeeded; any other end leaves the task to the dispatcher's verdict, which is
the next `tasks-requeued`, `tasks-failed` or `tasks-cancelled` that names it.
"""

from typing import Final, Literal

from msgspec import Struct

from longshore_common.ids import AttemptId, SubmissionId, TaskRange, WorkerId
from longshore_common.model import AttemptState, Body, Cause, HostFacts, Output, OutputFile, TaskSpec, Usage, Wanted

Role = Literal["user", "dispatch", "recruit", "worker", "api"]


def _tag(name: str) -> str:
    """`TasksSubmitted` -> `tasks-submitted`."""
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).removeprefix("-")


class Event(
    Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="type", tag=_tag
):
    """Base of all events; the tag is the class name in kebab case."""


# --- users: wishes, each answered by another event --------------------------------------------------------------------


class TasksSubmitted(Event, frozen=True):
    """A submission; its id is this event's sequence in the log. Its tasks are `queued`, or `waiting` if it requires any.

    `key` is the client's idempotency key: a repeat of the same user's key is answered `submission-duplicated`.
    `max_running` caps tasks on workers at once, 0 = none. `held` keeps the tasks `waiting` until they are retried.
    """

    key: str
    batch: str
    body: Body
    name: str | None = None
    priority: int = 0
    requires: tuple[TaskRange, ...] = ()
    requires_any_outcome: bool = False
    max_running: int = 0
    held: bool = False


class SubmissionPartSent(Event, frozen=True):
    """Part `part` (from 0) of a submission to come with this `key`; without its closing event it never counts."""

    key: str
    part: int
    specs: tuple[TaskSpec, ...]


class CancelRequested(Event, frozen=True):
    """These tasks shall not run, or stop. A whole batch if `batch` is given."""

    tasks: tuple[TaskRange, ...] = ()
    batch: str | None = None


class RetryRequested(Event, frozen=True):
    """These failed or cancelled tasks shall run again, and held ones be released."""

    tasks: tuple[TaskRange, ...] = ()
    batch: str | None = None


class SignalRequested(Event, frozen=True):
    """Send `signal` to the running attempts of these tasks: stop, kill, pause, continue, or a name such as SIGUSR1."""

    tasks: tuple[TaskRange, ...]
    signal: str


class BatchPauseRequested(Event, frozen=True):
    """Hand out no more of this batch; with `freeze`, pause what runs as well."""

    batch: str
    freeze: bool = False


class BatchResumeRequested(Event, frozen=True):
    """Undo a pause of this batch."""

    batch: str


class WorkerPauseRequested(Event, frozen=True):
    """Assign nothing more to these workers; none named = all that are known."""

    workers: tuple[WorkerId, ...] = ()


class WorkerResumeRequested(Event, frozen=True):
    """Undo a pause of these workers; none named = all that are known."""

    workers: tuple[WorkerId, ...] = ()


class WorkerResizeRequested(Event, frozen=True):
    """Change slots and prefetch; None leaves a value, prefetch -1 = automatic. Lowering never kills."""

    workers: tuple[WorkerId, ...] = ()
    concurrency: int | None = None
    prefetch: int | None = None


# --- api --------------------------------------------------------------------------------------------------------------


class WorkerEnrolled(Event, frozen=True):
    """A host was given credentials as this worker; a repeat replaces its public key."""

    worker: WorkerId
    public_key: str
    hostname: str = ""


# --- dispatcher: verdicts -------------------------------------------------------------------------------------------------


class LeaderElected(Event, frozen=True):
    """This dispatcher leads from here on; this event's sequence is the fence of all its decisions."""

    dispatcher: str


class SubmissionAccepted(Event, frozen=True):
    """The submission is valid and scheduled from here on."""

    submission: SubmissionId
    size: int


class SubmissionRejected(Event, frozen=True):
    """None of it will run: its tasks are `failed` with cause `rejected`. `by_index` gives reasons per task, some at most."""

    submission: SubmissionId
    reason: str
    by_index: tuple[tuple[int, str], ...] = ()


class SubmissionDuplicated(Event, frozen=True):
    """The key was seen before: `first` holds the tasks, this submission has none."""

    submission: SubmissionId
    first: SubmissionId


class RequestRefused(Event, frozen=True):
    """The wish at sequence `request` changed nothing, or not all of it; why."""

    request: int
    reason: str


class RequirementsMet(Event, frozen=True):
    """The waiting tasks of these submissions are queued; held ones stay `waiting` until they are retried."""

    submissions: tuple[SubmissionId, ...]


class Requeue(Struct, frozen=True, array_like=True):
    """Attempt `n` of a task is over (or never was, n = 0) and the task is queued again, not before `not_before`."""

    submission: SubmissionId
    index: int
    n: int
    not_before: float = 0
    cause: Cause | None = None
    reason: str = ""


class TasksRequeued(Event, frozen=True):
    """These tasks are queued again after an attempt that failed, was recalled, or was lost with its worker."""

    tasks: tuple[Requeue, ...]


class TasksRetried(Event, frozen=True):
    """By a user's wish these ended or held tasks are queued again, with a fresh budget of retries.

    Those of a submission that requires any, and that no `requirements-met` has named yet, are `waiting`.
    """

    tasks: tuple[TaskRange, ...]
    request: int = 0


class TasksFailed(Event, frozen=True):
    """These tasks are failed for good, for one cause."""

    tasks: tuple[TaskRange, ...]
    cause: Cause
    reason: str = ""


class TasksCancelled(Event, frozen=True):
    """These tasks are cancelled; attempts still on a worker are superseded and told to stop by `attempts-signalled`."""

    tasks: tuple[TaskRange, ...]
    request: int = 0
    reason: str = ""


class BatchPaused(Event, frozen=True):
    """Nothing of this batch is handed out until `batch-resumed`. `request` is the wish it answers."""

    batch: str
    frozen: bool = False
    request: int = 0


class BatchResumed(Event, frozen=True):
    """The batch is handed out again. `request` is the wish it answers."""

    batch: str
    request: int = 0


# --- dispatcher: the worker subject (log.dispatch.<worker>.…), work and signals --------------------------------------------


class Start(Struct, frozen=True, array_like=True):
    """One attempt of an order: task ordinal, attempt number, `LONGSHORE_INDEX`, `LONGSHORE_ENTRY`."""

    index: int
    n: int
    label: int = 0
    entry: str = ""


class Order(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Attempts of one submission that share a spec: complete, nothing is looked up.

    `publish_of` > 0: do not run; the outputs of that earlier attempt were granted publication, finish publishing them.
    """

    submission: SubmissionId
    spec: TaskSpec
    batch: str
    user: str
    starts: tuple[Start, ...]
    publish_of: int = 0


class AttemptsAssigned(Event, frozen=True):
    """The worker shall run these. They are the current attempts of their tasks from here on."""

    orders: tuple[Order, ...]


class AttemptsRecalled(Event, frozen=True):
    """Give these back if they do not run yet; the worker answers with outcome `recalled`, or by going on."""

    attempts: tuple[AttemptId, ...]


class AttemptsSignalled(Event, frozen=True):
    """The wanted state of these attempts. With `signal`, send that signal to the process once instead.

    `request` is the user's wish behind it, 0 if there is none; the wish is answered by the first event that names it
    without `more`.
    """

    attempts: tuple[AttemptId, ...]
    wanted: Wanted
    signal: str | None = None
    request: int = 0
    more: bool = False


class WorkerPaused(Event, frozen=True):
    """Nothing is assigned to the worker until `worker-resumed`; what it holds and does not run is recalled."""

    request: int = 0
    more: bool = False


class WorkerResumed(Event, frozen=True):
    """The worker is assigned work again."""

    request: int = 0
    more: bool = False


class WorkerResized(Event, frozen=True):
    """The worker's slots and prefetch from here on; prefetch -1 = automatic."""

    concurrency: int
    prefetch: int = -1
    request: int = 0
    more: bool = False


class WorkerLost(Event, frozen=True):
    """The worker fell silent or left: its attempts are `lost`. It may join again."""

    reason: str


# --- agents -------------------------------------------------------------------------------------------------------------


class WorkerJoined(Event, frozen=True):
    """An agent is at work. `life` counts its starts; `held` are all attempts it still has, in whatever phase.

    `handled` is the last sequence of its subject that its journal holds: what was assigned up to there and is not in
    `held` is lost; what was assigned after it will still be read.
    """

    life: int
    facts: HostFacts
    concurrency: int
    prefetch: int = -1
    batch: str = "*"
    held: tuple[AttemptId, ...] = ()
    handled: int = 0


class Move(Struct, frozen=True, array_like=True):
    """An attempt entered a phase at an instant; `paused` tells if it is frozen, `reason` what keeps it in this phase."""

    attempt: AttemptId
    state: AttemptState
    at: float
    paused: bool = False
    reason: str = ""


class Delivered(Struct, frozen=True, array_like=True):
    """The attempt's outputs are complete in its private prefix and it asks leave to publish them."""

    attempt: AttemptId
    files: tuple[OutputFile, ...] = ()


class Ended(Struct, frozen=True, array_like=True):
    """An attempt is over on its worker and holds nothing there any more."""

    attempt: AttemptId
    outcome: Literal["succeeded", "failed", "cancelled", "recalled"]
    exit_code: int | None = None
    cause: Cause | None = None
    reason: str = ""
    usage: Usage = Usage()
    stdout: Output | None = None
    stderr: Output | None = None
    files: int = 0


class AttemptsReported(Event, frozen=True):
    """What happened on a worker in the last moments, in this order: moves, deliveries, ends. `n` counts a life's reports."""

    life: int
    n: int
    moved: tuple[Move, ...] = ()
    delivered: tuple[Delivered, ...] = ()
    ended: tuple[Ended, ...] = ()


class WorkerLeft(Event, frozen=True):
    """The agent stops for good and has stopped all it ran."""

    life: int
    reason: str = ""


#: The one author of each event. The NATS permissions are made from this table (see `subjects`).
AUTHOR: Final[dict[type[Event], Role]] = {
    TasksSubmitted: "user", SubmissionPartSent: "user", CancelRequested: "user", RetryRequested: "user",
    SignalRequested: "user", BatchPauseRequested: "user", BatchResumeRequested: "user", WorkerPauseRequested: "user",
    WorkerResumeRequested: "user", WorkerResizeRequested: "user",
    WorkerEnrolled: "api",
    LeaderElected: "dispatch", SubmissionAccepted: "dispatch", SubmissionRejected: "dispatch",
    SubmissionDuplicated: "dispatch", RequestRefused: "dispatch", RequirementsMet: "dispatch",
    TasksRequeued: "dispatch", TasksRetried: "dispatch", TasksFailed: "dispatch", TasksCancelled: "dispatch",
    BatchPaused: "dispatch", BatchResumed: "dispatch", AttemptsAssigned: "dispatch", AttemptsRecalled: "dispatch",
    AttemptsSignalled: "dispatch", WorkerPaused: "dispatch", WorkerResumed: "dispatch", WorkerResized: "dispatch",
    WorkerLost: "dispatch",
    WorkerJoined: "worker", AttemptsReported: "worker", WorkerLeft: "worker",
}  # fmt: skip
