"""The answers to wishes that change what was submitted, or whom a worker serves: edits, undoing, deleting, moving.

What is handed out but does not run is recalled first, and edited when it is back; the wish stays open until then, which
the loss of a worker ends at the latest. What must not enter: changes of state.
"""

from collections.abc import Iterator

from longshore_common import events as e
from longshore_dispatcher.core import aside, undoing
from longshore_dispatcher.core.named import Decision, Named, refuse
from longshore_dispatcher.core.reach import reach
from longshore_dispatcher.core.state import State, Wish

AboutTasks = e.EditRequested | e.UndoRequested | e.DeleteRequested | e.WorkerMoveRequested


def answers(state: State, wish: Wish, event: AboutTasks) -> Iterator[Decision]:
    """What is appended for the wish."""
    match event:
        case e.EditRequested():
            return _edit(state, wish, event)
        case e.UndoRequested():
            return undoing.answers(state, wish, event)
        case e.DeleteRequested():
            return aside.delete(state, wish, event)
        case e.WorkerMoveRequested():
            return aside.move(state, wish, event)


def _edit(state: State, wish: Wish, event: e.EditRequested) -> Iterator[Decision]:
    named = Named(state, wish, event.tasks, event.batch)
    found = reach(state, wish, event, named.runs)
    if found.fault:
        after = (
            f" ({found.done} before it are changed: `longshore undo {wish.seq}` takes that back)" if found.done else ""
        )
        yield refuse(wish, found.fault + after)
        return
    yield from aside.fetched(state, found.fetch)
    rest = list(named.rest(wish, ""))
    open_still = found.more or bool(found.fetch)
    if not (found.found or found.done or open_still):
        why = found.left_out()
        yield refuse(wish, "; ".join(["nothing to edit", *([why] if why else []), *named.left_out[:5]]))
        return
    if found.found or not open_still:
        note = "" if open_still else found.left_out()
        yield e.TasksEdited(
            tasks=tuple(found.found), change=event.change, request=wish.seq, more=open_still or bool(rest), note=note
        ), ""  # fmt: skip
    if not open_still:
        yield from rest
