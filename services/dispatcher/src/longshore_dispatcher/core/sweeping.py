"""What of ended tasks is over its time: kept in order of that time per worker that can remove it, ordered bit by bit.

`state.due[target, batch]` is a heap of (instant, submission, key); what it holds beyond what is true is passed over.
The first part decides, the second folds. What must not enter: what a sweep removes (agents know), other verdicts.
"""

from collections.abc import Collection, Iterator
from heapq import heappop, heappush
from itertools import islice
from typing import Final

from longshore_common import events as e
from longshore_common.ids import SubmissionId
from longshore_dispatcher.core import edition
from longshore_dispatcher.core import residue as r
from longshore_dispatcher.core.ranges import Run
from longshore_dispatcher.core.residue import Remains, Residue, Sweep
from longshore_dispatcher.core.state import State, Submission, Worker

Decision = tuple[e.Event, str]
Due = tuple[float, int, str]

#: Tasks, and estimated bytes, of one order.
PER_EVENT: Final = 300
BYTES_PER_EVENT: Final = 512 * 1024
#: Entries looked at per worker and batch in a turn: those that are under way stay in front until they are done.
LOOKED_AT: Final = 200
#: Seconds after which an order without an answer counts for nothing: it is given again.
UNANSWERED: Final = 6 * 3600.0


def sweeps(state: State, now: float, touched: Collection[int] = (), reset: Collection[str] = ()) -> Iterator[Decision]:
    """Orders to workers that have none; at most one for each worker, and one per worker and batch it is due for.

    This same turn has submissions `touched` run again, and sets how long things of the batches `reset` are kept.
    """
    under_way = {(s.submission, s.key) for s in state.sweeps.values() if s.at > now - UNANSWERED}
    busy = {s.worker for s in state.sweeps.values() if s.at > now - UNANSWERED}
    for (target, batch), heap in state.due.items():
        if batch in reset or heap[0][0] > now or (target and not _free(state, target, busy)):
            continue
        found = next((d for d in _first(heap, now) if (d[1], d[2]) not in under_way and _may_go(state, d, batch)), None)
        if found is None or found[1] in touched:
            continue
        residue = state.residues[found[1]]
        name = target or _somebody(state, residue, batch, busy)
        if name:
            busy.add(name)
            yield _order(state, residue, found[2]), name


def _first(heap: list[Due], now: float) -> Iterator[Due]:
    """The entries that are due, from the top of the heap, which is left as it is."""
    at, looked = [0], 0
    while at and looked < LOOKED_AT:
        k = at.pop()
        if k < len(heap) and heap[k][0] <= now:
            looked += 1
            yield heap[k]
            at += (2 * k + 2, 2 * k + 1)


def _may_go(state: State, due: Due, batch: str) -> bool:
    """Whether it is to be removed now: uploaded inputs are shared within their batch, so not while any of it is open."""
    if not is_due(state, due):
        return False
    return due[2] != "inputs" or all(sub.batch != batch for sub in state.submissions.values())


def _free(state: State, name: str, busy: set[str]) -> bool:
    worker = state.workers.get(name)
    return worker is not None and _may_sweep(worker) and name not in busy


def _may_sweep(worker: Worker) -> bool:
    return worker.state == "up" and not worker.evicted


def _somebody(state: State, residue: Residue, batch: str, busy: set[str]) -> str:
    """A worker that ran some of it, as it may be the only one that reaches `file://` outputs; else any of the batch."""
    ran = (name for name in residue.ran if _free(state, name, busy))
    others = (name for name, w in state.workers.items() if w.batch in ("*", batch) and _free(state, name, busy))
    return next(ran, "") or next(others, "")


def _order(state: State, residue: Residue, key: str) -> e.SweepOrdered:
    remains = residue.remains()
    most = max(1, min(PER_EVENT, BYTES_PER_EVENT // max(1, remains.content.weight)))
    orders: list[e.Order] = []
    for index in islice(_indices(residue.open(key, remains).first(most)), most):
        _add(state, residue, remains, index, orders)
    return e.SweepOrdered(what=r.what(key), orders=tuple(orders))


def _add(state: State, residue: Residue, remains: Remains, index: int, orders: list[e.Order]) -> None:
    content, shelf = remains.content, state.shelf
    spec = edition.spec_at(shelf.spec(residue.id, content, index), remains.edits, index)
    label, entry = content.start + index * content.step, shelf.entry(residue.id, content, index)
    start = e.Start(index, remains.number(index), label, entry)
    starts = (*orders.pop().starts, start) if orders and orders[-1].spec == spec else (start,)
    orders.append(
        e.Order(submission=SubmissionId(residue.id), spec=spec, batch=residue.batch, user=residue.user, starts=starts)
    )


def _indices(runs: list[Run]) -> Iterator[int]:
    return (index for lo, hi in runs for index in range(lo, hi + 1))


# --- the fold -----------------------------------------------------------------------------------------------------------


def leave(state: State, sub: Submission) -> None:
    """A submission ends: keep what a sweep needs, if one may come; a repeat replaces it."""
    retention = state.retention.get(sub.batch)
    if retention is None and not sub.delivers:
        return
    remains = Remains(sub.content, sub.failed, sub.cancelled, sub.tried, {**sub.last, **sub.numbers}, sub.edits)
    body = r.pack(remains)
    if retention is None and len(body) > r.SMALL:
        return
    keys = [*_kinds(sub), *(f"logs/{name}" for name in sub.ran)]
    residue = Residue(sub.id, sub.user, sub.batch, sub.size, state.at, body, keys, list(sub.ran))
    residue.keys = [key for key in keys if residue.open(key, remains).count]
    if residue.keys:
        state.residues[sub.id] = residue
        schedule(state, residue)


def _kinds(sub: Submission) -> Iterator[str]:
    if sub.delivers:
        yield from ("outputs", "failed")
    if sub.fetches:
        yield "inputs"


def schedule(state: State, residue: Residue) -> None:
    """Note when each of its things is due."""
    retention = state.retention.get(residue.batch)
    if retention is None:
        return
    for key in residue.keys:
        if (at := residue.due(key, retention)) is not None:
            heappush(state.due.setdefault((r.target(key), residue.batch), []), (at, residue.id, key))


def reopened(state: State, sub: Submission) -> None:
    """Its tasks run again: nothing of it is due until it ends again, with all that it was."""
    if (residue := state.residues.pop(sub.id, None)) is not None:
        sub.content = residue.remains().content
        _tidy(state, residue.batch)


def retention_set(state: State, event: e.BatchRetentionSet) -> None:
    """All that is kept of the batch is due anew."""
    for key in [key for key in state.due if key[1] == event.batch]:
        del state.due[key]
    times = event.retention
    if times.outputs or times.logs or times.failed or times.inputs:
        state.retention[event.batch] = times
    else:
        state.retention.pop(event.batch, None)
    for residue in state.residues.values():
        if residue.batch == event.batch:
            schedule(state, residue)


def ordered(state: State, seq: int, worker: str, event: e.SweepOrdered) -> None:
    """A worker sweeps; what it had before without an answer counts for nothing."""
    for old in [old for old, sweep in state.sweeps.items() if sweep.worker == worker]:
        del state.sweeps[old]
    known = state.workers.get(worker)
    if event.orders and known is not None and known.state == "up":  # else it went before the order's place in the log
        key = f"logs/{worker}" if event.what == "logs" else event.what
        starts = (start.index for order in event.orders for start in order.starts)
        state.sweeps[seq] = Sweep(worker, event.orders[0].submission, key, _runs_of(starts), state.at)


def _runs_of(indices: Iterator[int]) -> list[Run]:
    runs: list[Run] = []
    for index in indices:
        if runs and runs[-1][1] == index - 1:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return runs


def done(state: State, worker: str, event: e.SweepDone) -> None:
    """What the order named is gone; if some was left, all of it is tried again later, a few times."""
    sweep = state.sweeps.get(event.order)
    if sweep is None or sweep.worker != worker:
        return
    del state.sweeps[event.order]
    residue = state.residues.get(sweep.submission)
    if residue is None or sweep.key not in residue.keys:
        return
    tries = residue.tries.get(sweep.key, 0) + 1
    if event.left and tries < r.TRIES:
        residue.tries[sweep.key] = tries
        residue.later[sweep.key] = state.at + r.FIRST_WAIT * 2 ** (tries - 1)
        schedule(state, residue)
    else:
        _swept(state, residue, sweep)
    _tidy(state, residue.batch)


def _swept(state: State, residue: Residue, sweep: Sweep) -> None:
    key = sweep.key
    left = residue.open(key, residue.remains())
    for lo, hi in sweep.runs:
        left.cut(lo, hi)
    residue.tries.pop(key, None)
    if left.count:
        residue.left[key] = left
        return
    residue.left.pop(key, None)
    residue.later.pop(key, None)
    residue.keys.remove(key)
    if not residue.keys:
        del state.residues[residue.id]


def gone(state: State, worker: str) -> None:
    """The worker is lost or left: what it was to sweep is due again."""
    for seq in [seq for seq, sweep in state.sweeps.items() if sweep.worker == worker]:
        del state.sweeps[seq]


def prune(state: State, before: float, most: int) -> None:
    """Forget the oldest of what ended before this instant and that no retention asks for."""
    for residue in list(islice(state.residues.values(), most)):
        if residue.at > before:
            break
        del state.residues[residue.id]
        retention = state.retention.get(residue.batch)
        if retention is not None and any(residue.due(key, retention) is not None for key in residue.keys):
            state.residues[residue.id] = residue  # to the end of the line


def is_due(state: State, due: Due) -> bool:
    """Whether this entry of `state.due` still stands for something to be removed."""
    at, submission, key = due
    residue = state.residues.get(submission)
    if residue is None or key not in residue.keys:
        return False
    retention = state.retention.get(residue.batch)
    return retention is not None and residue.due(key, retention) == at


def _tidy(state: State, batch: str) -> None:
    """Drop the entries at the front of the batch's heaps that stand for nothing any more."""
    for key in [key for key in state.due if key[1] == batch]:
        heap = state.due[key]
        while heap and not is_due(state, heap[0]):
            heappop(heap)
        if not heap:
            del state.due[key]
