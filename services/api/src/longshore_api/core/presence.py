"""The fold of what is there: batches that are paused or not, workers that are up, lost or gone."""

from typing import Final

import msgspec

from longshore_api.core import archive
from longshore_api.core.memory import Memory
from longshore_api.core.rows import Row
from longshore_common import events as e
from longshore_common.log import Recorded

_encode: Final = msgspec.json.Encoder().encode


def batch_paused(memory: Memory, record: Recorded, event: e.BatchPaused) -> None:
    """Nothing of it is handed out."""
    batch = memory.batch(event.batch)
    batch.paused, batch.frozen = True, event.frozen


def batch_resumed(memory: Memory, record: Recorded, event: e.BatchResumed) -> None:
    """It is handed out again."""
    batch = memory.batch(event.batch)
    batch.paused = batch.frozen = False


def enrolled(memory: Memory, record: Recorded, event: e.WorkerEnrolled) -> None:
    """A worker exists, or has a new key."""
    worker = memory.worker(event.worker)
    worker.public_key, worker.hostname = event.public_key, archive.clean(event.hostname)
    worker.enrolled_at = record.at


def joined(memory: Memory, record: Recorded, event: e.WorkerJoined) -> None:
    """An agent is at work; what it should hold and does not is lost."""
    worker = memory.worker(record.author.name)
    worker.state, worker.life, worker.joined_at = "up", event.life, record.at
    worker.concurrency, worker.prefetch = event.concurrency, event.prefetch
    worker.batch, worker.facts = archive.clean(event.batch), _encode(event.facts).decode()
    held = set(event.held)
    for attempt, row in _current_of(memory, worker.name):
        if row.assigned_seq <= event.handled and attempt not in held:
            memory.close(row, "lost")


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
    memory.worker(archive.addressee(record)).paused = True


def worker_resumed(memory: Memory, record: Recorded, event: e.WorkerResumed) -> None:
    """It is assigned work again."""
    memory.worker(archive.addressee(record)).paused = False


def worker_resized(memory: Memory, record: Recorded, event: e.WorkerResized) -> None:
    """Its slots and prefetch from here on."""
    worker = memory.worker(archive.addressee(record))
    worker.concurrency, worker.prefetch = event.concurrency, event.prefetch
