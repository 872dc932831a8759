"""Submissions kept on this machine's disk while the log cannot be reached: one file each, sent in order, same key.

A file is there, fsynced, before the submission is promised, and goes only after the log acknowledged it. Sending twice
is harmless: the key makes it one submission.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from longshore_common import codec
from longshore_common.errors import BadInput, Refused, Unreachable, Unreadable
from longshore_common.events import Event
from longshore_common.log import Entry


class Spooled(NamedTuple):
    """An entry at rest, and its file."""

    entry: Entry
    file: Path


class Spool:
    """Entries of one user in one directory, in the order they were put."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def put(self, entry: Entry) -> Path:
        """Keep the entry; it survives power loss once this returns. `Refused` if this disk cannot hold it."""
        body, headers = codec.encode(entry.event)
        head = f"{entry.name} {entry.id} {entry.traceparent or '-'} {headers.get('Content-Encoding', '-')}\n"
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked():
                number = max((int(file.stem.split("-")[0]) for file in self._files()), default=0) + 1
                file = self.directory / f"{number:08}-{entry.id}.event"
                part = file.with_suffix(".part")
                with part.open("wb") as out:
                    out.write(head.encode() + body)
                    out.flush()
                    os.fsync(out.fileno())
                part.replace(file)
                sync_directory(self.directory)
        except OSError as err:
            raise Refused(f"the spool {self.directory} takes nothing ({err.strerror}): free space there") from err
        return file

    def entries(self) -> Iterator[Spooled]:
        """All entries, oldest first; a damaged file is `Refused`, named, and left where it is."""
        for file in self._files():
            try:
                head, _, body = file.read_bytes().partition(b"\n")
                name, key, trace, encoding = head.decode().split(" ")
                event = _decoded(name, body, encoding)
            except FileNotFoundError:
                continue  # another process sent it meanwhile
            except (ValueError, Unreadable, BadInput) as err:
                raise Refused(f"{file} is damaged ({err}): move it away to send the rest") from err
            yield Spooled(Entry(event, name, key, "" if trace == "-" else trace), file)

    def sent(self, file: Path) -> None:
        """The log acknowledged this one: forget it."""
        file.unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self._files())

    def _files(self) -> list[Path]:
        try:
            return sorted(self.directory.glob("*.event"))
        except OSError as err:
            raise Unreachable(f"the spool {self.directory} cannot be read: {err.strerror}") from err

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _decoded(name: str, body: bytes, encoding: str) -> Event:
    headers = {} if encoding == "-" else {"Content-Encoding": encoding}
    return codec.decode(f"log.user.{name}.wish", body, headers)[1]


def sync_directory(directory: Path) -> None:
    """Names made or removed in it are on the disk when this returns."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
