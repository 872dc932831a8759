"""Small files that are always whole: replaced at once, private to their owner."""

import os
from pathlib import Path
from typing import TypeVar

import msgspec

from longshore_common.damage import DAMAGED
from longshore_common.errors import BadInput

T = TypeVar("T")


def read_json(file: Path, kind: type[T]) -> T | None:
    """The decoded file, None if there is none; `BadInput` names a damaged one."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except DAMAGED as err:
        raise BadInput(f"{file} is damaged ({err}): remove it, `longshore up` writes it anew") from err


def write_json(file: Path, value: msgspec.Struct) -> None:
    """Replace the file by the encoded value, all or nothing, 0600."""
    write_private(file, msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")


def write_private(file: Path, data: bytes) -> None:
    """Replace the file by these bytes, all or nothing, on disk when this returns, 0600."""
    draft = file.with_name(file.name + ".new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)
    draft.replace(file)


def sign(lock: int) -> None:
    """Write the pid of this process into the lock file it holds."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
