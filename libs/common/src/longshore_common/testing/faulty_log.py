"""The log in memory with the weather a caller can meet: appends that fail before or after they are in, slow followers.

    hub = FaultyHub(clock)
    hub.lose_after = 2     # the next two appends are in, and say Unreachable all the same
    hub.lose_before = 1    # the next one is not in, and says Unreachable
    hub.hold()             # followers see nothing new until hub.release()

Deterministic: faults are switched on by the test, never drawn. What must not enter: faults the ports promise away, such
as an event delivered twice.
"""

from longshore_common.adapters.memory_log import Hub
from longshore_common.clock import Clock
from longshore_common.errors import Unreachable
from longshore_common.log import Entry, Recorded


class FaultyHub(Hub):
    """A hub whose faults are switches."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self.lose_before = 0
        self.lose_after = 0
        self._held = False

    def append(self, entry: Entry, fence: int) -> int:
        """As `Hub.append`, or `Unreachable` as the switches say."""
        if self.lose_before:
            self.lose_before -= 1
            raise Unreachable("the log does not answer (a test's fault, nothing was written)")
        seq = super().append(entry, fence)
        if self.lose_after:
            self.lose_after -= 1
            raise Unreachable("the log does not answer (a test's fault, it is written)")
        return seq

    def visible(self, position: int, most: int) -> list[Recorded]:
        """Nothing while held."""
        return [] if self._held else super().visible(position, most)

    def hold(self) -> None:
        """Followers see nothing new from now on."""
        self._held = True

    def release(self) -> None:
        """Followers see all again."""
        self._held = False
        self.bell.ring()
