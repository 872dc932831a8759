"""The answer to a submission: accepted, rejected with reasons by index, or a duplicate.

What must not enter: what workers could run it; a submission nobody can run yet waits, and `explain` says why.
"""

from longshore_common import events as e
from longshore_common.ids import SubmissionId
from longshore_dispatcher.core import confidences
from longshore_dispatcher.core.state import Closed, State, Submission, Wish


def answer_submission(state: State, wish: Wish) -> e.Event | None:
    """The answer; None while the first submission of the same key has none itself."""
    sub = state.submissions[wish.seq]
    ident = SubmissionId(sub.id)
    first = state.keys.get(f"{sub.user}/{sub.key}", sub.id)
    if sub.key and first != sub.id:
        if (earlier := state.submissions.get(first)) is not None and not earlier.accepted:
            return None
        return e.SubmissionDuplicated(submission=ident, first=SubmissionId(state.original(first)))
    if fault := _fault(state, sub):
        return e.SubmissionRejected(submission=ident, reason=fault)
    if sub.problems:
        bad = sub.problems
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        return e.SubmissionRejected(
            submission=ident, reason=f"task {bad[0][0]}: {bad[0][1]}{more}", by_index=tuple(bad)
        )
    return e.SubmissionAccepted(submission=ident, size=sub.size)


def _fault(state: State, sub: Submission) -> str:
    if not sub.key or len(sub.key) > 512:
        return "the idempotency key is empty or longer than 512 characters: give each submission its own key"
    if not sub.batch or len(sub.batch) > 255 or any(c in sub.batch for c in "\0\n\r"):
        return "the batch's name is empty, longer than 255 characters, or has a line break: choose another"
    if sub.max_running < 0:
        return f"max_running is {sub.max_running}: give 0 (no limit) or a positive number"
    if fault := sub.fault or confidences.unknown(state, sub):
        return fault
    for required in sub.requires:
        if why := _unmeetable(state, sub, required.submission, (required.lo, required.hi)):
            return f"it requires {required}, {why}"
    return ""


def _unmeetable(state: State, sub: Submission, source: int, run: tuple[int, int]) -> str:
    if source >= sub.id:
        return "which is not a submission from before it: submit what is required first"
    original = state.original(source)
    known = state.submissions.get(original) or state.closed.get(original)
    if known is None:
        return "which nobody knows (or finished too long ago): correct the id, or leave it out"
    if not 0 <= run[0] <= run[1] < known.size:
        return f"but {original} has tasks 0 to {known.size - 1}"
    gone = known.deleted.runs if isinstance(known, Submission) else known.deleted
    if any(lo <= run[1] and run[0] <= hi for lo, hi in gone):
        return "of which some were deleted: leave those out, or restore them"
    if sub.ties is not None and sub.ties.patient and isinstance(known, Closed) and known.rejected:
        return "which was rejected, so that it would wait for ever: submit that one again first"
    return ""
