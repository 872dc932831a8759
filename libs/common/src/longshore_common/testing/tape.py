"""A log on a list for tests of pure folds: events become records with a place, an instant and an author.

Each passes through the codec, so a test cannot use what the wire cannot carry. What must not enter: any service.
"""

from longshore_common import codec, subjects
from longshore_common.events import AUTHOR, Event, Role
from longshore_common.log import Malformed, Recorded
from longshore_common.subjects import Author


class Tape:
    """Records in order; `now` is the instant the next one gets, moved by whoever holds the tape."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now
        self.records: list[Recorded] = []

    def add(self, event: Event, name: str = "") -> Recorded:
        """Append an event by (or, for work and signals, to) the user or worker `name`."""
        role = AUTHOR[type(event)]
        subject = subjects.of(event, name or ("ada" if role == "user" else ""))
        body, headers = codec.encode(event)
        author, decoded = codec.decode(subject, body, headers)
        return self._keep(subject, author, decoded)

    def rubbish(self, role: Role, name: str, what: str = "wish", reason: str = "no event") -> Recorded:
        """Append something unreadable by a permitted author."""
        return self._keep(f"log.{role}.{name}.{what}", Author(role, name), Malformed(reason))

    def _keep(self, subject: str, author: Author, event: Event | Malformed) -> Recorded:
        record = Recorded(len(self.records) + 1, self.now, author, subject, event)
        self.records.append(record)
        return record
