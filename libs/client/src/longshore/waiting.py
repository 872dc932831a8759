"""Waiting for submissions: hints from the dispatcher as they come, the read model as fallback every two seconds.

A hint is heard about a millisecond after the fact and may be lost; the read model is slower and never is. Waiting goes
on through any downtime until its own time limit.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

import msgspec

from longshore.reader import Reader
from longshore.records import Progress, Submission
from longshore_common.damage import DAMAGED
from longshore_common.errors import LongshoreError, NotFound, Unreachable

#: Seconds between looks into the read model while no hint comes.
POLL_EVERY: Final = 2.0
#: Seconds before the first look: what ended before anybody listened is then found soon.
FIRST_LOOK: Final = 0.05
#: Hints kept of submissions nobody asked about yet: one may come before its submitter knows the id.
_KEPT: Final = 10_000


class _Hint(msgspec.Struct, frozen=True):
    submission: int
    size: int = 0
    states: dict[str, int] = {}
    seq: int = 0
    status: str = ""
    reason: str = ""


Watch = Callable[[Progress], None]


class Waiter:
    """Hears about all submissions of one user; `start` before submitting, so that nothing is missed."""

    def __init__(self, hints: AsyncIterator[tuple[str, bytes]], reader: Reader) -> None:
        self._hints = hints
        self._reader = reader
        self._latest: dict[int, Progress] = {}
        self._wake: dict[int, asyncio.Event] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen from now on; a repeat does nothing."""
        if self._task is None:
            self._task = asyncio.create_task(self._listen())
            for _ in range(3):  # let the subscription go onto the wire before whatever the caller sends next
                await asyncio.sleep(0)

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        async for _subject, body in self._hints:
            try:
                hint = msgspec.json.decode(body, type=_Hint)
            except DAMAGED:
                continue  # a hint that cannot be read is a hint that was lost
            self._latest.pop(hint.submission, None)
            self._latest[hint.submission] = Progress(
                submission=hint.submission,
                size=hint.size,
                states=hint.states,
                seq=hint.seq,
                status=hint.status or "accepted",
                reason=hint.reason,
            )
            if len(self._latest) > _KEPT:
                del self._latest[next(iter(self._latest))]
            if event := self._wake.get(hint.submission):
                event.set()

    async def changes(self, submission: int, *, since: int = 0) -> AsyncIterator[Progress]:
        """How far it is, at every change that is heard of; ends when it has finished. News older than `since` is skipped."""
        event = self._wake.setdefault(submission, asyncio.Event())
        pause = FIRST_LOOK
        try:
            while True:
                event.clear()
                news = self._latest.get(submission)
                if news is None or news.seq <= since:
                    news = await self._heard_or_read(submission, event, pause)
                    pause = min(pause * 4, POLL_EVERY)
                if news is None:
                    continue
                since = max(since, news.seq)
                yield news
                if news.finished:
                    return
        finally:
            self._wake.pop(submission, None)

    async def _heard_or_read(self, submission: int, event: asyncio.Event, pause: float) -> Progress | None:
        """News by a look into the read model once no hint came for `pause` seconds; None: a hint came, or try again."""
        heard = asyncio.create_task(event.wait())
        try:
            await asyncio.wait({heard}, timeout=pause)
            if heard.done():
                return None
            looking = asyncio.create_task(self.read(submission))
            await asyncio.wait({heard, looking}, return_when=asyncio.FIRST_COMPLETED)
            return looking.result() if looking.done() else None
        finally:
            heard.cancel()

    async def read(self, submission: int, *, after: int = 0) -> Progress | None:
        """What the read model knows once it has passed `after`; None while it knows nothing or does not answer."""
        try:
            found = await asyncio.to_thread(self._reader.submission, submission, after=max(after, submission))
        except (NotFound, Unreachable):
            return None
        return of_submission(found)

    async def finished(self, submission: int, *, projected: bool, watch: Watch | None) -> Progress:
        """Wait to the end. `projected`: also until reads show it; what failed is read up in any case, for its reason."""
        last: Progress | None = None
        async for last in self.changes(submission):
            if watch is not None:
                watch(last)
        if last is None:  # pragma: no cover - changes only ends by a finished one
            raise LongshoreError(f"nothing was heard of submission {submission}")
        self._reader.bookmark.saw(last.seq)
        if projected or not last.ok:
            last = await self.read(submission, after=last.seq) or last
        return last


def of_submission(found: Submission) -> Progress:
    """A record of the read model as progress; its position is not known, so it is never newer than a hint."""
    return Progress(
        submission=found.id,
        size=found.size,
        states={state: count for state, count in found.states.items() if count},
        status=found.status,
        reason=found.reason or "",
    )
