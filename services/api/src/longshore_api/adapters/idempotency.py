"""What a request with an Idempotency-Key was answered, so that a repeat gets the same answer and is done once.

Kept in memory and in PostgreSQL, for a week. While PostgreSQL is away a repeat is still harmless: the events it appends have
ids made of its key, which the log knows for ten minutes, and the dispatcher knows the keys of submissions for longer. What
must not enter: what requests do.
"""

import asyncio
from collections import OrderedDict
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import structlog

from longshore_api.adapters.reader import Reader
from longshore_common.clock import Clock
from longshore_common.errors import BadInput, Conflict, LongshoreError

log = structlog.get_logger()

#: Seconds for which a key is known.
KEPT: Final = 7 * 86_400.0
#: Seconds PostgreSQL may take for it, and for which it is not asked again when it did not answer.
PATIENCE: Final = 0.5
PAUSE: Final = 5.0
#: Keys remembered in memory.
REMEMBERED: Final = 10_000
_SWEEP: Final = 3_600.0
_PLAIN: Final = frozenset(map(chr, range(33, 127)))


class Once(NamedTuple):
    """A request with a key: whose, the key, and a digest of what was asked."""

    user: str
    key: str
    digest: bytes


def checked(key: str) -> str:
    """The key itself; `BadInput` unless it is 1-128 visible ASCII characters."""
    if not 1 <= len(key) <= 128 or not _PLAIN.issuperset(key):
        raise BadInput("Idempotency-Key: use 1-128 letters, digits or signs of ASCII, without spaces")
    return key


def event_id(user: str, key: str, n: int = 0) -> str:
    """The id of the n-th event of a request: the same for a repeat, and no other user's."""
    return f"{blake2b(f'{user} {key}'.encode(), digest_size=16).hexdigest()}.{n}"


class Idempotency:
    """The answers of a process, shared with the others by PostgreSQL."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], tuple[bytes, bytes]] = OrderedDict()
        self._silent_until = 0.0
        self._swept = -_SWEEP
        self._asking: set[asyncio.Future[list[Any]]] = set()

    async def answer(self, once: Once) -> bytes | None:
        """What this very request was answered, None if it is new; `Conflict` if the key was used for another one."""
        found = self._known.get((once.user, once.key)) or await self._read(once)
        if found is None:
            return None
        digest, answer = found
        if digest != once.digest:
            raise Conflict("this Idempotency-Key was used for another request: give each request its own key")
        return answer

    async def keep(self, once: Once, answer: bytes) -> None:
        """Remember it; that it could not be written down is no failure of the request, which the log has."""
        self._known[(once.user, once.key)] = (once.digest, answer)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        now = self._clock.now()
        await self._asked(
            "INSERT INTO idempotency (user_name, key, digest, answer, at) VALUES ($1, $2, $3, $4, $5) "
            "ON CONFLICT (user_name, key) DO NOTHING",
            once.user, once.key, once.digest, answer, now,
        )  # fmt: skip
        if now - self._swept > _SWEEP:
            self._swept = now
            await self._asked("DELETE FROM idempotency WHERE at < $1", now - KEPT)

    async def _read(self, once: Once) -> tuple[bytes, bytes] | None:
        rows = await self._asked(
            "SELECT digest, answer FROM idempotency WHERE user_name = $1 AND key = $2 AND at > $3",
            once.user, once.key, self._clock.now() - KEPT,
        )  # fmt: skip
        return (rows[0]["digest"], rows[0]["answer"]) if rows else None

    async def _asked(self, sql: str, *args: object) -> list[Any]:
        """Rows, or none while PostgreSQL is away: submitting goes on without it."""
        if self._clock.steady() < self._silent_until:
            return []
        asking = asyncio.ensure_future(self._reader.fetch(sql, *args))
        # not cancelled when it is late: to take back a statement takes as long as PostgreSQL takes to hear of it
        self._asking.add(asking)
        asking.add_done_callback(self._heard)
        done, _ = await asyncio.wait({asking}, timeout=PATIENCE)
        if done and asking.exception() is None:
            return asking.result()
        self._silent_until = self._clock.steady() + PAUSE
        log.warning("idempotency keys are not shared", reason=str(asking.exception()) if done else "PostgreSQL is slow")
        return []

    def _heard(self, asking: "asyncio.Future[list[Any]]") -> None:
        self._asking.discard(asking)
        if (
            not asking.cancelled()
            and isinstance(err := asking.exception(), Exception)
            and not isinstance(err, LongshoreError)
        ):
            log.error("an idempotency key could not be looked up", reason=repr(err), exc_info=err)
