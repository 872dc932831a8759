"""What a directory remembers of its task: `.longshore/task.json`, written before anything is sent and completed after.

    no marker          it was never submitted, or what was stored for it is removed
    no wish            something may lie in storage under its key, and nothing is in the log
    wish, no task      the wish may be in the log: sending the very same again is harmless, and tells the task
    task               it is that task

What must not enter: storage, the log, other directories.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from longshore.spool import sync_directory
from longshore_common.damage import DAMAGED
from longshore_common.errors import BadInput, Conflict, LongshoreError, NotFound, Refused
from longshore_common.events import TasksSubmitted

#: The folder in a directory that is ours; it is never sent, and nothing is fetched into it.
FOLDER: Final = ".longshore"
_TASK: Final = "task.json"
_FILES: Final = "files.json"
_PAST: Final = "past"

R = TypeVar("R", bound=msgspec.Struct)


class Marker(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which task a directory is. `place`: the URI of its folder in storage; `shared`: digests of contents it shares.

    `digest`: of what was sent, names and modes included. `stack`: the api it was submitted by.
    """

    format: int = 1
    key: str
    place: str
    user: str
    stack: str = ""
    batch: str = ""
    image: str = ""
    command: tuple[str, ...] = ()
    digest: str = ""
    shared: tuple[str, ...] = ()
    wish: TasksSubmitted | None = None
    task: str = ""


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """A file as it was here at one time: bytes, modification time in ns, sha256 in hex."""

    size: int
    modified: int
    digest: str = ""


class Fetched(msgspec.Struct, frozen=True, array_like=True):
    """A file as it was when it was fetched: what told its bytes in storage from others, and what it became here."""

    version: str
    here: Seen


class Files(msgspec.Struct, frozen=True, omit_defaults=True):
    """The files that were sent, and those that were fetched, by their paths."""

    sent: dict[str, Seen] = {}
    fetched: dict[str, Fetched] = {}


class Home:
    """A directory that is, or may become, a task."""

    def __init__(self, directory: str | Path) -> None:
        self.path = Path(os.path.abspath(directory))
        self._own = self.path / FOLDER

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> Marker | None:
        """The marker, None if there is none; `BadInput` if it is damaged."""
        found = self._read(_TASK, Marker)
        if found is not None and found.format > 1:
            raise Refused(f"{self._own / _TASK} was written by a newer longshore (format {found.format}): upgrade")
        return found

    def known(self) -> Marker:
        """The marker of a directory that is a task; `NotFound` with what to do if it is none yet."""
        found = self.read()
        if found is None:
            raise NotFound("it was not submitted: see `longshore dir submit --help`")
        if not found.task:
            raise NotFound("its submission was cut off: repeat the same `longshore dir submit`")
        return found

    def write(self, marker: Marker, *, durable: bool = False) -> None:
        """Have this marker, whole or not at all; with `durable` also after a power cut.

        Only a wish must be: without an earlier marker something lies in storage in vain, and a later one comes of the wish.
        """
        self._write(_TASK, marker, durable=durable)

    def files(self) -> Files:
        """What was sent and fetched so far."""
        return self._read(_FILES, Files) or Files()

    def write_files(self, files: Files) -> None:
        """Remember what was sent and fetched."""
        self._write(_FILES, files, durable=False)

    def retire(self, marker: Marker) -> None:
        """It is no task any more, and may become one again; the old marker is kept under `past` for people."""
        past = self._own / _PAST
        past.mkdir(exist_ok=True)
        (self._own / _TASK).replace(past / f"{marker.task or marker.key}.json")
        (self._own / _FILES).unlink(missing_ok=True)

    def retired(self) -> bool:
        """Whether it was a task that is removed, and is none now."""
        return self.read() is None and any((self._own / _PAST).glob("*.json"))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes the marker meanwhile; `Conflict` if somebody does so now."""
        try:
            self._own.mkdir(exist_ok=True)
            lock = (self._own / "lock").open("w")
        except OSError as err:
            raise Refused(f"{self._own} cannot be written ({err.strerror}): the marker is kept there") from err
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as err:
                if err.errno not in (errno.EAGAIN, errno.EACCES):
                    raise Refused(f"{self._own} cannot be locked ({err.strerror})") from err
                raise Conflict("another `longshore dir` works on it now: wait for that to end") from err
            yield

    def _read(self, name: str, kind: type[R]) -> R | None:
        file = self._own / name
        try:
            return msgspec.json.decode(file.read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except NotADirectoryError as err:
            raise BadInput("it is no directory") from err
        except OSError as err:
            raise Refused(f"{file} cannot be read: {err.strerror}") from err
        except DAMAGED as err:
            raise BadInput(
                f"{file} is damaged ({err}): see `longshore task list` for its task, and move it away"
            ) from err

    def _write(self, name: str, what: msgspec.Struct, *, durable: bool) -> None:
        part = self._own / f"{name}.part"
        try:
            self._own.mkdir(exist_ok=True)
            with part.open("wb") as out:
                out.write(msgspec.json.encode(what) + b"\n")
                out.flush()
                if durable:
                    os.fsync(out.fileno())
            part.replace(self._own / name)
            if durable:
                sync_directory(self._own)
        except OSError as err:
            raise Refused(f"{self._own / name} cannot be written: {err.strerror}") from err


def find(start: str | Path) -> Home:
    """The directory that is a task at `start` or above it, as git finds its own; `NotFound` if there is none."""
    first = Path(os.path.abspath(start))
    for directory in (first, *first.parents):
        if (directory / FOLDER / _TASK).exists():
            return Home(directory)
    raise NotFound(f"neither {first} nor a directory above it was submitted: see `longshore dir submit --help`")


def below(start: str | Path) -> Iterator[Home]:
    """All directories at `start` and below it that are tasks, by name; links to folders are not followed."""
    for folder, names, _ in os.walk(start):
        names.sort()
        if FOLDER in names:
            names.remove(FOLDER)
            if os.path.exists(f"{folder}/{FOLDER}/{_TASK}"):
                yield Home(folder)


def said(err: LongshoreError) -> str:
    """An error as one line."""
    return " ".join(str(err).split())
