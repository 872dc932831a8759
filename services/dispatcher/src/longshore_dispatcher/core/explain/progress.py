"""How far submissions are, and what holds back most of what is left: counted by their lots, never by their tasks.

What must not enter: single tasks.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from longshore_dispatcher.core.content import Need
from longshore_dispatcher.core.explain import places, waiting
from longshore_dispatcher.core.explain.answer import Reason, nothing, number
from longshore_dispatcher.core.explain.task import LEADERLESS, held_back
from longshore_dispatcher.core.ranges import Ranges
from longshore_dispatcher.core.state import State, Submission

#: Needs that are held against every worker in one answer, those of most tasks.
NEEDS: Final = 5


def counts(subs: Iterable[Submission]) -> dict[str, int]:
    """Tasks per state, those that are none left out."""
    found = dict.fromkeys(
        ("waiting", "queued", "assigned", "staging", "running", "delivering", "succeeded", "failed", "cancelled"), 0
    )
    for sub in subs:
        untouched = sum(lot.fresh.count for lot in sub.lots)
        found["waiting" if sub.waiting or not sub.accepted else "queued"] += untouched
        found["waiting"] += sub.kept.count + (sub.ties.blocked.count if sub.ties is not None else 0)
        found["succeeded"] += sub.succeeded
        found["failed"] += sub.failed.count
        found["cancelled"] += sub.cancelled.count
        for task in sub.tasks.values():
            found[task.state] += 1
    return {name: count for name, count in found.items() if count}


def told(counted: dict[str, int]) -> str:
    """`90 queued, 10 running`"""
    return ", ".join(f"{count} {state}" for state, count in counted.items())


def hindrances(survey: places.Survey, subs: list[Submission], now: float) -> Iterator[Reason]:
    """Why what is not on a worker is not, most tasks first, each with how many it is about."""
    found = [*_unanswered(subs), *_verdicts(subs), *_delayed(subs, now), *_waiting(survey.state, subs), *_held(subs)]
    found += _queued(survey, subs)
    yield from sorted(found, key=_count, reverse=True)


def _count(reason: Reason) -> int:
    return reason.count


def _unanswered(subs: list[Submission]) -> Iterator[Reason]:
    if tasks := sum(sub.size for sub in subs if not sub.accepted):
        yield Reason(f"{number(tasks, 'task')} just submitted, not looked at yet", nothing(LEADERLESS), tasks)


def _verdicts(subs: list[Submission]) -> Iterator[Reason]:
    if tasks := sum(task.end is not None for sub in subs for task in sub.tasks.values()):
        yield Reason(f"{number(tasks, 'task')} ended an attempt, the verdict is due", nothing(LEADERLESS), tasks)


def _delayed(subs: list[Submission], now: float) -> Iterator[Reason]:
    waits = [task for sub in subs for task in sub.tasks.values() if task.state == "queued" and task.not_before > now]
    if waits:
        first = min(task.not_before for task in waits) - now
        why = f"{number(len(waits), 'task')} tried again after trouble, the first in {first:.0f} s: {waits[0].reason}"
        yield Reason(why, nothing("the waits end by themselves"), len(waits))


def _waiting(state: State, subs: list[Submission]) -> Iterator[Reason]:
    for sub in subs:
        if not (tasks := _blocked(sub)):
            continue
        index = next(lo for ranges in _untouched(sub) for lo, _ in ranges.first(1))
        reason = next(waiting.reasons(state, sub, index))
        text = f"{number(tasks, 'task')} waiting for others; of {sub.id}.{index}: {reason.text}"
        yield Reason(text, reason.fix, tasks)


def _untouched(sub: Submission) -> list[Ranges]:
    """Where the tasks are that wait for others."""
    fresh = [lot.fresh for lot in sub.lots] if sub.waiting else []
    return [*fresh, sub.ties.blocked] if sub.ties is not None else fresh


def _blocked(sub: Submission) -> int:
    return sum(ranges.count for ranges in _untouched(sub))


def _held(subs: list[Submission]) -> Iterator[Reason]:
    if tasks := sum(sub.kept.count for sub in subs):
        ids = next(str(sub.id) for sub in subs if sub.kept.count)
        yield Reason(f"{number(tasks, 'task')} held", f"longshore task retry {ids}", tasks)


def _queued(survey: places.Survey, subs: list[Submission]) -> Iterator[Reason]:
    """What is in line: held back whatever workers are free, or else by need."""
    back: Counter[tuple[str, str]] = Counter()
    needs: Counter[tuple[str, Need]] = Counter()
    for sub in subs:
        if sub.waiting or not sub.accepted:
            continue
        tasks = Counter({(sub.batch, lot.need): lot.fresh.count + len(lot.again) for lot in sub.lots})
        if (reason := next(held_back(survey.state, sub), None)) is not None:
            back[(reason.text, reason.fix)] += tasks.total()
        else:
            needs += tasks
    for (text, fix), count in (+back).items():
        yield Reason(f"{number(count, 'task')} queued: {text}", fix, count)
    for (batch, need), count in needs.most_common(NEEDS):
        reason = places.reason(survey, batch, need, count)
        reason.text = f"{number(count, 'task')} queued: {reason.text}"
        yield reason
