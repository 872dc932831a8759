"""A clock that people set."""

import time


class SetClock:
    """The machine's clock, `ahead` by so many seconds."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return time.time() + self.ahead

    def steady(self) -> float:
        return time.monotonic()
