"""Which kept things go when room is needed: the least recently used that nobody uses.

Pure book-keeping by name. What must not enter: disks, the clock (the order of calls is the order of use).
"""


class Shelf:
    """Names with sizes (bytes) and users, the least recently used first. `most`: bytes to keep, 0 = no limit."""

    def __init__(self, most: int = 0) -> None:
        self.most = most
        self.size = 0
        self._sizes: dict[str, int] = {}  # in order of use
        self._users: dict[str, set[str]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._sizes

    def __len__(self) -> int:
        return len(self._sizes)

    def put(self, name: str, size: int) -> None:
        """It is here now, and was used last."""
        self.drop(name)
        self._sizes[name] = size
        self.size += size

    def touch(self, name: str) -> None:
        """It was used last."""
        self._sizes[name] = self._sizes.pop(name)

    def hold(self, name: str, user: str) -> None:
        """`user` needs it until `release`; it need not be here yet."""
        self._users.setdefault(name, set()).add(user)

    def release(self, user: str) -> list[str]:
        """`user` needs nothing any more; the names that nobody uses since."""
        idle = []
        for name, users in list(self._users.items()):
            if user in users:
                users.discard(user)
                if not users:
                    del self._users[name]
                    idle.append(name)
        return idle

    def used(self, name: str) -> bool:
        """Whether anybody needs it."""
        return name in self._users

    def drop(self, name: str) -> None:
        """It is not here any more; its users are remembered."""
        self.size -= self._sizes.pop(name, 0)

    def excess(self, lacking: int = 0) -> int:
        """Bytes to give up: above `most`, or `lacking` on the disk, whichever is more."""
        return max(0, lacking, self.size - self.most if self.most else 0)

    def victims(self, wanted: int) -> list[str]:
        """The least recently used of the unused that free `wanted` bytes together, or all unused if they do not suffice."""
        chosen: list[str] = []
        for name, size in self._sizes.items():
            if wanted <= 0:
                break
            if name not in self._users:
                chosen.append(name)
                wanted -= size
        return chosen
