"""When a task starts or a submission ends, from measured run times: tasks ahead, slots that take such tasks, seconds each.

A figure with its basis, or none: nothing is guessed where nothing was measured. What must not enter: reasons.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final, NamedTuple

from longshore_common.model import Share
from longshore_dispatcher.core.content import Need
from longshore_dispatcher.core.explain.answer import Eta, number, span
from longshore_dispatcher.core.seats import able
from longshore_dispatcher.core.state import Lot, State, Submission, Worker

#: Attempts per worker that are looked at for how long what runs there takes.
LOOKED_AT: Final = 4


class Crew(NamedTuple):
    """The workers that take such tasks now: how many of them they run at a time, and seconds of work they hold already."""

    slots: int
    busy: float


def pace(state: State, sub: Submission) -> float:
    """Seconds a task of this submission runs, as measured there or else in its batch; negative if nowhere."""
    return sub.pace if sub.pace >= 0 else state.paces.get(sub.batch, -1.0)


def crew(state: State, batch: str, need: Need) -> Crew:
    """Who could take tasks of this batch and need."""
    slots, busy = 0, 0.0
    for worker in state.workers.values():
        if worker.takes_work and able(worker, batch, need):
            slots += at_once(worker, need)
            busy += held(state, worker)
    return Crew(slots, busy)


def at_once(worker: Worker, need: Need) -> int:
    """How many tasks of this need fit on the host beside nothing else."""
    facts = worker.facts
    most = worker.concurrency if worker.concurrency >= 0 else facts.cpus
    for wants, has in ((need.cpus, facts.cpus * 1000), (need.memory, facts.memory), (need.gpus, facts.gpus)):
        if wants:
            most = min(most, int(has // wants))
    return max(0, most)


def held(state: State, worker: Worker) -> float:
    """About the seconds of work there: what runs is half done, what does not run yet is all to do."""
    load = state.load(worker.name)
    if not load.attempts:
        return 0.0
    known = [state.submissions[task.submission] for task in islice(load.attempts.values(), LOOKED_AT)]
    paces = [p for sub in known if (p := pace(state, sub)) >= 0]
    return sum(paces) / len(paces) * (load.running / 2 + load.unstarted) if paces else 0.0


def start(state: State, sub: Submission, lot: Lot, index: int) -> Eta | None:
    """When this queued task of this lot starts; None if nobody takes it or nothing was measured."""
    each = pace(state, sub)
    found = crew(state, sub.batch, lot.need)
    if each < 0 or not found.slots:
        return None
    line = before(state, sub, index)
    first = higher(state, sub)
    part, among = share(state, sub)
    slots = _capped(sub, found.slots)
    seconds = (found.busy + first.seconds) / found.slots + line * each / (slots * part)
    basis = f"{number(first.tasks + line, 'task')} ahead, {number(found.slots, 'slot')}, {span(each)} each"
    return Eta("start", seconds, basis + among)


def end(state: State, subs: Iterable[Submission]) -> Eta | None:
    """When all tasks of these submissions of one batch that can run now will have ended, as far as that can be told."""
    seconds, tasks, slots = 0.0, 0, 0
    part, among, each = 1.0, "", -1.0
    for sub in subs:
        each = pace(state, sub)
        for lot in sub.lots:
            count = lot.fresh.count + len(lot.again)
            found = crew(state, sub.batch, lot.need) if count or sub.placed else Crew(0, 0.0)
            if not count:
                continue
            if each < 0 or not found.slots:
                return None
            part, among = share(state, sub)
            slots = max(slots, found.slots)
            tasks += count
            seconds += count * each / (_capped(sub, found.slots) * part)
        if sub.placed:
            if each < 0:
                return None
            tasks += sub.placed
            seconds += each / 2
    if not tasks:
        return None
    basis = f"{number(tasks, 'task')} to end" + (f", {number(slots, 'slot')}" if slots else "") + f", {span(each)} each"
    return Eta("end", seconds, basis + among)


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
        if key.rank < -sub.priority and not _paused(state, key.batch):
            tasks += line.tasks
            seconds += line.tasks * max(0.0, state.paces.get(key.batch, pace(state, sub)))
    return Ahead(tasks, seconds)


def _paused(state: State, batch: str) -> bool:
    return (held := state.batches.get(batch)) is not None and held.paused


def before(state: State, sub: Submission, index: int) -> int:
    """Tasks of the same batch and priority that come before this one."""
    again = index in sub.tasks
    tasks = sum(sum(1 for other in lot.again if not again or other < index) for lot in sub.lots)
    if not again:
        tasks += sum(lot.fresh.overlap(0, index - 1) for lot in sub.lots)
    for key, line in state.queue.lines.items():
        if key.batch == sub.batch and key.rank == -sub.priority:
            tasks += sum(count for other, count in line.members.items() if other < sub.id)
    return tasks


def share(state: State, sub: Submission) -> tuple[float, str]:
    """(the part of all slots that the batch gets beside others of its priority, how to say so)"""
    batches = {key.batch for key in state.queue.lines if key.rank == -sub.priority and not _paused(state, key.batch)}
    batches.discard(sub.batch)
    if not batches:
        return 1.0, ""
    mine = state.shares.get(("batch", sub.batch), Share()).weight
    part = mine / (mine + sum(state.shares.get(("batch", name), Share()).weight for name in batches))
    return part, f", {part:.0%} of them for this batch beside {number(len(batches), 'other', 'others')}"


def _capped(sub: Submission, slots: int) -> int:
    return min(slots, sub.max_running) if sub.max_running else slots
