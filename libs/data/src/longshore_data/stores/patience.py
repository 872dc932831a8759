"""How long a store waits for servers that are far away and not its own, and how often it asks again.

What must not enter: protocols, what is asked.
"""

import asyncio
import os
import zlib
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeVar

from longshore_data.store import StoreError

R = TypeVar("R")

#: A try that gained so many bytes was not in vain: the count of tries begins anew.
WORTH: Final = 1 << 20


class Patience(NamedTuple):
    """Limits of one store, seconds but for `tries`, which are those in a row that gained (nearly) nothing.

    The wait after a failure starts at `first` and doubles up to `longest`; what a server asks for is granted up to
    `asked`. `connect`: for a connection to be made; `silence`: for the next byte of an answer.
    """

    tries: int = 8
    first: float = 1.0
    longest: float = 60.0
    asked: float = 300.0
    connect: float = 20.0
    silence: float = 60.0


class Passing(StoreError):
    """It failed, and asking again may help; `after`: not before so many seconds, the server says (None: it does not)."""

    def __init__(self, words: str, *, after: float | None = None) -> None:
        super().__init__(words, retriable=True)
        self.after = after


class Changed(Passing):
    """What is fetched is not what it was when the fetch began: what came so far is worth nothing."""


def nothing() -> int:
    """For work whose failed tries leave nothing behind."""
    return 0


async def insist(work: Callable[[], Awaitable[R]], patience: Patience, gained: Callable[[], int] = nothing) -> R:
    """`work`, asked again as long as it fails in passing; `gained()` says how many bytes there are so far."""
    failed = 0
    while True:
        before = gained()
        try:
            return await work()
        except Passing as err:
            failed = 1 if gained() >= before + WORTH else failed + 1
            rest = _rest(patience, failed) if err.after is None else err.after
            if failed >= patience.tries or rest > patience.asked:
                raise
        await asyncio.sleep(rest)


def _rest(patience: Patience, failed: int) -> float:
    """The wait after so many failures, spread so that a thousand hosts do not come back at the same instant."""
    spread = zlib.crc32(f"{os.uname().nodename} {os.getpid()} {failed}".encode()) / 0xFFFFFFFF
    full: float = min(patience.longest, patience.first * 2 ** (failed - 1))
    return full * (0.5 + spread / 2)
