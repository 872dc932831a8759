"""The one place that reads the clock; cores take instants as arguments."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where a shell gets its instants from: `now` for what is told and kept, `steady` for how long something takes."""

    def now(self) -> float:
        """Unix seconds. People and time servers set it: two readings may be any time apart, in either direction."""
        ...

    def steady(self) -> float:
        """Seconds since some beginning of this process's own; nobody sets it."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def steady(self) -> float:
        """Seconds since the machine started."""
        return time.monotonic()


def iso(at: float) -> str:
    """An instant (Unix seconds) as ISO 8601 in UTC with milliseconds: 2026-11-21T07:00:00.000+00:00."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
