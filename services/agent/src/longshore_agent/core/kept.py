"""The note in the kept work directory of a failed attempt: what it was, and how it ended.

What must not enter: values of its environment, which may be secret.
"""

import msgspec
from msgspec import Struct, structs

from longshore_agent.core.attempts import Attempt
from longshore_common.events import Ended
from longshore_common.model import Cause, TaskSpec


class Note(Struct, frozen=True, kw_only=True):
    """`env`: the names of the variables that its user set; `spec` has none. `at`: when it ended, in Unix seconds."""

    attempt: str
    batch: str
    user: str
    index: int
    entry: str
    at: float
    exit_code: int | None
    cause: Cause | None
    reason: str
    image: str
    env: tuple[str, ...]
    spec: TaskSpec


def note(attempt: Attempt, result: Ended, now: float) -> bytes:
    """JSON, indented for people."""
    order = attempt.order
    whole = Note(
        attempt=attempt.id,
        batch=order.batch,
        user=order.user,
        index=attempt.start.label,
        entry=attempt.start.entry,
        at=result.usage.ended_at or now,
        exit_code=result.exit_code,
        cause=result.cause,
        reason=result.reason,
        image=result.image,
        env=tuple(order.spec.env),
        spec=structs.replace(
            order.spec, env={}, secrets=(), steps=tuple(structs.replace(step, env={}) for step in order.spec.steps)
        ),
    )
    return msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n"
