"""Waiting for what another process or task does: looked at again and again, and for a bounded time.

What must not enter: waiting for a time to pass.
"""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Seconds between two looks.
LOOK = 0.005


async def until(condition: Callable[[], T], seconds: float = 20.0) -> T:
    """What `condition` says once that is true; `AssertionError` if it is not within so many seconds."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"it did not come to that within {seconds:g} s"
        await asyncio.sleep(LOOK)
    return found


def wait_until(condition: Callable[[], T], seconds: float = 20.0) -> T:
    """The same where nothing else runs meanwhile."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"it did not come to that within {seconds:g} s"
        time.sleep(LOOK)
    return found
