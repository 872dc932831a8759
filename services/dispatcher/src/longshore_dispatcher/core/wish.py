"""Wishes of users that have no answer yet. What must not enter: answers."""

from msgspec import Struct

from longshore_common.events import (
    BatchPauseRequested,
    BatchResumeRequested,
    BatchRetentionRequested,
    CancelRequested,
    DeleteRequested,
    EditRequested,
    PolicyRequested,
    RemotesShared,
    RetryRequested,
    SecretShared,
    ShareRequested,
    SignalRequested,
    UndoRequested,
    WorkerCareRequested,
    WorkerMoveRequested,
    WorkerPauseRequested,
    WorkerResizeRequested,
    WorkerResumeRequested,
)

WishEvent = (
    CancelRequested
    | RetryRequested
    | SignalRequested
    | BatchPauseRequested
    | BatchResumeRequested
    | WorkerPauseRequested
    | WorkerResumeRequested
    | WorkerResizeRequested
    | WorkerCareRequested
    | RemotesShared
    | SecretShared
    | BatchRetentionRequested
    | EditRequested
    | UndoRequested
    | DeleteRequested
    | WorkerMoveRequested
    | ShareRequested
    | PolicyRequested
)


class Wish(Struct):
    """A user's wish without an answer yet; `event` None and no `malformed` text: the submission of this sequence."""

    seq: int
    user: str
    event: WishEvent | None = None
    malformed: str = ""
