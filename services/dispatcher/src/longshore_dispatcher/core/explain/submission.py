"""How far one submission is and what holds the rest of it back. What must not enter: single tasks."""

from longshore_common.errors import BadInput
from longshore_dispatcher.core.explain import eta, progress
from longshore_dispatcher.core.explain.answer import Answer, Reason, nothing
from longshore_dispatcher.core.explain.places import Survey
from longshore_dispatcher.core.explain.task import LEADERLESS
from longshore_dispatcher.core.state import Closed, State, Submission


def answer(state: State, ident: str, now: float) -> Answer:
    """About the submission `1204`; `BadInput` if that is no submission's id."""
    if not (ident.isascii() and ident.isdigit()):
        raise BadInput(f"{ident!r} is not a submission id; it looks like 1204")
    original = state.original(int(ident))
    if (closed := state.closed.get(original)) is not None:
        return _closed(ident, closed)
    sub = state.submissions.get(original)
    if sub is None:
        fix = "check the id: longshore task list"
        return Answer(ident, "unknown", [Reason("there is no such submission, or it finished long ago", fix)])
    survey, counted = Survey(state), progress.counts([sub])
    name = "waiting" if sub.waiting else "accepted" if sub.accepted else "submitted"
    reasons = [_progress(sub, counted), *progress.hindrances(survey, [sub], now)]
    return Answer(ident, name, reasons, eta.end(survey, [sub]), counted)


def _progress(sub: Submission, counted: dict[str, int]) -> Reason:
    done = sub.succeeded + sub.failed.count + sub.cancelled.count
    fix = nothing("it goes on by itself") if sub.accepted else nothing(LEADERLESS)
    if sub.failed.count:
        fix = f"longshore task list --submission {sub.id} --state failed shows what failed"
    return Reason(f"{done} of {sub.size} tasks have ended: {progress.told(counted)}", fix, sub.size)


def _closed(ident: str, closed: Closed) -> Answer:
    if closed.rejected:
        reason = Reason(f"it was rejected: {closed.rejected}", "correct it and submit again")
        return Answer(ident, "rejected", [reason])
    failed, cancelled = (sum(hi - lo + 1 for lo, hi in runs) for runs in (closed.failed, closed.cancelled))
    counted = {"succeeded": closed.succeeded, "failed": failed, "cancelled": cancelled}
    text = f"it has ended: {closed.succeeded} succeeded, {failed} failed, {cancelled} cancelled"
    fix = f"longshore task retry {closed.id}" if failed or cancelled else nothing("it is done")
    return Answer(ident, "ended", [Reason(text, fix, closed.size)], None, {name: n for name, n in counted.items() if n})
