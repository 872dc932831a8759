"""The manifest: one small JSON file per task that tells a reader that all outputs are there, with sizes and sha256.

`<output>/.longshore/<task>.json`. Equal outputs of equal origin give equal bytes. What must not enter: storage.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from longshore_common.damage import DAMAGED
from longshore_common.errors import Unreadable
from longshore_common.model import OutputFile


class Entry(msgspec.Struct, frozen=True):
    """One file: its path relative to the output, bytes, sha256 in hex."""

    path: str
    size: int
    sha256: str


class Identity(msgspec.Struct, frozen=True):
    """An input or a resource: its URI as the task had it, and what told its content from another when it was fetched."""

    uri: str
    identity: str


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """What outputs were made by and from, as far as it is known: who looks for the same again compares these.

    `image`: its digest; `command`: see `command_digest`. `inputs` are told for tasks that use the result cache.
    """

    image: str = ""
    command: str = ""
    inputs: tuple[Identity, ...] = ()
    resources: tuple[Identity, ...] = ()


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one attempt of a task published, by path in ascending order, and of what origin it is."""

    task: str
    attempt: str
    files: tuple[Entry, ...]
    origin: Origin = Origin()


def encode(attempt: str, task: str, files: tuple[OutputFile, ...], origin: Origin | None = None) -> bytes:
    """The manifest's bytes, indented for people, with a newline at the end."""
    entries = tuple(Entry(f.path, f.size, f.digest) for f in sorted(files, key=lambda f: f.path))
    whole = Manifest(task, attempt, entries, origin or Origin())
    return msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n"


def command_digest(words: Sequence[str], *, shell: bool) -> str:
    """The sha256 in hex of a command: of its words as a JSON array, behind `sh` if a shell reads the first of them."""
    return hashlib.sha256((b"sh" if shell else b"") + msgspec.json.encode(list(words))).hexdigest()


def decode(data: bytes) -> Manifest:
    """A manifest from its bytes; `Unreadable` shows them if they are none."""
    try:
        return msgspec.json.decode(data, type=Manifest)
    except DAMAGED as err:
        raise Unreadable(f"not a manifest ({err}): {data[:200]!r}") from err


def holds(known: Manifest, files: tuple[OutputFile, ...]) -> bool:
    """Whether the manifest names all these files, with the same sizes and digests."""
    entries = {(e.path, e.size, e.sha256) for e in known.files}
    return all((f.path, f.size, f.digest) in entries for f in files)
