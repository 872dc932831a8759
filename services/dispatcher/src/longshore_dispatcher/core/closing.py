"""The record of a finished submission. What must not enter: how many are kept, and how."""

from msgspec import Struct

from longshore_dispatcher.core.ranges import Run


class Closed(Struct, array_like=True, gc=False):
    """A finished submission. `revive` holds what a retry needs, if a task may be retried; `first`: a duplicate of that.

    `deleted`: those that no list shows.
    """

    id: int
    user: str
    batch: str
    key: str
    size: int
    at: float
    succeeded: int = 0
    failed: list[Run] = []
    cancelled: list[Run] = []
    rejected: str = ""
    first: int = 0
    revive: bytes = b""
    deleted: list[Run] = []
    mark: int = 0

    @property
    def plain(self) -> bool:
        """Whether all of it succeeded and is shown: then its numbers say everything."""
        odd = self.failed or self.cancelled or self.rejected or self.first or self.revive or self.deleted
        return not odd and self.succeeded == self.size > 0
