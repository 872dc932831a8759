"""Why a task waits: it is held, or what it requires has not ended as it wants it. What must not enter: queued tasks."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from longshore_common.ids import SubmissionId, TaskRange
from longshore_dispatcher.core import blocked
from longshore_dispatcher.core.explain.answer import Reason, nothing, number, some
from longshore_dispatcher.core.state import State, Submission

#: Required tasks that are looked at, and that are named.
LOOKED_AT: Final = 1000
NAMED: Final = 5


def reasons(state: State, sub: Submission, index: int) -> Iterator[Reason]:
    """Why this `waiting` task waits; never empty."""
    if sub.kept.has(index):
        yield Reason("it is held", f"longshore task retry {sub.id}.{index}", sub.kept.count)
    elif sub.ties is not None and sub.ties.blocked.has(index):
        yield _on_its_own(state, sub, index)
    else:
        yield _as_a_whole(state, sub)


def _on_its_own(state: State, sub: Submission, index: int) -> Reason:
    """It waits for single tasks."""
    found = list(islice(blocked.requirements_of(state, sub, index), LOOKED_AT))
    if not found:
        return Reason("what it requires has ended as it wants it", nothing("it is queued at the next turn"))
    broken = [task for task, where in found if where in ("failed", "cancelled")]
    named = some([f"{task} ({where})" for task, where in found], NAMED)
    more = "more than " if len(found) == LOOKED_AT else ""
    text = f"{more}{number(len(found), 'task')} that it requires {_have(len(found))} not ended well yet: {named}"
    return Reason(text, _fix(sub, broken, found[0][0]), len(found))


def _as_a_whole(state: State, sub: Submission) -> Reason:
    """Its whole submission waits."""
    still, failed = state.open.get(sub.id, [0, 0])
    if not still and not failed:
        return Reason("what it requires has ended as it wants it", nothing("it is queued at the next turn"))
    named = some([str(r) for r in sub.requires], NAMED)
    text = f"{still + failed} of the tasks that it requires {_have(still + failed)} not ended well yet ({named})"
    if failed:
        text += f", {failed} of them failed or {'was' if failed == 1 else 'were'} cancelled"
    broken = [task for r in sub.requires if failed for task in _broken(state, r)][:1]
    return Reason(text, _fix(sub, broken, str(sub.requires[0]) if sub.requires else ""), max(1, still + failed))


def _broken(state: State, required: TaskRange) -> Iterator[str]:
    for lo, hi in blocked.broken(state, required.submission, required.lo, required.hi)[:1]:
        yield str(TaskRange(SubmissionId(required.submission), lo, hi))


def _fix(sub: Submission, broken: list[str], first: str) -> str:
    if broken and sub.ties is not None and sub.ties.patient:
        return f"longshore task retry {broken[0]}: it waits until that ends well"
    if broken:
        return nothing(
            f"it fails with {broken[0]} at the next turn; longshore task retry {broken[0]} and it to run both"
        )
    return nothing(f"it is queued when they have ended well; longshore explain {first} says why they have not")


def _have(count: int) -> str:
    return "has" if count == 1 else "have"
