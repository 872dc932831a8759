"""Which process is meant, for certain: a pid alone is reused, a pid with its start time and boot is not.

What must not enter: what the processes are for.
"""

import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from msgspec import Struct


class Identity(Struct, frozen=True):
    """A process: its pid, its start in clock ticks since boot, and the boot."""

    pid: int
    started: int
    boot: str


def boot() -> str:
    """The id of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def of(pid: int) -> Identity | None:
    """The identity of a live process, None if there is none or it is a zombie."""
    fields = _stat(pid)
    return None if fields is None else Identity(pid, int(fields[19]), boot())


def alive(who: Identity) -> bool:
    """Whether exactly this process still runs."""
    return of(who.pid) == who


def children(pid: int) -> Iterator[int]:
    """Live processes whose parent is `pid`."""
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))) is not None and int(fields[1]) == pid:
            yield int(entry)


def descendants(pid: int) -> list[int]:
    """All live processes below `pid`, parents before children."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))) is not None:
            parents.setdefault(int(fields[1]), []).append(int(entry))
    found: list[int] = list(parents.get(pid, ()))
    for each in found:  # grows while we walk it
        found.extend(parents.get(each, ()))
    return found


def stop(processes: Iterable[Identity], *, patience: float) -> list[int]:
    """End these processes and all below them: SIGTERM, and SIGKILL after `patience` seconds; returns the pids that were alive.

    A repeat finds nothing to do.
    """
    roots = [who for who in processes if alive(who)]
    with ExitStack() as held:
        handles: dict[int, int] = {}
        for pid in [p for who in roots for p in (who.pid, *descendants(who.pid))]:
            with suppress(ProcessLookupError):
                handles[pid] = os.pidfd_open(pid)
                held.callback(os.close, handles[pid])
        _signal([handles[who.pid] for who in roots if who.pid in handles], signal.SIGTERM)
        if left := _wait(list(handles.values()), patience):
            _signal(left, signal.SIGKILL)
            _wait(left, 5)
        return sorted(handles)


def stop_gently(who: Identity, *, patience: float) -> None:
    """SIGTERM to this process alone, which stops those below it itself; SIGKILL after `patience` seconds."""
    try:
        handle = os.pidfd_open(who.pid)
    except ProcessLookupError:
        return
    try:
        if alive(who):
            _signal([handle], signal.SIGTERM)
            if _wait([handle], patience):
                _signal([handle], signal.SIGKILL)
                _wait([handle], 5)
    finally:
        os.close(handle)


def _signal(handles: Iterable[int], number: signal.Signals) -> None:
    for handle in handles:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)


def _wait(handles: list[int], patience: float) -> list[int]:
    """Those that still run after `patience` seconds."""
    left, end = list(handles), time.monotonic() + patience
    while left and (rest := end - time.monotonic()) > 0:
        ended, _, _ = select.select(left, [], [], rest)
        left = [h for h in left if h not in ended]
    return left


def _stat(pid: int) -> list[str] | None:
    """/proc/<pid>/stat from the state (field 3) on; None for no process or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields
