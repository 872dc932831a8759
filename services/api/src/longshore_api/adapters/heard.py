"""When each worker was last heard of: beats, kept in memory only."""

from longshore_common import subjects
from longshore_common.clock import Clock
from longshore_common.log import Hints


class Heard:
    """The instant of each worker's last beat, as heard by this process."""

    def __init__(self, hints: Hints, clock: Clock) -> None:
        self._hints = hints
        self._clock = clock
        self._at: dict[str, float] = {}

    async def listen(self) -> None:
        """For ever."""
        async for subject, _ in self._hints.listen(subjects.BEATS):
            self._at[subject.partition(".")[2]] = self._clock.now()

    def at(self, worker: str) -> float | None:
        """Unix seconds, None if this process never heard it."""
        return self._at.get(worker)

    def alive(self, worker: str, within: float) -> bool:
        """Whether it was heard in the last `within` seconds."""
        at = self._at.get(worker)
        return at is not None and self._clock.now() - at <= within
