"""What a command holds open: the stack's profile, the bookmark, and, once needed, a reader or a writer.

Reading imports no asyncio and no NATS; writing imports no HTTP.
"""

import os
from collections.abc import Callable, Coroutine, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from longshore.bookmark import Bookmark, home
from longshore_common.errors import LongshoreError, Refused
from longshore_common.ids import TaskRange
from longshore_common.profile import Profile, load, state_dir

if TYPE_CHECKING:
    from longshore.reader import Reader
    from longshore.writer import Writer
    from longshore_common.events import Event

R = TypeVar("R")

#: Seconds for which a stack that does not answer is tried: who types waits for the answer.
PATIENCE: Final = 2.0


class Door:
    """One command's way to one stack."""

    def __init__(self) -> None:
        self.state_dir = state_dir(os.environ)

    @cached_property
    def profile(self) -> Profile:
        """The stack this user talks to; a login that ends soon is renewed."""
        found = load(self.state_dir)
        if not found.expires:
            return found
        from longshore.logins import renewed

        return renewed(self.state_dir, found)

    @cached_property
    def bookmark(self) -> Bookmark:
        """What was written last."""
        return Bookmark(home(self.state_dir, os.environ))

    @cached_property
    def reader(self) -> "Reader":
        """HTTP, opened at the first read."""
        from longshore.reader import Reader

        return Reader(self.profile, self.bookmark)

    def size_of(self, submission: int) -> int:
        """How many tasks a submission has, from the api."""
        return self.reader.size_of(submission)

    def ranges(self, words: Sequence[str]) -> tuple[TaskRange, ...]:
        """What these words name: ids, ranges, submissions, `last`, or names of tasks."""
        from longshore.resolving import resolved
        from longshore.selectors import looks_like_one

        found: list[TaskRange] = []
        for word in words:
            if looks_like_one(word):
                found += resolved(word, self.bookmark, self.size_of)
            else:
                found += self._named(word)
        return tuple(found)

    def _named(self, name: str) -> list[TaskRange]:
        from longshore_common.errors import NotFound
        from longshore_common.ids import SubmissionId

        tasks = self.reader.tasks(name=name)
        found = [TaskRange(SubmissionId(t.submission), t.index, t.index) for t in tasks]
        if not found:
            raise NotFound(f"no task has the id or name {name!r}: see `longshore task list`")
        return found

    def write(self, work: "Callable[[Writer], Coroutine[Any, Any, R]]", *, deadline: float = 10) -> R:
        """Do this with a writer, which is closed afterwards; each append has `deadline` seconds, connecting fewer."""
        import asyncio

        from longshore.writer import Writer

        async def doing() -> R:
            writer = Writer(self.profile, self.bookmark, deadline=deadline, patience=min(PATIENCE, deadline))
            try:
                return await work(writer)
            finally:
                await writer.close()

        return asyncio.run(doing())

    def wish(self, event: "Event") -> int:
        """Append one wish and wait a moment for its answer; its sequence, or `Refused` with the dispatcher's reason."""
        from longshore import once
        from longshore.cli.printing import note

        seq = once.wish(self.profile, self.bookmark, event)
        try:
            answer = self.reader.answer(seq, wait=PATIENCE)
        except LongshoreError as err:  # no failure of the wish, which the log has
            note(f"the wish is on record (event {seq}); what became of it is not known: {err}")
            return seq
        if answer.answer == "refused":
            raise Refused(f"refused: {answer.reason}")
        if answer.answer == "done" and (answer.reason or _has_opposite(event)):
            left_out = f" ({answer.reason})" if answer.reason else ""
            note(f"done{left_out}" + (f"; `longshore undo {seq}` takes it back" if _has_opposite(event) else ""))
        if answer.answer == "none":
            note(
                f"the wish is on record (event {seq}) and not answered yet: it is carried out once a dispatcher is back"
            )
        return seq


def _has_opposite(event: "Event") -> bool:
    """Whether such a wish can be undone."""
    from longshore_common.events import RemotesShared, SecretShared, SignalRequested, WorkerCareRequested

    if isinstance(event, SignalRequested):
        return event.signal in ("pause", "continue")
    return not isinstance(event, RemotesShared | SecretShared | WorkerCareRequested)
