"""What attempts take of what their host offers: never more than there is, and nobody waits for ever.

An attempt starts when all it asks for is free. The first that cannot start has the claim: others pass it only as far as
it would still fit once all has ended that was there when it began to wait. So it waits for what was there before it and
for nothing else, and then the next one that waits has the claim. That is the extra-nodes rule of EASY back-filling (Lifka,
JSSPP 1995) without estimates of run times. What must not enter: slots, phases, single devices (`devices`).
"""

from collections.abc import Iterable, Mapping
from typing import Final

from longshore_common.ids import AttemptId
from longshore_common.model import HostFacts, TaskSpec

#: Whole numbers by what is counted: thousandths of a cpu, bytes of memory and disk, GPUs, thousandths of `custom NAME`.
Amounts = Mapping[str, int]
#: Nothing, which is always free.
NOTHING: Final[Amounts] = {}
#: What a task that asks for nothing counts as where requests alone decide.
ONE_CPU: Final[Amounts] = {"cpus": 1000}
_IN_THOUSANDTHS: Final = ("cpus", "custom ")


def asked(spec: TaskSpec, memory: int) -> Amounts:
    """What an attempt of this spec asks for, given the memory (bytes) that counts for it; what it does not is left out."""
    amounts = {"cpus": _thousandths(spec.cpus), "memory": memory, "gpus": spec.gpus, "disk": spec.disk}
    for name, amount in spec.custom.items():
        amounts[f"custom {name}"] = _thousandths(amount)
    return {what: amount for what, amount in amounts.items() if amount > 0}


def _thousandths(amount: float) -> int:
    """As the dispatcher reckons with it: what is asked for is never rounded to nothing."""
    return max(1, round(amount * 1000)) if amount > 0 else 0


def offered(facts: HostFacts) -> Amounts:
    """All that this host has for tasks."""
    amounts = {"cpus": facts.cpus * 1000, "memory": facts.memory, "gpus": facts.gpus, "disk": facts.disk}
    return {**amounts, **{f"custom {name}": _thousandths(amount) for name, amount in facts.custom.items()}}


def beyond(ask: Amounts, offer: Amounts) -> str:
    """What it asks for that is not there even on an empty host, in words; empty if it could run."""
    for what, amount in ask.items():
        if amount > offer.get(what, 0):
            shown = (_shown(what, amount), _shown(what, offer.get(what, 0)))
            return f"it asks for {shown[0]} of {what.removeprefix('custom ')}, this host has {shown[1]} in all"
    return ""


def _shown(what: str, amount: int) -> str:
    return f"{amount / 1000:g}" if what.startswith(_IN_THOUSANDTHS) else str(amount)


class Admission:
    """Who has taken what. `offer` None: what there is is not known (yet), and everything fits."""

    def __init__(self) -> None:
        self.offer: Amounts | None = None
        self.claim: AttemptId | None = None
        self._claimed: Amounts = NOTHING
        self._passed: dict[AttemptId, Amounts] = {}
        self._taken: dict[AttemptId, Amounts] = {}
        self._sums: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def taken(self, what: str) -> int:
        """How much of it is taken."""
        return self._sums.get(what, 0)

    def excess(self, what: str) -> int:
        """How much more of it is taken than is offered: by what waits in the spawner, or what ran before a change."""
        return 0 if self.offer is None else max(0, self.taken(what) - self.offer.get(what, 0))

    def admit(self, name: AttemptId, ask: Amounts) -> bool:
        """Take what it asks for if that is free and no claim stands against it; else it has the claim if nobody has."""
        if self._free(name, ask):
            self._take(name, ask)
            if self.claim == name:
                self.drop_claim()
            elif self.claim is not None:
                self._passed[name] = ask
            return True
        if self.claim is None and self.offer is not None and not beyond(ask, self.offer):
            self.claim, self._claimed = name, ask
        return False

    def _free(self, name: AttemptId, ask: Amounts) -> bool:
        offer = self.offer
        if offer is None:
            return True
        if self.excess("cpus"):
            return False  # before what waits in the spawner has come back, a start would start that
        for what, amount in ask.items():
            if self._sums.get(what, 0) + amount > offer.get(what, 0):
                return False
        return self.claim in (None, name) or self._leaves_room(ask, offer)

    def _leaves_room(self, ask: Amounts, offer: Amounts) -> bool:
        """Whether the claim fits beside this one and those that passed already, once all others have ended."""
        for what, claimed in self._claimed.items():
            if what in ask:
                passed = sum(one.get(what, 0) for one in self._passed.values())
                if passed + ask[what] + claimed > offer.get(what, 0):
                    return False
        return True

    def drop_claim(self) -> None:
        """Who had the claim has started, or waits no more; the next one to wait has the next."""
        self.claim, self._claimed = None, NOTHING
        self._passed.clear()

    def _take(self, name: AttemptId, ask: Amounts) -> None:
        self.give_back(name)
        if ask:
            self._taken[name] = ask
            for what, amount in ask.items():
                self._sums[what] = self._sums.get(what, 0) + amount

    def give_back(self, name: AttemptId) -> None:
        """It takes nothing any more; a repeat changes nothing."""
        for what, amount in self._taken.pop(name, NOTHING).items():
            self._sums[what] -= amount
        self._passed.pop(name, None)

    def keep_disk(self, name: AttemptId) -> None:
        """Its process is over: all it still takes is the disk, until its outputs have left it."""
        disk, passed = self._taken.get(name, NOTHING).get("disk", 0), name in self._passed
        self.give_back(name)
        if disk:
            self._take(name, {"disk": disk})
            if passed:
                self._passed[name] = {"disk": disk}

    def recount(self, taken: Iterable[tuple[AttemptId, Amounts]]) -> None:
        """These and no others have taken this; who waits has to claim anew."""
        self.drop_claim()
        self._taken.clear()
        self._sums.clear()
        for name, ask in taken:
            self._take(name, ask)

    def amounts(self) -> dict[AttemptId, Amounts]:
        """What each has taken."""
        return dict(self._taken)

    def check(self) -> None:
        """The sums recounted; AssertionError says which is wrong."""
        for what, total in self._sums.items():
            assert total == sum(ask.get(what, 0) for ask in self._taken.values()), what
        assert self._passed.keys() <= self._taken.keys(), "passed"
