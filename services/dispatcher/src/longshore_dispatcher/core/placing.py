"""Assignments, folded: tasks leave the queue, their attempts count on their worker from here on.

What must not enter: who gets what (`plan`).
"""

from longshore_common import events as e
from longshore_common.log import Recorded
from longshore_dispatcher.core import changes, reserve, shares, trust
from longshore_dispatcher.core.content import Need, need_of, variants, with_memory
from longshore_dispatcher.core.state import End, Load, State, Submission, Task, Worker


def assigned(state: State, record: Recorded, event: e.AttemptsAssigned) -> None:
    """Make the attempts of an order the current ones of their tasks."""
    name = record.subject.split(".")[2]
    worker = state.workers.setdefault(name, Worker(name))
    for order in event.orders:
        sub = state.submissions.get(order.submission)
        if sub is None:
            worker.kill.update((f"{order.submission}.{s.index}.{s.n}", record.seq) for s in order.starts)
            continue
        begun = _begin(state, sub, name, order)
        if state.reservations:
            reserve.kept(state, sub, begun)
        trust.probed(state, worker, begun)
        changes.stand(state, sub)
        if worker.state != "up":  # it went between the decision and its place in the log
            for task in begun:
                worker.lost[task.attempt] = record.seq
                changes.await_verdict(state, task, End("lost", "worker-lost", f"{name} is {worker.state}"))


def _begin(state: State, sub: Submission, name: str, order: e.Order) -> list[Task]:
    """Make the order's attempts the current ones of their tasks."""
    taken = _take(state, sub, order)
    load, tasks, seq, at = state.load(name), sub.tasks, state.seq, state.at
    attempts, head = load.attempts, f"{sub.id}."
    begun = []
    for start in order.starts:
        index, n = start.index, start.n
        task = tasks.get(index)
        if task is None:
            if index not in taken:  # it ended meanwhile: nobody wants this attempt
                state.workers[name].kill[f"{head}{index}.{n}"] = seq
                continue
            task = tasks[index] = Task(sub.id, index, n, "assigned", name, seq, at)
        else:
            task.n, task.state, task.worker, task.seq, task.at, task.started = n, "assigned", name, seq, at, 0.0
            task.need = None
        attempts[f"{head}{index}.{n}"] = task
        begun.append(task)
    sub.ran[name] = None
    load.phases[0] += len(begun)
    sub.placed += len(begun)
    need = held(need_of(order.spec))
    if sub.memory:
        _charge_each(state, sub, load, (order, begun))
        return begun
    shares.begun(state, sub, need, len(begun))
    if need is not None:
        load.charge(need, len(begun))
        for task in begun:
            task.need = need
    return begun


def held(need: Need) -> Need | None:
    """What an attempt of this need holds of its host; None: nothing but a slot."""
    return None if need.plain else variants(need)[0]


def _charge_each(state: State, sub: Submission, load: Load, what: tuple[e.Order, list[Task]]) -> None:
    """The same where some attempts got more memory than the order says of all."""
    order, begun = what
    need = need_of(order.spec)
    memory = {start.index: start.memory for start in order.starts}
    for task in begun:
        more = memory[task.index]
        task.need = held(with_memory(need, more) if more else need)
        shares.begun(state, sub, task.need, 1)
        if task.need is not None:
            load.charge(task.need, 1)


def _take(state: State, sub: Submission, order: e.Order) -> set[int] | range:
    """Take the order's tasks out of the queue; the untouched ones of them that were really there."""
    first, last = order.starts[0].index, order.starts[-1].index
    if len(sub.lots) == 1 and [start.index for start in order.starts] == list(range(first, last + 1)):
        runs = sub.lots[0].fresh.cut(first, last)
        if len(runs) == 1 and runs[0] == (first, last):
            return range(first, last + 1)
    else:
        runs = []
    taken = {index for lo, hi in runs for index in range(lo, hi + 1)}
    for start in order.starts:
        index = start.index
        lot = changes.lot_at(sub, index)
        if (task := sub.tasks.get(index)) is None:
            taken.update(lo for lo, _ in lot.fresh.cut(index, index))
            continue
        lot.again.pop(index, None)
        state.verdicts.pop((sub.id, index), None)
        if task.placed:
            changes.lift(state, sub, task)
    return taken
