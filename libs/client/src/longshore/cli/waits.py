"""Waiting on the screen: progress on a terminal, one line about what went wrong, and the exit code."""

import asyncio
from typing import TYPE_CHECKING

from longshore.cli.door import Door
from longshore.cli.printing import counts, note, progress
from longshore.waiting import Waiter, Watch

if TYPE_CHECKING:
    from longshore.records import Progress, Task
    from longshore.writer import Writer
    from longshore_common.ids import TaskRange


def wait_for(door: Door, ranges: "tuple[TaskRange, ...]", *, timeout: float | None, quiet: bool) -> int:
    """0 if all these tasks succeeded, 1 if any ended otherwise; `TimeoutError` if the time is up first."""

    async def waiting(writer: "Writer") -> int:
        await writer.transport()
        waiter = Waiter(writer.progress(), door.reader)
        await waiter.start()
        try:
            async with asyncio.timeout(timeout):
                codes = [await _range(door, waiter, one, quiet=quiet) for one in ranges]
        except TimeoutError as err:
            raise TimeoutError("the time is up and they have not all ended; they go on") from err
        finally:
            await waiter.close()
        return max(codes, default=0)

    return door.write(waiting)


async def _range(door: Door, waiter: Waiter, tasks: "TaskRange", *, quiet: bool) -> int:
    size = await asyncio.to_thread(door.size_of, tasks.submission)
    if tasks.lo == 0 and tasks.hi >= size - 1:
        end = await waiter.finished(tasks.submission, projected=True, watch=None if quiet else watch())
        return await verdict(door, end)
    async for _news in waiter.changes(tasks.submission):
        found = await asyncio.to_thread(lambda: list(door.reader.tasks(ids=str(tasks))))
        if found and all(task.ended for task in found):
            failed = [task for task in found if task.state != "succeeded"]
            if failed:
                note(_why(failed[0]))
            return 1 if failed else 0
    return 1


def watch() -> Watch:
    """Shows counts in one line that changes."""
    return lambda now: progress(f"{now.submission}: {now.done}/{now.size} ended: {counts(now.states)}")


def _why(task: "Task") -> str:
    logs = f": see `longshore task logs --stderr {task.id}`" if task.cause == "exit" else ""
    return f"{task.id} {task.state} ({task.cause}): {task.reason}{logs}"


async def verdict(door: Door, end: "Progress") -> int:
    """The exit code of a finished submission, with one line about what went wrong: of a single task its reason."""
    progress("")
    if end.ok:
        return 0
    if end.status == "rejected":
        note(f"submission {end.submission} was rejected: {end.reason}")
    elif end.size == 1:
        note(_why(await asyncio.to_thread(door.reader.task, f"{end.submission}.0")))
    else:
        worst = next((state for state in ("failed", "cancelled") if end.states.get(state)), "failed")
        note(
            f"of {end.size} tasks {counts(end.states)}: see `longshore task list "
            f"--submission {end.submission} --state {worst}` and `longshore task logs --stderr ID`"
        )
    return 1
