"""Looking again until something came about. What must not enter: what is looked at."""

import time
from collections.abc import Callable
from typing import Final

#: Seconds between two looks: each is a request to the api.
_LOOK: Final = 0.2


def polled(look: Callable[[], bool], timeout: float) -> bool:
    """Whether `look` says so, once or again, before `timeout` seconds are over."""
    end = time.monotonic() + timeout
    while not look():
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK)
    return True
