"""From the bytes of one message to what a reader sees: the event, or in its place why there is none.

Both transports read through here. What must not enter: NATS, guesses.
"""

from collections.abc import Mapping
from typing import Final, cast

from longshore_common import codec, subjects
from longshore_common.errors import Unreadable
from longshore_common.events import Event, Role
from longshore_common.log import Malformed
from longshore_common.subjects import Author

#: The author of what stands on no subject of ours.
NOBODY: Final = Author(cast(Role, "nobody"), "")


def read(subject: str, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[Author, Event | Malformed]:
    """(author, event) as `codec.decode`, `Malformed` instead of an error: one bad message must not stop a follower."""
    try:
        return codec.decode(subject, body, headers)
    except Unreadable as err:
        return _author(subject), Malformed(str(err))


def _author(subject: str) -> Author:
    try:
        return subjects.author(subject)
    except Unreadable:
        return NOBODY
