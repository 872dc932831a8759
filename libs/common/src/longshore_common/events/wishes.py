"""What users write: wishes, each answered by another event. What must not enter: answers."""

from typing import Literal

from msgspec import Struct

from longshore_common.events.base import Event
from longshore_common.ids import TaskRange, WorkerId
from longshore_common.model import Body, Care, Change, Edge, Policy, Retention, TaskSpec


class TasksSubmitted(Event, frozen=True):
    """A submission; its id is this event's sequence in the log. Its tasks are `queued`, or `waiting` if any requires another.

    `key` is the client's idempotency key: a repeat of the same user's key is answered `submission-duplicated`.
    `max_running` caps tasks on workers at once, 0 = none. `held` keeps the tasks `waiting` until they are retried.
    `each_requires`: task k requires the k-th task of every range in `requires`, which are as long as the submission.
    `on_failed_requirement`: whether tasks whose requirement failed fail with it, or wait until it is mended by a retry.
    `tags` and `description` are for people and programs to find it again.
    `document`: what was asked for in the words of another interface, by the name of that (`tes`), to be shown by it again.
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
    each_requires: bool = False
    on_failed_requirement: Literal["fail", "wait"] = "fail"
    tags: dict[str, str] = {}
    description: str = ""
    document: dict[str, object] = {}


class SubmissionPartSent(Event, frozen=True):
    """Part `part` (from 0) of a submission to come with this `key`; without its closing event it never counts.

    `edges` name tasks by their ordinals in the whole submission.
    """

    key: str
    part: int
    specs: tuple[TaskSpec, ...]
    edges: tuple[Edge, ...] = ()


class CancelRequested(Event, frozen=True):
    """These tasks shall not run, or stop; with `kill`, at once. A whole batch if `batch` is given."""

    tasks: tuple[TaskRange, ...] = ()
    batch: str | None = None
    kill: bool = False


class RetryRequested(Event, frozen=True):
    """These failed or cancelled tasks shall run again, and held ones be released."""

    tasks: tuple[TaskRange, ...] = ()
    batch: str | None = None


class SignalRequested(Event, frozen=True):
    """Send `signal` to the running attempts of these tasks: stop, kill, pause, continue, or a name such as SIGUSR1.

    A pause also holds those that wait for a worker, and `continue` releases those that are held.
    """

    tasks: tuple[TaskRange, ...]
    signal: str


class BatchPauseRequested(Event, frozen=True):
    """Hand out no more of this batch; with `freeze`, pause what runs as well."""

    batch: str
    freeze: bool = False


class BatchResumeRequested(Event, frozen=True):
    """Undo a pause of this batch."""

    batch: str


class BatchRetentionRequested(Event, frozen=True):
    """Keep what belongs to ended tasks of this batch for so long, also of those that ended before."""

    batch: str
    retention: Retention


class WorkerPauseRequested(Event, frozen=True):
    """Assign nothing more to these workers; none named = all that are known. `drain`: so that they become empty for good."""

    workers: tuple[WorkerId, ...] = ()
    drain: bool = False


class WorkerResumeRequested(Event, frozen=True):
    """Undo a pause of these workers; none named = all that are known."""

    workers: tuple[WorkerId, ...] = ()


class WorkerResizeRequested(Event, frozen=True):
    """Change slots and prefetch; None leaves a value, -1 = automatic. Lowering never kills.

    `prefetch_percent` (of the slots, or of an automatic worker's host) replaces `prefetch`, and the other way round.
    """

    workers: tuple[WorkerId, ...] = ()
    concurrency: int | None = None
    prefetch: int | None = None
    prefetch_percent: int | None = None


class WorkerCareRequested(Event, frozen=True):
    """These workers shall do this for their hosts; none named = all that are up."""

    care: Care
    workers: tuple[WorkerId, ...] = ()


class Box(Struct, frozen=True, array_like=True):
    """A text sealed for one worker: base64 of a NaCl sealed box for the X25519 form of the worker's public key."""

    worker: WorkerId
    box: str


class RemotesShared(Event, frozen=True):
    """The storage configuration (rclone's format) of these workers from here on, sealed for each on its owner's machine."""

    boxes: tuple[Box, ...]


class SecretShared(Event, frozen=True):
    """A secret of this user under this name from here on, sealed for each of these workers on its owner's machine.

    No boxes: it is forgotten everywhere.
    """

    name: str
    boxes: tuple[Box, ...] = ()


class EditRequested(Event, frozen=True):
    """Change these tasks, or all of a batch, as far as they have not started; what runs keeps what it was given."""

    change: Change
    tasks: tuple[TaskRange, ...] = ()
    batch: str | None = None


class UndoRequested(Event, frozen=True):
    """Take back what the wish at sequence `request` changed, as far as it can be taken back; 0: this user's last one."""

    request: int = 0


class DeleteRequested(Event, frozen=True):
    """Forget these tasks, or a whole batch, that have ended: lists show them no more, the archive still has them.

    `restore`: show them again.
    """

    tasks: tuple[TaskRange, ...] = ()
    batch: str | None = None
    restore: bool = False


class WorkerMoveRequested(Event, frozen=True):
    """These workers shall serve this batch from here on, `*` = any; what they hold, they finish."""

    batch: str
    workers: tuple[WorkerId, ...] = ()


class ShareRequested(Event, frozen=True):
    """What a batch or user shall get beside others; None leaves a value as it is."""

    kind: Literal["batch", "user"]
    name: str
    weight: float | None = None
    max_running: int | None = None


class PolicyRequested(Event, frozen=True):
    """The operator's policy shall be this."""

    policy: Policy
