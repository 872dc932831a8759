"""What the api writes: wishes in the name of a user who was let in, and its own facts. What must not enter: who may what."""

import secrets
from typing import Final

from longshore_common.events import AUTHOR, Event
from longshore_common.log import Entry, Log

#: Seconds an append may take.
DEADLINE: Final = 10.0


class Pen:
    """Appends to the log; each call returns the sequence once it is on disk, `Unreachable` if the log is away."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def wish(self, user: str, event: Event, key: str = "") -> int:
        """A wish of this user; the same `key` never counts twice within the log's duplicate window."""
        if AUTHOR[type(event)] != "user":
            raise TypeError(f"{type(event).__name__} is no wish of a user")
        return await self._log.append(Entry(event, user, key or secrets.token_hex(16)), deadline=DEADLINE)

    async def fact(self, event: Event, key: str = "") -> int:
        """A fact that the api establishes."""
        if AUTHOR[type(event)] != "api":
            raise TypeError(f"{type(event).__name__} is no fact of the api")
        return await self._log.append(Entry(event, "api", key or secrets.token_hex(16)), deadline=DEADLINE)
