"""A clock that moves when told to. What must not enter: the machine's time."""


class Stopped:
    """Both clocks stand at `at` (seconds); `set_ahead` is by how much people have set the one that is told."""

    def __init__(self, at: float = 5000.0) -> None:
        self.at = at
        self.set_ahead = 0.0

    def now(self) -> float:
        """What is told."""
        return self.at + self.set_ahead

    def steady(self) -> float:
        """What measures."""
        return self.at
