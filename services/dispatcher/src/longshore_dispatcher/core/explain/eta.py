"""When a task starts or a submission ends, from measured run times: tasks ahead, slots that take such tasks, seconds each.

A figure with its basis, or none: nothing is guessed where nothing was measured. What must not enter: reasons.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from longshore_dispatcher.core import shares
from longshore_dispatcher.core.content import Need
from longshore_dispatcher.core.explain.answer import Eta, number, span
from longshore_dispatcher.core.explain.places import Survey, pace
from longshore_dispatcher.core.state import Lot, State, Submission

#: Needs of a batch that are held against all workers.
NEEDS: Final = 5


def start(survey: Survey, sub: Submission, lot: Lot, index: int) -> Eta | None:
    """When this queued task of this lot starts; None if nobody takes it or nothing was measured."""
    state = survey.state
    each = pace(state, sub)
    found = survey.look(sub.batch, lot.need)
    if each < 0 or not found.slots:
        return None
    line = before(state, sub, index)
    first = higher(state, sub)
    part, among = share(state, sub)
    slots = _capped(state, sub, found.slots * part)
    seconds = (found.busy + first.seconds) / found.slots + line * each / slots
    basis = f"{number(first.tasks + line, 'task')} ahead, {number(found.slots, 'slot')}, {span(each)} each"
    return Eta("start", seconds, basis + among)


def end(survey: Survey, subs: Iterable[Submission]) -> Eta | None:
    """When all tasks of these submissions of one batch that can run now will have ended, as far as that can be told."""
    state, todo = survey.state, _Todo()
    for sub in subs:
        if not todo.add(state, sub):
            return None
    if not todo.tasks:
        return None
    seconds, slots = todo.last, 0
    part, among = share(state, todo.subs[0]) if todo.subs else (1.0, "")
    for (batch, need), work in todo.largest():
        found = survey.look(batch, need)
        if not found.slots:
            return None
        slots = max(slots, found.slots)
        seconds += work / _capped(state, todo.subs[0], found.slots * part)
    told = [number(todo.tasks, "task") + " to end", f"{span(todo.work / todo.tasks)} each"]
    if slots:
        told.insert(1, number(slots, "slot"))
    if todo.waiting:
        told.append(f"without {todo.waiting} that wait for others or are held")
    return Eta("end", seconds, ", ".join(told) + among)


class _Todo:
    """What is left of some submissions of one batch: seconds of work by need, and of what runs."""

    def __init__(self) -> None:
        self.needs: dict[tuple[str, Need], float] = {}
        self.subs: list[Submission] = []
        self.tasks = self.waiting = 0
        self.last = self.work = 0.0

    def add(self, state: State, sub: Submission) -> bool:
        """One more; False if nothing tells how long its tasks run."""
        self.waiting += sub.kept.count + (sub.ties.blocked.count if sub.ties is not None else 0)
        counts = {lot.need: lot.fresh.count + len(lot.again) for lot in sub.lots}
        queued = sum(counts.values())
        if sub.waiting or not sub.accepted:
            self.waiting, queued, counts = self.waiting + queued, 0, {}
        if not queued and not sub.placed:
            return True
        if (each := pace(state, sub)) < 0:
            return False
        if queued:
            self.subs.append(sub)
        for need, count in counts.items():
            if count:
                self.needs[(sub.batch, need)] = self.needs.get((sub.batch, need), 0.0) + count * each
        self.tasks += queued + sub.placed
        self.work += (queued + sub.placed) * each
        self.last = max(self.last, each / 2 if sub.placed else 0.0)
        return True

    def largest(self) -> list[tuple[tuple[str, Need], float]]:
        """The needs of most work; what there is beyond is laid upon them."""
        found = sorted(self.needs.items(), key=_work, reverse=True)[:NEEDS]
        part = sum(work for _, work in found) / (sum(self.needs.values()) or 1)
        return [(need, work / part) for need, work in found]


def _work(item: tuple[object, float]) -> float:
    return item[1]


def finish(state: State, sub: Submission, began: float, now: float) -> Eta | None:
    """When a running task ends."""
    each = pace(state, sub)
    if each < 0:
        return None
    ran = max(0.0, now - began)
    if ran > each:
        return None  # it takes longer than the others: nothing measured tells how long
    return Eta("end", each - ran, f"its like run {span(each)}, it has run {span(ran)}")


# --- who comes first ----------------------------------------------------------------------------------------------------


class Ahead(NamedTuple):
    """Tasks that come first, and the seconds of work in them."""

    tasks: int
    seconds: float


def higher(state: State, sub: Submission) -> Ahead:
    """What is queued with a higher priority in batches that are not paused."""
    tasks, seconds = 0, 0.0
    for key, line in state.queue.lines.items():
        if key.rank < -sub.priority and not paused(state, key.batch):
            tasks += line.tasks
            seconds += line.tasks * max(0.0, state.paces.get(key.batch, pace(state, sub)))
    return Ahead(tasks, seconds)


def paused(state: State, batch: str) -> bool:
    """Whether nothing of this batch is handed out."""
    return (held := state.batches.get(batch)) is not None and held.paused


def before(state: State, sub: Submission, index: int) -> int:
    """Tasks of the same user, batch and priority that come before this one."""
    again = index in sub.tasks
    tasks = sum(sum(1 for other in lot.again if not again or other < index) for lot in sub.lots)
    if not again:
        tasks += sum(lot.fresh.overlap(0, index - 1) for lot in sub.lots)
    for line in state.queue.of(-sub.priority, sub.user, sub.batch).values():
        tasks += sum(count for other, count in line.members.items() if other < sub.id)
    return tasks


def share(state: State, sub: Submission) -> tuple[float, str]:
    """(the part of all slots that its user's part of the batch gets beside others of its priority, how to say so)

    By weights alone, as if all had used as much so far: who used less is served more for a while.
    """
    users = state.queue.tree.get(-sub.priority, {})
    weights = {user: shares.share_of(state, "user", user).weight for user in users if _active(state, users[user])}
    mine = weights.setdefault(sub.user, shares.share_of(state, "user", sub.user).weight)
    part = mine / sum(weights.values())
    batches = [name for name in users.get(sub.user, {}) if not paused(state, name) and name != sub.batch]
    own = shares.share_of(state, "batch", sub.batch).weight
    part *= own / (own + sum(shares.share_of(state, "batch", name).weight for name in batches))
    if part == 1:
        return 1.0, ""
    others = [number(len(weights) - 1, "user")] if len(weights) > 1 else []
    others += [number(len(batches), "batch", "batches")] if batches else []
    return part, f", {part:.0%} of them by fair share beside {' and '.join(others)}"


def _active(state: State, batches: Iterable[str]) -> bool:
    return any(not paused(state, name) for name in batches)


def _capped(state: State, sub: Submission, slots: float) -> float:
    """What limits of the submission, its batch and its user leave of so many slots."""
    limits = [sub.max_running, *(shares.share_of(state, kind, name).max_running for kind, name in owners(sub))]
    return min(slots, *(limit for limit in limits if limit)) if any(limits) else slots


def owners(sub: Submission) -> tuple[tuple[str, str], tuple[str, str]]:
    """Whose shares count for it, by kind and name."""
    return ("batch", sub.batch), ("user", sub.user)
