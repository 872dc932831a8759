"""Taking back what was handed out too far ahead, for workers that idle or batches and workers that take no more work.

An attempt is given to an idle worker only if it would start there sooner: what its host gets to within half a second is not
worth a message, nor is a transfer that would end here before it could be made again there. What must not enter: changes
of state.
"""

from collections.abc import Collection, Iterable, Iterator
from heapq import nlargest
from itertools import islice
from typing import Final, NamedTuple

from longshore_common import events as e
from longshore_common.ids import AttemptId
from longshore_dispatcher.core import changes
from longshore_dispatcher.core.content import PLAIN, Need, variants
from longshore_dispatcher.core.deal import Places
from longshore_dispatcher.core.load import Load
from longshore_dispatcher.core.seats import Seat, able
from longshore_dispatcher.core.standing import Seen
from longshore_dispatcher.core.state import PHASE, State, Task, Worker

Decision = tuple[e.Event, str]

#: Seconds by which an attempt must start sooner elsewhere to be worth recalling.
WORTH: Final = 0.5
#: Seconds for which the answer to a recall is waited for, until other attempts are recalled instead.
ANSWERED: Final = 30.0
#: Workers, those of them that are furthest behind, and attempts of one of these, that are looked at in one turn.
WORKERS, FURTHEST, ATTEMPTS = 500, 16, 256
#: Recalls without an answer beyond which no more are made.
ON_THE_WAY: Final = 256
#: Attempts whose submissions tell how long tasks take on a worker; the first ones run.
SAMPLED: Final = 64


def recall(state: State, now: float, places: Places, untouchable: Collection[int] = ()) -> Iterator[Decision]:
    """Recalls from what takes no work, and for places that are free after all that is queued has been planned.

    This same turn changes the tasks of `untouchable` otherwise.
    """
    if state.roster.ahead:
        yield from _unwanted_anywhere(state)
        if state.roster.places:
            yield from _for_idle(state, now, places, untouchable)


def back(state: State, tasks: Iterable[Task]) -> Iterator[Decision]:
    """Recalls those of these tasks that are on workers and do not run yet, such as before an edit."""
    on: dict[str, list[Task]] = {}
    for task in tasks:
        if task.placed and recallable(task):
            on.setdefault(task.worker, []).append(task)
    for name, wanted in on.items():
        yield order(wanted), name


def order(tasks: Iterable[Task]) -> e.AttemptsRecalled:
    """They shall come back from the worker that has them."""
    return e.AttemptsRecalled(attempts=tuple(AttemptId(task.attempt) for task in tasks))


def recallable(task: Task) -> bool:
    """Whether it is on a worker, does not run, and nothing else is wanted of it."""
    return PHASE[task.state] == 0 and not task.recalled and not task.cancel and task.wanted == "run"


# --- from what takes no work --------------------------------------------------------------------------------------------


def _unwanted_anywhere(state: State) -> Iterator[Decision]:
    """What waits on workers that take no work, and what waits of paused batches.

    Workers that had nothing to give back are looked at again when they change; `state.seen` is a memory of that and no
    more: whoever was asked stays in it until the answer is in the log.
    """
    seen, roster = state.seen, state.roster
    paused = frozenset(name for name, batch in state.batches.items() if batch.paused)
    changed = roster.since(seen.stamp) if paused == seen.paused else roster.ahead
    names = dict.fromkeys([*seen.again, *changed])
    state.seen = again = Seen(paused, roster.stamp)
    for name in names:
        worker = state.workers[name]
        if name not in roster.ahead or not (paused or not worker.takes_work):
            continue
        wanted = _unwanted_on(state, worker, paused)
        if wanted:
            yield order(wanted), name
        if wanted or worker.hindered:  # who could take what waits on a hindered host changes with others
            again.again[name] = None


def _unwanted_on(state: State, worker: Worker, paused: Collection[str]) -> list[Task]:
    given_up = worker.paused or bool(worker.evicted or worker.trust.quarantine)
    waiting = (task for task in state.loads[worker.name].attempts.values() if recallable(task))
    return [
        task
        for task in waiting
        if task.attempt != worker.trust.probe and (given_up or _unwanted(state, task, worker, paused))
    ]


def _unwanted(state: State, task: Task, worker: Worker, paused: Collection[str]) -> bool:
    """Whether its batch is paused, or its host is hindered and another worker could take it, busy or not."""
    sub = state.submissions[task.submission]
    if sub.batch in paused:
        return True
    need = changes.lot_at(sub, task.index).need
    return bool(worker.hindered) and any(
        other.takes_work and other.concurrency and able(other, sub.batch, need) for other in state.workers.values()
    )


# --- for workers that idle ----------------------------------------------------------------------------------------------


class _Now(NamedTuple):
    """How many of what a worker holds run at once, and which of those are not told to run yet."""

    width: int
    soon: frozenset[str]


def _at_once(worker: Worker, load: Load) -> _Now:
    """What of a worker's attempts runs side by side where there is not enough of something for all.

    As agents do it, the first that cannot start has a claim to what it needs: what is behind it starts only beside that.
    """
    left, count, claimed, soon = Seat(worker, Load()), 0, False, set[str]()
    first = list(islice(load.attempts.values(), SAMPLED))
    for task in first:
        if PHASE[task.state] == 1:
            left.take(task.need or PLAIN, 1)
            count += 1
    for task in first:
        if PHASE[task.state]:
            continue
        starts = left.starts(need := task.need or PLAIN) > 0
        if starts:
            soon.add(task.attempt)
            count += 1
        if starts or not claimed:
            left.take(need, 1)
        claimed = claimed or not starts
    return _Now(max(1, count), frozenset(soon))


class _Behind(NamedTuple):
    """A worker that holds more than it can run, and about how many seconds of it."""

    seconds: float
    name: str


def _for_idle(state: State, now: float, places: Places, untouchable: Collection[int]) -> Iterator[Decision]:
    behind = nlargest(FURTHEST, _behind(state, now))
    under_way = list(_outstanding(state, now)) if behind else []
    if not behind or len(under_way) >= ON_THE_WAY:
        return
    takers = _Takers(state, places, [seat.name for seat in places.idle()])
    for task in under_way:
        takers.take(task)
    wanted = sum(places.seat(name).slots for name in takers.idle)
    for _, name in behind:
        if wanted <= 0:
            return
        found = _worth(state, now, name, takers, untouchable)
        chosen = [task for task in found if takers.take(task)] if len(found) <= wanted else _some(found, takers, wanted)
        wanted -= len(chosen)
        if chosen:
            yield order(chosen), name


def _some(found: list[Task], takers: "_Takers", most: int) -> list[Task]:
    chosen: list[Task] = []
    for task in found:
        if len(chosen) == most:
            break
        if takers.take(task):
            chosen.append(task)
    return chosen


def _outstanding(state: State, now: float) -> Iterator[Task]:
    """Attempts that will come back and be handed out again. An agent that does not answer keeps nothing from others: its
    attempts run there.
    """
    for task in state.asked_back.values():
        batch = state.batches.get(state.submissions[task.submission].batch)
        if abs(now - task.asked_at) < ANSWERED and not (batch is not None and batch.paused):
            yield task


def _behind(state: State, now: float) -> Iterator[_Behind]:
    """Workers with more than they can run; others each turn, if there are very many."""
    ahead = state.roster.ahead
    names: Iterable[str] = ahead
    if len(ahead) > WORKERS:
        start = (state.seq + int(now)) * WORKERS % len(ahead)
        names = [*islice(ahead, start, start + WORKERS), *islice(ahead, max(0, start + WORKERS - len(ahead)))]
    for name in names:
        worker, load = state.workers[name], state.loads[name]
        surplus = load.unstarted - load.recalls - max(0, width_of(worker) - load.running)
        if surplus <= 0 and load.unstarted > load.recalls and state.roster.known(name).short:
            surplus = 1  # it has slots enough, but not of all that is asked for
        if surplus > 0:
            newest = next(reversed(load.attempts.values()))
            pace = state.submissions[newest.submission].pace
            yield _Behind(surplus * (pace if pace >= 0 else max(0.0, now - newest.at)) / width_of(worker), name)


def width_of(worker: Worker) -> int:
    """About how many it runs at once."""
    return max(1, worker.concurrency if worker.concurrency >= 0 else worker.facts.cpus)


def _worth(state: State, now: float, name: str, takers: "_Takers", untouchable: Collection[int]) -> list[Task]:
    """Attempts of this worker that would start sooner elsewhere, the best to recall first: resources are there, nothing or
    little was fetched here, and their turn is far.
    """
    worker, load = state.workers[name], state.loads[name]
    if state.roster.known(name).short:
        width, soon = _at_once(worker, load)
        before = load.unstarted - len(soon)
    else:
        width, soon = width_of(worker), frozenset()
        before = load.unstarted - max(0, width - load.running)
    pace = pace_of(state, load, now)
    found: list[tuple[tuple[bool, int, int], Task]] = []
    late = (task for task in reversed(load.attempts.values()) if not PHASE[task.state] and task.attempt not in soon)
    for k, task in enumerate(islice(late, ATTEMPTS)):
        turn = (before - k) / width * pace
        if turn <= WORTH:
            break
        if recallable(task) and task.submission not in untouchable and _sooner(task, turn):
            held = takers.hold(state.submissions[task.submission].resources)
            found.append(((not held, task.staged.done if task.staged else -1, k), task))
    found.sort(key=_rank)
    return [task for _, task in found]


def _rank(found: tuple[tuple[bool, int, int], Task]) -> tuple[bool, int, int]:
    return found[0]


def _sooner(task: Task, turn: float) -> bool:
    """Whether another worker, which has to fetch everything, would start it sooner than this one in `turn` seconds."""
    staged = task.staged
    if staged is None or staged.done <= 0:
        return True
    per_byte = max(0.0, staged.at - staged.since) / staged.done
    whole = max(staged.total, staged.done)
    return whole * per_byte + WORTH < max(turn, (whole - staged.done) * per_byte)


def pace_of(state: State, load: Load, now: float) -> float:
    """Seconds a task takes here: what its submission took so far, how long the slowest has been running, or, where nothing
    ran yet, how long the first has been there.
    """
    pace = 0.0
    first = None
    seen: set[int] = set()
    for task in islice(load.attempts.values(), SAMPLED):
        first = first or task
        if PHASE[task.state] == 1:
            pace = max(pace, now - task.started)
        if task.submission not in seen:
            seen.add(task.submission)
            pace = max(pace, state.submissions[task.submission].pace)
    return pace if pace > 0 or first is None else max(0.0, now - first.at)


class _Takers:
    """The idle workers: whether one of them can have a task, which is then its own."""

    def __init__(self, state: State, places: Places, names: list[str]) -> None:
        self._state, self._places = state, places
        self.idle = dict.fromkeys(names)
        self._nobody: set[tuple[str, Need, str]] = set()

    def hold(self, resources: Iterable[str]) -> bool:
        """Whether one of them holds any of these resources."""
        holders = self._state.roster.holders
        return any(name in self.idle for key in resources for name in holders.get(key, ()))

    def take(self, task: Task) -> bool:
        """Promise a place, if there is one."""
        sub = self._state.submissions[task.submission]
        need = changes.lot_at(sub, task.index).need
        avoid = "" if task.returned else task.avoid  # who gave it back was busy then
        asked = (sub.batch, need, avoid)
        if asked in self._nobody:
            return False
        for name in self.idle:
            if name == avoid or not able(self._state.workers[name], sub.batch, need):
                continue
            for variant in variants(need):
                if self._places.seat(name).starts(variant) > 0:
                    if self._places.take(name, variant, 1).slots <= 0:
                        del self.idle[name]
                    return True
        self._nobody.add(asked)
        return False
