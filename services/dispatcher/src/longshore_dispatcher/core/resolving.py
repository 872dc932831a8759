"""What follows for tasks from those they require: they are queued, or fail with them, at once.

Counted already (`requirements`, `blocked`); here it is only told. What must not enter: changes of state.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple

from longshore_common import events as e
from longshore_common.ids import SubmissionId, TaskRange, ranges, task_id
from longshore_dispatcher.core import blocked, bulk
from longshore_dispatcher.core.ranges import Run
from longshore_dispatcher.core.state import State, Submission

Decision = tuple[e.Event, str]

#: Ranges named per event, so that it fits in a message (about 20 bytes each).
PER_EVENT: Final = 20_000
#: Tasks that fail with others per turn; those that require them in turn come in the next.
PER_TURN: Final = 200_000
#: Doomed tasks whose failed requirement is named for each, per submission and turn; more have one sentence for all.
NAMED: Final = 50
#: Bytes of edges looked through per turn for which requirement of a task failed.
SEARCHED: Final = 64_000_000


class _Fallen(NamedTuple):
    """Tasks that fail, and why."""

    reason: str
    runs: list[Run]


def resolve(state: State, wished: Collection[int]) -> Iterator[Decision]:
    """The tasks that are queued, or fail with what they require; those of submissions `wished` come next turn."""
    yield from _fallen(state, wished)
    met, single = _whole_met(state, wished)
    for waiting in sorted(state.tied.ready.keys() - wished):
        if not state.open.get(waiting, (0,))[0]:
            ready = state.tied.ready[waiting]
            single += [TaskRange(SubmissionId(waiting), a, b) for a, b in ready.ascending()]
    if met or single:
        yield e.RequirementsMet(submissions=tuple(met), tasks=tuple(single[:PER_EVENT])), ""
    for at in range(PER_EVENT, len(single), PER_EVENT):
        yield e.RequirementsMet(tasks=tuple(single[at : at + PER_EVENT])), ""


def _whole_met(state: State, wished: Collection[int]) -> tuple[list[SubmissionId], list[TaskRange]]:
    """Submissions that wait as a whole no more, and single tasks of those that have others held."""
    met: list[SubmissionId] = []
    single: list[TaskRange] = []
    for waiting in sorted(state.ripe.difference(wished)):
        sub = state.submissions[waiting]
        if state.open[waiting][0] or blocked.by_task(sub):
            continue  # it is broken; or its tasks are named by themselves
        if not sub.kept:
            met.append(SubmissionId(waiting))
        else:  # where all is held there is nothing to queue yet
            single += [TaskRange(SubmissionId(waiting), a, b) for lot in sub.lots for a, b in lot.fresh.ascending()]
    return met, single


def _fallen(state: State, wished: Collection[int]) -> Iterator[Decision]:
    for waiting in sorted(state.ripe.difference(wished)):
        if state.open[waiting][1]:
            sub = state.submissions[waiting]
            yield from _failed(sub, [_Fallen(_whole(state, sub), _open_tasks(sub))])
    for waiting in sorted(state.tied.doomed.keys() - wished - state.ripe):
        yield from _doomed(state, state.submissions[waiting])


def _failed(sub: Submission, fallen: Iterable[_Fallen]) -> Iterator[Decision]:
    for reason, runs in fallen:
        named = [TaskRange(SubmissionId(sub.id), lo, hi) for lo, hi in reversed(bulk.falling(runs))]
        for at in range(0, len(named), PER_EVENT):
            yield e.TasksFailed(tasks=tuple(named[at : at + PER_EVENT]), cause="requirement", reason=reason), ""


def _whole(state: State, sub: Submission) -> str:
    for r in sub.requires:
        for lo, _ in blocked.broken(state, r.submission, r.lo, r.hi)[-1:]:
            return _why(state, r.submission, lo)
    return "a task it requires failed or was cancelled"


def _why(state: State, source: int, index: int) -> str:
    return _became(task_id(source, index), blocked.standing(state, source, index))


def _became(name: str, where: str, how: str = "") -> str:
    return f"it requires {name}{how}, and that {'was cancelled' if where == 'cancelled' else 'failed'}"


def _open_tasks(sub: Submission) -> list[Run]:
    """Whatever has not ended."""
    return list(blocked.unmet(sub, 0, sub.size - 1, any_outcome=True))


# --- single tasks -----------------------------------------------------------------------------------------------------


def _doomed(state: State, sub: Submission) -> Iterator[Decision]:
    """The doomed tasks of a submission, and what requires them there, together where they have the same reason."""
    doomed = state.tied.doomed[sub.id]
    groups: dict[str, list[Run]] = {}
    if doomed.count <= _searches(sub):
        for lo, hi in doomed.ascending():
            for index in range(lo, hi + 1):
                groups.setdefault(_one(state, sub, index), []).append((index, index))
    else:
        first = _one(state, sub, doomed.first(1)[0][0])
        groups[f"one of {doomed.count} tasks whose requirements failed at once; of the first: {first}"] = list(
            doomed.ascending()
        )
    yield from _failed(sub, _spread(state, sub, groups))


def _searches(sub: Submission) -> int:
    """For how many tasks the failed requirement can be looked for."""
    graph = sub.ties.graph if sub.ties is not None else None
    return NAMED if graph is None else max(1, min(NAMED, SEARCHED // (len(graph.targets) + 1)))


def _one(state: State, sub: Submission, index: int) -> str:
    for name, where in blocked.requirements_of(state, sub, index):
        if where in ("failed", "cancelled"):
            own = sub.ties is not None and sub.ties.graph is not None
            return _became(name, where, ", by itself or through others" if own else "")
    return "a task it requires failed or was cancelled"


def _spread(state: State, sub: Submission, groups: dict[str, list[Run]]) -> Iterator[_Fallen]:
    """Each group with all that requires any of it, directly or not."""
    counts = state.tied.graphs.get(sub.id)
    if counts is None or sub.ties is None:
        yield from (_Fallen(reason, runs) for reason, runs in groups.items())
        return
    waiting = sub.ties.blocked
    seen: set[int] = {k for runs in groups.values() for lo, hi in runs for k in range(lo, hi + 1)}
    for reason, runs in groups.items():
        found = [k for lo, hi in runs for k in range(lo, hi + 1)]
        for index in found:  # it grows as we go
            if len(seen) >= PER_TURN:
                break
            for d in counts.dependents(index):
                if d not in seen and waiting.has(d):
                    seen.add(d)
                    found.append(d)
        yield _Fallen(reason, [(r.lo, r.hi) for r in ranges(sub.id, found)])
