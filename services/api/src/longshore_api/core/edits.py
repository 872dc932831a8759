"""The fold of edits: rows that are only ever added, so that what a task was at any time can be read from them.

What must not enter: what an edit makes of a spec (`longshore_common.editing`), SQL.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from longshore_api.core.memory import Memory
from longshore_common import editing
from longshore_common import events as e
from longshore_common.errors import BadInput
from longshore_common.log import Recorded
from longshore_common.model import Change, TaskSpec

_encode: Final = msgspec.json.Encoder().encode
_change: Final = msgspec.json.Decoder(Change).decode


def edited(memory: Memory, record: Recorded, event: e.TasksEdited) -> None:
    """One row per range: the edit, or what became of an earlier one."""
    change = None if event.undoes else _encode(event.change).decode()
    for run in event.tasks:
        if 0 <= run.lo <= run.hi < 1 << 62:
            memory.link(record.seq, run.submission, run.lo, run.hi)
            row = (run.submission, run.lo, run.hi, record.seq, event.undoes, event.restored, change)
            memory.changes.edits.append(row)


def applied(spec: TaskSpec, rows: Iterable[Mapping[str, Any]]) -> TaskSpec:
    """What a task is after these rows, which name it, in the order of their sequences."""
    for change in changes(rows):
        try:
            spec = editing.edited(spec, change)
        except BadInput:
            continue
    return spec


def changes(rows: Iterable[Mapping[str, Any]]) -> Sequence[Change]:
    """The edits that hold after these rows, the first made first."""
    made: dict[int, Change] = {}
    held: set[int] = set()
    for row in rows:
        if not row["undoes"]:
            made[row["seq"]] = _change(row["change"])
            held.add(row["seq"])
        elif row["restored"]:
            held.add(row["undoes"])
        else:
            held.discard(row["undoes"])
    return [made[seq] for seq in sorted(held & made.keys())]
