"""The answers to wishes that change what was submitted: edits, undoing, deleting, moving workers.

What must not enter: changes of state.
"""

from collections.abc import Iterator

from longshore_common import events as e
from longshore_dispatcher.core.state import State, Wish

Decision = tuple[e.Event, str]

AboutTasks = e.EditRequested | e.UndoRequested | e.DeleteRequested | e.WorkerMoveRequested


def answers(_state: State, wish: Wish, _event: AboutTasks) -> Iterator[Decision]:
    """What is appended for the wish."""
    yield e.RequestRefused(request=wish.seq, reason="this dispatcher cannot do that yet: update it"), ""
