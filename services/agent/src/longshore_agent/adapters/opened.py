"""Opened secrets as files for the containers of attempts: in memory where the host can, gone with the container.

An engine writes down the environment of each container and shows it to whoever may ask (`docker inspect`), so values come by
a folder mounted into it instead: a file for each, and a script that makes them variables and becomes the task's command.
What must not enter: where the values come from.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from longshore_common import logs

log = logs.get_logger()

#: Where a container finds them, and the script beside them.
INSIDE: Final = "/run/secrets"
START: Final = ".start"
_MEMORY: Final = Path("/dev/shm")
#: An agent that is in a container itself cannot say to the engine what is in its own memory.
_CONTAINED: Final = ("/.dockerenv", "/run/.containerenv")


class Opened:
    """The folders of one worker, below a directory that nobody else can enter. `worker`: its own directory on disk."""

    def __init__(self, worker: Path, memory: Path = _MEMORY) -> None:
        self._worker, self._memory = worker, memory
        own = hashlib.blake2b(str(worker).encode(), digest_size=8).hexdigest()
        self._inside = memory / f"longshore-{os.geteuid()}-{own}"

    def put(self, attempt: str, values: Mapping[str, str]) -> str:
        """The folder to be mounted for this attempt, with these values; a repeat replaces them. `OSError`: no room.

        Its files can be read by whoever is inside the container, and outside by nobody who cannot enter what it is in: who
        runs inside is the image's choice, and another user than ours.
        """
        folder = self._base() / attempt
        folder.mkdir(mode=0o755, exist_ok=True)
        for name, value in values.items():
            _write(folder / name, value.encode())
        _write(folder / START, script(values).encode())
        return str(folder)

    def remove(self, attempt: str) -> None:
        """Nobody needs them any more."""
        for base in self._places():
            shutil.rmtree(base / attempt, ignore_errors=True)

    def reset(self, keep: Collection[str]) -> None:
        """Remove what is left of attempts that are held no more."""
        for base in self._places():
            for entry in base.iterdir() if base.is_dir() else ():
                if entry.name not in keep:
                    shutil.rmtree(entry, ignore_errors=True)

    def _places(self) -> tuple[Path, ...]:
        return (self._inside, self._worker / "opened")

    def _base(self) -> Path:
        """In memory if it can be, and is ours alone; else on the disk, in a folder of the same kind."""
        inside, outside = self._places()
        if self._memory.is_dir() and not any(map(os.path.exists, _CONTAINED)):
            inside.mkdir(mode=0o700, exist_ok=True)
            seen = inside.lstat()
            if stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid() and not seen.st_mode & 0o077:
                return inside
            log.error("secrets-not-in-memory", place=str(inside), fix="remove it: it is not this agent's")
        outside.mkdir(mode=0o700, exist_ok=True)
        return outside


def script(values: Mapping[str, str]) -> str:
    """What makes these values variables of the command that it becomes; to the byte, whatever is in them."""
    lines = ["export {}='{}'".format(name, value.replace("'", "'\\''")) for name, value in values.items()]
    return "\n".join([*lines, 'exec "$@"', ""])


def _write(file: Path, data: bytes) -> None:
    fresh = file.with_name(f"{file.name}.new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as target:
        target.write(data)
        os.fchmod(fd, 0o444)
    fresh.rename(file)
