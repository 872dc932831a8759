"""The manifest: one small JSON file per task that tells a reader that all outputs are there, with sizes and sha256.

`<output>/.longshore/<task>.json`. Equal outputs give equal bytes. What must not enter: storage.
"""

import msgspec

from longshore_common.errors import Unreadable
from longshore_common.model import OutputFile


class Entry(msgspec.Struct, frozen=True):
    """One file: its path relative to the output, bytes, sha256 in hex."""

    path: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What one attempt of a task published, by path in ascending order."""

    task: str
    attempt: str
    files: tuple[Entry, ...]


def encode(attempt: str, task: str, files: tuple[OutputFile, ...]) -> bytes:
    """The manifest's bytes, indented for people, with a newline at the end."""
    entries = tuple(Entry(f.path, f.size, f.digest) for f in sorted(files, key=lambda f: f.path))
    return msgspec.json.format(msgspec.json.encode(Manifest(task, attempt, entries)), indent=1) + b"\n"


def decode(data: bytes) -> Manifest:
    """A manifest from its bytes; `Unreadable` shows them if they are none."""
    try:
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as err:
        raise Unreadable(f"not a manifest ({err}): {data[:200]!r}") from err


def holds(known: Manifest, files: tuple[OutputFile, ...]) -> bool:
    """Whether the manifest names all these files, with the same sizes and digests."""
    entries = {(e.path, e.size, e.sha256) for e in known.files}
    return all((f.path, f.size, f.digest) in entries for f in files)
