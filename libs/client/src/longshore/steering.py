"""Steering in the SDK: each verb is a wish and returns its sequence in the log; its effect is another event.

What must not enter: submitting, waiting, looking.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

from longshore import records
from longshore.amounts import resized
from longshore.bookmark import Bookmark
from longshore.editing import Replacement, change
from longshore.filters import Filter, ranges
from longshore.quantities import duration
from longshore.reader import Reader
from longshore.specs import batch_name
from longshore.writer import Writer
from longshore_common import events as e
from longshore_common import model as m
from longshore_common.errors import BadInput, NotFound
from longshore_common.ids import TaskRange, WorkerId
from longshore_common.profile import Profile

#: Seconds, words such as `1h30m` or `30d`, or a timedelta.
Time = float | str | timedelta
#: What names tasks: a selector such as "1204.0-99" or "last", a range, a receipt, or several of these.
Tasks = (
    str | TaskRange | records.Submitted | records.Task | Sequence["str | TaskRange | records.Submitted | records.Task"]
)
#: Seconds for which a dispatcher may lag behind this user's last write before a preview is taken as it is.
_CATCH_UP: Final = 2.0


class Steering(ABC):
    """What a client wishes of tasks, batches and workers that are there."""

    profile: Profile
    bookmark: Bookmark
    reader: Reader
    writer: Writer

    @abstractmethod
    async def ranges(self, tasks: Tasks) -> tuple[TaskRange, ...]:
        """The ranges these words, ranges, receipts and records mean."""

    async def cancel(self, tasks: Tasks = (), *, batch: str | None = None, kill: bool = False) -> int:
        """These tasks, or the whole batch, shall not run, or stop; with `kill`, at once."""
        some = await self._some_ranges(tasks, batch)
        return await self.writer.wish(e.CancelRequested(tasks=some, batch=batch, kill=kill))

    async def retry(self, tasks: Tasks = (), *, batch: str | None = None) -> int:
        """These failed or cancelled tasks shall run again, held ones be released."""
        return await self.writer.wish(e.RetryRequested(tasks=await self._some_ranges(tasks, batch), batch=batch))

    async def edit(
        self,
        tasks: Tasks = (),
        *,
        batch: str | None = None,
        set: Mapping[str, object] = {},
        replace: Iterable[Replacement] = (),
    ) -> int:
        """Change these tasks, or all of a batch, as far as they have not started: fields, then words wherever they stand."""
        some = await self._some_ranges(tasks, batch)
        return await self.writer.wish(e.EditRequested(change=change(set, replace), tasks=some, batch=batch))

    async def preview(self, wish: e.Event) -> records.Preview:
        """What this wish (an edit, cancel, retry, deletion or undo) would do if it were made now; nothing is changed."""
        until = time.monotonic() + _CATCH_UP
        while True:
            found = await self.writer.ask({"kind": "preview", "body": {"wish": wish}}, records.Preview)
            if found.seq >= self.bookmark.seq or time.monotonic() > until:
                return found
            await asyncio.sleep(0.02)

    async def delete(self, tasks: Tasks = (), *, batch: str | None = None, restore: bool = False) -> int:
        """These ended tasks, or a whole ended batch, shall be in no list any more; with `restore`, they shall again."""
        some = await self._some_ranges(tasks, batch)
        if batch is not None:  # what a dispatcher has forgotten, the read model knows
            chosen = Filter(batch=batch_name(batch))
            with suppress(NotFound):
                some = await asyncio.to_thread(ranges, self.reader, chosen, self.profile.user)
        return await self.writer.wish(e.DeleteRequested(tasks=some, batch=batch, restore=restore))

    async def undo(self, request: int = 0) -> int:
        """Take back what the wish at this sequence changed, or your last one; an undo can be undone."""
        return await self.writer.wish(e.UndoRequested(request=request))

    async def move_workers(self, batch: str, *workers: str) -> int:
        """These, or all if none is named, shall serve this batch (`*`: any) from here on; what runs there, they finish."""
        target = batch if batch == "*" else batch_name(batch)
        return await self.writer.wish(e.WorkerMoveRequested(batch=target, workers=tuple(map(WorkerId, workers))))

    async def signal(self, tasks: Tasks, signal: str) -> int:
        """Send stop, kill, pause, continue, checkpoint or a Unix signal such as SIGUSR1 to what runs; a pause also holds what
        waits, and `continue` releases it.
        """
        return await self.writer.wish(e.SignalRequested(tasks=await self.ranges(tasks), signal=signal))

    async def pause_batch(self, batch: str, *, freeze: bool = False) -> int:
        """Hand out no more of it; with `freeze`, pause what runs."""
        return await self.writer.wish(e.BatchPauseRequested(batch=batch_name(batch), freeze=freeze))

    async def resume_batch(self, batch: str) -> int:
        """Undo a pause."""
        return await self.writer.wish(e.BatchResumeRequested(batch=batch_name(batch)))

    async def keep_batch(
        self, batch: str, *, outputs: Time = 0, logs: Time = 0, failed: Time = 0, inputs: Time = 0
    ) -> int:
        """How long the things of its ended tasks are kept: seconds, `30d` or timedelta; 0 = for ever."""
        times = m.Retention(
            outputs=duration(outputs), logs=duration(logs), failed=duration(failed), inputs=duration(inputs)
        )
        return await self.writer.wish(e.BatchRetentionRequested(batch=batch_name(batch), retention=times))

    async def pause_workers(self, *workers: str, drain: bool = False) -> int:
        """Assign nothing more to these, or to all if none is named; `drain`: so that they become empty for good."""
        return await self.writer.wish(e.WorkerPauseRequested(workers=tuple(map(WorkerId, workers)), drain=drain))

    async def care_for_workers(self, care: m.Care, *workers: str) -> int:
        """Have these, or all that are up, do this for their hosts; `reader.answer(…, cared=True)` tells what came of it."""
        return await self.writer.wish(e.WorkerCareRequested(care=care, workers=tuple(map(WorkerId, workers))))

    async def resume_workers(self, *workers: str) -> int:
        """Undo a pause of these, or of all if none is named."""
        return await self.writer.wish(e.WorkerResumeRequested(workers=tuple(map(WorkerId, workers))))

    async def resize_workers(
        self, *workers: str, concurrency: int | str | None = None, prefetch: int | str | None = None
    ) -> int:
        """Change slots (`auto`: what tasks request decides) or prefetch (a number, `50%`, `auto`) of these, or of all if
        none is named; lowering never kills.
        """
        return await self.writer.wish(resized(tuple(map(WorkerId, workers)), concurrency, prefetch))

    async def _some_ranges(self, tasks: Tasks, batch: str | None) -> tuple[TaskRange, ...]:
        ranges = await self.ranges(tasks) if tasks else ()
        if bool(ranges) == (batch is not None):
            raise BadInput("name tasks or a batch, one of the two")
        return ranges
