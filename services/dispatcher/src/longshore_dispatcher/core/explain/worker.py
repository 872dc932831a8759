"""Why a worker is busy, or idle although tasks wait: every line in the queue is held against it, and counted.

What must not enter: order among tasks.
"""

from collections import Counter
from collections.abc import Iterator

from longshore_dispatcher.core import confidences
from longshore_dispatcher.core.content import Need, variants
from longshore_dispatcher.core.explain import places
from longshore_dispatcher.core.explain.answer import Answer, Eta, Reason, nothing, number, span
from longshore_dispatcher.core.explain.eta import paused
from longshore_dispatcher.core.seats import serves
from longshore_dispatcher.core.state import Load, State, Worker


def answer(state: State, name: str, now: float) -> Answer:
    """About the worker of this name."""
    worker = state.workers.get(name)
    if worker is None:
        fix = "check the name: longshore worker list; or start its agent"
        return Answer(name, "unknown", [Reason("no worker has this name", fix)])
    load = state.load(name)
    reasons = [_standing(worker, now), *_shut(worker, load, now), _load(worker, load)]
    reasons += _kept(state, name, now)
    if worker.state == "up" and load.running < _most(worker):
        reasons += _idle(state, worker)
    reasons += [
        Reason(problem, f"see to its host {worker.facts.hostname or name}") for problem in worker.facts.problems
    ]
    return Answer(name, _called(worker, _held(load)), reasons, _eta(state, worker, load))


def _most(worker: Worker) -> int:
    """Slots; where requests alone decide, as many as it has CPUs."""
    return worker.concurrency if worker.concurrency >= 0 else worker.facts.cpus


def _held(load: Load) -> int:
    return load.unstarted + load.running + load.phases[2]


def _standing(worker: Worker, now: float) -> Reason:
    text = f"it is {worker.state} since {span(now - worker.since)}" + (f": {worker.reason}" if worker.reason else "")
    fix = nothing("it is heard of")
    if worker.state != "up":
        fix = f"start its agent on {worker.facts.hostname or 'its host'}; it comes back by itself once it is heard"
    return Reason(text, fix)


def _shut(worker: Worker, load: Load, now: float) -> Iterator[Reason]:
    if worker.evicted and worker.evicted_at > now:
        why = f"its host goes in {span(worker.evicted_at - now)}"
        yield Reason(why, nothing("what it runs saves its checkpoints and goes to others"))
    if worker.state != "up" or (shut := places.closed(worker)) is None:
        return
    if worker.trust.quarantine and worker.willing:
        yield _tried_out(worker, now)
    held = _held(load)
    why = worker.pause_reason if worker.paused else worker.evicted or shut.why
    text = "it is drained" if worker.paused and worker.drain and not held else f"it {shut.one}"
    yield Reason(text + (f": {why}" if why else ""), shut.fix.format(names=worker.name), max(1, held))


def _tried_out(worker: Worker, now: float) -> Reason:
    """What ends a quarantine by itself."""
    trust = worker.trust
    if trust.probe:
        return Reason(f"the task {trust.probe} tries it out", nothing("if that goes well, it is given work again"))
    if trust.until > now:
        why = f"it is tried out with one task in {span(trust.until - now)}"
    else:
        why = "it is tried out with the next task that fits"
    return Reason(why, nothing("if that goes well, it is given work again"))


def _load(worker: Worker, load: Load) -> Reason:
    slots = f"{load.running} of {number(worker.concurrency, 'slot')} in use"
    if worker.concurrency < 0:
        slots = f"{load.running} running (what tasks ask for decides how many)"
    text = f"{slots}, {number(load.unstarted, 'attempt')} not started"
    if load.phases[2]:
        text += f", {load.phases[2]} delivering"
    full = load.running >= worker.concurrency > 0
    fix = nothing("it is at work") if _held(load) else nothing("it holds no work")
    if full:
        fix = nothing(f"it is full; longshore worker resize {worker.name} gives it more slots")
    return Reason(text, fix, max(1, _held(load)))


def _kept(state: State, name: str, now: float) -> Iterator[Reason]:
    """Whom it is kept for."""
    if (claim := state.reservations.get(name)) is not None:
        when = f", free in about {span(claim.until - now)}" if claim.until > now else ""
        text = f"it is kept for {claim.submission}.{claim.index}, which fits nowhere else, since {span(now - claim.at)}{when}"
        yield Reason(text, nothing("others start there only if they do not delay that"))


def _idle(state: State, worker: Worker) -> Iterator[Reason]:
    """Why its free places are not taken, counted by what keeps the queued tasks away."""
    if not state.queue.lines:
        yield Reason("nothing is queued", nothing("it is given work as soon as there is some"))
        return
    groups: Counter[tuple[str, str]] = Counter()
    known: dict[tuple[bool, bool, Need], tuple[str, str]] = {}
    for key, line in state.queue.lines.items():
        kind = (paused(state, key.batch), worker.batch in ("*", key.batch), key.need)
        if kind not in known:
            known[kind] = _away(state, worker, key.batch, key.need)
        groups[known[kind]] += line.tasks
    total = groups.total()
    parts = [Reason(text, fix, count) for (text, fix), count in groups.most_common()]
    listed = ", ".join(f"{part.count} {part.text}" for part in parts)
    yield Reason(f"of {number(total, 'queued task')}: {listed}", parts[0].fix, total, parts)


def _away(state: State, worker: Worker, batch: str, need: Need) -> tuple[str, str]:
    if paused(state, batch):
        return "are of paused batches", "longshore batch resume, for each that shall go on"
    if worker.batch not in ("*", batch):
        return (
            f"are of batches other than {worker.batch!r}, which it serves",
            f"longshore worker move {worker.name} --batch '*'",
        )
    why = places.hindrance(state, worker, batch, need)
    if why.stage == places.FREE:
        return "can be handed to it at the next turn", why.fix
    if why.stage == places.BUSY:
        return "fit it when a place is free", why.fix
    if (shut := places.closed(worker)) is not None:
        return "wait for other workers", shut.fix.format(names=worker.name)
    if missing := confidences.lacking(worker, need):
        return f"need the {confidences.said(missing)}, which it lacks", why.fix.format(names=worker.name)
    short = places.lacking(worker, variants(need)[0]) if serves(worker, batch, need) else []
    if not short:
        return "need a container engine", why.fix.format(names=worker.name)
    return "need more " + " and ".join(f"{lack.name} than its {lack.has}" for lack in short), why.fix


def _eta(state: State, worker: Worker, load: Load) -> Eta | None:
    """When it will have done what it holds."""
    if worker.state != "up" or not (load.running or load.unstarted) or not _most(worker):
        return None
    work = places.held(state, worker)
    if work <= 0:
        return None
    basis = f"{load.running} running, {load.unstarted} not started, {number(_most(worker), 'slot')}"
    return Eta("end", work / _most(worker), basis)


def _called(worker: Worker, held: int) -> str:
    """What it is called: its state, or why it takes no work."""
    if worker.paused and worker.drain:
        return "draining" if held else "drained"
    if worker.paused:
        return "paused"
    if worker.state != "up":
        return worker.state
    if worker.trust.quarantine:
        return "quarantined"
    return "evicted" if worker.evicted else "hindered" if worker.hindered else "up"
