"""Who has tasks to hand out, in order: lines of submissions that share priority, user, batch and need.

Lines let a paused batch or an unmet need be passed over at once, however long they are. What must not enter: tasks.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from heapq import merge
from typing import NamedTuple

from longshore_dispatcher.core.content import Need

#: A line is rewritten when more than this many, and half of its entries, are stale.
STALE = 1000


class Key(NamedTuple):
    """What the submissions of one line share; `rank` is the negated priority, so that lines sort by it."""

    rank: int
    user: str
    batch: str
    need: Need


class Line:
    """Submissions by id: arrivals in a deque, those that came back in a small sorted list, the gone marked stale.

    `members` tells how many tasks each has in line, `tasks` all together; the line has not been empty since `since`.
    """

    __slots__ = ("again", "arrivals", "members", "since", "stale", "tasks")

    def __init__(self, since: float = 0.0) -> None:
        self.arrivals: deque[int] = deque()
        self.again: list[int] = []
        self.members: dict[int, int] = {}
        self.tasks = 0
        self.since = since
        self.stale: set[int] = set()

    def __iter__(self) -> Iterator[int]:
        arrivals = (i for i in self.arrivals if i not in self.stale) if self.stale else iter(self.arrivals)
        return merge(arrivals, self.again) if self.again else arrivals

    def put(self, submission: int, tasks: int = 1) -> None:
        """Let it stand in line with so many tasks, at the place its id gives it."""
        before = self.members.get(submission)
        self.members[submission] = tasks
        self.tasks += tasks - (before or 0)
        if before is not None:
            return
        if submission in self.stale:
            self.stale.remove(submission)
        elif not self.arrivals or submission > self.arrivals[-1]:
            self.arrivals.append(submission)
        else:
            insort(self.again, submission)

    def drop(self, submission: int) -> None:
        """Take it out of line; nothing happens if it does not stand there."""
        before = self.members.pop(submission, None)
        if before is None:
            return
        self.tasks -= before
        at = bisect_left(self.again, submission)
        if at < len(self.again) and self.again[at] == submission:
            del self.again[at]
            return
        self.stale.add(submission)
        while self.arrivals and self.arrivals[0] in self.stale:
            self.stale.remove(self.arrivals.popleft())
        if len(self.stale) > STALE and len(self.stale) * 2 > len(self.arrivals):
            self.arrivals = deque(i for i in self.arrivals if i not in self.stale)
            self.stale.clear()


class Queue:
    """All lines that are not empty: by key, and as turns go through them; `needs`: how many lines have each need.

    `tasks` stand in all of them together. `bounded`: arrays with a time limit that may stand in line.
    """

    def __init__(self) -> None:
        self.lines: dict[Key, Line] = {}
        self.tree: dict[int, dict[str, dict[str, dict[Need, Line]]]] = {}
        self.needs: dict[Need, int] = {}
        self.tasks = 0
        self.bounded: set[int] = set()

    def put(self, key: Key, submission: int, tasks: int = 1, at: float = 0.0) -> None:
        """Let a submission stand in a line with so many tasks; `at` is the instant, should the line be empty so far."""
        line = self.lines.get(key)
        if line is None:
            line = self.lines[key] = Line(at)
            batches = self.tree.setdefault(key.rank, {}).setdefault(key.user, {})
            batches.setdefault(key.batch, {})[key.need] = line
            self.needs[key.need] = self.needs.get(key.need, 0) + 1
        before = line.tasks
        line.put(submission, tasks)
        self.tasks += line.tasks - before

    def drop(self, key: Key, submission: int) -> None:
        """Take a submission out of a line."""
        line = self.lines.get(key)
        if line is not None:
            before = line.tasks
            line.drop(submission)
            self.tasks += line.tasks - before
            if not line.members:
                del self.lines[key]
                self._prune(key)

    def bound(self, submission: int, *, limited: bool) -> None:
        """Whether a submission is an array of tasks with a time limit."""
        (self.bounded.add if limited else self.bounded.discard)(submission)

    def of(self, rank: int, user: str, batch: str) -> dict[Need, Line]:
        """The lines of a user's batch with one priority, by need."""
        return self.tree.get(rank, {}).get(user, {}).get(batch, {})

    def restored(self) -> None:
        """Since when lines are there is not known any more: as long as their first submission is."""
        for line in self.lines.values():
            line.since = 0.0

    def _prune(self, key: Key) -> None:
        users = self.tree[key.rank]
        batches = users[key.user]
        lines = batches[key.batch]
        del lines[key.need]
        if not lines:
            del batches[key.batch]
            if not batches:
                del users[key.user]
                if not users:
                    del self.tree[key.rank]
        if self.needs[key.need] == 1:
            del self.needs[key.need]
        else:
            self.needs[key.need] -= 1
