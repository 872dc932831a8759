"""Why a task, submission, batch or worker is as it is, what would help, and when it will be over.

Total, so that nothing waits without a reason and a remedy. What must not enter: changes of state; the wording for
terminals (the client's).
"""

from longshore_common.errors import BadInput
from longshore_dispatcher.core.explain import batch, submission, task, worker
from longshore_dispatcher.core.explain.answer import NOTHING, Answer, Eta, Reason
from longshore_dispatcher.core.explain.task import task_reasons
from longshore_dispatcher.core.state import State

__all__ = ["NOTHING", "Answer", "Eta", "Reason", "explain", "task_reasons"]


def explain(state: State, ident: str, kind: str, now: float) -> Answer:
    """The answer for a task `1204.17`, a submission `1204`, a batch's or a worker's name; `BadInput` for other kinds."""
    match kind:
        case "task":
            return task.answer(state, ident, now)
        case "submission":
            return submission.answer(state, ident, now)
        case "batch":
            return batch.answer(state, ident, now)
        case "worker":
            return worker.answer(state, ident, now)
        case _:
            raise BadInput(f"{kind!r} cannot be explained: ask about a task, submission, batch or worker")
