"""The order of a turn: users by what they used, their batches likewise, the lines of a batch by their first submission.

What must not enter: places.
"""

from collections.abc import Callable, Collection, Iterator
from functools import partial
from heapq import heapify, heappop, heapreplace, merge
from typing import Final

from longshore_dispatcher.core import shares
from longshore_dispatcher.core.content import Need
from longshore_dispatcher.core.queue import Line as Standing
from longshore_dispatcher.core.state import State, Submission

#: Lines beside those in the queue: submissions by priority (negated), user, batch and need.
Extra = dict[int, dict[str, dict[str, dict[Need, set[int]]]]]


class Line:
    """Submissions that wait for the same, the first of them with what it has."""

    __slots__ = ("_subs", "at", "first", "need", "rest")

    def __init__(self, need: Need, ids: Iterator[int], subs: dict[int, Submission]) -> None:
        self.need, self.rest, self._subs = need, ids, subs
        self.first = self.at = 0
        self.go_on()

    def __lt__(self, other: "Line") -> bool:
        return (self.first, self.at) < (other.first, other.at)

    def go_on(self) -> bool:
        """To the next submission; False if there is none."""
        following = next(self.rest, None)
        if following is None:
            return False
        self.first = following
        lots = self._subs[following].lots
        self.at = 0 if len(lots) == 1 else next(k for k, lot in enumerate(lots) if lot.need == self.need)
        return True


class Part:
    """A user's batch; its lines, the one whose first submission is oldest first, are made when it is its turn."""

    __slots__ = ("_lines", "_make", "name", "score", "weight")

    def __init__(self, name: str, score: float, weight: float, make: Callable[[], list[Line]]) -> None:
        self.name, self.score, self.weight, self._make = name, score, weight, make
        self._lines: list[Line] | None = None

    @property
    def lines(self) -> list[Line]:
        """A heap."""
        if self._lines is None:
            self._lines = self._make()
            heapify(self._lines)
        return self._lines

    def __lt__(self, other: "Part") -> bool:
        return (self.score, self.name) < (other.score, other.name)


class Whose:
    """A user with its batches, the one that used least first; they are looked up when it is its turn."""

    __slots__ = ("batches", "name", "score", "weight")

    def __init__(self, name: str, score: float, weight: float) -> None:
        self.name, self.score, self.weight = name, score, weight
        self.batches: list[Part] | None = None

    def __lt__(self, other: "Whose") -> bool:
        return (self.score, self.name) < (other.score, other.name)


_NONE: Final[dict[Need, Standing]] = {}


class Lineup:
    """Who is in line. `extra` are submissions that the queue does not know yet."""

    def __init__(self, state: State, now: float) -> None:
        self._state, self._now = state, now
        self.extra: Extra = {}
        self._scores: dict[tuple[str, str], float] = {}

    def put(self, sub: Submission, need: Need) -> None:
        """This one has tasks to give although it may stand in no line."""
        batches = self.extra.setdefault(-sub.priority, {}).setdefault(sub.user, {})
        batches.setdefault(sub.batch, {}).setdefault(need, set()).add(sub.id)

    def ranks(self) -> list[int]:
        """Negated priorities, the highest priority first."""
        return sorted({*self._state.queue.tree, *self.extra})

    def users(self, rank: int) -> list[Whose]:
        """All with tasks of this priority, as a heap."""
        names = {**self._state.queue.tree.get(rank, {}), **self.extra.get(rank, {})}
        found = [
            Whose(name, shares.user_score(self._state, name, self._now), self._weight("user", name)) for name in names
        ]
        heapify(found)
        return found

    def parts(self, rank: int, user: str, hopeless: Callable[[Need, str], bool]) -> list[Part]:
        """The user's batches that have something for which there is hope, as a heap."""
        standing = self._state.queue.tree.get(rank, {}).get(user, {})
        extra = self.extra.get(rank, {}).get(user, {})
        found = []
        for name in {**standing, **extra} if extra else standing:
            lines, more = standing.get(name, _NONE), extra.get(name, {}) if extra else {}
            needs = [need for need in ({**lines, **more} if more else lines) if not hopeless(need, name)]
            if not needs or ((batch := self._state.batches.get(name)) is not None and batch.paused):
                continue
            score = self._scores.get((user, name))
            if score is None:
                score = self._scores[(user, name)] = shares.batch_score(self._state, user, name, self._now)
            found.append(Part(name, score, self._weight("batch", name), partial(self._lines, needs, lines, more)))
        heapify(found)
        return found

    def _lines(self, needs: list[Need], lines: dict[Need, Standing], more: dict[Need, set[int]]) -> list[Line]:
        return [Line(need, _ids(lines.get(need), more.get(need)), self._state.submissions) for need in needs]

    def _weight(self, kind: str, name: str) -> float:
        return shares.share_of(self._state, kind, name).weight


def go_on(lines: list[Line]) -> None:
    """The first line's first submission has nothing more to give in this turn."""
    if lines[0].go_on():
        heapreplace(lines, lines[0])
    else:
        heappop(lines)


def _ids(standing: Standing | None, extra: Collection[int] | None) -> Iterator[int]:
    ids = iter(standing or ())
    return _distinct(merge(ids, sorted(extra))) if extra else ids


def _distinct(ids: Iterator[int]) -> Iterator[int]:
    last = 0
    for submission in ids:
        if submission != last:
            last = submission
            yield submission
