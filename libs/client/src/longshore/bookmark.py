"""What a user's commands remember between each other: the last write's place in the log and the last submission.

Kept in a small directory per user inside the state directory, so that it goes when the stack goes. With it a read sent
after a write shows that write, across processes. Losing it costs nothing but that.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from longshore_common.damage import DAMAGED

_FILE: Final = "last"


class _Last(msgspec.Struct, frozen=True):
    seq: int = 0
    submission: int = 0
    size: int = 0


class Bookmark:
    """The last position seen, in memory and on disk; several processes may share it, the furthest position wins."""

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self._last = self._read()

    @property
    def seq(self) -> int:
        """The sequence the next read must have passed, 0 for none."""
        return self._last.seq

    @property
    def submission(self) -> tuple[int, int] | None:
        """(id, size) of the last submission, None if there was none."""
        return (self._last.submission, self._last.size) if self._last.submission else None

    def saw(self, seq: int) -> None:
        """Remember that the log reaches `seq`; an earlier position changes nothing."""
        if seq > self._last.seq:
            known = self._read() if self.directory else self._last
            self._write(_Last(max(seq, known.seq), known.submission, known.size))

    def submitted(self, submission: int, size: int) -> None:
        """Remember the last submission, which is what `last` means from now on."""
        self._write(_Last(max(submission, self._last.seq, self._read().seq), submission, size))

    def _read(self) -> _Last:
        if self.directory is None:
            return _Last()
        try:
            return msgspec.json.decode((self.directory / _FILE).read_bytes(), type=_Last)
        except (OSError, *DAMAGED):  # a memory aid: absent or torn is as good as new
            return _Last()

    def _write(self, last: _Last) -> None:
        self._last = last
        if self.directory is None:
            return
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = self.directory / f"{_FILE}.{os.getpid()}"
            part.write_bytes(msgspec.json.encode(last))
            part.replace(self.directory / _FILE)
        except OSError:  # a full or foreign disk must not fail a submission that is already in the log
            return


def home(state_dir: Path, environ: Mapping[str, str]) -> Path:
    """The user's own directory for a stack: inside the state directory, else by XDG where that is not writable."""
    own = state_dir / f"client-{os.getuid()}"
    if own.is_dir() or os.access(state_dir, os.W_OK):
        return own
    base = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME", "/")) / ".local/state")
    try:
        inode = state_dir.stat().st_ino
    except OSError:
        inode = 0
    return Path(base) / "longshore-client" / f"{str(state_dir).strip('/').replace('/', '-')}-{inode}"
