"""Given events, when it is decided, then these events follow: the sentences that specify a functional core.

A story folds its tape with the `evolve` it is given and asks its `decide`. What must not enter: any service.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from longshore_common.events import Event
from longshore_common.log import Recorded
from longshore_common.testing.tape import Tape

S = TypeVar("S")
E = TypeVar("E", bound=Event)

Decision = tuple[Event, str]


class Story(Generic[S]):
    """One tape, one state. `decide(state, now)` answers with (event, name) pairs."""

    def __init__(
        self, state: S, evolve: Callable[[S, Recorded], None], decide: Callable[[S, float], list[Decision]]
    ) -> None:
        self.tape = Tape()
        self.state = state
        self.decided: list[Decision] = []
        self._evolve = evolve
        self._decide = decide

    @property
    def now(self) -> float:
        """The instant of the next event."""
        return self.tape.now

    def given(self, event: Event, name: str = "") -> int:
        """This happened; the sequence it got."""
        record = self.tape.add(event, name)
        self._evolve(self.state, record)
        return record.seq

    def rubbish(self, name: str, what: str = "wish") -> int:
        """A user sent something unreadable; the sequence it got."""
        record = self.tape.rubbish("user", name, what)
        self._evolve(self.state, record)
        return record.seq

    def later(self, seconds: float) -> None:
        """Time passes."""
        self.tape.now += seconds

    def when_decided(self) -> list[Decision]:
        """One turn: what is decided now. Nothing is appended."""
        self.decided = self._decide(self.state, self.now)
        return self.decided

    def when_settled(self, turns: int = 50) -> list[Decision]:
        """Turns until nothing more is decided, each appended; all decisions in order. Fails if it never ends."""
        every: list[Decision] = []
        for _ in range(turns):
            decisions = self.when_decided()
            if not decisions:
                self.decided = every
                return every
            every += decisions
            for event, name in decisions:
                self.given(event, name)
        raise AssertionError(f"after {turns} turns it still decides {self.decided[:5]}")

    def then(self, kind: type[E]) -> E:
        """The only event of this kind among what was decided; fails if there is none or are several."""
        found = self.every(kind)
        assert len(found) == 1, f"{len(found)} {kind.__name__} in {self.decided}"
        return found[0]

    def every(self, kind: type[E]) -> list[E]:
        """All events of this kind among what was decided."""
        return [event for event, _ in self.decided if isinstance(event, kind)]

    def to(self, name: str) -> list[Event]:
        """What was decided for this worker."""
        return [event for event, addressed in self.decided if addressed == name]
