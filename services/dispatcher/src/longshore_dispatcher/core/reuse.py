"""What was computed before, by its digest: learnt from attempts that succeeded, told to those that ask.

Agents name what an attempt computes, and look at the outputs before they take them; nothing here knows storage. A result is
its user's own. What must not enter: what a digest is made of.
"""

from collections.abc import Iterator
from typing import Final

from longshore_common import events as e
from longshore_common.ids import AttemptId
from longshore_common.log import Recorded
from longshore_dispatcher.core.state import Result, State, Submission, Task

Decision = tuple[e.Event, str]

#: Results remembered, about 400 bytes each; those that were not used for longest are forgotten first.
REMEMBERED: Final = 200_000
#: Attempts per answer.
PER_EVENT: Final = 500


def identified(state: State, record: Recorded, event: e.AttemptsReported) -> None:
    """Questions; those of attempts that are not current are not answered: nobody wants them to go on."""
    load = state.loads.get(record.author.name)
    for one in event.identified if load is not None else ():
        task = load.attempts.get(one.attempt) if load is not None else None
        if task is not None and one.digest:
            task.asks = one.digest[:64]
            state.asked[(task.submission, task.index)] = task


def answers(state: State) -> Iterator[Decision]:
    """An answer to each question, together per worker."""
    by_worker: dict[str, list[e.Reuse]] = {}
    for task in state.asked.values():
        if not task.placed or not task.asks:
            continue
        known = state.results.get(key(state.submissions[task.submission], task.asks))
        source, output = (known.attempt, known.output) if known else ("", "")
        by_worker.setdefault(task.worker, []).append(e.Reuse(AttemptId(task.attempt), source, output))
    for name, told in by_worker.items():
        for at in range(0, len(told), PER_EVENT):
            yield e.AttemptsReused(attempts=tuple(told[at : at + PER_EVENT])), name


def answered(state: State, record: Recorded, event: e.AttemptsReused) -> None:
    """These wait no more; what was told of counts as used just now."""
    load = state.loads.get(record.subject.split(".")[2])
    for told in event.attempts if load is not None else ():
        task = load.attempts.get(told.attempt) if load is not None else None
        if task is None:
            continue
        known = state.results.pop(whose := key(state.submissions[task.submission], task.asks), None)
        if known is not None:
            state.results[whose] = known
        forget(state, task)


def forget(state: State, task: Task) -> None:
    """Its question needs no answer any more."""
    if task.asks:
        task.asks = ""
        state.asked.pop((task.submission, task.index), None)


def learn(state: State, sub: Submission, end: e.Ended) -> None:
    """The current attempt of a task succeeded and says what it computed."""
    whose = key(sub, end.digest[:64])
    state.results.pop(whose, None)
    state.results[whose] = Result(end.attempt, end.output)
    if len(state.results) > REMEMBERED:
        del state.results[next(iter(state.results))]


def key(sub: Submission, digest: str) -> str:
    """Under which a result is kept."""
    return f"{sub.user}/{digest}"
