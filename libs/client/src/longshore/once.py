"""The pen of a command that writes one wish and goes: no event loop, no connection kept.

Same keys, same bookmark and same events as `writer`. What must not enter: asyncio, waiting, many messages.
"""

from typing import Final

from longshore import chance
from longshore.bookmark import Bookmark
from longshore.choosing import by_http
from longshore.records import Submitted
from longshore_common import events as e
from longshore_common.adapters.nats_once import append_once
from longshore_common.errors import Unreachable
from longshore_common.log import Entry
from longshore_common.parts import size_of
from longshore_common.profile import Profile

#: Seconds for which a refused connection is tried again: a server that starts anew is not away.
REFUSED_FOR: Final = 1.0


def wish(profile: Profile, bookmark: Bookmark, event: e.Event, *, key: str = "", deadline: float = 10) -> int:
    """Append one event of this user; its sequence once it is on disk. `Unreachable` names the fix."""
    key = key or chance.new_key()
    entry = Entry(event, profile.user, key, chance.traceparent(key))
    if by_http(profile):
        from longshore.over_http import append  # here, because others need no HTTP to write
        from longshore.reader import Reader

        seq = append(Reader(profile, bookmark), entry, deadline)
        bookmark.saw(seq)
        return seq
    try:
        seq = append_once(profile.nats_url, profile.nats_creds, entry, deadline=deadline, refused_for=REFUSED_FOR)
    except Unreachable as err:
        raise Unreachable(
            f"{err}: see `longshore status`, start the stack with `longshore up`, or submit with --spool"
        ) from err
    bookmark.saw(seq)
    return seq


def submit(profile: Profile, bookmark: Bookmark, event: e.TasksSubmitted) -> Submitted:
    """One submission in one event."""
    size = size_of(event.body)
    seq = wish(profile, bookmark, event, key=event.key)
    bookmark.submitted(seq, size)
    return Submitted(id=seq, size=size, key=event.key)
