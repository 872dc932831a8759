"""The tasks that a wish names: those of its user that exist, as ranges, and why others are left out.

What must not enter: what is done with them.
"""

from collections.abc import Iterable, Iterator
from itertools import chain

from longshore_common import events as e
from longshore_common.ids import SubmissionId, TaskRange
from longshore_dispatcher.core import authority
from longshore_dispatcher.core.state import Closed, State, Submission, Wish

Decision = tuple[e.Event, str]


def of_batch(state: State, wish: Wish, batch: str | None) -> Iterator[Submission | Closed]:
    """The submissions in this batch from before the wish: those of its user, or all of them for an admin."""
    if batch is None:
        return
    everybodys = authority.rules(state, wish.user)
    closed = state.closed.in_batch(batch) if everybodys else state.closed.of(wish.user, batch)
    known: Iterable[Submission | Closed] = chain(state.submissions.values(), closed)
    for sub in known:
        if sub.batch == batch and (everybodys or sub.user == wish.user) and sub.id < wish.seq and sub.size:
            yield sub


def refuse(wish: Wish, reason: str) -> Decision:
    """The wish changes nothing, or not all of it."""
    return e.RequestRefused(request=wish.seq, reason=reason), ""


class Named:
    """The tasks a wish names: those of the user, as ranges that exist; and why some are left out."""

    def __init__(self, state: State, wish: Wish, tasks: tuple[TaskRange, ...], batch: str | None) -> None:
        self.runs: list[TaskRange] = []
        self.left_out: list[str] = []
        for named in tasks:
            self._add(state, wish, named)
        for sub in of_batch(state, wish, batch):
            self._add(state, wish, TaskRange(SubmissionId(sub.id), 0, sub.size - 1))
        if batch is not None and not self.runs:
            whose = "there are" if authority.rules(state, wish.user) else "you have"
            self.left_out.append(f"{whose} no tasks in a batch {batch!r}")

    def _add(self, state: State, wish: Wish, named: TaskRange) -> None:
        source = state.original(named.submission)
        sub: Submission | Closed | None = state.submissions.get(source) or state.closed.get(source)
        if sub is None or not 0 <= named.lo <= named.hi < sub.size:
            self.left_out.append(f"{named} is unknown, or finished long ago")
        elif not authority.owns(state, wish, sub.user):
            self.left_out.append(f"{named} belongs to {sub.user}")
        else:
            self.runs.append(TaskRange(SubmissionId(source), named.lo, named.hi))

    def rest(self, wish: Wish, nothing: str) -> Iterator[Decision]:
        """The refusal, if something was left out or `nothing` remains to be done."""
        if self.left_out or nothing:
            shown = self.left_out[:5] + ([f"and {len(self.left_out) - 5} more"] if len(self.left_out) > 5 else [])
            yield refuse(wish, "; ".join([*([nothing] if nothing else []), *shown]))
