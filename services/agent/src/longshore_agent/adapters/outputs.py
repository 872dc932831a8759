"""What attempts wrote to stdout and stderr: sizes, digests, tails, pieces for the store, and live reading by offset.

What must not enter: where pieces are stored, when files are removed.
"""

import base64
import hashlib
import os
from typing import Final, NamedTuple

from longshore_common.model import Output

#: The most that travels inside a report; an output of at most this size is stored nowhere else.
TAIL: Final = 4096
#: Raw bytes of one stored piece: memory stays bounded however much a task writes.
PIECE: Final = 8 << 20
EMPTY: Final = Output()


class Piece(NamedTuple):
    """Part `k` of an output, one gzip member; the members of all parts in order are the gzip of the whole."""

    k: int
    data: bytes


def small(path: str) -> Output | None:
    """The whole output if it fits into a report, None if it must be stored; a file that is not there is empty."""
    try:
        size = os.stat(path).st_size
        if size == 0:
            return EMPTY
        if size > TAIL:
            return None
        with open(path, "rb") as file:
            return described(file.read(TAIL))
    except OSError:
        return EMPTY


def described(data: bytes) -> Output:
    """An output that is its own tail."""
    text, encoded = as_text(data, whole=True)
    return Output(len(data), text, encoded, hashlib.sha256(data).hexdigest())


def as_text(tail: bytes, *, whole: bool = False) -> tuple[str, bool]:
    """(text, False) if the bytes are UTF-8 (a tail may begin inside a character, the `whole` may not); else (base64, True)."""
    for cut in range(1 if whole else 4):
        if cut and tail[cut - 1 : cut] and tail[cut - 1] & 0xC0 != 0x80:
            break
        try:
            return tail[cut:].decode(), False
        except UnicodeDecodeError:
            continue
    return base64.b64encode(tail).decode(), True


class Reading:
    """An output being read once, from its beginning, whatever is done with it: hashed, compressed, its tail kept.

    Calls block (about a second for a gigabyte) and belong into a thread, one at a time. `OSError` from the disk.
    """

    def __init__(self, path: str) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115  # `close` does
        self._hash = hashlib.sha256()
        self._tail = b""
        self._size = 0
        self.count = 0

    def piece(self) -> Piece | None:
        """The next part as a gzip member of at most PIECE raw bytes; None at the end."""
        from isal import igzip  # fifteen times as fast as zlib on what does not compress

        if not (data := self._next()):
            return None
        self.count += 1
        return Piece(self.count - 1, igzip.compress(data, 1, mtime=0))

    def summary(self, stored: str) -> Output:
        """Size, digest and tail of an output that is stored elsewhere as `stored`; what was not read yet is, to its end."""
        while self._next():
            pass
        tail, encoded = as_text(self._tail)
        return Output(self._size, tail, encoded, self._hash.hexdigest(), stored)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _next(self) -> bytes:
        gathered: list[bytes] = []
        missing = PIECE
        while missing and (some := self._file.read(missing)):
            gathered.append(some)
            missing -= len(some)
        data = gathered[0] if len(gathered) == 1 else b"".join(gathered)
        self._hash.update(data)
        self._size += len(data)
        self._tail = (self._tail + data[-TAIL:])[-TAIL:]
        return data


def read_at(path: str, offset: int, limit: int) -> tuple[bytes, int]:
    """(at most `limit` bytes from `offset`, the size by now); nothing of a file that is not there."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(offset)
            return file.read(limit), size
    except OSError:
        return b"", 0


def from_text(output: Output) -> bytes:
    """The bytes of a tail."""
    return base64.b64decode(output.tail) if output.encoded else output.tail.encode()
