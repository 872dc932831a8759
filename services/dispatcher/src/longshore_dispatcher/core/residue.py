"""What is kept of an ended submission so that its things can be removed when their time is over.

One packed record per submission, whatever its size, and only where something may have to be removed. What must not
enter: which worker removes it, and when a turn says so (`sweeping`).
"""

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

from longshore_common.model import Retention, Swept
from longshore_dispatcher.core.content import Content
from longshore_dispatcher.core.edition import Edit
from longshore_dispatcher.core.ranges import Ranges, Run, whole

#: Without a retention, in case one is set later, no more than so many bytes are kept of a submission.
SMALL: Final = 2048
#: Tries of a sweep that could not remove all, and seconds before the second one (then doubled).
TRIES: Final = 6
FIRST_WAIT: Final = 600.0


class Remains(Struct, array_like=True, gc=False):
    """What a sweep must know of the tasks: what they are, how they ended, and their last attempts where not the first."""

    content: Content
    failed: Ranges
    cancelled: Ranges
    tried: Ranges
    numbers: dict[int, int]
    edits: list[Edit] = []

    def number(self, index: int) -> int:
        """The last attempt of a task."""
        return self.numbers.get(index, 1)


class Residue(Struct, array_like=True, gc=False):
    """An ended submission whose things may have to go; `at` is when it ended, which counts for all its tasks.

    `keys` say what there still is: `outputs`, `failed`, `inputs`, and `logs/<worker>` for each worker that ran any of it.
    `left` are the ordinals still to be swept where it has begun, `later` not before when after a sweep that left some.
    """

    id: int
    user: str
    batch: str
    size: int
    at: float
    body: bytes
    keys: list[str]
    ran: list[str]
    left: dict[str, Ranges] = {}
    later: dict[str, float] = {}
    tries: dict[str, int] = {}

    def remains(self) -> Remains:
        """The packed part."""
        return _unpack(self.body)

    def due(self, key: str, retention: Retention) -> float | None:
        """When this is to be removed; None if it is kept for ever."""
        seconds: float = getattr(retention, what(key))
        return max(self.at + seconds, self.later.get(key, 0.0)) if seconds else None

    def open(self, key: str, remains: Remains) -> Ranges:
        """The ordinals whose things of this kind are still there."""
        if (left := self.left.get(key)) is not None:
            return left
        return _all(key, self.size, remains)


class Sweep(Struct, array_like=True, gc=False):
    """A sweep under way on a worker since `at`."""

    worker: str
    submission: int
    key: str
    runs: list[Run]
    at: float


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(Remains).decode


def pack(remains: Remains) -> bytes:
    """As it is kept."""
    return _pack(remains)


def what(key: str) -> Swept:
    """The kind of thing a key stands for."""
    kind = key.partition("/")[0]
    return "logs" if kind == "logs" else "failed" if kind == "failed" else "inputs" if kind == "inputs" else "outputs"


def target(key: str) -> str:
    """The one worker that can remove it, "" if any can."""
    return key.partition("/")[2]


def _all(key: str, size: int, remains: Remains) -> Ranges:
    found = Ranges()
    for lo, hi in _runs(key, size, remains):
        found.add(lo, hi)
    content = remains.content
    for k, blob in enumerate(content.blobs):
        if not blob:  # forgotten at an earlier end, when nobody had asked for a retention yet
            found.cut(content.firsts[k], content.firsts[k + 1] - 1 if k + 1 < len(content.firsts) else size - 1)
    return found


def _runs(key: str, size: int, remains: Remains) -> Iterator[Run]:
    """Ordinals that have things of this kind; what ended without an attempt has none but its inputs."""
    tried = remains.tried
    match what(key):
        case "inputs":
            yield 0, size - 1
        case "outputs":
            yield from _succeeded(size, remains).runs
        case "failed":
            for ended in (remains.failed, remains.cancelled):
                for lo, hi in ended.runs:
                    yield from tried.within(lo, hi)
            for index in remains.numbers:  # earlier attempts of those that succeeded in the end
                yield index, index
        case "logs":
            yield from _succeeded(size, remains).runs
            yield from tried.runs


def _succeeded(size: int, remains: Remains) -> Ranges:
    left = whole(size)
    for ended in (remains.failed, remains.cancelled):
        for lo, hi in ended.runs:
            left.cut(lo, hi)
    return left
