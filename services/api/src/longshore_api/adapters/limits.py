"""How often one credential may ask: a bucket of tokens for each, in this process. What must not enter: who may ask at all."""

from collections import OrderedDict
from math import ceil
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.exceptions import TooManyRequestsException
from litestar.handlers import BaseRouteHandler

from longshore_common.clock import Clock

#: Requests a second that a credential may send on and on, and how many seconds' worth at once.
RATE: Final = 5_000.0
BURST: Final = 2.0
#: Credentials remembered; who was silent longest is forgotten, and begins anew.
KNOWN: Final = 10_000


class Limits:
    """Buckets by credential; a rate of 0 = no limit."""

    def __init__(self, clock: Clock, rate: float = RATE) -> None:
        self._clock = clock
        self._rate = rate
        self._full = max(1.0, rate * BURST)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, credential: str) -> float:
        """0 if it may ask now, else the seconds after which it may."""
        if not self._rate:
            return 0.0
        now = self._clock.steady()
        left, at = self._buckets.get(credential, (self._full, now))
        left = min(self._full, left + (now - at) * self._rate)
        wait = 0.0 if left >= 1 else (1 - left) / self._rate
        self._buckets[credential] = (left if wait else left - 1, now)
        self._buckets.move_to_end(credential)
        if len(self._buckets) > KNOWN:
            self._buckets.popitem(last=False)
        return wait


async def within_limits(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: 429 with Retry-After for who asks too often; after `admit`."""
    limits: Limits | None = connection.app.state.house.limits
    visitor = connection.scope["user"]
    if limits is not None and (wait := limits.take(visitor.credential or visitor.user)):
        raise TooManyRequestsException(
            f"too many requests with this credential: wait {wait:.1g} s, ask for more at once, or follow /events",
            headers={"Retry-After": str(ceil(wait))},
        )
