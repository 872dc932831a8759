"""What the journal says, folded: where a restarted agent goes on.

What must not enter: acting on it.
"""

from collections.abc import Iterable

from msgspec import Struct

from longshore_agent.adapters import journal as j
from longshore_agent.core.attempts import Attempts
from longshore_common import events as e


class Memory(Struct):
    """Attempts as they were, reports the log may not have, the number of the last life, the last spawner's id."""

    attempts: Attempts
    reports: list[e.AttemptsReported]
    life: int = 0
    spawner: str = ""


def recalled(records: Iterable[j.AnyRecord], slots: int) -> Memory:
    """The fold of a journal; `slots` counts until the dispatcher has resized this worker."""
    memory = Memory(Attempts(slots), [])
    for record in records:
        _fold(memory, record)
    if not memory.attempts.resized:
        memory.attempts.slots = slots
    memory.attempts = memory.attempts.rebuilt()
    return memory


def state(memory: Memory) -> j.State:
    """The one record that says the same."""
    attempts = memory.attempts
    return j.State(
        memory.life,
        attempts.heard,
        attempts.slots,
        attempts.prefetch,
        attempts.resized,
        attempts.paused,
        tuple(attempts.held.values()),
        tuple(memory.reports),
        memory.spawner,
        errands=tuple(attempts.errands.items()),
        prefetch_percent=attempts.prefetch_percent,
        batch=attempts.batch,
    )


def _fold(memory: Memory, record: j.AnyRecord) -> None:
    match record:
        case j.Lived():
            memory.life = record.life
        case j.Heard():
            _hear(memory, record)
        case j.Errand():
            memory.attempts.errands.pop(record.seq, None)
        case j.Sent():
            last = (record.life, record.n)
            memory.reports = [r for r in memory.reports if (r.life, r.n) > last]
        case j.State():
            _begin(memory, record)
        case _:
            _fold_attempts(memory, record)


def _fold_attempts(memory: Memory, record: j.Phased | j.Given | j.Stepped | j.Exited | j.Reported) -> None:
    match record:
        case j.Phased():
            _phase(memory, record)
        case j.Given():
            _given(memory, record)
        case j.Stepped():
            _stepped(memory, record)
        case j.Exited():
            _exited(memory, record)
        case j.Reported():
            _reported(memory, record.report)


def _hear(memory: Memory, record: j.Heard) -> None:
    for seq, event in zip(record.seqs, record.events, strict=True):
        memory.attempts.hear(seq, event, record.at)


def _phase(memory: Memory, record: j.Phased) -> None:
    if record.spawner:
        memory.spawner = record.spawner
    for k, name in enumerate(record.attempts):
        attempt = memory.attempts.held.get(name)
        if attempt is None:
            continue
        attempt.phase = record.phase
        if record.places:
            attempt.place = record.places[k]
        if record.phase == "staging":
            attempt.staging_at = record.at
        elif record.phase == "ready":
            attempt.staged_bytes, attempt.origin, attempt.digest = record.size, record.origin, record.digest


def _given(memory: Memory, record: j.Given) -> None:
    for name, devices in zip(record.attempts, record.devices, strict=True):
        attempt = memory.attempts.held.get(name)
        if attempt is not None:
            attempt.devices = devices


def _stepped(memory: Memory, record: j.Stepped) -> None:
    attempt = memory.attempts.held.get(record.attempt)
    if attempt is not None:
        attempt.steps = (*attempt.steps, record.end)


def _exited(memory: Memory, record: j.Exited) -> None:
    attempt = memory.attempts.held.get(record.result.attempt)
    if attempt is not None:
        attempt.phase, attempt.result, attempt.reuses = "delivering", record.result, record.reuses


def _reported(memory: Memory, report: e.AttemptsReported) -> None:
    memory.reports.append(report)
    attempts = memory.attempts
    over = {x.attempt for x in report.ended}
    attempts.pending.forget(over)
    for name in over:
        attempts.held.pop(name, None)
    for delivered in report.delivered:
        attempt = attempts.held.get(delivered.attempt)
        if attempt is not None:
            attempt.phase, attempt.files = "delivered", delivered.files


def _begin(memory: Memory, record: j.State) -> None:
    attempts = Attempts(record.slots)
    attempts.heard, attempts.prefetch, attempts.paused = record.heard, record.prefetch, record.paused
    attempts.resized, attempts.errands = record.resized, dict(record.errands)
    attempts.prefetch_percent, attempts.batch = record.prefetch_percent, record.batch
    for attempt in record.attempts:
        attempts.held[attempt.id] = attempt
    memory.attempts, memory.reports = attempts, list(record.reports)
    memory.life, memory.spawner = record.life, record.spawner
