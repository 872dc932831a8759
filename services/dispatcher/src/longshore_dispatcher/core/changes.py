"""The few ways in which a task changes place; every handler of `evolve` is made of these.

They keep the derived sums and queues true. What must not enter: events, judgement.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from typing import Final

import msgspec

from longshore_common.ids import TaskRange
from longshore_dispatcher.core import blocked, bulk, content, graph, requirements, shares, sweeping
from longshore_dispatcher.core.content import with_memory
from longshore_dispatcher.core.queue import Key
from longshore_dispatcher.core.ranges import Ranges, Run, of
from longshore_dispatcher.core.state import PHASE, Closed, End, Load, Lot, State, Submission, Task

#: Seconds of the longest back-off there was before each said its own.
LONGEST_WAIT: Final = 300.0

_pack = msgspec.msgpack.Encoder().encode
_revived = msgspec.msgpack.Decoder(Submission).decode


def lot_at(sub: Submission, index: int) -> Lot:
    """The lot a task belongs to: that of what it asks for, or of what it got after it ran out of memory."""
    lot = sub.lots[sub.lot_of[bisect_right(sub.lot_starts, index) - 1] if sub.lot_starts else 0]
    if sub.memory and (memory := sub.memory.get(index)):
        need = with_memory(lot.need, memory)
        return next(other for other in sub.lots if other.need == need)
    return lot


def give_memory(sub: Submission, index: int, memory: int) -> None:
    """From here on the task asks for so many bytes; it must be in no line and on no worker."""
    sub.memory.pop(index, None)
    need = with_memory(lot_at(sub, index).need, memory)
    if not any(lot.need == need for lot in sub.lots):
        sub.lots.append(Lot(need, Ranges()))
    sub.memory[index] = memory


def lot_runs(sub: Submission, lo: int, hi: int) -> Iterable[tuple[Lot, int, int]]:
    """`lo` to `hi` cut where the lot changes, as the tasks were submitted."""
    if not sub.lot_starts:
        yield sub.lots[0], lo, hi
        return
    at = bisect_right(sub.lot_starts, lo) - 1
    while lo <= hi:
        end = sub.lot_starts[at + 1] - 1 if at + 1 < len(sub.lot_starts) else sub.size - 1
        yield sub.lots[sub.lot_of[at]], lo, min(end, hi)
        lo, at = end + 1, at + 1


def stand(state: State, sub: Submission) -> None:
    """Let the submission stand in the lines of those lots that have tasks to hand out now, and in no other."""
    for lot in sub.lots:
        key = Key(-sub.priority, sub.user, sub.batch, lot.need)
        if sub.accepted and not sub.waiting and (tasks := lot.fresh.count + len(lot.again)):
            state.queue.put(key, sub.id, tasks, state.at)
        else:
            state.queue.drop(key, sub.id)
    spec = sub.content.spec
    if (spec is not None and spec.run_timeout) or sub.id in state.queue.bounded:
        state.queue.bound(sub.id, limited=sub.accepted and not sub.waiting and not sub.ended)


def lift(state: State, sub: Submission, task: Task) -> None:
    """Take a placed task off its worker; its state still says how far it was."""
    load = state.loads[task.worker]
    del load.attempts[task.attempt]
    phase = PHASE[task.state]
    load.phases[phase] -= 1
    if task.recalled:
        not_recalled(state, load, task)
    if phase < 2 and task.need is not None:
        load.charge(task.need, -1)
    shares.lifted(state, sub, task, phase)
    state.roster.touched.add(task.worker)
    sub.placed -= 1
    if task.frozen:
        state.frozen.discard(task.attempt)
    if task.delivered:
        state.grants.pop((task.submission, task.index), None)
    if task.asks:
        task.asks = ""
        state.asked.pop((task.submission, task.index), None)


def not_recalled(state: State, load: Load, task: Task) -> None:
    """It was given back, or goes on."""
    load.recalls -= 1
    task.recalled, task.asked_at = False, 0.0
    del state.asked_back[task.attempt]


def await_verdict(state: State, task: Task, end: End) -> None:
    """The current attempt is over; what becomes of the task is for the dispatcher to say."""
    lift(state, state.submissions[task.submission], task)
    task.end = end
    state.verdicts[(task.submission, task.index)] = task


def requeue(state: State, sub: Submission, task: Task) -> None:
    """Queue a task whose verdict is a retry, at once or from `task.not_before` on."""
    task.state, task.worker, task.end = "queued", "", None
    task.wanted, task.frozen, task.delivered, task.staged = "run", False, False, None
    if task.not_before:  # by the dispatcher's clock, which need not be that of `state.at`
        delay(state, (task.not_before, sub.id, task.index), task.wait)
    else:
        lot_at(sub, task.index).again[task.index] = task.n


def delay(state: State, entry: tuple[float, int, int], wait: float) -> None:
    """One more that waits for its instant, `wait` seconds ahead (0 = not known)."""
    heappush(state.delayed, entry)
    state.furthest, state.longest = max(state.furthest, entry[0]), max(state.longest, wait or LONGEST_WAIT)


def waits(not_before: float, now: float, wait: float = 0) -> bool:
    """Whether a back-off lasts still. One that would last longer than the `wait` it was given (0 = not known) was given by
    a clock that has been set back since: it is over.
    """
    return now < not_before <= now + (wait or LONGEST_WAIT)


def set_back(state: State, now: float) -> Iterable[tuple[float, int, int]]:
    """The entries of `state.delayed` that are further ahead than any clock that is right can have put them."""
    if state.furthest <= now + state.longest:
        return
    for entry in state.delayed:
        ahead = entry[0] > now and is_delayed(state, entry)
        if ahead and not waits(entry[0], now, state.submissions[entry[1]].tasks[entry[2]].wait):
            yield entry


def is_delayed(state: State, entry: tuple[float, int, int]) -> bool:
    """Whether this entry of `state.delayed` still stands for a queued task."""
    sub = state.submissions.get(entry[1])
    task = sub.tasks.get(entry[2]) if sub is not None else None
    return task is not None and task.state == "queued" and task.not_before == entry[0]


def tidy_delayed(state: State) -> None:
    """Drop the entries at the front that stand for nothing any more."""
    while state.delayed and not is_delayed(state, state.delayed[0]):
        heappop(state.delayed)
    if not state.delayed:
        state.furthest = state.longest = 0.0


def of_submissions(state: State, tasks: Iterable[TaskRange]) -> Iterator[tuple[Submission, list[Run]]]:
    """The open submissions among these, each with all its runs."""
    runs: dict[int, list[Run]] = {}
    for run in tasks:
        runs.setdefault(run.submission, []).append((run.lo, run.hi))
    for submission, named in runs.items():
        if (sub := state.submissions.get(submission)) is not None:
            yield sub, named


def end_runs(state: State, sub: Submission, runs: Sequence[Run], bucket: Ranges) -> None:
    """Whatever of `runs` has not ended goes to `bucket` (the failed or the cancelled); attempts under way are superseded."""
    gone: list[Run] = bulk.take(sub.kept, runs)
    for lot in sub.lots:
        gone += bulk.take(lot.fresh, runs)
    gone += blocked.leave(state, sub, runs)
    for task in [task for run in runs for task in sub.tasks_in(*run)] if sub.tasks else ():
        drop(state, sub, task)
        gone.append((task.index, task.index))
    bulk.put(bucket, gone)
    if sub.ended:
        blocked.forget(state, sub)
    for lo, hi in gone:
        requirements.shift(state, sub.id, (lo, hi), "broke")


def drop(state: State, sub: Submission, task: Task) -> None:
    """The task is in no place any more; what is known of its attempts is kept."""
    if task.placed:
        lift(state, sub, task)
        state.workers[task.worker].kill[task.attempt] = task.seq
    state.verdicts.pop((sub.id, task.index), None)
    lot_at(sub, task.index).again.pop(task.index, None)
    del sub.tasks[task.index]
    if task.n:
        sub.tried.add(task.index, task.index)
    if task.n > 1:
        sub.last[task.index] = task.n


def retry_run(state: State, sub: Submission, run: Run) -> None:
    """Whatever of `run` failed, was cancelled or held is untouched again."""
    ended = sub.failed.cut(*run) + sub.cancelled.cut(*run)
    if blocked.by_task(sub):
        blocked.block(state, sub, ended + sub.kept.cut(*run))
    else:
        line_up(sub, ended + sub.kept.cut(*run))
    for lo, hi in ended:
        requirements.shift(state, sub.id, (lo, hi), "mended")


def line_up(sub: Submission, runs: Sequence[Run]) -> None:
    """These tasks, which were in no place, are untouched ones of their lots."""
    if len(sub.lots) == 1:
        bulk.put(sub.lots[0].fresh, runs)
        return
    for lo, hi in runs:
        for lot, a, b in lot_runs(sub, lo, hi):
            lot.fresh.add(a, b)
        for index in [index for index in sub.memory if lo <= index <= hi]:
            for lot in sub.lots:
                lot.fresh.cut(index, index)
            lot_at(sub, index).fresh.add(index, index)


def changed(state: State, sub: Submission) -> None:
    """After any change: stand where it belongs, tell the news, and leave memory if all has ended."""
    state.news[sub.id] = None
    stand(state, sub)
    if sub.ended:
        close(state, sub)


def close(state: State, sub: Submission) -> None:
    """Keep of an ended submission what its key, requirements and retries need."""
    requirements.forget(state, sub)
    blocked.forget(state, sub)
    sweeping.leave(state, sub)
    revive = b""
    if sub.failed or sub.cancelled:
        ended = (*sub.failed.runs, *sub.cancelled.runs)
        sub.content = content.thinned(sub.content, _blob_heads(sub, ended))
        if sub.ties is not None and sub.ties.graph is not None:
            sub.ties.graph = graph.thinned(sub.size, sub.ties.graph, ended)
        revive = _pack(sub)
    state.closed[sub.id] = Closed(
        sub.id, sub.user, sub.batch, sub.key, sub.size, state.at, sub.succeeded,
        list(sub.failed.ascending()), list(sub.cancelled.ascending()), revive=revive,
        deleted=list(sub.deleted.ascending()),
    )  # fmt: skip
    del state.submissions[sub.id]
    state.count_priority(sub.priority, -1)


def _blob_heads(sub: Submission, runs: Iterable[Run]) -> Iterable[int]:
    """One ordinal of each blob that these runs touch."""
    firsts = sub.content.firsts
    for lo, hi in runs:
        yield from (firsts[k] for k in range(bisect_right(firsts, lo) - 1, bisect_right(firsts, hi)))


def reopen(state: State, submission: int) -> Submission | None:
    """The open submission, brought back from its record if it had ended and can be retried."""
    if (sub := state.submissions.get(submission)) is not None:
        return sub
    closed = state.closed.get(submission)
    if closed is None or not closed.revive:
        return None
    del state.closed[submission]
    sub = state.submissions[submission] = _revived(closed.revive)
    state.count_priority(sub.priority, 1)
    sub.deleted = of(closed.deleted)
    blocked.register(state, sub)
    sweeping.reopened(state, sub)
    return sub
