"""How many wrong credentials an address has shown lately: who guesses waits, who shows a known one does not.

What must not enter: what a credential is.
"""

import ipaddress
from collections import OrderedDict, deque
from typing import Final

#: So many wrong ones within so many seconds shut an address out, until the oldest of them is that old.
MOST: Final = 10
WITHIN: Final = 60.0
#: Addresses remembered; those not heard of for the longest go first.
ADDRESSES: Final = 10_000


class Guesses:
    """Counts in memory of this process; `now` is a steady clock's."""

    def __init__(self) -> None:
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, address: str, now: float) -> float:
        """Seconds before another try from there, 0 = none."""
        tries = self._tries.get(block(address))
        while tries and tries[0] <= now - WITHIN:
            tries.popleft()
        return tries[0] + WITHIN - now if tries and len(tries) >= MOST else 0

    def begin(self, address: str, now: float) -> None:
        """A try begins: it counts as wrong until it is `forgiven`, so that many at once are no way around."""
        where = block(address)
        self._tries.setdefault(where, deque(maxlen=MOST)).append(now)
        self._tries.move_to_end(where)
        while len(self._tries) > ADDRESSES:
            self._tries.popitem(last=False)

    def forgiven(self, address: str, began: float) -> None:
        """The try of that instant was right."""
        tries = self._tries.get(block(address))
        if tries is not None and began in tries:
            tries.remove(began)


def block(address: str) -> str:
    """Who has one address of IPv6 has all 2^64 beside it: they count as one."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((found, 64), strict=False).network_address)
    return str(found)
