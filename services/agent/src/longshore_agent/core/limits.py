"""How much of this host tasks may use right now, and what each has of it for itself.

Slots are what the dispatcher wants, -1 = as many as what they ask for allows; below them are a throttle, the owner's hours,
and reasons to begin nothing at all. What must not enter: measuring, the clock (whoever measures sets the fields here).
"""

from typing import Final

from . import admission, contract
from .admission import Amounts
from .attempt import Attempt
from .contract import SHARED
from .devices import Ledger
from .hours import ALL, Caps

#: As many at once as what they ask for allows.
BOUNDLESS: Final = 100_000


class Limits:
    """One per agent; everything is open at first. `cpus` and `memory` (bytes) are the whole host's.

    `offer`: all that attempts may ask for; None: not known (yet), and nothing is held against it.
    """

    def __init__(self) -> None:
        self.hindered = ""  # why nothing new begins
        self.leaving = 0.0  # the instant at which the host is taken away, 0 = it stays
        self.throttle: int | None = None
        self.caps: Caps = ALL
        self.ledger = Ledger()
        self.cpus = 1
        self.memory = 0
        self.offer: Amounts | None = None

    @property
    def closed(self) -> bool:
        """Nothing is staged, and nothing started."""
        return bool(self.hindered or self.leaving)

    @property
    def shared(self) -> bool:
        """A slot is all that most tasks need: nothing else is set aside or counted for those that ask for nothing."""
        return self.caps is ALL and not self.ledger.nodes

    def usable(self, slots: int) -> int:
        """How many of the slots may be filled now."""
        if self.closed or self.caps.none:
            return 0
        limits = (self.throttle, self.caps.slots)
        return min([slots, *(x for x in limits if x is not None)])

    def offered(self) -> Amounts | None:
        """What attempts may take now: what there is, within the owner's caps."""
        if self.offer is None and self.caps is ALL:
            return None
        caps = {"cpus": None if self.caps.cpus is None else int(self.caps.cpus * 1000), "memory": self.caps.memory}
        offer = {**(self.offer or {"cpus": self.cpus * 1000, "memory": self.memory})}
        for what, most in caps.items():
            if most is not None:
                offer[what] = min(offer.get(what, most), most)
        return offer

    def counted(self, attempt: Attempt, ask: Amounts, slots: int) -> Amounts:
        """What it is taken to ask for: with slots what it does, without any at least one cpu if it asks for nothing.

        Under caps on processors or memory, one that names no needs counts as one slot's share of the host.
        """
        if slots < 0 and not ask:
            ask = admission.ONE_CPU
        caps = self.caps
        if caps is ALL:
            return ask
        if caps.cpus is not None and "cpus" not in ask:
            ask = {**ask, "cpus": round(self._cpus(attempt, slots) * 1000)}
        if caps.memory is not None and "memory" not in ask:
            ask = {**ask, "memory": self.memory // self.width(slots)}
        return ask

    def equip(self, attempt: Attempt, slots: int) -> bool:
        """Set GPUs and threads of its own aside for it; false if there are not so many."""
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

    def width(self, slots: int) -> int:
        """How many run side by side if they are all alike: the slots, or one on each cpu; at least one."""
        return max(1, self.cpus if slots < 0 else slots)

    def _cpus(self, attempt: Attempt, slots: int) -> float:
        return attempt.order.spec.cpus or max(1, self.cpus // self.width(slots))


def asked(attempt: Attempt) -> Amounts:
    """What an attempt asks for."""
    spec = attempt.order.spec
    return admission.asked(spec, contract.memory(spec, attempt.start))
