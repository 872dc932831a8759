"""Many transfers at once, and blocking work in threads, both with prompt cancellation.

What must not enter: what is transferred.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Executor
from threading import Event
from typing import Concatenate, ParamSpec, TypeVar

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")

#: How long a cancelled call waits for its thread to notice, seconds; a thread stuck in a dead mount is left behind.
LEAVE_AFTER = 0.7


class Stopped(Exception):
    """No error, only the way out of a thread whose caller was cancelled: it cleans up and ends."""


async def each(items: Iterable[T], work: Callable[[T], Awaitable[R]], width: int) -> list[R]:
    """`work` over `items`, at most `width` at once, results in order. The first error stops the others and is raised."""
    todo = list(items)
    if len(todo) == 1:
        return [await work(todo[0])]
    results: dict[int, R] = {}
    queue = iter(enumerate(todo))

    async def run() -> None:
        for place, item in queue:
            results[place] = await work(item)

    tasks = [asyncio.ensure_future(run()) for _ in range(min(width, len(todo)))]
    try:
        for task in asyncio.as_completed(tasks):
            await task
    finally:
        await _end(tasks)
    return [results[place] for place in range(len(todo))]


async def _end(tasks: Sequence[asyncio.Future[None]]) -> None:
    """Cancel what still runs and wait until it has cleaned up, so that nothing goes on behind the caller's back."""
    open_tasks = [t for t in tasks if not t.done()]
    for task in open_tasks:
        task.cancel()
    if open_tasks:
        await asyncio.wait(open_tasks, timeout=2 * LEAVE_AFTER)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()


async def in_thread(
    pool: Executor, work: Callable[Concatenate[Event, P], R], /, *args: P.args, **kwargs: P.kwargs
) -> R:
    """`work(stop, …)` in a thread of `pool`. If the caller is cancelled, `stop` is set and the thread is waited for briefly.

    `work` looks at `stop` between pieces of a tenth of a second or so and raises `Stopped` after cleaning up.
    """
    stop = Event()
    future = pool.submit(work, stop, *args, **kwargs)
    waiter = asyncio.wrap_future(future)
    try:
        return await asyncio.shield(waiter)
    except asyncio.CancelledError:
        stop.set()
        if not future.cancel():
            await asyncio.wait([waiter], timeout=LEAVE_AFTER)
            if waiter.done() and not waiter.cancelled():
                waiter.exception()
        raise
