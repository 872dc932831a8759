"""Patience with a server: what is worth another try, after which pause, and when it is enough.

Pauses double and are spread, so that a hundred workers which a server sent away together do not come back together. What
must not enter: requests, error words.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING, Final, TypeVar

from longshore_data.store import StoreError
from longshore_data.stores.s3_client import Changed, Clients, S3Settings, translated

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

R = TypeVar("R")

#: Tries of one request, or of what a broken body still lacks; any byte that came begins the count anew.
TRIES: Final = 6
#: Seconds since anything went after which no new try begins: an unreachable server is known as such in half a minute.
WITHIN: Final = 20.0
#: The first pause and the longest, seconds.
FIRST: Final = 0.2
LONGEST: Final = 4.0


class Patience:
    """The tries of one thing."""

    def __init__(self) -> None:
        self._failed, self._since, self._moved = 0, monotonic(), False

    def moved(self) -> None:
        """Something went: the server works."""
        self._moved = True

    async def after(self, err: StoreError) -> None:
        """Rest before the next try, or raise `err` if none is worth it."""
        if self._moved:
            self._failed, self._since, self._moved = 0, monotonic(), False
        self._failed += 1
        hopeless = not err.retriable or err.disk_full or isinstance(err, Changed)
        if hopeless or self._failed >= TRIES or monotonic() - self._since > WITHIN:
            raise err
        spread = 0.5 + (monotonic_ns() // 1000 % 1000) / 1000
        await asyncio.sleep(min(LONGEST, FIRST * 2 ** (self._failed - 1)) * spread)


async def again(work: Callable[[], Awaitable[R]]) -> R:
    """`work`, which raises `StoreError`, until it succeeds or patience ends."""
    patience = Patience()
    while True:
        try:
            return await work()
        except StoreError as err:
            await patience.after(err)


class Talk:
    """Requests to one server as one identity: those that `botocore` makes, with their errors told."""

    def __init__(self, clients: Clients, settings: S3Settings) -> None:
        self._clients, self._settings = clients, settings

    async def ask(self, doing: str, work: Callable[["S3Client"], Awaitable[R]]) -> R:
        """What `work` gets from the client, repeated as often as is worth it; `StoreError` says what was being done."""
        return await again(lambda: self.once(doing, work))

    async def once(self, doing: str, work: Callable[["S3Client"], Awaitable[R]]) -> R:
        """The same, one try."""
        client = await self._clients.get(self._settings)
        try:
            return await work(client)
        except Exception as err:
            raise translated(err, doing) from err
