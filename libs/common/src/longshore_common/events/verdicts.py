"""What the dispatcher and the api write to everybody. What must not enter: what is addressed to one worker."""

from typing import Literal

from msgspec import Struct

from longshore_common.events.base import Event
from longshore_common.ids import SubmissionId, TaskRange, WorkerId
from longshore_common.model import Cause, Change, Policy, Retention, Share


class WorkerEnrolled(Event, frozen=True):
    """A host was given credentials as this worker; a repeat replaces its public key."""

    worker: WorkerId
    public_key: str
    hostname: str = ""


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
    """The waiting tasks of these submissions, and these `tasks`, are queued.

    Of a submission with edges or `each_requires`, all of whose tasks begin `waiting`, or with held ones, tasks are named.
    """

    submissions: tuple[SubmissionId, ...] = ()
    tasks: tuple[TaskRange, ...] = ()


class Requeue(Struct, frozen=True, array_like=True):
    """Attempt `n` of a task is over (or never was, n = 0) and the task is queued again, not before `not_before`.

    `memory` > 0: bytes that its attempts get from here on, after one ran out of what it had. `wait`: seconds by which
    `not_before` was ahead of the dispatcher's clock.
    """

    submission: SubmissionId
    index: int
    n: int
    not_before: float = 0
    cause: Cause | None = None
    reason: str = ""
    memory: int = 0
    wait: float = 0.0


class TasksRequeued(Event, frozen=True):
    """These tasks are queued again after an attempt that failed, was recalled, or was lost with its worker."""

    tasks: tuple[Requeue, ...]


class TasksRetried(Event, frozen=True):
    """By a user's wish these ended or held tasks are queued again, with a fresh budget of retries.

    Those of a submission that requires any, and that no `requirements-met` has named yet, are `waiting`. Those of one with
    edges or `each_requires` always are, until `requirements-met` names them again. `waiting`: all such among `tasks`.
    """

    tasks: tuple[TaskRange, ...]
    request: int = 0
    waiting: tuple[TaskRange, ...] = ()
    more: bool = False


class TasksFailed(Event, frozen=True):
    """These tasks are failed for good, for one cause. `undoes` > 0: as they had failed before the retry at that sequence,
    which is undone: what their last attempts said stands again. `request` is the wish it answers, unless `more` will.
    """

    tasks: tuple[TaskRange, ...]
    cause: Cause
    reason: str = ""
    undoes: int = 0
    request: int = 0
    more: bool = False


class TasksCancelled(Event, frozen=True):
    """These tasks are cancelled; attempts still on a worker are superseded and told to stop by `attempts-signalled`."""

    tasks: tuple[TaskRange, ...]
    request: int = 0
    reason: str = ""
    more: bool = False


class BatchPaused(Event, frozen=True):
    """Nothing of this batch is handed out until `batch-resumed`. `request` is the wish it answers."""

    batch: str
    frozen: bool = False
    request: int = 0


class BatchResumed(Event, frozen=True):
    """The batch is handed out again. `request` is the wish it answers."""

    batch: str
    request: int = 0


class BatchRetentionSet(Event, frozen=True):
    """What belongs to ended tasks of this batch is kept for so long. `request` is the wish it answers."""

    batch: str
    retention: Retention
    request: int = 0


class TasksEdited(Event, frozen=True):
    """Attempts of these tasks from here on are of the changed spec. `undoes` > 0: instead, the edit at that sequence holds
    for them no more, or again with `restored`. `request` is the wish it answers, unless `more` will; `note`: what of the
    wish was not done.
    """

    tasks: tuple[TaskRange, ...]
    change: Change = Change()
    undoes: int = 0
    request: int = 0
    restored: bool = False
    more: bool = False
    note: str = ""


class TasksHeld(Event, frozen=True):
    """These tasks, none of which is on a worker or has ended, are `waiting` until they are retried."""

    tasks: tuple[TaskRange, ...]
    request: int = 0
    more: bool = False


class TasksDeleted(Event, frozen=True):
    """These ended tasks of `user` are in no list and no count any more; with `restored`, they are there again."""

    tasks: tuple[TaskRange, ...]
    restored: bool = False
    request: int = 0
    user: str = ""
    more: bool = False
    note: str = ""


class PlaceReserved(Event, frozen=True):
    """The next task of this submission that needs what task `index` needs has a claim on `worker`: what is assigned there
    meanwhile leaves room for it, or ends before `until` (Unix seconds), when the room is expected to be there. An empty
    worker: the claim is given up.
    """

    submission: SubmissionId
    index: int
    worker: str = ""
    reason: str = ""
    until: float = 0.0


class ShareSet(Event, frozen=True):
    """What a batch or user gets beside others from here on. `request` is the wish it answers."""

    kind: Literal["batch", "user"]
    name: str
    share: Share
    request: int = 0


class PolicySet(Event, frozen=True):
    """The operator's policy from here on. `request` is the wish it answers."""

    policy: Policy
    request: int = 0
