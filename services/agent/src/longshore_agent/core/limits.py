"""How much of this host tasks may use right now, and what each has of it for itself.

Slots are what the dispatcher wants; below them are a throttle, the owner's hours, and reasons to begin nothing at all. What
must not enter: measuring, the clock (whoever measures sets the fields here).
"""

from collections.abc import Iterable

from . import contract
from .attempt import Attempt
from .contract import SHARED
from .devices import Ledger
from .hours import ALL, Caps


class Limits:
    """One per agent; everything is open at first. `cpus` and `memory` (bytes) are the whole host's."""

    def __init__(self) -> None:
        self.hindered = ""  # why nothing new begins
        self.leaving = 0.0  # the instant at which the host is taken away, 0 = it stays
        self.throttle: int | None = None
        self.caps: Caps = ALL
        self.ledger = Ledger()
        self.cpus = 1
        self.memory = 0

    @property
    def closed(self) -> bool:
        """Nothing is staged, and nothing started."""
        return bool(self.hindered or self.leaving)

    def usable(self, slots: int) -> int:
        """How many of the slots may be filled now."""
        if self.closed or self.caps.none:
            return 0
        limits = (self.throttle, self.caps.slots)
        return min([slots, *(x for x in limits if x is not None)])

    def simple(self, attempt: Attempt) -> bool:
        """It needs a slot and nothing else of its own, so it may wait for one inside the spawner."""
        spec = attempt.order.spec
        return spec.container is None and not spec.gpus and self.caps is ALL and not self.ledger.nodes

    def admit(self, attempt: Attempt, handed: Iterable[Attempt], slots: int) -> bool:
        """Whether it may start now beside what is `handed` over; its devices are its own when this returns true."""
        if self.caps is not ALL and not self._fits(attempt, handed, slots):
            return False
        spec = attempt.order.spec
        if not (spec.gpus or self.ledger.pins):
            return True
        devices = self.ledger.take(spec.gpus, self._cpus(attempt, slots))
        if devices is None:
            return False
        attempt.devices = devices
        return True

    def release(self, attempt: Attempt) -> None:
        """It runs no more."""
        if attempt.devices is not SHARED:
            self.ledger.give_back(attempt.devices)
            attempt.devices = SHARED

    def _fits(self, attempt: Attempt, handed: Iterable[Attempt], slots: int) -> bool:
        """Within the caps on processors and memory; a task that names no needs counts as one slot's share of the host."""
        cpus, memory = self._cpus(attempt, slots), self._memory(attempt, slots)
        for other in handed:
            cpus += self._cpus(other, slots)
            memory += self._memory(other, slots)
        caps = self.caps
        return (caps.cpus is None or cpus <= caps.cpus) and (caps.memory is None or memory <= caps.memory)

    def _cpus(self, attempt: Attempt, slots: int) -> float:
        return attempt.order.spec.cpus or max(1, self.cpus // max(1, slots))

    def _memory(self, attempt: Attempt, slots: int) -> int:
        return contract.memory(attempt.order.spec, attempt.start) or self.memory // max(1, slots)
