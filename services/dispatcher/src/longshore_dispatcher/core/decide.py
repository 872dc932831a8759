"""What to append now, derived from the state alone: asked again after a crash, it answers the same.

Order within a turn: answers to wishes, verdicts, requirements, workers, signals, then assignments and recalls. What must
not enter: changes of state, I/O, the clock.
"""

from collections.abc import Collection, Iterator

from longshore_common import events as e
from longshore_common.ids import split_attempt
from longshore_dispatcher.core import judge, reserve, resolving, reuse, sweeping, trust, undoing, workers
from longshore_dispatcher.core.giving_way import give_way
from longshore_dispatcher.core.plan import Turn
from longshore_dispatcher.core.recall import recall
from longshore_dispatcher.core.state import State
from longshore_dispatcher.core.wishes import answers

#: What changes a worker so that nothing is assigned to it in the same turn.
_CHANGES = e.WorkerMoved | e.WorkerPaused | e.WorkerLost | e.WorkerResized | e.WorkerQuarantined | e.WorkerTrusted
#: What changes tasks so that nothing else is decided about their submissions in the same turn.
_ENDS = e.TasksCancelled | e.TasksEdited | e.TasksHeld | e.TasksFailed | e.TasksDeleted
#: An event, and the worker it is addressed to ("" if to none).
Decision = tuple[e.Event, str]


def decide(state: State, now: float, silent: Collection[str] = (), lost_after: float = 15) -> list[Decision]:
    """The events of one turn, in the order they must be appended; none if nothing is to be done.

    `silent` are the workers not heard of for `lost_after` seconds.
    """
    decisions: list[Decision] = list(answers(state)) if state.wishes else []
    # what a wish changes in this turn is judged and handed out in the next: no two events of a turn may disagree
    wished = _wished(decisions)
    if state.verdicts:
        decisions += judge.judge(state, now, wished)
    if (state.ripe or state.tied) and not _retried(decisions):  # what is retried may be what they require
        decisions += resolving.resolve(state, wished)
    if silent:
        decisions += workers.lost(state, silent, lost_after)
    decisions += trust.decisions(state, now)
    decisions += workers.superseded(state)
    if state.grants:
        decisions += workers.grants(state, wished)
    if state.asked:
        decisions += reuse.answers(state)
    decisions += workers.frozen(state)
    if state.due:
        reset = {event.batch for event, _ in decisions if isinstance(event, e.BatchRetentionSet)}
        decisions += sweeping.sweeps(state, now, _retried(decisions), reset)
    decisions += _places(state, now, decisions, wished | undoing.awaited(state) if state.wishes else wished)
    return decisions


def _wished(answered: list[Decision]) -> set[int]:
    """The submissions whose tasks a wish ends."""
    return {run.submission for event, _ in answered if isinstance(event, _ENDS) for run in event.tasks} | {
        split_attempt(attempt)[0]
        for event, _ in answered
        if isinstance(event, e.AttemptsSignalled | e.AttemptsRecalled)
        for attempt in event.attempts
    }


def _retried(so_far: list[Decision]) -> set[int]:
    """The submissions of which this turn has tasks run again."""
    return {run.submission for event, _ in so_far if isinstance(event, e.TasksRetried) for run in event.tasks}


def _places(state: State, now: float, so_far: list[Decision], wished: set[int]) -> Iterator[Decision]:
    """Claims, assignments and recalls, on workers and of batches that this turn does not change."""
    if any(isinstance(event, e.BatchPaused) for event, _ in so_far):
        return
    accepted = [state.submissions[event.submission] for event, _ in so_far if isinstance(event, e.SubmissionAccepted)]
    told = {name for event, name in so_far if isinstance(event, _CHANGES)}
    if state.reservations:
        yield from reserve.given_up(state, told, wished)
    turn = Turn(state, now, told, wished, trust.probe_seats(state, now))
    yield from turn.decisions(accepted)
    recalls = list(recall(state, now, turn.places, wished))
    yield from recalls
    if not recalls:
        yield from give_way(state, now, turn.orders, turn.due, wished)


def next_instant(state: State) -> float | None:
    """When something becomes due by itself; None if only an event can bring work."""
    instants = (state.delayed[0][0] if state.delayed else None, trust.next_instant(state))
    return min((instant for instant in instants if instant is not None), default=None)
