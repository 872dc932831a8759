"""The agent's memory across crashes: one append-only file of records, each `length, crc32, JSON`.

A record is written before what it says is acted on: the page cache survives a killed agent, and `sync` (in a thread,
shared by all that wait) makes it survive the host. A torn tail is cut off. What must not enter: what records mean
(`service` folds them).
"""

import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from longshore_agent.core.attempt import Published
from longshore_agent.core.attempts import Attempt, Phase
from longshore_agent.core.contract import Devices
from longshore_common import events as e
from longshore_common.damage import DAMAGED
from longshore_common.ids import AttemptId
from longshore_common.model import StepEnd
from longshore_data.manifest import Origin

_HEAD: Final = struct.Struct(">II")
#: A journal larger than this is rewritten when convenient.
LARGE: Final = 32 << 20


#: What may stand on the worker subject.
Addressed = (
    e.AttemptsAssigned
    | e.AttemptsRecalled
    | e.AttemptsReused
    | e.AttemptsSignalled
    | e.WorkerPaused
    | e.WorkerResumed
    | e.WorkerResized
    | e.WorkerMoved
    | e.WorkerLost
    | e.WorkerCareOrdered
    | e.RemotesGiven
    | e.SecretGiven
    | e.SweepOrdered
)


class Record(Struct, frozen=True, omit_defaults=True, tag=True):
    """Base of what is written."""


class Lived(Record, frozen=True, tag="life"):
    """An agent started with this number."""

    life: int


class Heard(Record, frozen=True, tag="heard"):
    """Events of the worker subject, in log order with their sequences."""

    seqs: tuple[int, ...]
    events: tuple[Addressed, ...]
    at: float


class Phased(Record, frozen=True, tag="phase"):
    """These attempts entered `phase`; `spawner` is the id of the spawner they were handed to."""

    phase: Phase
    attempts: tuple[AttemptId, ...]
    at: float
    places: tuple[str, ...] = ()
    spawner: str = ""
    size: int = 0
    origin: Origin = Origin()
    digest: str = ""


class Given(Record, frozen=True, tag="given"):
    """These attempts, about to be launched, have these devices for themselves."""

    attempts: tuple[AttemptId, ...]
    devices: tuple[Devices, ...]


class Stepped(Record, frozen=True, tag="step"):
    """A step of this attempt ended, and the next one may begin."""

    attempt: AttemptId
    end: StepEnd


class Errand(Record, frozen=True, tag="errand"):
    """What the message at this sequence ordered for the host is done, and the log knows."""

    seq: int


class Exited(Record, frozen=True, tag="exited"):
    """A process is over, and its results are still to be delivered or stored."""

    result: e.Ended
    reuses: Published | None = None


class Reported(Record, frozen=True, tag="report"):
    """A report to be sent until the log has it; what ended in it is over here."""

    report: e.AttemptsReported


class Sent(Record, frozen=True, tag="sent"):
    """The log has all reports of this life up to `n`."""

    life: int
    n: int


class State(Record, frozen=True, tag="state"):
    """Everything before, folded: what a rewritten journal begins with."""

    life: int
    heard: int
    slots: int
    prefetch: int
    resized: bool
    paused: bool
    attempts: tuple[Attempt, ...]
    reports: tuple[e.AttemptsReported, ...]
    spawner: str = ""
    n: int = 0
    errands: tuple[tuple[int, e.WorkerCareOrdered | e.SweepOrdered], ...] = ()
    prefetch_percent: int = 0
    batch: str = ""


AnyRecord = Lived | Heard | Phased | Given | Stepped | Errand | Exited | Reported | Sent | State
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AnyRecord).decode


class Journal:
    """The file of one worker; one process at a time (a lock says so)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._fd = self._lock = -1

    def open(self) -> list[AnyRecord]:
        """All whole records in order, the torn tail removed; the file is locked and ready to be appended to.

        `BlockingIOError` if another agent has it.
        """
        import fcntl

        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o711)  # tasks of other users pass through
        self._lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.abandon()
            raise
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        records, self.size = read(self.path.read_bytes())
        os.ftruncate(self._fd, self.size)
        return records

    def write(self, *records: AnyRecord) -> None:
        """Append with one write; `OSError` if the disk is full, and then nothing of it is in."""
        data = b"".join(map(_framed, records))
        try:
            done = os.write(self._fd, data)
            if done != len(data):
                raise OSError(28, "the disk is full")
        except OSError:
            os.ftruncate(self._fd, self.size)
            raise
        self.size += len(data)

    def sync(self) -> None:
        """Return when everything written is on the disk; slow, call it in a thread."""
        fd = os.dup(self._fd)  # `rewrite` may replace ours meanwhile
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)

    def rewrite(self, records: Iterable[AnyRecord]) -> None:
        """Replace everything by these records, atomically; `OSError` leaves the old file as it is."""
        fresh = self.path.with_suffix(".new")
        data = b"".join(map(_framed, records))
        fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(data)
            os.fsync(fd)
            os.rename(fresh, self.path)
        except OSError:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd, self.size = fd, len(data)
        folder = os.open(self.path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def close(self) -> None:
        """Sync and let go of the file."""
        if self._fd >= 0:
            os.fdatasync(self._fd)
        self.abandon()

    def abandon(self) -> None:
        """Let go of the file as it is, as the end of the process would."""
        for fd in (self._fd, self._lock):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock = -1


def _framed(record: AnyRecord) -> bytes:
    body = _encode(record)
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def read(data: bytes) -> tuple[list[AnyRecord], int]:
    """(whole records, the length of the file they fill); reading ends at the first that is torn or damaged."""
    records: list[AnyRecord] = []
    at = 0
    while at + _HEAD.size <= len(data):
        size, crc = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + size]
        if len(body) < size or zlib.crc32(body) != crc:
            break
        try:
            records.append(_decode(body))
        except DAMAGED:
            break
        at += _HEAD.size + size
    return records, at
