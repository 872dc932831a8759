"""Why one task is where it is. Total: every state that is not final, and every final one, has a reason and a remedy.

What must not enter: how workers are looked at (`places`).
"""

from collections.abc import Iterator
from typing import Final

from longshore_common.ids import split_task
from longshore_dispatcher.core import changes, escalation, shares
from longshore_dispatcher.core.explain import eta, places, waiting
from longshore_dispatcher.core.explain.answer import Answer, Eta, Reason, nothing, number, span
from longshore_dispatcher.core.state import Closed, State, Submission, Task

#: Seconds to a next try within which only the wait is worth telling, not who could take it meanwhile.
SOON: Final = 10.0
#: What to do when an answer of the dispatcher does not come.
LEADERLESS: Final = (
    "the leading dispatcher answers at its next turn; if this lasts, longshore status shows whether one is there"
)


def answer(state: State, ident: str, now: float) -> Answer:
    """About the task `1204.17`; `BadInput` if that is no task's id."""
    submission, index = split_task(ident)
    original = state.original(submission)
    known = state.submissions.get(original) or state.closed.get(original)
    if known is None or not 0 <= index < known.size:
        why = "there is no such task, or it finished long ago"
        return Answer(
            ident, "unknown", [Reason(why, "check the id: longshore task list; longshore history tells of the old")]
        )
    if isinstance(known, Closed):
        return Answer(ident, _closed_state(known, index), [_closed_reason(known, index)])
    survey = places.Survey(state)
    reasons = list(_reasons(survey, known, index, now))
    return Answer(ident, known.state_of(index), reasons, _eta(survey, known, index, now))


def _closed_state(closed: Closed, index: int) -> str:
    if closed.rejected or any(lo <= index <= hi for lo, hi in closed.failed):
        return "failed"
    return "cancelled" if any(lo <= index <= hi for lo, hi in closed.cancelled) else "succeeded"


def _closed_reason(closed: Closed, index: int) -> Reason:
    if closed.rejected:
        return Reason(f"its submission was rejected: {closed.rejected}", "correct it and submit again")
    return ended(_closed_state(closed, index), f"{closed.id}.{index}")


def ended(state: str, ident: str) -> Reason:
    """A task that is over."""
    fix = nothing("it is done")
    if state != "succeeded":
        fix = f"longshore task retry {ident}, after a look at longshore task logs {ident}"
    return Reason(f"it has ended: {state}", fix)


def task_reasons(state: State, sub: Submission, index: int, now: float) -> Iterator[Reason]:
    """Why this task of an open submission is where it is; never empty."""
    return _reasons(places.Survey(state), sub, index, now)


def _reasons(survey: places.Survey, sub: Submission, index: int, now: float) -> Iterator[Reason]:
    state = survey.state
    where = sub.state_of(index)
    task = sub.tasks.get(index)
    if not sub.accepted:
        yield Reason("its submission was not looked at yet", nothing(LEADERLESS))
    elif where in ("succeeded", "failed", "cancelled"):
        yield ended(where, f"{sub.id}.{index}")
    elif task is not None and task.end is not None:
        how = task.end.cause or task.end.outcome
        yield Reason(f"its attempt {task.n} ended ({how}), the verdict is due", nothing(LEADERLESS))
    elif task is not None and task.placed:
        yield from _on_worker(state, task, now)
    elif where == "waiting":
        yield from waiting.reasons(state, sub, index)
    else:
        yield from _queued(survey, sub, index, now)


def _eta(survey: places.Survey, sub: Submission, index: int, now: float) -> Eta | None:
    state = survey.state
    task = sub.tasks.get(index)
    where = sub.state_of(index)
    if task is not None and task.placed:
        running = task.state == "running" and task.started and task.wanted == "run"
        return eta.finish(state, sub, task.started, now) if running else None
    if where != "queued" or (task is not None and task.end is not None):
        return None
    if task is not None and changes.waits(task.not_before, now, task.wait):
        return Eta("start", task.not_before - now, "its back-off ends then")
    if next(held_back(state, sub), None) is not None:
        return None
    for name, claim in state.reservations.items():
        if (claim.submission, claim.index) == (sub.id, index) and claim.until > now:
            return Eta("start", claim.until - now, f"what runs on {name} is expected to have ended by then")
    return eta.start(survey, sub, changes.lot_at(sub, index), index)


def _held_back(state: State, sub: Submission) -> bool:
    batch = state.batches.get(sub.batch)
    return batch is not None and batch.paused


# --- on a worker --------------------------------------------------------------------------------------------------------


def _on_worker(state: State, task: Task, now: float) -> Iterator[Reason]:
    yield from _told(state, task)
    worker = state.workers[task.worker]
    since = span(now - (task.started if task.state == "running" and task.started else task.at))
    if task.state not in ("assigned", "staging"):
        why = f": {task.reason}" if task.reason else ""
        fix = nothing("it is at work") if not task.reason else nothing("its agent says more when that changes")
        yield Reason(f"it is {task.state} on {task.worker} since {since}{why}", fix)
        return
    if (shut := places.closed(worker)) is not None:
        why = f"{task.worker} {shut.one}" + (f": {shut.why}" if shut.why else "")
        yield Reason(why, shut.fix.format(names=task.worker))
    load = state.load(task.worker)
    slots = f"{load.running} of {number(worker.concurrency, 'slot')} {'is' if load.running == 1 else 'are'} in use"
    why = f"; {task.reason}" if task.reason else ""
    fix = nothing("it runs when its files are there and a slot is free, and moves to an idle worker if there is one")
    yield Reason(f"it is {task.state} on {task.worker} since {since}; {slots}{why}", fix)


def _told(state: State, task: Task) -> Iterator[Reason]:
    """What somebody wants of it meanwhile."""
    if task.cancel:
        yield Reason(f"it is being cancelled on {task.worker}", nothing("its agent reports the end"))
    if task.wanted == "checkpoint":
        why = f"its checkpoint is being saved on {task.worker}, its next attempt goes on from there"
        yield Reason(why, nothing("it is queued again as soon as the checkpoint is stored"))
    if task.wanted == "pause" and task.frozen:
        yield Reason(
            f"it is paused on {task.worker} with its batch",
            f"longshore batch resume {state.submissions[task.submission].batch}",
        )
    elif task.wanted == "pause":
        yield Reason(f"it is paused on {task.worker}", f"longshore task resume {task.submission}.{task.index}")
    elif task.wanted in ("stop", "kill"):
        yield Reason(f"it is being stopped on {task.worker}", nothing("its agent reports the end"))
    if task.recalled:
        yield Reason(f"{task.worker} was asked to give it back", nothing("another worker is free for it"))


# --- not on a worker ----------------------------------------------------------------------------------------------------


def _queued(survey: places.Survey, sub: Submission, index: int, now: float) -> Iterator[Reason]:
    state, task = survey.state, sub.tasks.get(index)
    if task is not None and changes.waits(task.not_before, now, task.wait):
        why = f" after: {task.reason}" if task.reason else ""
        wait = task.not_before - now
        yield Reason(f"it is tried again in {span(wait)}{why}", nothing("the wait ends by itself"))
        if wait < SOON:
            return
    if memory := sub.memory.get(index):
        why = f"it ran out of memory before, so it now asks for {escalation.shown(memory)}"
        yield Reason(why, nothing("it gets more this time"))
    yield from held_back(state, sub)
    yield from _position(state, sub, index, now)
    yield from _claims(state, sub, index, now)
    yield places.reason(survey, sub.batch, changes.lot_at(sub, index).need)


def held_back(state: State, sub: Submission) -> Iterator[Reason]:
    """What keeps tasks of this submission from being handed out, whatever workers are free."""
    if _held_back(state, sub):
        yield Reason(f"its batch {sub.batch!r} is paused", f"longshore batch resume {sub.batch}")
    if sub.max_running and sub.placed >= sub.max_running:
        why = f"its submission lets {sub.max_running} run at a time, and so many do"
        yield Reason(why, nothing("the next one is handed out when one of them ends"), sub.placed)
    for kind, name in eta.owners(sub):
        most, placed = shares.share_of(state, kind, name).max_running, shares.placed(state, kind, name)
        if most and placed >= most:
            why = f"{kind} {name!r} may have {number(most, 'task')} on workers at a time, and so many are there"
            yield Reason(
                why, f"longshore share {kind} {name} --max-running 0 lifts the limit; else one must end", placed
            )


def _position(state: State, sub: Submission, index: int, now: float) -> Iterator[Reason]:
    """How many come first, and why."""
    yield from _by_share(state, sub, now)
    first, line = eta.higher(state, sub).tasks, eta.before(state, sub, index)
    if not first and not line:
        return
    told = [f"{first} of higher priority"] if first else []
    told += [f"{line} of its user's in its batch that came before"] if line else []
    fix = (
        nothing("they are handed out first")
        if not first
        else "give its tasks a higher priority if they are more urgent"
    )
    yield Reason(f"{number(first + line, 'task')} ahead of it: {' and '.join(told)}", fix, first + line)


def _by_share(state: State, sub: Submission, now: float) -> Iterator[Reason]:
    """Whose turn it is before its own, by what they used so far."""
    at = shares.position(state, sub, now)
    if at.users:
        text = f"{at.users} of {at.of_users} users with tasks of its priority used less than {sub.user!r} and are served first"
        fix = nothing("use is forgotten by half in each half-life; longshore share user gives a user more weight")
        yield Reason(text, fix, at.users)
    if at.batches:
        text = (
            f"{at.batches} of {at.of_batches} batches of {sub.user!r} used less than {sub.batch!r} and are served first"
        )
        fix = nothing("use is forgotten by half in each half-life; longshore share batch gives a batch more weight")
        yield Reason(text, fix, at.batches)


def _claims(state: State, sub: Submission, index: int, now: float) -> Iterator[Reason]:
    """A place that is kept for the next task like it."""
    need = changes.lot_at(sub, index).need
    for name, claim in state.reservations.items():
        if claim.submission == sub.id and changes.lot_at(sub, claim.index).need == need:
            when = f", free in about {span(claim.until - now)}" if claim.until > now else ""
            whose = "it" if claim.index == index else f"{sub.id}.{claim.index}, which is like it"
            text = f"{name} is kept for {whose} since {span(now - claim.at)}{when}"
            yield Reason(text, nothing("others start there only if they do not delay it"))
            return
