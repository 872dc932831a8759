"""Which attempts of this host may start now: slots, what each asks for, and what is free.

Attempts that ask for a slot and nothing else are handed to the spawner ahead of their turn, so that a freed slot is refilled
without a round trip. All others start only when what they ask for is free (`admission`), and nothing is handed over ahead
while one of them waits. What must not enter: what becomes of attempts once they are handed over (`attempts`).
"""

from collections import deque
from typing import Final

from longshore_common.ids import AttemptId

from .admission import NOTHING, Admission, Amounts, beyond
from .attempt import Act, Attempt, Phase
from .hours import Caps
from .limits import BOUNDLESS, Limits, asked

#: Phases of attempts that were handed to the spawner or an engine, and those in which its outputs are still on disk.
HANDED: Final[tuple[Phase, ...]] = ("launched", "running")
LEAVING: Final[tuple[Phase, ...]] = ("delivering", "delivered", "publishing")
#: So many of those that wait are looked at for one that may pass: a look costs the same however many there are.
WINDOW: Final = 256


class Starting:
    """The attempts that are ready, in order; what those that were handed over take; the slots (-1 = automatic).

    `asking`: what the attempts held here ask for, of those that ask for more than a slot; `unfit`: of those, the ones that
    this host cannot ever run, and why.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.held: dict[AttemptId, Attempt] = {}
        self.ready: deque[Attempt] = deque()
        self.bare = 0  # launched or running, in the spawner
        self.containers = 0
        self.limits = Limits()
        self.admission = Admission()
        self.asking: dict[AttemptId, Amounts] = {}
        self.unfit: dict[AttemptId, str] = {}
        self._judged: tuple[object, ...] | None = None  # what `admission` was counted by

    # --- who asks for what ---

    def ask(self, attempt: Attempt, ask: Amounts | None = None) -> None:
        """It is held here from now on, and asks for this if that is known already."""
        ask = asked(attempt) if ask is None else ask
        if ask:
            self.asking[attempt.id] = ask
            if self.limits.offer is not None and (why := beyond(ask, self.limits.offer)):
                self.unfit[attempt.id] = why

    def ask_no_more(self, attempt: Attempt) -> None:
        """It is not held here any more."""
        name = attempt.id
        if self.asking.pop(name, None) is not None:
            self.unfit.pop(name, None)
        if len(self.admission):
            self.admission.give_back(name)

    @property
    def plain(self) -> bool:
        """Whether slots alone decide over those that ask for nothing: always with a number of slots; if that is automatic,
        only while nobody here asks for anything: then each cpu is a slot.
        """
        return self.limits.shared and (self.slots >= 0 or not self.asking)

    @property
    def width(self) -> int:
        """How many run side by side if they are all alike."""
        return self.limits.width(self.slots)

    def usable(self) -> int:
        """How many attempts may run now, by their number."""
        slots = self.slots
        if slots < 0:
            slots = self.limits.cpus if self.plain else BOUNDLESS
        return self.limits.usable(slots)

    def beside(self) -> int:
        """How many bare attempts may run now: what the spawner is told."""
        self._judge()
        free = self.usable() - self.containers
        excess = 0 if self.plain else -(-self.admission.excess("cpus") // 1000)
        return max(0, min(free, self.bare - excess) if excess else free)

    # --- who starts ---

    def next_to_launch(self, ahead: int) -> list[Attempt]:
        """Attempts to hand over now, oldest first; of simple ones `ahead` more than there are slots, to refill at once.

        They are `launched` when this returns. One that shall pause goes behind the others; one for which there is not enough
        free keeps its place and lets those pass that do not keep it waiting longer.
        """
        chosen: list[Attempt] = []
        paused: list[Attempt] = []
        waiting: list[Attempt] = []
        plain, usable = self._judge(), self.usable()
        while self.ready and len(waiting) < WINDOW:
            attempt = self.ready[0]
            simple = plain and not attempt.contained and not (self.asking and attempt.id in self.asking)
            if attempt.phase != "ready" or attempt.id not in self.held:
                self.ready.popleft()
            elif attempt.wanted == "pause":
                paused.append(self.ready.popleft())
            elif self.bare + self.containers >= usable + (ahead if simple and usable and not waiting else 0):
                break
            else:
                self.ready.popleft()
                if simple or self._may_start(attempt, plain=plain):
                    self.launched(attempt)
                    chosen.append(attempt)
                else:
                    waiting.append(attempt)
        self.ready.extendleft(reversed(waiting))
        self.ready.extend(paused)
        return chosen

    def _may_start(self, attempt: Attempt, *, plain: bool) -> bool:
        """Whether all it asks for is free, and its own from now on."""
        ask = self._counted(attempt, plain=plain)
        if ask and not self.admission.admit(attempt.id, ask):
            return False
        if self.limits.equip(attempt, self.slots):
            return True
        self.admission.give_back(attempt.id)
        return False

    def _counted(self, attempt: Attempt, *, plain: bool) -> Amounts:
        """What it takes while it runs; where slots alone decide over those that ask for nothing, these take nothing else."""
        ask = self.asking.get(attempt.id, NOTHING)
        return ask if plain else self.limits.counted(attempt, ask, self.slots)

    def _judge(self) -> bool:
        """See by what attempts are judged now, and count anew what is taken if that has changed; `plain`."""
        plain, caps = self.plain, self.limits.caps
        judged = (plain, self.slots < 0, caps, self.slots if caps != Caps() else 0, id(self.limits.offer))
        if judged != self._judged:
            self._judged = judged
            self.admission.offer = self.limits.offered()
            self.admission.recount(self._taken())
        elif self.admission.claim is not None and not self._claims(self.admission.claim):
            self.admission.drop_claim()
        return plain

    def _claims(self, name: AttemptId) -> bool:
        """Whether this one still waits for what it asks for."""
        attempt = self.held.get(name)
        return attempt is not None and attempt.phase == "ready" and attempt.wanted != "pause"

    def _taken(self) -> list[tuple[AttemptId, Amounts]]:
        """What all that were handed over take, and what outputs on disk take of it."""
        taken: list[tuple[AttemptId, Amounts]] = []
        plain = self.plain
        for attempt in self.held.values():
            if attempt.phase in HANDED and (ask := self._counted(attempt, plain=plain)):
                taken.append((attempt.id, ask))
            elif attempt.phase in LEAVING and (disk := self.asking.get(attempt.id, {}).get("disk", 0)):
                taken.append((attempt.id, {"disk": disk}))
        return taken

    def take_back(self) -> list[Act]:
        """Bare attempts that wait in the spawner return: what may start next is judged anew."""
        return [Act("withdraw", a) for a in self.held.values() if a.phase == "launched" and not a.contained]

    def launched(self, attempt: Attempt) -> None:
        """It was handed to the spawner or the engine."""
        attempt.phase = "launched"
        if attempt.contained:
            self.containers += 1
        else:
            self.bare += 1

    def released(self, attempt: Attempt, *, disk: bool = False) -> None:
        """It runs no more, or will not run yet; what it has on `disk` stays until it has ended."""
        self.limits.release(attempt)
        if len(self.admission):
            (self.admission.keep_disk if disk else self.admission.give_back)(attempt.id)
        if attempt.contained:
            self.containers -= 1
        else:
            self.bare -= 1

    # --- restart ---

    def equip(self, limits: Limits) -> None:
        """What this host has, and what of it attempts have already that were handed over in an earlier life."""
        self.limits = limits
        self._judged = None
        self.unfit.clear()
        for attempt in self.held.values():
            self.ask(attempt)
            if attempt.phase in HANDED:
                limits.ledger.hold(attempt.devices)

    def check_taken(self) -> None:
        """What is taken, recounted from the attempts themselves; AssertionError says what is wrong."""
        handed = [a for a in self.held.values() if a.phase in HANDED]
        assert self.containers == sum(a.contained for a in handed), "containers"
        assert self.bare == sum(not a.contained for a in handed), "bare"
        ready = {a.id for a in self.ready if a.phase == "ready" and a.id in self.held}
        assert ready == {a.id for a in self.held.values() if a.phase == "ready"}, "ready"
        assert self.asking == {a.id: ask for a in self.held.values() if (ask := asked(a))}, "asking"
        self._judge()
        self.admission.check()
        assert self.admission.amounts() == dict(self._taken()), "taken"
