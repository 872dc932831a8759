"""Who may come in: credentials as the log has them, in memory, so that a door neither waits for PostgreSQL nor is open late.

A secret is `ls_<id>_<secret>`; the log has its argon2 digest. It is verified once, then recognised by a keyed digest that
this process alone can make. What must not enter: routes, what a visitor may do there, secrets in anything that is kept.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, NamedTuple

import asyncpg
import structlog
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from longshore_api.adapters import tables
from longshore_api.adapters.guesses import Guesses
from longshore_api.core.users import Credential, Register, Visitor
from longshore_common.clock import Clock, SystemClock
from longshore_common.errors import LongshoreError, Unreachable
from longshore_common.log import Log, Malformed

log = structlog.get_logger()

#: Where the facts are.
FACTS: Final = "log.api.fact"
#: The stack's own credential: the token in its file, whose holder is the owner.
STACK: Final = "stack"
#: OWASP's least for argon2id: 19 MiB, two passes. What is hashed has 256 bits, so it only has to be no bargain.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
#: Verified secrets that are recognised; more are verified again.
REMEMBERED: Final = 10_000
#: Verifications at once: each takes 20 ms of a core and 19 MiB.
_AT_ONCE: Final = 2
#: Those that wait for it at most, about a second's work: guesses from everywhere at once are not to fill the memory.
_QUEUE: Final = 100
_AGAIN: Final = 0.5
_PATIENCE: Final = 5
_SHAPE: Final = re.compile(r"ls_([a-z0-9]{4,32})_([A-Za-z0-9_-]{20,128})")


class Denied(LongshoreError):
    """These credentials are none, or void: show others."""


class TooMany(LongshoreError):
    """Too many wrong ones came from there: `after` seconds."""

    def __init__(self, after: float) -> None:
        super().__init__(f"too many wrong credentials came from your address: try again in {after:.0f} s")
        self.after = after


class Edges(NamedTuple):
    """Where the log begins, and where its newest fact is (0 = nowhere)."""

    first: int
    fact: int


AskEdges = Callable[[], Awaitable[Edges]]


class Made(NamedTuple):
    """A new secret: what is shown once, and what is kept."""

    id: str
    shown: str
    digest: str


def make() -> Made:
    """A new secret of 256 bits. Takes 20 ms of a core."""
    ident, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    return Made(ident, f"ls_{ident}_{secret}", _HASHER.hash(secret))


class Keyring:
    """One per process. `token` is the stack's own, of `owner`; "" admits nobody."""

    def __init__(self, token: str, owner: str, clock: Clock) -> None:
        self.owner = owner
        self.register = Register()
        self.changed = asyncio.Event()  # whoever waits for news clears it
        self._token = token.encode()
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, str] = OrderedDict()
        self._guesses = Guesses()
        self._verifying = asyncio.Semaphore(_AT_ONCE)
        self._queued = 0
        self._decoy = _HASHER.hash(secrets.token_urlsafe(32))
        self._position = 0
        self._read = asyncio.Event()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    @classmethod
    def alone(cls, token: str, owner: str) -> "Keyring":
        """One that reads no log: the stack's own token opens, nothing else does."""
        made = cls(token, owner, SystemClock())
        made.reached(0)
        return made

    # --- the door -------------------------------------------------------------------------------------------------------

    async def visitor(self, shown: str, address: str) -> Visitor:
        """Who shows this. `Denied`, or `TooMany` for an address that guesses; `Unreachable` before users are known."""
        if shown and self._token and hmac.compare_digest(shown.encode(), self._token):
            return Visitor(self.owner, "admin", STACK)
        found = await self._credential(shown, address)
        visitor = self.register.visitor(found)
        if visitor is None:
            raise Denied(f"credential {found.id} is a {found.kind} credential, which does not open this door")
        return visitor

    async def admits_host(self, shown: str, address: str) -> bool:
        """Whether this is a join secret that counts; errors as `visitor`."""
        with suppress(Denied):
            return (await self._credential(shown, address)).kind == "join"
        return False

    def standing(self, ident: str) -> Visitor | None:
        """Who comes with this credential now; None if it is void. For sessions, which know it by its id."""
        if ident == STACK:
            return Visitor(self.owner, "admin", STACK) if self._token else None
        found = self.register.standing(ident, self._clock.now())
        return None if found is None else self.register.visitor(found)

    async def _credential(self, shown: str, address: str) -> Credential:
        mark = hashlib.blake2b(shown.encode(), key=self._key, digest_size=32).digest()
        ident = self._known.get(mark)
        if ident is None:
            ident = await self._verified(shown, address)
            self._known[mark] = ident
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        found = self.register.standing(ident, self._clock.now())
        if found is None:
            known = self.register.credentials[ident]
            why = f"is revoked ({known.reason})" if known.revoked and known.reason else "is revoked or has expired"
            raise Denied(f"credential {ident} {why}: ask an admin of this stack for another")
        return found

    async def _verified(self, shown: str, address: str) -> str:
        """The id of what is shown, after looking at its secret; takes as long whether the id is known or not."""
        if not shown:
            raise Denied("show an api secret: Authorization: Bearer <api secret>; an admin makes one for you")
        began = self._clock.steady()
        if (wait := self._guesses.wait(address, began)) > 0:
            raise TooMany(wait)
        if not self._read.is_set():
            raise Unreachable("this api has not read who its users are yet: ask again in a moment")
        self._guesses.begin(address, began)
        shape = _SHAPE.fullmatch(shown)
        known = self.register.credentials.get(shape[1]) if shape else None
        if shape is not None:
            right = await self._right(known.digest if known else self._decoy, shape[2])
            if right and known is not None:
                self._guesses.forgiven(address, began)
                return known.id
        raise Denied("these credentials are unknown: Authorization: Bearer <api secret>; an admin makes one for you")

    async def _right(self, digest: str, secret: str) -> bool:
        if self._queued >= _QUEUE:
            raise Unreachable("too many unknown credentials are being looked at: show yours again in a moment")
        self._queued += 1
        try:
            async with self._verifying:
                return await asyncio.to_thread(_matches, digest, secret)
        finally:
            self._queued -= 1

    # --- reading --------------------------------------------------------------------------------------------------------

    async def run(self, source: Log, edges: AskEdges, url: str) -> None:
        """Follow the log's facts for ever; what was before them comes from the read model."""
        while True:
            try:
                await self._follow(source, await edges(), url)
            except (LongshoreError, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as err:
                log.warning("users are not read, known ones stay", reason=str(err) or type(err).__name__)
                await asyncio.sleep(_AGAIN)

    async def _follow(self, source: Log, edges: Edges, url: str) -> None:
        after = self._position
        if after + 1 < edges.first or not after:
            after = await self._base(url, needed=edges.first > 1)
        if after + 1 < edges.first:
            raise Unreachable(f"the log begins at {edges.first}, and the read model is only at {after}")
        if after >= edges.fact:
            self.reached(after)
        async for piece in source.follow(after, FACTS):
            for record in piece.records:
                if not isinstance(record.event, Malformed):
                    self.register.take(record.event, record.seq, record.at)
            self._position = piece.records[-1].seq
            if self._position >= edges.fact:
                self.reached(self._position)

    async def _base(self, url: str, *, needed: bool) -> int:
        try:
            return await self._stored(url)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as err:
            if needed:
                raise
            log.warning("users are read from the log alone", reason=str(err) or type(err).__name__)
            return 0

    async def _stored(self, url: str) -> int:
        """Accounts and credentials of the read model; the sequence they stand at."""
        connection = await asyncpg.connect(url, timeout=_PATIENCE, command_timeout=_PATIENCE)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                position = int(await connection.fetchval("SELECT seq FROM position"))
                for row in await connection.fetch(tables.USERS):
                    self.register.put(row["kind"], row["value"], row["seq"])
        finally:
            await connection.close(timeout=2)
        return position

    def reached(self, position: int) -> None:
        """Everything up to here is known."""
        self._position = max(self._position, position)
        self._read.set()
        self.changed.set()
        for after, future in self._waiting:
            if after <= self._position and not future.done():
                future.set_result(None)
        self._waiting = [(after, future) for after, future in self._waiting if not future.done()]

    async def known(self) -> None:
        """Returns once all users are."""
        await self._read.wait()

    async def passed(self, seq: int, patience: float = 5) -> bool:
        """True once the fact at `seq` is known here, False if it is not within `patience` seconds."""
        if seq <= self._position:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((seq, future))
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await future
        return seq <= self._position


def _matches(digest: str, secret: str) -> bool:
    try:
        return _HASHER.verify(digest, secret)
    except (VerificationError, InvalidHashError):
        return False
