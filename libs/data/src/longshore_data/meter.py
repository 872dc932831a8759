"""What is counted and limited while bytes move: progress of one transfer, and the host's shares of lines and bandwidth.

What must not enter: storage, printing, reports.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from math import inf
from sys import maxsize
from threading import Event, Lock
from time import monotonic
from typing import Final, NamedTuple

#: Where seconds come from: steady ones, for a clock that is set must not stop a transfer.
Tick = Callable[[], float]
#: Seconds over which the rate is taken.
WINDOW: Final = 10.0


class Progress(NamedTuple):
    """How far a transfer is: bytes moved, bytes in all (0: not known yet), bytes/s lately, seconds to go (0: unknown)."""

    done: int
    total: int
    rate: float
    eta: float


class Bandwidth:
    """A bucket of bytes that fills at `rate` a second and holds one second's worth; rate 0: no limit. For any thread.

    Takers queue by the instants at which they may go on, so all that take shares get the same, however they move bytes.
    """

    def __init__(self, rate: float, tick: Tick = monotonic) -> None:
        self.rate, self._tick = rate, tick
        self._free_at = -inf  # the instant at which all that was taken has been paid for
        self._lock = Lock()

    @property
    def share(self) -> int:
        """The most bytes to take at once: few, so that transfers in large pieces do not push back those in small ones."""
        return min(max(1 << 14, int(self.rate / 64)), 1 << 18) if self.rate else maxsize

    def take(self, size: int) -> float:
        """Take `size` bytes; the seconds the taker must rest before it moves more."""
        if not self.rate:
            return 0.0
        with self._lock:
            now = self._tick()
            self._free_at = max(self._free_at, now - 1.0) + size / self.rate
            return max(0.0, self._free_at - now)


class Limits:
    """What all transfers of a host share: `turns` files at once, and bandwidth in and out (bytes/s, 0 = no limit)."""

    def __init__(self, turns: int = 16, down: float = 0, up: float = 0) -> None:
        self.turns = asyncio.Semaphore(turns)
        self.down, self.up = Bandwidth(down), Bandwidth(up)

    @asynccontextmanager
    async def turn(self, meter: "Meter") -> AsyncIterator[None]:
        """One of the turns. A transfer that does nothing but wait for one is told to idle: time limits then stand still."""
        if self.turns.locked():
            meter.queue(1)
            try:
                await self.turns.acquire()
            finally:
                meter.queue(-1)
        else:
            await self.turns.acquire()
        meter.work(1)
        try:
            yield
        finally:
            meter.work(-1)
            self.turns.release()


class Meter:
    """One transfer's count. `bandwidth` None: not limited. Stores call `moved` (or `moved_here` in threads) as bytes go.

    `on_idle` is called with True when all that the transfer does is wait for its turn, and with False when it goes on.
    """

    def __init__(self, bandwidth: Bandwidth | None = None, tick: Tick = monotonic) -> None:
        self._bandwidth, self._tick = bandwidth, tick
        self.done = self.total = 0
        self.on_idle: Callable[[bool], None] | None = None
        self._queued = self._working = 0
        self._followed: list[Meter] = []
        self._followers: list[Meter] = []
        self._lock = Lock()  # stores count from threads
        self._marks: deque[tuple[float, int]] = deque([(tick(), 0)])

    @property
    def limit(self) -> float:
        """Bytes/s for all who share this bandwidth, 0 = any: for those who move bytes where we cannot rest between them."""
        return self._bandwidth.rate if self._bandwidth is not None else 0.0

    def expect(self, size: int) -> None:
        """So many bytes more are to come."""
        self.total += size

    async def moved(self, size: int) -> None:
        """`size` bytes went; rests while the bandwidth is used up. Negative: they have to go again."""
        for part in self._count(size):
            if rest := self._take(part):
                await asyncio.sleep(rest)

    def moved_here(self, size: int, stop: Event) -> None:
        """The same in a thread; a rest ends when `stop` is set."""
        for part in self._count(size):
            if (rest := self._take(part)) and stop.wait(rest):
                return

    def queue(self, number: int) -> None:
        """So many parts more (or fewer) wait for somebody else: the host's limits, or another's download of the same."""
        self._change(number, 0)

    def work(self, number: int) -> None:
        """So many parts more (or fewer) move bytes."""
        self._change(0, number)

    def _change(self, queued: int, working: int) -> None:
        before = self._queued > 0 and self._working == 0
        self._queued += queued
        self._working += working
        now = self._queued > 0 and self._working == 0
        if now is before:
            return
        if self.on_idle is not None:
            self.on_idle(now)
        for follower in self._followers:
            follower.queue(1 if now else -1)

    def follow(self, other: "Meter") -> None:
        """Part of this transfer is one that others wait for as well: its progress is ours."""
        self._followed.append(other)
        other._followers.append(self)
        if other._queued > 0 and other._working == 0:
            self.queue(1)

    def unfollow(self, other: "Meter", *, count: bool) -> None:
        """It is over, or no concern of ours any more; `count`: its bytes are ours."""
        self._followed.remove(other)
        other._followers.remove(self)
        if other._queued > 0 and other._working == 0:
            self.queue(-1)
        if count:
            self.done += other.done
            self.total += other.total

    def progress(self) -> Progress:
        """How far it is; the rate is that of the last ten seconds or so."""
        done = self.done + sum(m.done for m in self._followed)
        total = self.total + sum(m.total for m in self._followed)
        with self._lock:
            now = self._mark(done)
            then, before = self._marks[0]
        rate = max(0.0, (done - before) / (now - then)) if now > then else 0.0
        left = total - done
        return Progress(done, total, rate, left / rate if rate > 0 and left > 0 else 0.0)

    def _count(self, size: int) -> Iterable[int]:
        """Count `size` bytes; the shares in which they have to be taken from the bandwidth."""
        with self._lock:
            self.done += size
            if not self._followed:
                self._mark(self.done)
        if self._bandwidth is None or not self._bandwidth.rate or size <= 0:
            return ()
        share = self._bandwidth.share
        return (min(share, size - start) for start in range(0, size, share))

    def _take(self, size: int) -> float:
        return self._bandwidth.take(size) if self._bandwidth is not None else 0.0

    def _mark(self, done: int) -> float:
        """Remember how far it is, once a second; forget all marks beyond the window but the youngest of them."""
        now = self._tick()
        if now - self._marks[-1][0] >= 1:
            self._marks.append((now, done))
        while len(self._marks) > 1 and self._marks[1][0] <= now - WINDOW:
            self._marks.popleft()
        return now


class Unmetered(Meter):
    """Counts and limits nothing: for small bytes of our own."""

    def __init__(self) -> None:
        self.done = self.total = 0

    @property
    def limit(self) -> float:
        """Any."""
        return 0.0

    def queue(self, number: int) -> None:
        """Nothing."""

    def follow(self, other: Meter) -> None:
        """Nothing."""

    def unfollow(self, other: Meter, *, count: bool) -> None:
        """Nothing."""

    def work(self, number: int) -> None:
        """Nothing."""

    def expect(self, size: int) -> None:
        """Nothing."""

    async def moved(self, size: int) -> None:
        """Nothing."""

    def moved_here(self, size: int, stop: Event) -> None:
        """Nothing."""

    def progress(self) -> Progress:
        """Nothing is known."""
        return Progress(0, 0, 0, 0)


#: One for all.
UNMETERED = Unmetered()
