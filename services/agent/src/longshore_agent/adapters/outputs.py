"""What attempts wrote to stdout and stderr: sizes, digests, tails, pieces for the store, and live reading by offset.

What must not enter: where pieces are stored, when files are removed.
"""

import base64
import gzip
import hashlib
import os
from collections.abc import Iterator
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


def pieces(path: str) -> Iterator[Piece]:
    """The output as gzip members of at most PIECE raw bytes each, read one at a time."""
    with open(path, "rb") as file:
        k = 0
        while data := file.read(PIECE):
            yield Piece(k, gzip.compress(data, 1, mtime=0))
            k += 1


def summary(path: str, stored: str) -> Output:
    """Size, digest and tail of an output that is stored elsewhere as `stored`."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)
        size = file.tell()
        file.seek(max(0, size - TAIL))
        tail, encoded = as_text(file.read(TAIL))
    return Output(size, tail, encoded, digest.hexdigest(), stored)


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
