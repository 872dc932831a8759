"""What all events have in common: how they are written, and who may write one.

What must not enter: any single event.
"""

from typing import Literal

from msgspec import Struct

Role = Literal["user", "dispatch", "recruit", "worker", "api"]


def _tag(name: str) -> str:
    """`TasksSubmitted` -> `tasks-submitted`."""
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).removeprefix("-")


class Event(
    Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="type", tag=_tag
):
    """Base of all events; the tag is the class name in kebab case."""
