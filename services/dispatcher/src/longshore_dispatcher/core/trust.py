"""The circuit breaker of hosts: who fails different tasks fast is given none for a while, then one to try it out.

A failure is a *strike* if it was fast (before its start, or within `breaker_fast` of it) and of a cause that can be the
host's. How much it says is its level:

* 2, sure: the very task got past that point on another worker; or its submission, all of whose tasks are the same, did
  well somewhere and fails here for `host`, `launch` or `image`.
* 1, suspect: the cause is `host`; or its submission did well somewhere; an `exit` only if nine of ten went well elsewhere.
* 0: it may as well be the task's fault, or one accident with the strike before (it was assigned before that), and nothing
  follows from it.

`breaker_failures` strikes of different tasks within `breaker_window` put the worker into quarantine. Of suspect ones each
submission has a half at most, and none counts while tasks of its batch strike another worker for the same cause: what
fails everywhere is no host's fault. Success takes back the strikes of tasks of its kind. The first part decides, the
second folds. What must not enter: what a doctor looks at (agents know), verdicts about tasks.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import structs

from longshore_common import events as e
from longshore_common.log import Recorded
from longshore_common.model import OWN_CAUSES, Cause, Policy
from longshore_dispatcher.core import changes
from longshore_dispatcher.core.seats import Seat
from longshore_dispatcher.core.standing import Standing, Strike
from longshore_dispatcher.core.state import PHASE, State, Submission, Task, Worker

Decision = tuple[e.Event, str]

#: Causes that can be the host's doing.
CAUSES: Final = frozenset[Cause](
    {"host", "launch", "image", "disk-full", "stage-in", "stage-out", "timeout-staging", "exit"}
)
#: Causes that hang on what all tasks of an array share.
SHARED: Final = frozenset[Cause]({"host", "launch", "image"})
#: Causes of attempts that never ran: that the task runs elsewhere disproves it was its fault.
UNSTARTED: Final = frozenset[str]({"host", "launch", "image", "stage-in", "timeout-staging"})
#: An exit is suspect if so many went well for each that failed elsewhere.
WELL: Final = 9
#: Strikes kept per worker.
KEPT: Final = 64
#: Seconds of the longest quarantine that follows from failed probes.
LONGEST: Final = 86_400.0


def decisions(state: State, now: float) -> Iterator[Decision]:
    """Workers that go into quarantine, stay there, are to be looked at, or leave it; one event for each at most."""
    policy, trials = state.policy, state.trials
    if policy.breaker_failures and trials.accused:
        for name in [name for name in trials.accused if name not in trials.quarantined]:
            if counted := _counted(state, name):
                pause = policy.breaker_pause
                yield e.WorkerQuarantined(reason=_reason(state, name, counted), until=now + pause, pause=pause), name
    for name in trials.quarantined:
        if (event := _quarantined(state, state.workers[name], now)) is not None:
            yield event, name


def _quarantined(state: State, worker: Worker, now: float) -> e.Event | None:
    trust = worker.trust
    if trust.passed:
        return e.WorkerTrusted(reason="the task that tried it out went well")
    if _runs_long(state, worker, now):
        return e.WorkerTrusted(reason=f"the task that tries it out runs for {state.policy.breaker_fast:g} s already")
    failed = next((strike for strike in reversed(trust.strikes) if strike.level), None)
    if failed is not None:
        pause = min(2 * trust.pause, max(LONGEST, state.policy.breaker_pause))
        reason = f"the task that tried it out, {failed.submission}.{failed.index}, failed: {failed.cause}"
        return e.WorkerQuarantined(reason=reason, until=now + pause, pause=pause)
    if worker.state == "up" and not trust.examined:
        return e.WorkerCareOrdered(care="doctor")
    return None


def _runs_long(state: State, worker: Worker, now: float) -> bool:
    """Whether the probe runs for longer than fast failures take."""
    probe = state.load(worker.name).attempts.get(worker.trust.probe)
    return probe is not None and PHASE[probe.state] > 0 and now - probe.started > state.policy.breaker_fast


def _counted(state: State, name: str) -> list[Strike]:
    """The strikes for which this worker goes into quarantine; none if it does not."""
    policy, strikes = state.policy, state.workers[name].trust.strikes
    since = strikes[-1].at - policy.breaker_window
    sure = [s for s in strikes if s.level == 2 and s.at >= since]
    suspect: dict[int, list[Strike]] = {}
    for strike in strikes:
        if strike.level == 1 and strike.at >= since and not _elsewhere_too(state, name, strike):
            suspect.setdefault(strike.submission, []).append(strike)
    half = (policy.breaker_failures + 1) // 2 if policy.breaker_failures > 1 else 0
    counted = sure + [strike for of_one in suspect.values() for strike in of_one[:half]]
    return counted if len(counted) >= policy.breaker_failures else []


def _elsewhere_too(state: State, name: str, strike: Strike) -> bool:
    """Whether tasks of the same batch fail for the same cause on another worker, which then is no host's fault."""
    since = strike.at - state.policy.breaker_window
    return any(
        other.batch == strike.batch and other.cause == strike.cause and other.level < 2 and other.at >= since
        for suspect in state.trials.suspects
        if suspect != name
        for other in state.workers[suspect].trust.strikes
    )


def _reason(state: State, name: str, counted: list[Strike]) -> str:
    causes: dict[str, int] = {}
    for strike in counted:
        causes[strike.cause] = causes.get(strike.cause, 0) + 1
    told = ", ".join(f"{count} {cause}" for cause, count in causes.items())
    last = counted[-1]
    alone = not any(worker.takes_work for other, worker in state.workers.items() if other != name)
    return f"{len(counted)} different tasks failed fast there ({told}), {last.submission}.{last.index} among them" + (
        "; no other worker takes work" if alone else ""
    )


def probe_room(state: State, worker: Worker, now: float) -> int:
    """How many attempts (0 or 1) a worker in quarantine may be assigned now, to try it out."""
    trust = worker.trust
    if not trust.quarantine or not worker.willing or changes.waits(trust.until, now, trust.pause):
        return 0
    if trust.probe in state.load(worker.name).attempts or trust.passed:
        return 0
    said_nothing = bool(trust.strikes) and abs(now - trust.strikes[-1].at) < state.policy.breaker_fast
    return 0 if said_nothing else 1


def probe_seats(state: State, now: float) -> list[Seat]:
    """A seat with one place for each worker that may be tried out now."""
    workers = (state.workers[name] for name in state.trials.quarantined)
    return [
        Seat(worker, state.load(worker.name), most=1)
        for worker in workers
        if worker.concurrency and probe_room(state, worker, now)
    ]


def next_instant(state: State) -> float | None:
    """The first instant after the last event at which a quarantine ends or a probe has run long enough."""
    found = [at for name in state.trials.quarantined for at in _instants(state, state.workers[name]) if at > state.at]
    return min(found, default=None)


def _instants(state: State, worker: Worker) -> Iterator[float]:
    trust, fast = worker.trust, state.policy.breaker_fast
    if worker.willing:
        yield trust.until
        if trust.strikes:
            yield trust.strikes[-1].at + fast
        probe = state.load(worker.name).attempts.get(trust.probe)
        if probe is not None and probe.started:
            yield probe.started + fast


# --- the fold -----------------------------------------------------------------------------------------------------------


def kind(state: State, sub: Submission, task: Task, cause: str) -> str:
    """What of a host failed: its storage (`staging`, `delivering`), containers, or bare commands."""
    if cause in ("stage-in", "timeout-staging"):
        return "staging"
    if cause == "stage-out":
        return "delivering"
    return "container" if changes.lot_at(sub, task.index).need.container else "bare"


def failed(state: State, sub: Submission, task: Task, end: e.Ended, cause: Cause | None) -> None:
    """An attempt, still on its worker, failed there for this cause."""
    worker = state.workers.get(task.worker)
    if worker is None or cause is None or end.definite or task.cancel or task.wanted in ("stop", "kill"):
        return
    probe = worker.trust.probe == task.attempt
    if worker.trust.quarantine and not probe:
        return  # it was begun before
    if not _fast(state.policy, end):
        worker.trust.passed = probe and cause in OWN_CAUSES
    elif cause in CAUSES:
        level = 0 if _known(worker, task) else _level(sub, task, cause, worker)
        of = kind(state, sub, task, cause)
        strike = Strike(state.at, sub.id, task.index, sub.batch, cause, of, level, state.seq)
        others = [s for s in worker.trust.strikes if (s.submission, s.index) != (sub.id, task.index)]
        _keep(state, worker, [*others, strike][-max(KEPT, state.policy.breaker_failures) :])


def _known(worker: Worker, task: Task) -> bool:
    """Whether it was there already when another struck: one accident, such as a spawner that dies, ends all that is there."""
    return any(strike.level and strike.seq > task.seq for strike in worker.trust.strikes)


def _fast(policy: Policy, end: e.Ended) -> bool:
    began, over = end.usage.started_at, end.usage.ended_at
    return began is None or over is None or over - began <= policy.breaker_fast


def _level(sub: Submission, task: Task, cause: Cause, worker: Worker) -> int:
    if cause == "exit":
        own = sum(strike.submission == sub.id for strike in worker.trust.strikes)
        others = max(1, sub.failed.count - own)
        return int(any(name != worker.name for name in sub.well) and sub.succeeded >= WELL * others)
    if sub.well and cause in SHARED and sub.content.spec is not None:
        return 2
    return int(bool(sub.well) or cause == "host")


def shunned(state: State, name: str) -> str:
    """This worker, if tasks other than the one that just failed there failed fast too: a retry had better go elsewhere."""
    return name if name in state.trials.suspects and len(state.workers[name].trust.strikes) > 1 else ""


def watched(state: State, sub: Submission, task: Task) -> bool:
    """Whether the success of a task, still on its worker, says anything new about a host. The hot path."""
    if task.worker not in sub.well and len(sub.well) < 2:
        sub.well = (*sub.well, task.worker)
    trials = state.trials
    return bool(trials.struck) or task.worker in trials.quarantined


def runs(state: State, task: Task) -> None:
    """A task that was tried before runs now: where it had not come so far, the host is to blame."""
    _disproved(state, task, UNSTARTED)


def succeeded(state: State, sub: Submission, task: Task, end: e.Ended) -> None:
    """A task, still on its worker, went well."""
    if task.n > 1:
        _disproved(state, task, CAUSES)
    worker = state.workers.get(task.worker)
    if worker is None:
        return
    if worker.trust.quarantine:
        worker.trust.passed = worker.trust.passed or worker.trust.probe == task.attempt
        return
    if worker.trust.strikes:
        began, over = end.usage.started_at, end.usage.ended_at
        since = state.at - (over - began if began is not None and over is not None else 0)
        proven = _proven(sub, task)
        _keep(state, worker, [s for s in worker.trust.strikes if s.kind not in proven or s.at > since])


def _proven(sub: Submission, task: Task) -> set[str]:
    """What of its host a success shows to work."""
    found = {"container" if changes.lot_at(sub, task.index).need.container else "bare"}
    if sub.fetches:
        found.add("staging")
    if sub.delivers:
        found.add("delivering")
    return found


def _disproved(state: State, task: Task, causes: frozenset[str] | frozenset[Cause]) -> None:
    for name in list(state.trials.struck.get((task.submission, task.index), ())):
        worker = state.workers[name]
        if name != task.worker:
            strikes = worker.trust.strikes
            at = next(k for k, s in enumerate(strikes) if (s.submission, s.index) == (task.submission, task.index))
            if strikes[at].cause in causes:
                sure = structs.replace(strikes[at], level=2)
                _keep(state, worker, [*strikes[:at], sure, *strikes[at + 1 :]])


def probed(state: State, worker: Worker, tasks: list[Task]) -> None:
    """A worker in quarantine was assigned these: the first tries it out."""
    if tasks and worker.trust.quarantine:
        worker.trust.probe = tasks[0].attempt


def quarantined(state: State, record: Recorded, event: e.WorkerQuarantined) -> None:
    """It gets nothing until then; its doctor has not been there yet."""
    worker = _addressee(state, record)
    _keep(state, worker, [])
    pause = event.pause or max(0.0, event.until - record.at)
    worker.trust = Standing(quarantine=event.reason[:300] or "it failed", until=event.until, pause=pause)
    state.trials.quarantined[worker.name] = None


def trusted(state: State, record: Recorded, event: e.WorkerTrusted) -> None:
    """It is a worker as any other."""
    release(state, _addressee(state, record))
    if not event.more:
        state.wishes.pop(event.request, None)


def release(state: State, worker: Worker) -> None:
    """All that is held against it is forgotten."""
    _keep(state, worker, [])
    worker.trust = Standing()
    state.trials.quarantined.pop(worker.name, None)


def care_ordered(state: State, record: Recorded, event: e.WorkerCareOrdered) -> None:
    """Its doctor is on the way."""
    if event.care == "doctor":
        _addressee(state, record).trust.examined = True


def derive(state: State) -> None:
    """The index, from the standings."""
    for worker in state.workers.values():
        strikes, worker.trust.strikes = worker.trust.strikes, []
        _keep(state, worker, strikes)
        if worker.trust.quarantine:
            state.trials.quarantined[worker.name] = None


def _addressee(state: State, record: Recorded) -> Worker:
    name = record.subject.split(".")[2]
    return state.workers.setdefault(name, Worker(name))


def _keep(state: State, worker: Worker, strikes: list[Strike]) -> None:
    """These are its strikes from here on."""
    name, trials = worker.name, state.trials
    for strike in worker.trust.strikes:
        key = (strike.submission, strike.index)
        trials.struck[key].pop(name)
        if not trials.struck[key]:
            del trials.struck[key]
    for strike in strikes:
        trials.struck.setdefault((strike.submission, strike.index), {})[name] = None
    worker.trust.strikes = strikes
    for group, belongs in ((trials.suspects, bool(strikes)), (trials.accused, any(s.level for s in strikes))):
        if belongs:
            group[name] = None
        else:
            group.pop(name, None)
