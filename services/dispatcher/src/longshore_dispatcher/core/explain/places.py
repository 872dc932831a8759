"""Why no worker takes what is queued: every worker stands in one group, and the groups are counted.

What must not enter: which tasks come first.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from longshore_common.model import HostFacts
from longshore_dispatcher.core import confidences
from longshore_dispatcher.core.content import Need, thousandths, variants
from longshore_dispatcher.core.explain.answer import Reason, amount, nothing, number, some
from longshore_dispatcher.core.seats import Seat, capacity
from longshore_dispatcher.core.state import State, Submission, Worker

#: How near a worker is to a task: it does not take such tasks, it fits and has no place free, or has one.
Stage = int
CLOSED: Final[Stage] = 0
BUSY: Final[Stage] = 1
FREE: Final[Stage] = 2


#: Groups in the headline, the largest.
LISTED: Final = 5


class Hindrance(NamedTuple):
    """Why a worker does not take a task, as said of one and of several; `fix` has a place for their `{names}`.

    Workers of which the same is said are one group; `why` are figures of the one with the highest `rank` among them.
    """

    stage: Stage
    one: str
    several: str
    fix: str
    why: str = ""
    rank: float = 0.0

    def said(self, count: int) -> str:
        """As said of so many workers."""
        return self.one if count == 1 else self.several


class Group:
    """The workers with the same hindrance."""

    __slots__ = ("hindrance", "names")

    def __init__(self, hindrance: Hindrance) -> None:
        self.hindrance = hindrance
        self.names: list[str] = []


class Look(NamedTuple):
    """All workers, held against a need: in groups by what is in the way, the largest first; and of those that take such
    tasks at all, how many they run at a time and the seconds of work they hold already.
    """

    groups: list[Group]
    slots: int
    busy: float


class Survey:
    """The looks that one answer takes, each once."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._looks: dict[tuple[str, Need], Look] = {}

    def look(self, batch: str, need: Need) -> Look:
        """Every worker in one group."""
        found = self._looks.get((batch, need))
        if found is None:
            found = self._looks[(batch, need)] = _look(self.state, batch, need)
        return found


def _look(state: State, batch: str, need: Need) -> Look:
    groups: dict[tuple[Stage, str], Group] = {}
    slots, busy = 0, 0.0
    for worker in state.workers.values():
        why = closed(worker) or _unserved(state, worker, batch, need)
        if why is None:
            most = _most(worker, need)
            if most > 0:
                slots += most
                busy += held(state, worker)
            why = _open(state, worker, need, most)
        group = groups.get((why.stage, why.one))
        if group is None:
            group = groups[(why.stage, why.one)] = Group(why)
        elif why.rank > group.hindrance.rank:
            group.hindrance = why
        group.names.append(worker.name)
    return Look(sorted(groups.values(), key=_size, reverse=True), slots, busy)


def _most(worker: Worker, need: Need) -> int:
    """How many of this need the worker runs at once when it has nothing else, by the alternative of which it takes most."""
    if not need.alternatives:
        return capacity(worker, need)
    return max(capacity(worker, variant) for variant in variants(need))


def pace(state: State, sub: Submission) -> float:
    """Seconds a task of this submission runs, as measured there or else in its batch; negative if nowhere."""
    return sub.pace if sub.pace >= 0 else state.paces.get(sub.batch, -1.0)


def held(state: State, worker: Worker) -> float:
    """About the seconds of work there: what runs is half done, what does not run yet is all to do."""
    load = state.load(worker.name)
    if not load.attempts:
        return 0.0
    task = next(iter(load.attempts.values()))  # one stands for all: every worker is looked at
    each = pace(state, state.submissions[task.submission])
    return max(0.0, each) * (load.running / 2 + load.unstarted)


def _size(group: Group) -> int:
    return len(group.names)


def reason(survey: Survey, batch: str, need: Need, tasks: int = 1) -> Reason:
    """`0 of 14 workers fit: 9 lack 20 GB memory, 3 are paused, 2 are lost`, with the fix for each group."""
    total = len(survey.state.workers)
    if not total:
        fix = "start an agent: longshore-agent run, or longshore up --workers 1"
        return Reason("there are no workers", fix, tasks)
    groups = survey.look(batch, need).groups
    stages = [[g for g in groups if g.hindrance.stage == stage] for stage in (FREE, BUSY, CLOSED)]
    free, busy, closed = stages
    fit = sum(len(g.names) for g in (*free, *busy))
    text = f"{fit} of {total} workers {'fits' if fit == 1 else 'fit'}"
    if free or busy:
        text += f": {_listed(free + busy)}" + (f"; not so {_listed(closed)}" if closed else "")
    else:
        text += f": {_listed(closed)}"
    parts = [_part(group) for group in (*free, *busy, *closed)]
    return Reason(text, parts[0].fix, tasks, parts)


def _listed(groups: list[Group]) -> str:
    told = [f"{len(g.names)} {g.hindrance.said(len(g.names))}" for g in groups[:LISTED]]
    if rest := sum(len(g.names) for g in groups[LISTED:]):
        told.append(f"{rest} for other reasons")
    return ", ".join(told)


def _part(group: Group) -> Reason:
    count, h = len(group.names), group.hindrance
    text = h.said(count) + (f": {h.why}" if h.why else "")
    return Reason(text, h.fix.format(names=some(group.names)), count)


# --- one worker ---------------------------------------------------------------------------------------------------------


def hindrance(state: State, worker: Worker, batch: str, need: Need) -> Hindrance:
    """Why this worker does not take such a task of this batch, or that it could."""
    found = closed(worker) or _unserved(state, worker, batch, need)
    return found or _open(state, worker, need, _most(worker, need))


def _unserved(state: State, worker: Worker, batch: str, need: Need) -> Hindrance | None:
    """Why this worker takes nothing like it, whatever its size; None if it does."""
    if worker.batch not in ("*", batch):
        fix = "move one: longshore worker move {names} --batch " + batch + ", or add a worker that serves any"
        return Hindrance(CLOSED, "serves another batch", "serve another batch", fix)
    if need.container and not worker.facts.engines:
        fix = "install Docker or Podman there ({names}), or submit without a container"
        return Hindrance(CLOSED, "has no container engine", "have no container engine", fix)
    if missing := confidences.lacking(worker, need):
        return Hindrance(CLOSED, *confidences.lack(state, worker, missing))
    return None


def _open(state: State, worker: Worker, need: Need, most: int) -> Hindrance:
    """What is in the way on a worker that takes such work and runs `most` of them at once when it has nothing else."""
    if worker.concurrency and most < 1:
        return _lacking(worker, need)
    return _busy(state, worker, need)


def closed(worker: Worker) -> Hindrance | None:
    """Why this worker takes no work at all; None if it takes some."""
    if worker.state != "up":
        fix = "start their agents: {names}"
        if worker.state == "lost":
            fix = "see to their hosts and agents: {names}; they come back by themselves once they are heard"
        return Hindrance(CLOSED, f"is {worker.state}", f"are {worker.state}", fix)
    if worker.evicted:
        fix = nothing("what they held goes to others; add workers to replace {names}")
        return Hindrance(CLOSED, "will be taken away", "will be taken away", fix)
    if worker.paused:
        what = "draining" if worker.drain else "paused"
        return Hindrance(CLOSED, f"is {what}", f"are {what}", "longshore worker resume {names}")
    if worker.trust.quarantine:
        fix = "longshore worker resume {names}, once their hosts are well; else each is tried out with one task after a while"
        return Hindrance(CLOSED, "is in quarantine", "are in quarantine", fix, worker.trust.quarantine)
    if worker.hindered:
        fix = "see to their disks, such as by longshore worker clean {names}"
        return Hindrance(CLOSED, "takes no more work", "take no more work", fix, worker.hindered)
    return None


def _lacking(worker: Worker, need: Need) -> Hindrance:
    """What the host has too little of, whichever of its alternatives the task gets; told of what it wants most."""
    short = lacking(worker, variants(need)[0])
    what = " and ".join(f"{lack.wants} {lack.name}" for lack in short)
    fix = f"add a worker with {what}, or ask for less: longshore task edit"
    why = "they have " + " and ".join(f"{lack.has} {lack.name}" for lack in short) + " at most"
    if others := len(need.alternatives):
        why += f", and not enough for its {number(others, 'alternative')} either"
    return Hindrance(CLOSED, f"lacks {what}", f"lack {what}", fix, why, min(lack.part for lack in short))


class Lack(NamedTuple):
    """A resource that a host has too little of: what is asked for, what it has, and which part of it that is."""

    name: str
    wants: str
    has: str
    part: float


def lacking(worker: Worker, need: Need) -> list[Lack]:
    """What the host could never offer to a task of this need (without alternatives)."""
    return [
        Lack(name, shown(wants), shown(has), has / wants)
        for name, wants, has, shown in asked(need, offered(worker.facts))
        if wants > has
    ]


Shown = Callable[[float], str]


class Offer(NamedTuple):
    """What there is, in the amounts of `Need`."""

    cpus: int
    memory: int
    gpus: int
    disk: int
    custom: Mapping[str, int]


def offered(facts: HostFacts) -> Offer:
    """What an empty host has."""
    custom = {name: thousandths(amount) for name, amount in facts.custom.items()}
    return Offer(facts.cpus * 1000, facts.memory, facts.gpus, facts.disk, custom)


def asked(need: Need, offer: Offer | Seat) -> list[tuple[str, int, int, Shown]]:
    """(resource, what is asked for, what there is, how to say such amounts) of each that is asked for."""
    found: list[tuple[str, int, int, Shown]] = [
        ("cpus", need.cpus, offer.cpus, _thousandths),
        ("memory", need.memory, offer.memory, amount),
        ("gpus", need.gpus, offer.gpus, "{:g}".format),
        ("disk", need.disk, offer.disk, amount),
    ]
    custom = offer.custom or {}
    found += [(name, wants, custom.get(name, 0), _thousandths) for name, wants in need.custom]
    return [each for each in found if each[1]]


def _thousandths(amount: float) -> str:
    return f"{amount / 1000:g}"


def _busy(state: State, worker: Worker, need: Need) -> Hindrance:
    if worker.concurrency == 0:
        return Hindrance(CLOSED, "has no slots", "have no slots", "longshore worker resize --concurrency 1 {names}")
    if (claim := state.reservations.get(worker.name)) is not None:
        why = f"such as {worker.name} for {claim.submission}.{claim.index}"
        fix = nothing("it starts beside that if it does not delay it, or else after it")
        return Hindrance(
            BUSY, "is kept for another that fits nowhere now", "are kept for others that fit nowhere now", fix, why
        )
    seat = state.roster.seat(worker.name) or Seat(worker, state.load(worker.name))
    fix = nothing("it starts when a place is free; more workers would bring that forward")
    if seat.limit < 1:
        return Hindrance(BUSY, "has all slots taken", "have all slots taken", fix)
    if all(seat.starts(variant) < 1 for variant in variants(need)):
        short = [name for name, wants, has, _ in asked(variants(need)[0], seat) if wants > has] or ["cpus"]
        what = " and ".join(short)
        return Hindrance(BUSY, f"has given its {what} to others", f"have given their {what} to others", fix)
    return Hindrance(FREE, "has a place", "have a place", nothing("it is handed out at the next turn"))
