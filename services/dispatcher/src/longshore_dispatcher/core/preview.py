"""What a wish would do if it were made now: counts per outcome and a few examples; nothing is appended.

It is the wish's own answer, looked at and thrown away, so that both agree. What must not enter: changes of state.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from longshore_common import events as e
from longshore_common.errors import BadInput
from longshore_common.model import TaskSpec
from longshore_dispatcher.core import wishes
from longshore_dispatcher.core.named import Named
from longshore_dispatcher.core.reach import Reach, reach
from longshore_dispatcher.core.state import State
from longshore_dispatcher.core.wish import Wish

#: Different specs looked at: a preview may take longer than a turn should, but not long.
LOOKED_AT: Final = 10_000

Previewed = e.EditRequested | e.CancelRequested | e.RetryRequested | e.DeleteRequested | e.UndoRequested


class Wanted(Struct):
    """The wish that is not made yet."""

    wish: Previewed


class Outcome(Struct):
    """What would become of so many tasks (or workers, batches)."""

    text: str
    count: int


class Sample(Struct):
    """A task as it is and as it would be."""

    task: str
    before: TaskSpec
    after: TaskSpec


class Preview(Struct):
    """What would be done as of sequence `seq`; `refused`: why nothing, or not all, of it."""

    seq: int
    outcomes: list[Outcome]
    samples: list[Sample] = []
    refused: str = ""


def preview(state: State, user: str, body: msgspec.Raw) -> Preview:
    """The preview of a wish of this user; `BadInput` if it is none that can be previewed."""
    try:
        event = msgspec.json.decode(body, type=Wanted).wish
    except msgspec.ValidationError as err:
        raise BadInput(f"this cannot be previewed: {err}") from err
    wish = Wish(state.seq + 1, user, event)
    if isinstance(event, e.EditRequested):
        return _of_edit(state, wish, event)
    decisions = [event for event, _ in wishes.answered_now(state, wish)]
    refused = [event.reason for event in decisions if isinstance(event, e.RequestRefused)]
    counts: dict[str, int] = {}
    for text, count in map(_told, decisions):
        counts[text] = counts.get(text, 0) + count
    return Preview(state.seq, [Outcome(text, count) for text, count in counts.items() if count], [], "; ".join(refused))


def _of_edit(state: State, wish: Wish, event: e.EditRequested) -> Preview:
    named = Named(state, wish, event.tasks, event.batch)
    found = reach(state, wish, event, named.runs, LOOKED_AT)
    outcomes = [Outcome(text, count) for text, count in _reached(found) if count]
    samples = [Sample(*sample) for sample in found.samples]
    refused = "; ".join([*([found.fault] if found.fault else []), *named.left_out[:5]])
    if not (found.found or found.fetch or refused):
        refused = "nothing to edit"
    return Preview(state.seq, outcomes, samples, refused)


def _reached(found: Reach) -> Iterator[tuple[str, int]]:
    if found.fault:
        return
    yield "would change", found.count
    yield "are on workers and do not run yet: would be fetched back, and change", len(found.fetch)
    yield "run already and would keep what they were given", found.running
    yield "have ended", found.ended
    yield "are so already, or do not have it", found.unchanged
    yield (
        f"different tasks looked at; the rest of them likewise ({found.looked} is the most for a preview)",
        (found.looked if found.more else 0),
    )


def _told(event: e.Event) -> tuple[str, int]:
    tasks: Any = getattr(event, "tasks", ())
    attempts: Any = getattr(event, "attempts", ())
    match event:
        case e.RequestRefused():
            return "", 0
        case e.TasksDeleted() | e.TasksEdited():
            return _BACK[type(event), event.restored], sum(map(len, tasks))
        case e.AttemptsSignalled():
            return f"attempts would be told to {event.signal or event.wanted}", len(attempts)
        case e.AttemptsRecalled():
            return "attempts would be fetched back first", len(attempts)
        case _ if type(event) in _BECOME:
            return _BECOME[type(event)], sum(map(len, tasks))
        case _:
            return f"would be set as before: {type(event).__struct_config__.tag}", 1


_BECOME: Final[dict[type[e.Event], str]] = {
    e.TasksCancelled: "would be cancelled at once",
    e.TasksRetried: "would run again",
    e.TasksHeld: "would be held",
    e.TasksFailed: "would be failed as before",
}
_BACK: Final[dict[tuple[type[e.Event], bool], str]] = {
    (e.TasksDeleted, False): "would be deleted",
    (e.TasksDeleted, True): "would be in the lists again",
    (e.TasksEdited, False): "would be as before their edit",
    (e.TasksEdited, True): "would be edited again",
}
