"""What waiting clients are told: how far a submission is.

What must not enter: the log; this is a hint, and the read model has the truth as well.
"""

from msgspec import Struct

from longshore_dispatcher.core.state import Closed, State


class Progress(Struct):
    """Terminal tasks of a submission by state, up to sequence `seq`; `first` is set if it was a duplicate of that."""

    submission: int
    size: int
    status: str
    states: dict[str, int]
    seq: int
    reason: str = ""
    first: int = 0


def progress(state: State, submission: int) -> tuple[str, Progress] | None:
    """(user, how far it is); None if nobody knows it any more."""
    sub = state.submissions.get(submission)
    if sub is not None:
        counts = (sub.succeeded, sub.failed.count, sub.cancelled.count)
        status = "accepted" if sub.accepted else "submitted"
        return sub.user, Progress(submission, sub.size, status, _states(*counts), state.seq)
    closed = state.closed.get(submission)
    return None if closed is None else (closed.user, _closed(state, closed))


def _closed(state: State, closed: Closed) -> Progress:
    if closed.first:
        return Progress(closed.id, 0, "duplicate", {}, state.seq, first=closed.first)
    if closed.rejected:
        states = _states(0, closed.size, 0)
        return Progress(closed.id, closed.size, "rejected", states, state.seq, closed.rejected)
    failed, cancelled = (sum(hi - lo + 1 for lo, hi in runs) for runs in (closed.failed, closed.cancelled))
    return Progress(closed.id, closed.size, "accepted", _states(closed.succeeded, failed, cancelled), state.seq)


def _states(succeeded: int, failed: int, cancelled: int) -> dict[str, int]:
    counts = {"succeeded": succeeded, "failed": failed, "cancelled": cancelled}
    return {name: count for name, count in counts.items() if count}
