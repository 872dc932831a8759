"""The fold of what was submitted as GA4GH TES tasks: the row by which they are listed in their own words.

What must not enter: the words of TES themselves (see `adapters.tes`), SQL.
"""

import re
from typing import Any, Final

import msgspec

from longshore_api.core import archive
from longshore_api.core.memory import Memory
from longshore_common import events as e
from longshore_common.log import Recorded

#: The name of the interface in `TasksSubmitted.document`.
TES: Final = "tes"
#: Such a task keeps no attempt after an eviction: it ends as PREEMPTED.
ONCE: Final = {"evicted": 0}
_CONTENT: Final = re.compile(r"[0-9a-f]{16,64}")
_encode: Final = msgspec.json.Encoder().encode


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """A TES task as it was posted, without what its inputs hold; `contents`: ordinal of an input -> where that is kept.

    `warnings` are for its system log.
    """

    task: dict[str, Any]
    contents: dict[str, str] = {}
    warnings: tuple[str, ...] = ()


def submitted(memory: Memory, record: Recorded, event: e.TasksSubmitted) -> None:
    """A submission of the TES door has a row there too; one that only pretends to be one has none."""
    if TES not in event.document:
        return
    try:
        told = msgspec.convert(event.document[TES], Told)
    except (msgspec.ValidationError, RecursionError):
        return
    tags = {archive.clean(key): archive.clean(value) for key, value in event.tags.items()}
    contents = [place for place in told.contents.values() if _CONTENT.fullmatch(place)]
    spec = getattr(event.body, "spec", None)
    once = spec is not None and spec.retry_on == ONCE
    memory.changes.tes.append(
        (record.seq, archive.clean(event.name or ""), _encode(tags).decode(), _encode(told), contents, once)
    )
