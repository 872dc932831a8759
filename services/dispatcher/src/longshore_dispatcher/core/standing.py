"""What is remembered of how a worker did: its fast failures of late, and its quarantine. Part of the state.

What must not enter: rules (`trust` has them).
"""

from msgspec import Struct


class Strike(Struct, array_like=True):
    """A fast failure on a worker at log time `at` and place `seq`, of attempts of this kind (see `trust.kind`).

    `level`: 0 says nothing about the host, 1 makes it suspect, 2 is sure to be the host's.
    """

    at: float
    submission: int
    index: int
    batch: str
    cause: str
    kind: str
    level: int = 0
    seq: int = 0


class Standing(Struct, omit_defaults=True):
    """How far a worker is trusted. `quarantine`: why it is not, "" if it is; until `until`, which was `pause` s ahead.

    `probe`: the attempt that tries it out; `passed`: that went well. `examined`: its doctor was ordered.
    """

    strikes: list[Strike] = []
    quarantine: str = ""
    until: float = 0.0
    pause: float = 0.0
    probe: str = ""
    passed: bool = False
    examined: bool = False


class Trials:
    """Derived from the standings of workers: by name those with strikes, those with any that count, those in quarantine,
    and by task the workers it struck.
    """

    __slots__ = ("accused", "quarantined", "struck", "suspects")

    def __init__(self) -> None:
        self.suspects: dict[str, None] = {}
        self.accused: dict[str, None] = {}
        self.quarantined: dict[str, None] = {}
        self.struck: dict[tuple[int, int], dict[str, None]] = {}


class Seen:
    """Which workers were looked at for what they should give back: those that changed up to `stamp` had nothing, but for
    those that are to be looked at `again`. A memory of answers, and nothing else.
    """

    __slots__ = ("again", "paused", "stamp")

    def __init__(self, paused: frozenset[str] = frozenset(), stamp: int = 0) -> None:
        self.paused, self.stamp = paused, stamp
        self.again: dict[str, None] = {}


class Staged(Struct, array_like=True, gc=False):
    """What an attempt has fetched: `done` of `total` bytes (0 = not known), between two instants of its agent's clock."""

    since: float
    at: float
    done: int = 0
    total: int = 0
