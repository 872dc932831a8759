"""What the tasks of a submission really are: as submitted, with the edits that were made since.

What must not enter: who may edit what.
"""

from longshore_common.model import TaskSpec
from longshore_dispatcher.core.state import State, Submission


def spec_of(state: State, sub: Submission, index: int) -> TaskSpec:
    """The spec that the next attempt of this task gets."""
    return state.shelf.spec(sub.id, sub.content, index)
