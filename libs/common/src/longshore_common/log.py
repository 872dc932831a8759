"""Ports to the world between services: the log, hints beside it, retained ones, and named bytes.

Two implementations each, `adapters.nats_log` and `adapters.memory_log`, held to one contract suite. What must not
enter: NATS words, retries by the caller (the adapter retries what is safe to repeat), decisions.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from longshore_common.events import Event
from longshore_common.subjects import Author


class Malformed(NamedTuple):
    """Stands where an event could not be read; `reason` shows the bytes."""

    reason: str


class Recorded(NamedTuple):
    """An event in its place: sequence, instant of appending (Unix seconds, the server's), author, subject, id."""

    seq: int
    at: float
    author: Author
    subject: str
    event: Event | Malformed
    id: str = ""
    traceparent: str = ""
    body: bytes = b""
    """The bytes as they stand in the log, perhaps deflated, where the transport has them at hand: for the archive."""


class Slice(NamedTuple):
    """Consecutive events in log order, and how many more the log held behind them when the last was sent."""

    records: list[Recorded]
    pending: int


class Entry(NamedTuple):
    """An event about to be appended. `id` makes a repeat harmless; `name` is the user or worker in the subject."""

    event: Event
    name: str
    id: str
    traceparent: str = ""


class Log(Protocol):
    """The append-only, totally ordered log."""

    async def append(self, entry: Entry, *, fence: int = 0, deadline: float = 10) -> int:
        """Append and return the sequence once it is on disk.

        A lost acknowledgement is retried with the same id until `deadline` seconds; a duplicate answers with the first
        one's sequence. With `fence`, `Deposed` if a leader-elected event later than that sequence exists.
        `Unreachable` when the log did not answer: it may or may not be in, repeat with the same id. `BadInput` if the
        event is too large for one message.
        """
        ...

    async def append_all(self, entries: Sequence[Entry], *, fence: int = 0, deadline: float = 10) -> int:
        """Append in this order and return the last one's sequence; all are in when it returns, else as `append`."""
        ...

    def follow(self, after: int, subjects: str = "log.>") -> AsyncIterator[Slice]:
        """All events past sequence `after`, for ever, in order, none twice, across reconnects; waits when there are none.

        `Trimmed` if the log begins later than that.
        """
        ...

    def deliveries(self, worker: str, after: int) -> AsyncIterator[Slice]:
        """What is addressed to this worker past `after`, by its durable consumer; handled when `handled` says so."""
        ...

    async def handled(self, worker: str, seq: int) -> None:
        """Everything delivered up to `seq` is in the worker's journal and need not be delivered again."""
        ...

    async def last(self) -> int:
        """The sequence of the newest event, 0 if there is none; `Unreachable` if the log does not answer."""
        ...


Answer = Callable[[bytes], Awaitable[bytes]]


class Hints(Protocol):
    """Core messages whose loss is harmless; never stored."""

    async def send(self, subject: str, body: bytes) -> None:
        """Fire and forget; silently lost while disconnected."""
        ...

    def listen(self, subject: str) -> AsyncIterator[tuple[str, bytes]]:
        """(subject, body) as they come."""
        ...

    async def ask(self, subject: str, body: bytes, *, deadline: float) -> bytes:
        """One answer, or `Unreachable` after `deadline` seconds or at once if nobody listens."""
        ...

    async def answer(self, subject: str, answer: Answer, *, shared: bool = False) -> None:
        """Answer questions on `subject` from now on; `shared`: any one of those who call this answers each."""
        ...


class Kept(NamedTuple):
    """What is retained by subject: with `whole` all there is, else what changed; empty bytes: nothing any more."""

    whole: bool
    values: dict[str, bytes]


class Retained(Protocol):
    """Hints of which the last on each subject is kept for who comes later. The store may be emptied at any time: whoever
    keeps something there says it again now and then.
    """

    async def keep(self, values: Mapping[str, bytes], *, deadline: float = 10) -> None:
        """Keep the last word on each of these subjects; empty bytes forget it. `Unreachable` if not all is stored."""
        ...

    async def subjects(self, *, deadline: float = 10) -> set[str]:
        """The subjects of which something is kept; `Unreachable` if the store does not answer."""
        ...

    def watch(self) -> AsyncIterator[Kept]:
        """All there is, then changes as they come, for ever; all again after each reconnect and now and then."""
        ...


class Blobs(Protocol):
    """Named bytes in buckets."""

    async def put(self, bucket: str, name: str, data: bytes) -> None:
        """Store, replacing what had this name; `Unreachable` if the store does not answer."""
        ...

    async def get(self, bucket: str, name: str) -> bytes | None:
        """The bytes, None if there are none of this name."""
        ...

    async def delete(self, bucket: str, name: str) -> None:
        """Forget; nothing happens if there is none."""
        ...


class Transport(Protocol):
    """One connection, four ports. Whoever opened it closes it."""

    @property
    def log(self) -> Log:
        """The log."""
        ...

    @property
    def hints(self) -> Hints:
        """Core messages beside it."""
        ...

    @property
    def retained(self) -> Retained:
        """Hints that stay."""
        ...

    @property
    def blobs(self) -> Blobs:
        """Buckets."""
        ...

    async def close(self) -> None:
        """Flush what was sent and let go; iterators end."""
        ...
