"""Every event there is: facts in the past tense, and who alone may write each.

One module per author: `wishes` of users, `verdicts` of dispatcher and api, `orders` to one worker, `reports` of agents.

Read their docstrings in order and you know the protocol. A fold needs nothing else: `evolve` in the dispatcher, the
projector of the api and the recruiter's demand are folds of these. Fields are only ever added, with defaults.

Three rules make the folds agree. An attempt is *current* while it is the last one assigned to its task and no later
event ended it. A report about an attempt that is not current is history and changes no task. A current attempt that is
reported `succeeded` settles its task as succeeded; any other end leaves the task to the dispatcher's verdict, which is
the next `tasks-requeued`, `tasks-failed` or `tasks-cancelled` that names it.
"""

from typing import Final

from longshore_common.events.base import Event, Role
from longshore_common.events.orders import (
    AttemptsAssigned,
    AttemptsRecalled,
    AttemptsSignalled,
    Order,
    RemotesGiven,
    Start,
    SweepOrdered,
    WorkerCareOrdered,
    WorkerLost,
    WorkerPaused,
    WorkerResized,
    WorkerResumed,
)
from longshore_common.events.reports import (
    AttemptsReported,
    Delivered,
    Ended,
    Move,
    ResourcesHeld,
    SweepDone,
    WorkerCared,
    WorkerEvicted,
    WorkerHindered,
    WorkerJoined,
    WorkerLeft,
)
from longshore_common.events.verdicts import (
    BatchPaused,
    BatchResumed,
    BatchRetentionSet,
    LeaderElected,
    RequestRefused,
    Requeue,
    RequirementsMet,
    SubmissionAccepted,
    SubmissionDuplicated,
    SubmissionRejected,
    TasksCancelled,
    TasksFailed,
    TasksRequeued,
    TasksRetried,
    WorkerEnrolled,
)
from longshore_common.events.wishes import (
    BatchPauseRequested,
    BatchResumeRequested,
    BatchRetentionRequested,
    Box,
    CancelRequested,
    RemotesShared,
    RetryRequested,
    SignalRequested,
    SubmissionPartSent,
    TasksSubmitted,
    WorkerCareRequested,
    WorkerPauseRequested,
    WorkerResizeRequested,
    WorkerResumeRequested,
)

#: The one author of each event. The NATS permissions are made from this table (see `subjects`).
AUTHOR: Final[dict[type[Event], Role]] = {
    TasksSubmitted: "user", SubmissionPartSent: "user", CancelRequested: "user", RetryRequested: "user",
    SignalRequested: "user", BatchPauseRequested: "user", BatchResumeRequested: "user", WorkerPauseRequested: "user",
    WorkerResumeRequested: "user", WorkerResizeRequested: "user",
    BatchRetentionRequested: "user", WorkerCareRequested: "user", RemotesShared: "user",
    WorkerEnrolled: "api",
    LeaderElected: "dispatch", SubmissionAccepted: "dispatch", SubmissionRejected: "dispatch",
    SubmissionDuplicated: "dispatch", RequestRefused: "dispatch", RequirementsMet: "dispatch",
    TasksRequeued: "dispatch", TasksRetried: "dispatch", TasksFailed: "dispatch", TasksCancelled: "dispatch",
    BatchPaused: "dispatch", BatchResumed: "dispatch", AttemptsAssigned: "dispatch", AttemptsRecalled: "dispatch",
    AttemptsSignalled: "dispatch", WorkerPaused: "dispatch", WorkerResumed: "dispatch", WorkerResized: "dispatch",
    WorkerLost: "dispatch", BatchRetentionSet: "dispatch", WorkerCareOrdered: "dispatch", RemotesGiven: "dispatch",
    SweepOrdered: "dispatch",
    WorkerJoined: "worker", AttemptsReported: "worker", WorkerLeft: "worker",
    WorkerHindered: "worker", WorkerEvicted: "worker", ResourcesHeld: "worker", WorkerCared: "worker", SweepDone: "worker",
}  # fmt: skip

__all__ = [
    "AUTHOR",
    "AttemptsAssigned",
    "AttemptsRecalled",
    "AttemptsReported",
    "AttemptsSignalled",
    "BatchPauseRequested",
    "BatchPaused",
    "BatchResumeRequested",
    "BatchResumed",
    "BatchRetentionRequested",
    "BatchRetentionSet",
    "Box",
    "CancelRequested",
    "Delivered",
    "Ended",
    "Event",
    "LeaderElected",
    "Move",
    "Order",
    "RemotesGiven",
    "RemotesShared",
    "RequestRefused",
    "Requeue",
    "RequirementsMet",
    "ResourcesHeld",
    "RetryRequested",
    "Role",
    "SignalRequested",
    "Start",
    "SubmissionAccepted",
    "SubmissionDuplicated",
    "SubmissionPartSent",
    "SubmissionRejected",
    "SweepDone",
    "SweepOrdered",
    "TasksCancelled",
    "TasksFailed",
    "TasksRequeued",
    "TasksRetried",
    "TasksSubmitted",
    "WorkerCareOrdered",
    "WorkerCareRequested",
    "WorkerCared",
    "WorkerEnrolled",
    "WorkerEvicted",
    "WorkerHindered",
    "WorkerJoined",
    "WorkerLeft",
    "WorkerLost",
    "WorkerPauseRequested",
    "WorkerPaused",
    "WorkerResizeRequested",
    "WorkerResized",
    "WorkerResumeRequested",
    "WorkerResumed",
]
