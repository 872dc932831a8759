"""Claims on workers: a task that fits nowhere now gets a place in bounded time, however many smaller ones are behind it.

While a worker is claimed, what is placed there leaves the room that is claimed, or surely ends before it is expected to
be free (back-fill as in Lifka's EASY scheduler, 1995). What must not enter: order.
"""

from collections.abc import Collection, Iterator
from math import inf
from typing import TYPE_CHECKING, Final

from longshore_common import events as e
from longshore_common.ids import SubmissionId
from longshore_dispatcher.core import changes, edits
from longshore_dispatcher.core.claims import Reservation
from longshore_dispatcher.core.content import PLAIN, Need, variants
from longshore_dispatcher.core.seats import Seat, able
from longshore_dispatcher.core.state import PHASE, Submission, Task

if TYPE_CHECKING:
    from longshore_common.log import Recorded
    from longshore_dispatcher.core.state import State

Decision = tuple[e.Event, str]

#: One claim per so many workers at once, and at least one.
WORKERS_PER_CLAIM: Final = 10
#: Seconds that a task which runs is taken to need at least, and one of which nothing is known.
LEAST, UNKNOWN = 0.05, 60.0


# --- folding --------------------------------------------------------------------------------------------------------


def placed(state: "State", record: "Recorded", event: e.PlaceReserved) -> None:
    """A claim is made, or all of the submission for such a task are given up."""
    if event.worker:
        state.reservations[event.worker] = Reservation(
            event.submission, event.index, record.seq, record.at, event.until
        )
        state.roster.touched.add(event.worker)
        return
    for name, claim in list(state.reservations.items()):
        if (claim.submission, claim.index) == (event.submission, event.index):
            del state.reservations[name]
            state.roster.touched.add(name)


def kept(state: "State", sub: Submission, begun: Collection[Task]) -> None:
    """These tasks were assigned: as many claims of their submission for such tasks are fulfilled."""
    for name, claim in list(state.reservations.items()):
        if claim.submission != sub.id or not begun:
            continue
        need = changes.lot_at(sub, claim.index).need
        if any(changes.lot_at(sub, task.index).need == need for task in begun):
            del state.reservations[name]
            state.roster.touched.add(name)
            return


# --- deciding -------------------------------------------------------------------------------------------------------


def limit(state: "State") -> int:
    """How many claims there may be at once."""
    return max(1, len(state.roster) // WORKERS_PER_CLAIM)


def given_up(state: "State", told: Collection[str], untouchable: Collection[int]) -> Iterator[Decision]:
    """The claims that nothing stands behind any more; what this turn changes otherwise is looked at in the next."""
    for name, claim in state.reservations.items():
        if name not in told and claim.submission not in untouchable and (why := _void(state, name, claim)):
            yield e.PlaceReserved(submission=SubmissionId(claim.submission), index=claim.index, reason=why), ""


def _void(state: "State", name: str, claim: Reservation) -> str:
    """Why the claim is worth nothing any more, "" if it stands."""
    sub, worker = state.submissions.get(claim.submission), state.workers.get(name)
    if sub is None or not sub.accepted or sub.waiting:
        return "its submission has nothing to run any more"
    lot = changes.lot_at(sub, claim.index)
    if not (lot.fresh.count or lot.again):
        return "no such task is queued any more"
    if worker is None or not worker.takes_work or not worker.concurrency:
        return f"{name} takes no more work"
    if not able(worker, sub.batch, lot.need):
        return f"{name} cannot run it any more"
    return capped(state, sub)


def capped(state: "State", sub: Submission, more: int = 0) -> str:
    """Why nothing of this submission may be placed now, `more` of it being planned already; "" if something may."""
    if (batch := state.batches.get(sub.batch)) is not None and batch.paused:
        return f"batch {sub.batch} is paused"
    if sub.max_running and sub.placed + more >= sub.max_running:
        return f"{sub.max_running} of its submission run at a time"
    return ""


def room_left(state: "State", name: str, claim: Reservation) -> Seat | None:
    """What of a claimed worker is not claimed, and not held by what came there after the claim; None: all of it."""
    sub, worker = state.submissions.get(claim.submission), state.workers.get(name)
    if sub is None or worker is None:
        return None
    beside = Seat(worker, type(state.load(name))())
    beside.take(claimed(sub, claim, beside), 1)
    for task in state.load(name).attempts.values():
        if task.seq > claim.seq and PHASE[task.state] < 2:
            beside.take(task.need or PLAIN, 1)
    return beside


def lot_need(sub: Submission, claim: Reservation) -> Need:
    """What the tasks need of which the next has the claim, with alternatives."""
    return changes.lot_at(sub, claim.index).need


def claimed(sub: Submission, claim: Reservation, empty: Seat) -> Need:
    """What is claimed: the most wanted of what the task asks for that the worker can ever give."""
    wanted = variants(lot_need(sub, claim))
    return next((need for need in wanted if empty.fits(need) > 0), wanted[0])


def soonest(state: "State", seat: Seat, need: Need, now: float) -> float | None:
    """When this much is expected to be free there, by run times so far and time limits; None: never."""
    left = seat.copy()
    if left.starts(need) > 0:
        return now
    for at, task in sorted(((_end(state, task, now), task) for task in seat.load.attempts.values()), key=_first):
        if PHASE[task.state] < 2:
            left.take(task.need or PLAIN, -1)
        if left.starts(need) > 0:
            return at
    return None


def _first(end: tuple[float, Task]) -> float:
    return end[0]


def _end(state: "State", task: Task, now: float) -> float:
    """When an attempt is expected to hold nothing any more."""
    sub = state.submissions[task.submission]
    pace = sub.pace if sub.pace >= 0 else state.paces.get(sub.batch, -1.0)
    limit = sub.content.spec.run_timeout if sub.content.spec is not None else 0.0
    if PHASE[task.state] == 0:
        return now + (pace if pace >= 0 else limit or UNKNOWN)
    ran = max(0.0, now - task.started)
    left = pace - ran if pace > ran else max(ran / 2, LEAST)
    return now + (max(0.0, min(left, limit - ran)) if limit else left)


def surely(state: "State", sub: Submission) -> float:
    """Within how many seconds a task of this array that starts has ended whatever it does; infinite if nobody can say."""
    first = next(iter(sub.lots[0].fresh.first(1)), None)
    if first is None or sub.content.spec is None:
        return inf
    spec = edits.spec_of(state, sub, first[0])
    return spec.run_timeout + spec.grace if spec.run_timeout and not (spec.inputs or spec.resources) else inf
