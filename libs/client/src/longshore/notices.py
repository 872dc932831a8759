"""What the api says of notifications: rules, what was told by them, answers. What must not enter: asking for them."""

from datetime import datetime

from msgspec import Struct

from longshore_common.model import Notification


class Told(Struct, frozen=True, kw_only=True):
    """A notice: whether it was `sent`, or why not; `again`: when it is tried next, None = never."""

    id: str
    way: str
    occasion: str
    batch: str = ""
    made_at: datetime | None = None
    sent_at: datetime | None = None
    again: datetime | None = None
    tries: int = 0
    error: str = ""


class Rule(Struct, frozen=True, kw_only=True):
    """Whom to tell of what, since when; `told`: the newest notices by it, where it was asked for alone."""

    id: str
    user: str
    rule: Notification
    since: datetime | None = None
    told: tuple[Told, ...] = ()


class Made(Struct, frozen=True):
    """A new rule; `key`: what its webhook verifies signatures with, "" without one."""

    id: str
    key: str
    seq: int


class Removed(Struct, frozen=True):
    """Where in the log it is written."""

    seq: int


class Tested(Struct, frozen=True):
    """The ids of the notices of a test."""

    notices: tuple[str, ...]
