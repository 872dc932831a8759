"""What is revoked is told to the NATS servers at once: the account's claim, anew, with the keys that are void.

Every api process does it, and again now and then: the servers keep what they know, and take no older claim for a newer one.
What must not enter: who is revoked.
"""

import asyncio
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec
import structlog

from longshore_api.adapters.keyring import Keyring
from longshore_api.adapters.users import LIFE
from longshore_common import subjects
from longshore_common.adapters import nats_keys
from longshore_common.clock import Clock
from longshore_common.errors import LongshoreError, Unreadable
from longshore_common.log import Hints

log = structlog.get_logger()

#: Seconds between looks for what ended by itself, and after which the same is said again.
LOOK: Final = 0.5
REPEAT: Final = 30.0
_DEADLINE: Final = 5.0


class Operator(NamedTuple):
    """Who signs the account: the operator's seed, the account's public key, and its signing key's."""

    seed: str
    account: str
    signing: str


class _Answer(msgspec.Struct):
    error: dict[str, object] | None = None


class Claims:
    """`system` are the hints of a connection of the system account."""

    def __init__(self, ring: Keyring, system: Hints, operator: Operator, clock: Clock) -> None:
        self._ring = ring
        self._system = system
        self._operator = operator
        self._clock = clock
        self._void: dict[str, int] = {}
        self._claim = b""
        self._said = 0.0
        self._next = 0.0

    async def run(self) -> None:
        """For ever."""
        await self._ring.known()
        while True:
            try:
                await self.look()
            except LongshoreError as err:
                log.warning("revocations are not told to NATS", reason=str(err))
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._ring.changed.wait()

    async def look(self) -> None:
        """Say what is void, if that changed or was said long ago. Errors leave it to be said again."""
        now, steady = self._clock.now(), self._clock.steady()
        if self._ring.changed.is_set() or now >= self._next:
            self._ring.changed.clear()
            self._count(now)
        if self._claim and (not self._said or steady >= self._said + REPEAT):
            answer = await self._system.ask(subjects.CLAIMS_UPDATE, self._claim, deadline=_DEADLINE)
            if (refused := msgspec.json.decode(answer, type=_Answer).error) is not None:
                raise Unreadable(f"the server refuses the account's claim: {refused}")
            self._said = steady
            log.info("revocations told to NATS", keys=len(self._void))

    def _count(self, now: float) -> None:
        """What is void now; the next to end by itself is looked at then."""
        register = self._ring.register
        void, self._next = register.void_keys(now, LIFE), min(register.next_end(now), now + REPEAT)
        if void != self._void or (void and not self._claim):
            self._claim, self._void, self._said = self._signed(void), void, 0

    def _signed(self, void: dict[str, int]) -> bytes:
        holder = nats_keys.Holder("longshore", self._operator.account)
        return nats_keys.account_jwt(
            self._operator.seed, holder, signing_keys=[self._operator.signing], revoked=void
        ).encode()
