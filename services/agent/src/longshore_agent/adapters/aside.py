"""Questions to something that may not answer: a dead file server, a driver that hangs, an address nobody has.

What must not enter: what is asked. Python's own thread pool will not do: the end of the process waits for its threads.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Aside(Generic[T]):
    """Asks in a thread that nobody waits for, not even the end of the process; `known` is the last answer."""

    def __init__(self, ask: Callable[[], T], first: T, name: str) -> None:
        self._ask, self.known, self._name = ask, first, name
        self._asking: threading.Thread | None = None

    def refresh(self) -> None:
        """Ask again, unless the last question is still open."""
        if self._asking is None or not self._asking.is_alive():
            self._asking = threading.Thread(target=self._run, daemon=True, name=self._name)
            self._asking.start()

    def _run(self) -> None:
        self.known = self._ask()


async def answered(ask: Callable[[], T]) -> T:
    """What `ask` returns, from a thread of its own; cancelled, its answer is thrown away and nobody waits for it."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def give(value: T | None, err: Exception | None) -> None:
        if answer.done():
            return
        if err is not None:
            answer.set_exception(err)
        else:
            answer.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        value, err = None, None
        try:
            value = ask()
        except Exception as problem:
            err = problem
        with contextlib.suppress(RuntimeError):  # the loop may be over
            loop.call_soon_threadsafe(give, value, err)

    threading.Thread(target=run, daemon=True).start()
    return await answer
