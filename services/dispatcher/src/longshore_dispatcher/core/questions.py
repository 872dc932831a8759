"""What any dispatcher answers, leading or standing by, out of what it has folded: bytes in, bytes out.

A question names its `kind`; each kind is a function of the state. What must not enter: changes of state.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from longshore_common.damage import DAMAGED
from longshore_common.demand import BatchDemand
from longshore_common.errors import BadInput
from longshore_dispatcher.core.demand import Crew, demands
from longshore_dispatcher.core.explain import Answer, Reason, explain
from longshore_dispatcher.core.preview import Preview, preview
from longshore_dispatcher.core.state import State


class Question(Struct):
    """What is asked, by whom, about what (an id or name); `body`: what else this kind of question says."""

    id: str = ""
    kind: str = ""
    user: str = ""
    body: msgspec.Raw = msgspec.Raw()


def answer(state: State, body: bytes, now: float) -> bytes:
    """The answer as JSON; what cannot be understood is answered as a reason."""
    try:
        question = msgspec.json.decode(body, type=Question)
        other = OTHERS.get(question.kind)
        if other is not None:
            return msgspec.json.encode(other(state, question, now))
        kind = question.kind or ("task" if "." in question.id else "submission")
        return msgspec.json.encode(explain(state, question.id, kind, now))
    except (*DAMAGED, BadInput) as err:
        return msgspec.json.encode(Answer("", "unknown", [Reason(str(err), "correct the question")]))


def _preview(state: State, question: Question, _now: float) -> Preview:
    return preview(state, question.user, question.body)


def _demand(state: State, question: Question, _now: float) -> dict[str, list[BatchDemand]]:
    """What waits of all batches, or of the one that is named."""
    found = demands(state, Crew(), state.leader)
    return {"batches": [told for name, told in sorted(found.items()) if question.id in ("", name)]}


#: Kinds of questions beside those that `explain` answers.
OTHERS: Final[dict[str, Callable[[State, Question, float], Any]]] = {"preview": _preview, "demand": _demand}
