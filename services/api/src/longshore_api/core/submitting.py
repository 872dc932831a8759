"""The fold of submissions: one row and one span each, whatever their size; different specs stay together in blobs."""

import zlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from longshore_api.core import archive, tes, waiting
from longshore_api.core.memory import Memory
from longshore_api.core.rows import Submission
from longshore_api.core.spans import Span
from longshore_common import events as e
from longshore_common.log import Recorded
from longshore_common.model import Array, Parts, Specs, TaskSpec

#: Specs per blob: a page of a list decodes one or two of them.
CHUNK: Final = 256
#: Entries of an array per blob.
ENTRIES: Final = 2_000

_encode: Final = msgspec.json.Encoder().encode


def submitted(memory: Memory, record: Recorded, event: e.TasksSubmitted) -> None:
    """All tasks of the submission appear as one untouched span."""
    body, sid = event.body, record.seq
    submission = Submission(
        id=sid,
        user=record.author.name,
        batch=archive.clean(event.batch),
        size=max(0, _size(body)),
        name=archive.clean(event.name) if event.name else None,
        key=archive.clean(event.key),
        priority=event.priority,
        submitted_at=record.at,
        requires=_encode(event.requires).decode() if event.requires else None,
    )
    _keep_body(memory, record, submission, event)
    memory.submissions[sid] = submission
    if submission.size:
        state = "waiting" if waiting.begins_waiting(event) else "queued"
        submission.spans.append(Span(0, submission.size - 1, state))
        submission.counts[state] = submission.size
        memory.link(sid, sid, 0, submission.size - 1)
    memory.change(submission)
    tes.submitted(memory, record, event)
    batch = memory.batch(submission.batch)
    batch.size += submission.size
    batch.submissions += 1
    if submission.user not in batch.users:
        batch.users = [*batch.users, submission.user]
    if batch.submitted_at is None:
        batch.submitted_at = record.at


def part_sent(memory: Memory, record: Recorded, event: e.SubmissionPartSent) -> None:
    """Kept aside until the submission of this user and key closes it; of a repeated part the first counts."""
    parts = memory.pending.setdefault((record.author.name, event.key), {})
    if event.part not in parts:
        named = _keep_specs(memory, record, event.specs)
        owner = f"{record.author.name} {event.part} {archive.clean(event.key)}"
        memory.changes.parts.append((record.seq, owner, len(event.specs), named, None, 0))
        parts[event.part] = (record.seq, len(event.specs), named)


def _size(body: Array | Specs | Parts) -> int:
    return len(body.specs) if isinstance(body, Specs) else body.size


def _keep_body(memory: Memory, record: Recorded, submission: Submission, event: e.TasksSubmitted) -> None:
    match event.body:
        case Array() as body:
            submission.spec, submission.start, submission.step = _encode(body.spec), body.start, body.step
            if body.spec.name:
                submission.name = archive.clean(body.spec.name)
            for lo in range(0, len(body.entries), ENTRIES):
                some = body.entries[lo : lo + ENTRIES]
                memory.changes.specs.append((record.seq, lo, len(some), "entries", _pack(some)))
            if body.entries:
                _own_part(memory, submission, len(body.entries))
        case Specs() as body:
            submission.named = _keep_specs(memory, record, body.specs)
            _own_part(memory, submission, len(body.specs))
        case Parts():
            lo = 0
            for _, (seq, count, named) in sorted(memory.pending.pop((submission.user, event.key), {}).items()):
                memory.changes.parts_adopted.append((seq, submission.id, lo))
                submission.named |= named
                lo += count


def _own_part(memory: Memory, submission: Submission, count: int) -> None:
    """The submission's event brought its specs or entries itself."""
    memory.changes.parts.append((submission.id, "", count, submission.named, submission.id, 0))


def _keep_specs(memory: Memory, record: Recorded, specs: Sequence[TaskSpec]) -> bool:
    """Blobs of the specs, and runs of equal names; whether any has a name of its own."""
    for lo in range(0, len(specs), CHUNK):
        some = specs[lo : lo + CHUNK]
        memory.changes.specs.append((record.seq, lo, len(some), "specs", _pack(some)))
    lo = 0
    named = any(spec.name for spec in specs)
    if not named and isinstance(record.event, e.TasksSubmitted):
        return False  # of a part nobody knows yet whether a later one is named
    for at in range(1, len(specs) + 1):
        if at == len(specs) or specs[at].name != specs[lo].name:
            memory.changes.names.append((record.seq, lo, at - 1, archive.clean(specs[lo].name or "")))
            lo = at
    return named


def _pack(values: Any) -> bytes:
    return zlib.compress(_encode(values), 1)
