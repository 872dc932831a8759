"""What is to be reported, and how it becomes `attempts-reported` events: as few as possible, in order.

What must not enter: when to send (the service knows what is in flight), and sending.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from longshore_common.events import AttemptsReported, Delivered, Ended, Identified, Move
from longshore_common.ids import AttemptId
from longshore_common.model import AttemptState, OutputFile

#: One report holds no more entries and no more bytes of tails and file names than this (messages are limited to 8 MiB).
MOST: Final = 1000
BYTES: Final = 1_000_000
T = TypeVar("T")


class Pending:
    """Moves, deliveries and ends since the last report. Of an attempt that ended only its end is reported."""

    def __init__(self) -> None:
        self._moved: list[Move] = []
        self._going: dict[tuple[AttemptId, str], int] = {}  # where in `_moved` the progress of a transfer is
        self._delivered: list[Delivered] = []
        self._ended: list[Ended] = []
        self._identified: dict[AttemptId, str] = {}

    def __len__(self) -> int:
        return len(self._moved) + len(self._delivered) + len(self._ended) + len(self._identified)

    @property
    def urgent(self) -> bool:
        """Somebody waits for this: an end, or an ask for leave to publish."""
        return bool(self._ended or self._delivered or self._identified)

    def moved(self, attempt: AttemptId, state: AttemptState, at: float, *, paused: bool = False) -> None:
        """It entered a phase."""
        self._moved.append(Move(attempt, state, at, paused))

    def hindered(self, attempt: AttemptId, state: AttemptState, at: float, reason: str) -> None:
        """It stays in a phase, and why."""
        self._moved.append(Move(attempt, state, at, reason=reason[:1000]))

    def stepped(self, attempt: AttemptId, at: float, reason: str, *, paused: bool) -> None:
        """It runs on, in its next step."""
        self._moved.append(Move(attempt, "running", at, paused, reason))

    def progressed(self, attempt: AttemptId, state: AttemptState, at: float, moved: tuple[int, int]) -> None:
        """It still moves bytes: (done, total). The newest counts; it keeps the place of the first, before later phases."""
        move = Move(attempt, state, at, done=moved[0], total=moved[1])
        place = self._going.setdefault((attempt, state), len(self._moved))
        if place == len(self._moved):
            self._moved.append(move)
        else:
            self._moved[place] = move

    def delivered(self, attempt: AttemptId, files: tuple[OutputFile, ...]) -> None:
        """It asks leave to publish these."""
        self._delivered.append(Delivered(attempt, files))

    def identified(self, attempt: AttemptId, digest: str) -> None:
        """It asks whether this was computed before."""
        self._identified[attempt] = digest

    def ended(self, result: Ended) -> None:
        """It is over."""
        self._ended.append(result)

    def only_ends(self) -> "Pending":
        """The ends alone: after a restart the other entries are history."""
        fresh = Pending()
        fresh._ended = self._ended
        return fresh

    def forget(self, over: set[AttemptId]) -> None:
        """The ends of these are in a report already."""
        self._ended = [x for x in self._ended if x.attempt not in over]

    @property
    def has_ends(self) -> bool:
        """Whether ends wait that no report holds yet."""
        return bool(self._ended)

    def take(self, life: int, n: int) -> AttemptsReported | None:
        """The next report, None if there is nothing; what does not fit stays for the next call."""
        if not len(self):
            return None
        delivered, self._delivered = _fitting(self._delivered, lambda d: sum(len(f.path) + 90 for f in d.files))
        ended, self._ended = _fitting(self._ended, _weight)
        over = {x.attempt for x in ended}
        moved = tuple(m for m in self._moved if m.attempt not in over)
        asked = tuple(Identified(a, d) for a, d in self._identified.items() if a not in over)
        self._moved, self._going, self._identified = [], {}, {}
        return AttemptsReported(
            life=life, n=n, moved=moved, delivered=tuple(delivered), ended=tuple(ended), identified=asked
        )


def _weight(end: Ended) -> int:
    size = len(end.reason) + 100 * len(end.steps) + sum(len(one.path) + len(one.uri) + 90 for one in end.collected)
    if end.stdout is not None:
        size += len(end.stdout.tail)
    if end.stderr is not None:
        size += len(end.stderr.tail)
    return size


def _fitting(items: list[T], weight: Callable[[T], int]) -> tuple[list[T], list[T]]:
    """(what one report takes, the rest): at least one item, at most MOST and about BYTES."""
    size = 0
    for k, item in enumerate(items):
        size += weight(item)
        if k and (k >= MOST or size > BYTES):
            return items[:k], items[k:]
    return items, []
