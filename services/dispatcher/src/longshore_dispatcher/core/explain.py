"""Why a task is where it is, and what would help: total, so that no task waits without a reason.

What must not enter: changes of state; the wording for terminals (the client's).
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from longshore_common.errors import BadInput
from longshore_common.ids import split_task
from longshore_dispatcher.core import changes, escalation
from longshore_dispatcher.core.content import Need
from longshore_dispatcher.core.seats import Seat, able
from longshore_dispatcher.core.state import Closed, Lot, State, Submission, Task, Worker

#: Seconds to a next try within which only the wait is worth telling, not who could take it meanwhile.
SOON: Final = 10.0


class Reason(Struct, omit_defaults=True):
    """One reason, what would remove it ("" if nothing needs to be done), and how many tasks or workers it is about."""

    text: str
    fix: str = ""
    count: int = 1


class Answer(Struct):
    """The state of the thing asked about, and at least one reason."""

    id: str
    state: str
    reasons: list[Reason]


def explain(state: State, ident: str, kind: str, now: float) -> Answer:
    """The answer for a task `1204.17`, a submission `1204`, a batch's or a worker's name; `BadInput` for other kinds."""
    match kind:
        case "task":
            return _task(state, ident, now)
        case "submission":
            if not (ident.isascii() and ident.isdigit()):
                raise BadInput(f"{ident!r} is not a submission id; it looks like 1204")
            return _submission(state, int(ident), now)
        case "batch":
            return _batch(state, ident, now)
        case "worker":
            return _worker(state, ident, now)
        case _:
            raise BadInput(f"{kind!r} cannot be explained: ask about a task, submission, batch or worker")


def _task(state: State, ident: str, now: float) -> Answer:
    submission, index = split_task(ident)
    original = state.original(submission)
    known = state.submissions.get(original) or state.closed.get(original)
    if known is None or not 0 <= index < known.size:
        return Answer(ident, "unknown", [Reason("there is no such task, or it finished long ago", "check the id")])
    if isinstance(known, Closed):
        return Answer(ident, _closed_state(known, index), [_closed_reason(known, index)])
    where = known.state_of(index)
    return Answer(ident, where, list(task_reasons(state, known, index, now)))


def _closed_state(closed: Closed, index: int) -> str:
    if closed.rejected or any(lo <= index <= hi for lo, hi in closed.failed):
        return "failed"
    return "cancelled" if any(lo <= index <= hi for lo, hi in closed.cancelled) else "succeeded"


def _closed_reason(closed: Closed, index: int) -> Reason:
    if closed.rejected:
        return Reason(f"its submission was rejected: {closed.rejected}", "correct it and submit again")
    return _ended(_closed_state(closed, index))


def _ended(state: str) -> Reason:
    fix = "" if state == "succeeded" else "retry it, after a look at its attempts and output"
    return Reason(f"it has ended: {state}", fix)


def task_reasons(state: State, sub: Submission, index: int, now: float) -> Iterator[Reason]:
    """Why this task of an open submission is where it is; never empty."""
    where = sub.state_of(index)
    task = sub.tasks.get(index)
    if not sub.accepted:
        yield Reason("its submission was not looked at yet", "if this lasts, see that a dispatcher leads")
    elif where in ("succeeded", "failed", "cancelled"):
        yield _ended(where)
    elif task is not None and task.end is not None:
        yield Reason(f"its attempt {task.n} ended ({task.end.cause or task.end.outcome}), the verdict is due")
    elif task is not None and task.placed:
        yield from _on_worker(state, task, now)
    elif where == "waiting":
        yield from _waiting(state, sub, index)
    else:
        yield from _queued(state, sub, index, now)


def _on_worker(state: State, task: Task, now: float) -> Iterator[Reason]:
    worker = state.workers[task.worker]
    since = max(0.0, now - (task.started if task.state == "running" and task.started else task.at))
    if task.wanted == "checkpoint":
        yield Reason(f"its checkpoint is being saved on {task.worker}, its next attempt goes on from there")
    if (closed := _closed(worker)) and task.state in ("assigned", "staging"):
        yield Reason(f"{task.worker} {closed[0]}", closed[1])
    if task.wanted == "pause":
        yield Reason(f"it is paused on {task.worker}", "resume its batch, or signal it to continue")
    elif task.wanted in ("stop", "kill"):
        yield Reason(f"it is being stopped on {task.worker}")
    if task.recalled:
        yield Reason(f"{task.worker} was asked to give it back")
    if task.state in ("assigned", "staging"):
        ahead = state.load(task.worker).running
        yield Reason(
            f"it is {task.state} on {task.worker} since {since:.0f} s; {ahead} of {worker.concurrency} slots are in use",
        )
    else:
        why = f": {task.reason}" if task.reason else ""
        yield Reason(f"it is {task.state} on {task.worker} since {since:.0f} s{why}")


def _waiting(state: State, sub: Submission, index: int) -> Iterator[Reason]:
    if sub.kept.has(index):
        yield Reason("it was submitted to be held", "release it by retrying it", sub.kept.count)
        return
    still = state.open.get(sub.id, [0, 0])[0]
    needs = ", ".join(str(r) for r in sub.requires[:5]) + ("…" if len(sub.requires) > 5 else "")
    yield Reason(f"{still} of the tasks that it requires have not ended well yet ({needs})", "", max(1, still))


def _queued(state: State, sub: Submission, index: int, now: float) -> Iterator[Reason]:
    task = sub.tasks.get(index)
    if task is not None and changes.waits(task.not_before, now):
        why = f" after: {task.reason}" if task.reason else ""
        yield Reason(f"it is tried again in {task.not_before - now:.0f} s{why}")
        if task.not_before - now < SOON:
            return
    if memory := sub.memory.get(index):
        yield Reason(f"it ran out of memory before, so it now asks for {escalation.shown(memory)}")
    batch = state.batches.get(sub.batch)
    if batch is not None and batch.paused:
        yield Reason(f"its batch {sub.batch!r} is paused", f"longshore batch resume {sub.batch}")
    if sub.max_running and sub.placed >= sub.max_running:
        yield Reason(f"its submission lets {sub.max_running} run at a time, and so many do", "", sub.placed)
    yield from _places(state, sub, changes.lot_at(sub, index))


def _places(state: State, sub: Submission, lot: Lot) -> Iterator[Reason]:
    """Why no worker takes it: one reason per kind of hindrance, with counts."""
    if not state.workers:
        yield Reason("there are no workers", "start an agent: longshore-agent run, or longshore up --workers 1")
        return
    counts: dict[tuple[str, str], int] = {}
    for worker in state.workers.values():
        why = _hindrance(state, worker, sub, lot)
        counts[why] = counts.get(why, 0) + 1
    total = len(state.workers)
    for (text, fix), count in counts.items():
        yield Reason(f"{count} of {total} workers {text}", fix, count)


def _hindrance(state: State, worker: Worker, sub: Submission, lot: Lot) -> tuple[str, str]:
    if not worker.takes_work:
        return _shut(worker)
    if worker.batch not in ("*", sub.batch):
        return "serve another batch", "give the batch a worker of its own, or one that serves any"
    if lot.need.container and not worker.facts.engines:
        return "have no container engine", "install one there, or submit without a container"
    if not able(worker, sub.batch, lot.need):
        return "lack " + _lacking(worker, lot.need), "ask for less, or add a larger worker"
    return _busy(worker, Seat(worker, state.load(worker.name)), lot)


def _shut(worker: Worker) -> tuple[str, str]:
    """Why workers like this one take no work at all, and the fix."""
    if worker.state != "up":
        return f"are {worker.state}", "start their agents"
    if worker.evicted:
        return "will be taken away", "wait for another, or add workers"
    if worker.paused:
        return "are draining" if worker.drain else "are paused", "longshore worker resume"
    return f"take no more work: {worker.hindered}", "see to their hosts, such as by longshore worker clean"


def _closed(worker: Worker) -> tuple[str, str] | None:
    """Why this one worker takes no more work, and the fix; None if it does."""
    if worker.evicted:
        return f"will be taken away: {worker.evicted}", "wait: what it held goes to others"
    if worker.paused:
        why = f": {worker.pause_reason}" if worker.pause_reason else ""
        return ("is draining" if worker.drain else "is paused") + why, f"longshore worker resume {worker.name}"
    if worker.hindered:
        return f"takes no more work: {worker.hindered}", f"longshore worker clean {worker.name}"
    return None


def _lacking(worker: Worker, need: Need) -> str:
    """What the host has too little of: "cpus (it asks for 64, they have 2), memory (it asks for 20 GB, they have 8 GB)"."""
    facts = worker.facts
    asked = (
        ("cpus", need.cpus > facts.cpus * 1000, f"{need.cpus / 1000:g}", f"{facts.cpus:g}"),
        ("memory", need.memory > facts.memory, f"{need.memory / 1e9:.3g} GB", f"{facts.memory / 1e9:.3g} GB"),
        ("gpus", need.gpus > facts.gpus, str(need.gpus), str(facts.gpus)),
    )
    return ", ".join(f"{name} (it asks for {wants}, they have {has})" for name, short, wants, has in asked if short)


def _busy(worker: Worker, seat: Seat, lot: Lot) -> tuple[str, str]:
    if worker.concurrency < 1:
        return "have no slots", "longshore worker resize --concurrency 1"
    if seat.slots < 1:
        return "are busy: all slots are taken", "wait, or add workers"
    if seat.fits(lot.need) < 1:
        return "have promised their cpus, memory or gpus to others", "wait, or add workers"
    return "could take it at the next turn", ""


def _submission(state: State, submission: int, now: float) -> Answer:
    original = state.original(submission)
    if (closed := state.closed.get(original)) is not None:
        return Answer(str(submission), "rejected" if closed.rejected else "ended", [_closed_submission(closed)])
    sub = state.submissions.get(original)
    if sub is None:
        return Answer(str(submission), "unknown", [Reason("there is no such submission, or it finished long ago")])
    reasons = list(_progress(sub))
    first = _first_open(sub)
    if first is not None:
        reasons += task_reasons(state, sub, first, now)
    name = "waiting" if sub.waiting else "accepted" if sub.accepted else "submitted"
    return Answer(str(submission), name, reasons)


def _closed_submission(closed: Closed) -> Reason:
    if closed.rejected:
        return Reason(f"it was rejected: {closed.rejected}", "correct it and submit again")
    failed = sum(hi - lo + 1 for lo, hi in closed.failed)
    cancelled = sum(hi - lo + 1 for lo, hi in closed.cancelled)
    return Reason(
        f"it has ended: {closed.succeeded} succeeded, {failed} failed, {cancelled} cancelled", "", closed.size
    )


def _progress(sub: Submission) -> Iterator[Reason]:
    done = sub.succeeded + sub.failed.count + sub.cancelled.count
    yield Reason(
        f"submission {sub.id}: {done} of {sub.size} tasks have ended, {sub.placed} are on workers", "", sub.size
    )


def _first_open(sub: Submission) -> int | None:
    """A task that is not on a worker, if there is one, else any that has not ended."""
    for lot in sub.lots:
        for lo, _ in lot.fresh.first(1):
            return lo
    for lo, _ in sub.kept.first(1):
        return lo
    return next(iter(sub.tasks), None)


def _batch(state: State, name: str, now: float) -> Answer:
    subs = [sub for sub in state.submissions.values() if sub.batch == name]
    batch = state.batches.get(name)
    reasons = []
    if batch is not None:
        reasons.append(
            Reason("it is paused" + (" and frozen" if batch.frozen else ""), f"longshore batch resume {name}")
        )
    for sub in subs[:10]:
        reasons += _progress(sub)
    for sub in subs[:1]:
        if (first := _first_open(sub)) is not None:
            reasons += task_reasons(state, sub, first, now)
    if not reasons:
        reasons = [Reason("nothing of it is open: all has ended, or it does not exist")]
    return Answer(name, "paused" if batch is not None else "open" if subs else "ended", reasons)


def _worker(state: State, name: str, now: float) -> Answer:
    worker = state.workers.get(name)
    if worker is None:
        return Answer(name, "unknown", [Reason("no worker has this name", "start its agent")])
    load = state.load(name)
    since = f"since {max(0.0, now - worker.since):.0f} s"
    reasons = [Reason(f"it is {worker.state} {since}" + (f": {worker.reason}" if worker.reason else ""))]
    held = load.unstarted + load.running + load.phases[2]
    state_now = _worker_state(worker, held)
    if worker.evicted and worker.evicted_at > now:
        reasons.append(Reason(f"its host goes in {worker.evicted_at - now:.0f} s"))
    if (why := _closed(worker)) is not None:
        reasons.append(Reason("it is drained" if state_now == "drained" else f"it {why[0]}", why[1], max(1, held)))
    text = f"{load.running} of {worker.concurrency} slots are in use, {load.unstarted} attempts wait there"
    reasons.append(Reason(text, "", held))
    if worker.state == "up" and not held and not state.queue.lines:
        reasons.append(Reason("nothing is queued"))
    reasons += [Reason(problem, "see the worker's host") for problem in worker.facts.problems]
    return Answer(name, state_now, reasons)


def _worker_state(worker: Worker, held: int) -> str:
    """What it is called: its state, or why it takes no work."""
    if worker.paused and worker.drain:
        return "draining" if held else "drained"
    if worker.paused:
        return "paused"
    if worker.state != "up":
        return worker.state
    return "evicted" if worker.evicted else "hindered" if worker.hindered else "up"
