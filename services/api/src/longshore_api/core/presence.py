"""The fold of what is there: batches that are paused or not, workers that are up, lost or gone."""

from typing import Any, Final

import msgspec

from longshore_api.core import archive
from longshore_api.core.memory import Memory
from longshore_api.core.rows import Row, Worker
from longshore_common import events as e
from longshore_common.log import Recorded

_encode: Final = msgspec.json.Encoder().encode
_cares: Final = msgspec.json.Decoder(list[dict[str, Any]]).decode
#: Answers to care kept per worker.
CARES: Final = 5


def batch_paused(memory: Memory, record: Recorded, event: e.BatchPaused) -> None:
    """Nothing of it is handed out."""
    batch = memory.batch(event.batch)
    batch.paused, batch.frozen = True, event.frozen


def batch_resumed(memory: Memory, record: Recorded, event: e.BatchResumed) -> None:
    """It is handed out again."""
    batch = memory.batch(event.batch)
    batch.paused = batch.frozen = False


def batch_retention(memory: Memory, record: Recorded, event: e.BatchRetentionSet) -> None:
    """How long things of its ended tasks are kept."""
    memory.batch(event.batch).retention = _encode(event.retention).decode()


def enrolled(memory: Memory, record: Recorded, event: e.WorkerEnrolled) -> None:
    """A worker exists, or has a new key."""
    worker = memory.worker(event.worker)
    worker.public_key, worker.hostname = event.public_key, archive.clean(event.hostname)
    worker.enrolled_at = record.at


def joined(memory: Memory, record: Recorded, event: e.WorkerJoined) -> None:
    """An agent is at work; what it should hold and does not is lost."""
    worker = memory.worker(record.author.name)
    worker.hindered, worker.evicted, worker.evicted_at, worker.held = "", "", None, 0  # what still holds it says again
    worker.state, worker.life, worker.joined_at = "up", event.life, record.at
    _resize(worker, event)
    worker.facts = _encode(event.facts).decode()
    if worker.moved <= event.handled:  # else it does not know yet that it was moved
        worker.batch = archive.clean(event.batch)
    held = set(event.held)
    for attempt, row in _current_of(memory, worker.name):
        if row.assigned_seq <= event.handled and attempt not in held:
            memory.close(row, "lost")


def moved(memory: Memory, record: Recorded, event: e.WorkerMoved) -> None:
    """It serves another batch from here on."""
    worker = memory.worker(archive.addressee(record))
    worker.batch, worker.moved = archive.clean(event.batch), record.seq


def left(memory: Memory, record: Recorded, event: e.WorkerLeft) -> None:
    """It stopped for good; its attempts are `lost` when the dispatcher says so."""
    memory.worker(record.author.name).state = "left"


def lost(memory: Memory, record: Recorded, event: e.WorkerLost) -> None:
    """Silent or gone: all its current attempts are lost and wait for their verdicts."""
    worker = memory.worker(archive.addressee(record))
    if worker.state != "left":
        worker.state = "lost"
    for _, row in _current_of(memory, worker.name):
        memory.close(row, "lost")


def _current_of(memory: Memory, worker: str) -> list[tuple[str, Row]]:
    return [(attempt, row) for attempt, row in memory.current.items() if row.worker == worker]


def worker_paused(memory: Memory, record: Recorded, event: e.WorkerPaused) -> None:
    """It is assigned nothing."""
    worker = memory.worker(archive.addressee(record))
    worker.paused, worker.drain, worker.pause_reason = True, event.drain, archive.clean(event.reason)


def worker_resumed(memory: Memory, record: Recorded, event: e.WorkerResumed) -> None:
    """It is assigned work again."""
    worker = memory.worker(archive.addressee(record))
    worker.paused, worker.drain, worker.pause_reason = False, False, ""
    worker.quarantine, worker.quarantined_until = "", None


def quarantined(memory: Memory, record: Recorded, event: e.WorkerQuarantined) -> None:
    """It is assigned nothing until then, and one task to try it out after that."""
    worker = memory.worker(archive.addressee(record))
    worker.quarantine, worker.quarantined_until = archive.clean(event.reason) or "it failed", event.until


def trusted(memory: Memory, record: Recorded, event: e.WorkerTrusted) -> None:
    """It is a worker as any other."""
    worker = memory.worker(archive.addressee(record))
    worker.quarantine, worker.quarantined_until = "", None


def worker_resized(memory: Memory, record: Recorded, event: e.WorkerResized) -> None:
    """Its slots and prefetch from here on."""
    _resize(memory.worker(archive.addressee(record)), event)


def _resize(worker: Worker, event: e.WorkerJoined | e.WorkerResized) -> None:
    worker.concurrency, worker.prefetch = event.concurrency, event.prefetch
    worker.prefetch_percent = event.prefetch_percent


def hindered(memory: Memory, record: Recorded, event: e.WorkerHindered) -> None:
    """Its host takes no more work for a reason, or does again."""
    if (worker := _of_life(memory, record, event.life)) is not None:
        worker.hindered = archive.clean(event.reason)


def evicted(memory: Memory, record: Recorded, event: e.WorkerEvicted) -> None:
    """Its host will be taken away."""
    if (worker := _of_life(memory, record, event.life)) is not None:
        worker.evicted, worker.evicted_at = archive.clean(event.reason) or "its host will be taken away", event.at


def held(memory: Memory, record: Recorded, event: e.ResourcesHeld) -> None:
    """What its host keeps; only how many: which ones is the dispatcher's business."""
    if (worker := _of_life(memory, record, event.life)) is not None:
        worker.held = len(event.held)


def _of_life(memory: Memory, record: Recorded, life: int) -> Worker | None:
    known = memory.workers.get(record.author.name)
    return memory.worker(known.name) if known is not None and known.life == life else None


def cared(memory: Memory, record: Recorded, event: e.WorkerCared) -> None:
    """What came of an order to look after its host."""
    worker = memory.worker(record.author.name)
    text = archive.clean(event.text)[:1000]
    told = {"at": record.at, "care": event.care, "text": text, "freed": event.freed, "request": event.request}
    worker.cares = _encode([*_cares(worker.cares), told][-CARES:]).decode()


def remotes_given(memory: Memory, record: Recorded, event: e.RemotesGiven) -> None:
    """It was sent a storage configuration; the box itself stays in the archive, sealed."""
    memory.worker(archive.addressee(record)).remotes_at = record.at
