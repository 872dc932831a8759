"""How far a batch is and what holds most of the rest back. What must not enter: single tasks."""

from longshore_dispatcher.core.explain import eta, progress
from longshore_dispatcher.core.explain.answer import Answer, Reason, nothing, number
from longshore_dispatcher.core.explain.places import Survey
from longshore_dispatcher.core.state import State


def answer(state: State, name: str, now: float) -> Answer:
    """About the batch of this name, as far as its submissions have not ended."""
    subs = [sub for sub in state.submissions.values() if sub.batch == name]
    batch = state.batches.get(name)
    reasons = []
    if batch is not None and batch.paused:
        what = (
            "it is paused and frozen: nothing is handed out, and what runs stands still"
            if batch.frozen
            else ("it is paused: nothing is handed out")
        )
        reasons.append(Reason(what, f"longshore batch resume {name}"))
    if not subs:
        fix = nothing("longshore batch show tells of what has ended")
        reasons.append(Reason("nothing of it is open: all has ended, or it does not exist", fix))
        return Answer(name, "paused" if batch is not None else "ended", reasons)
    survey, counted = Survey(state), progress.counts(subs)
    text = f"{number(len(subs), 'submission')} of it open: {progress.told(counted)}"
    fix = nothing("they go on by themselves")
    if counted.get("failed"):
        fix = f"longshore task list --batch {name} --state failed shows what failed"
    reasons.append(Reason(text, fix, sum(counted.values())))
    reasons += progress.hindrances(survey, subs, now)
    paused = batch is not None and batch.paused
    return Answer(name, "paused" if paused else "open", reasons, None if paused else eta.end(survey, subs), counted)
