"""What workers say, folded: the hot path of the whole system.

A report about an attempt that is not current changes nothing: attempts are found among those the reporting worker
holds, so nobody can report on another's. What must not enter: verdicts.
"""

from collections.abc import Collection

from longshore_common import events as e
from longshore_common.log import Recorded
from longshore_common.model import Cause, Usage
from longshore_dispatcher.core import changes, requirements, reuse, shares, sweeping, trust
from longshore_dispatcher.core.content import Need
from longshore_dispatcher.core.standing import Staged
from longshore_dispatcher.core.state import PHASE, End, Load, State, Submission, Task, Worker

#: Weight of the newest run time in a submission's pace.
NEWEST = 0.2
#: Seconds for which a container takes its slot at least: making and removing one is not in its run time, and took
#: 80-430 ms on a Docker 20.10 with two cores.
CONTAINER = 0.3
#: Batches whose pace is remembered.
PACES = 1000


def reported(state: State, record: Recorded, event: e.AttemptsReported) -> None:
    """Moves, deliveries and ends, in this order."""
    load = state.loads.get(record.author.name)
    if load is None:
        return
    for move in event.moved:
        task = load.attempts.get(move.attempt)
        if task is not None and move.state in PHASE:
            _move(state, load, task, move)
    for delivered in event.delivered:
        _delivered(state, load, delivered)
    if event.ended:
        _ended(state, load, event)
    if event.identified:
        reuse.identified(state, record, event)


def _delivered(state: State, load: Load, delivered: e.Delivered) -> None:
    task = load.attempts.get(delivered.attempt)
    if task is not None:
        task.delivered = True
        if not task.granted:
            state.grants[(task.submission, task.index)] = task


def _move(state: State, load: Load, task: Task, move: e.Move) -> None:
    before, after = PHASE[task.state], PHASE[move.state]
    if after < before:
        return
    if after != before:
        load.phases[before] -= 1
        load.phases[after] += 1
        if task.recalled:
            changes.not_recalled(state, load, task)
        if after == 2 and task.need is not None:
            load.charge(task.need, -1)
        shares.moved(state, state.submissions[task.submission], task, (before, after))
    if move.state == "running" and task.state != "running":
        task.started, task.staged = move.at, None
        if task.n > 1:
            trust.runs(state, task)
    if move.state == "staging":
        since = task.staged.since if task.staged is not None else move.at
        task.staged = Staged(since, move.at, max(0, move.done), max(0, move.total))
    task.state, task.reason = move.state, move.reason[:400]


def _ended(state: State, load: Load, event: e.AttemptsReported) -> None:
    touched: dict[int, Submission] = {}
    attempts, submissions = load.attempts, state.submissions
    unseen: dict[tuple[int, Need | None], float] = {}  # seconds of those that were not known to run before
    just = {move.attempt for move in event.moved}
    for end in event.ended:
        task = attempts.get(end.attempt)
        if task is None:
            continue
        sub = submissions[task.submission]
        touched[sub.id] = sub
        if (took := _took(sub, task, end.usage)) is not None:
            sub.pace = took if sub.pace < 0 else sub.pace + NEWEST * (took - sub.pace)
            if end.attempt in just or not PHASE[task.state]:
                unseen[(sub.id, task.need)] = unseen.get((sub.id, task.need), 0.0) + took
        if end.outcome == "succeeded":
            _succeeded(state, sub, task, end)
        else:
            _not_well(state, sub, task, end)
    for (submission, need), seconds in unseen.items():
        shares.ran(state, submissions[submission], need, seconds)
    _all_changed(state, touched.values())


def _all_changed(state: State, touched: Collection[Submission]) -> None:
    for sub in touched:
        if sub.pace >= 0:
            _learn(state, sub)
        changes.changed(state, sub)


def _not_well(state: State, sub: Submission, task: Task, end: e.Ended) -> None:
    cause = _cause(end)
    if end.outcome == "failed":
        trust.failed(state, sub, task, end, cause)
    told = End(end.outcome, cause, end.reason, end.usage.peak_memory, end.definite, end.exit_code)
    changes.await_verdict(state, task, told)


def _succeeded(state: State, sub: Submission, task: Task, end: e.Ended) -> None:
    if trust.watched(state, sub, task):
        trust.succeeded(state, sub, task, end)
    changes.lift(state, sub, task)
    del sub.tasks[task.index]
    if task.n > 1:
        sub.memory.pop(task.index, None)
        sub.numbers[task.index] = task.n
    sub.succeeded += 1
    if sub.id in state.dependents or sub.id in state.tied.graphs:
        requirements.shift(state, sub.id, (task.index, task.index), "succeeded")
    if end.digest:
        reuse.learn(state, sub, end)


def _took(sub: Submission, task: Task, usage: Usage) -> float | None:
    """Seconds for which it took its place, which for a container is longer than it ran; None: it did not run."""
    if usage.started_at is None or usage.ended_at is None:
        return None
    lots = sub.lots
    lot = lots[0] if len(lots) == 1 else changes.lot_at(sub, task.index)
    return max(CONTAINER if lot.need.container else 0.0, usage.ended_at - usage.started_at)


def _learn(state: State, sub: Submission) -> None:
    """The batch's pace is what its submissions begin with; only the last few batches are remembered."""
    state.paces[sub.batch] = sub.pace
    shares.learn(state, sub)
    if len(state.paces) > PACES:
        del state.paces[next(iter(state.paces))]


def _cause(end: e.Ended) -> Cause | None:
    if end.outcome == "failed" and end.cause is None:
        return "exit" if end.exit_code is not None else "host"
    return end.cause


def joined(state: State, record: Recorded, event: e.WorkerJoined) -> None:
    """What we thought the worker holds and it does not is lost; what it holds and is not current shall stop."""
    name = record.author.name
    worker = state.workers.setdefault(name, Worker(name))
    load = state.load(name)
    held = set(event.held)
    for attempt, task in list(load.attempts.items()):
        if attempt not in held and task.seq <= event.handled:
            changes.await_verdict(state, task, End("lost", "worker-lost", f"the agent of {name} started without it"))
    worker.kill = {a: seq for a, seq in worker.lost.items() if seq > event.handled}
    worker.kill.update((a, record.seq) for a in event.held if a not in load.attempts)
    worker.lost = {}
    worker.hindered, worker.evicted, worker.evicted_at, worker.held = "", "", 0.0, {}  # what still holds it says again
    worker.state, worker.since, worker.reason = "up", record.at, ""
    worker.life, worker.facts = event.life, event.facts
    if worker.moved <= event.handled:  # else it does not know yet that it was moved
        worker.batch = event.batch
    worker.concurrency, worker.prefetch = event.concurrency, event.prefetch
    worker.prefetch_percent = event.prefetch_percent


def gone(state: State, record: Recorded, name: str, became: str, reason: str) -> None:
    """The worker is lost or has left: all it held awaits a verdict."""
    worker = state.workers.setdefault(name, Worker(name))
    worker.state, worker.since, worker.reason = became, record.at, reason
    worker.kill = {}
    sweeping.gone(state, name)
    for attempt, task in list(state.load(name).attempts.items()):
        worker.lost[attempt] = task.seq
        changes.await_verdict(state, task, End("lost", "worker-lost", f"{name} {became}: {reason}"[:300]))


def left(state: State, record: Recorded, event: e.WorkerLeft) -> None:
    """The agent stopped for good."""
    gone(state, record, record.author.name, "left", event.reason or "its agent was stopped")


def lost(state: State, record: Recorded, event: e.WorkerLost) -> None:
    """The dispatcher heard nothing any more."""
    gone(state, record, record.subject.split(".")[2], "lost", event.reason)


def hindered(state: State, record: Recorded, event: e.WorkerHindered) -> None:
    """The host takes no more work, or does again."""
    if (worker := _of_life(state, record, event.life)) is not None:
        worker.hindered = event.reason[:300]


def evicted(state: State, record: Recorded, event: e.WorkerEvicted) -> None:
    """The host will be taken away; what it runs ends by itself, with checkpoints."""
    if (worker := _of_life(state, record, event.life)) is not None:
        worker.evicted, worker.evicted_at = event.reason[:300] or "its host will be taken away", event.at


def held(state: State, record: Recorded, event: e.ResourcesHeld) -> None:
    """The resources that the host keeps, all of them."""
    if (worker := _of_life(state, record, event.life)) is not None:
        worker.held = dict.fromkeys(event.held)


def _of_life(state: State, record: Recorded, life: int) -> Worker | None:
    """The worker that says it, if it is of the life that we know."""
    worker = state.workers.get(record.author.name)
    return worker if worker is not None and worker.life == life else None
