"""An event loop whose time is virtual and whose nodes are as processes are: each in order, all of them in any order.

A callback belongs to the node in whose context it was made. Of those that could run, the dice say which node goes on; within
a node what came first goes first, as in a loop of its own. When nobody can run, time goes on to the next timer.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from heapq import heappop
from typing import Any

#: The node that a callback belongs to.
NODE: ContextVar[object] = ContextVar("node", default=None)


class Standstill(AssertionError):
    """Nothing can ever happen again."""


class VirtualLoop(asyncio.BaseEventLoop):
    """One loop for all nodes. `steps` counts callbacks; `watch(node)` is called before each, and may crash the node."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self.dice = dice
        self.steps = 0
        self.watch: Callable[[object], None] = lambda node: None
        self._now = 0.0
        self._queues: dict[object, deque[asyncio.Handle]] = {}
        self._awake: list[object] = []

    def time(self) -> float:
        return self._now

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._line_up(handle)
        return handle

    call_soon_threadsafe = call_soon

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """At once: a thread would bring chance of its own."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as err:
            future.set_exception(err)
        return future

    def _line_up(self, handle: asyncio.Handle) -> None:
        node = handle._context.get(NODE, None)
        queue = self._queues.get(node)
        if queue is None:
            queue = self._queues[node] = deque()
        if not queue:
            self._awake.append(node)
        queue.append(handle)

    def _run_once(self) -> None:
        timers, awake = self._scheduled, self._awake
        if not awake:
            while timers and timers[0]._cancelled:
                heappop(timers)._scheduled = False
            if not timers:
                raise Standstill("nobody can go on, and no timer runs")
            self._now = max(self._now, timers[0]._when)
        while timers and timers[0]._when <= self._now:
            timer = heappop(timers)
            timer._scheduled = False
            if not timer._cancelled:
                self._line_up(timer)
        if awake:
            self._step(awake)

    def _step(self, awake: list[object]) -> None:
        k = int(self.dice.random() * len(awake)) if len(awake) > 1 else 0
        node = awake[k]
        queue = self._queues[node]
        handle = queue.popleft()
        if not queue:
            awake[k] = awake[-1]
            awake.pop()
        if not handle._cancelled:
            self.steps += 1
            self.watch(node)
            handle._run()
