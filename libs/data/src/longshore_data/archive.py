"""The log in storage: compressed segments of consecutive events, and a manifest that says which there are.

    <folder>/manifest.json                                       {"format": 1, "segments": [{"name": …, "first": …}]}
    <folder>/segments/<first>-<last>.jsonl.gz                    one event per line, so that zcat and jq read it

Only what the manifest names counts: it is written last, so a crash leaves at most a segment that nobody reads and that is
written again. What must not enter: what events mean, where they come from.
"""

import asyncio
import base64
import gzip
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from longshore_common.damage import DAMAGED
from longshore_common.errors import BadInput, Refused, Unreadable
from longshore_data import uri
from longshore_data.configuration import own_remotes
from longshore_data.storage import Storage
from longshore_data.store import StoreError

#: The manifest's version that this release writes; it reads no newer one.
FORMAT: Final = 1
#: Where a segment is cut: bytes of bodies, and events.
SEGMENT_BYTES: Final = 16 << 20
SEGMENT_EVENTS: Final = 100_000
_LEVEL: Final = 6


class Kept(NamedTuple):
    """An event of the log: its sequence, instant (Unix seconds), subject, and the body as plain JSON (or whatever it was)."""

    seq: int
    at: float
    subject: str
    body: bytes


class Segment(Struct, frozen=True, kw_only=True):
    """A segment: its name below the folder, its first and last event, how many, bytes, and their sha256 in hex."""

    name: str
    first: int
    last: int
    first_at: float
    last_at: float
    count: int
    size: int
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True):
    """All segments, in order of the log, without gaps."""

    format: int = FORMAT
    segments: tuple[Segment, ...] = ()

    @property
    def last(self) -> int:
        """The last sequence that is kept, 0 if there is none."""
        return self.segments[-1].last if self.segments else 0


class _Line(Struct, omit_defaults=True):
    seq: int
    at: float
    subject: str
    event: msgspec.Raw = msgspec.Raw()
    base64: str = ""


_encode: Final = msgspec.json.Encoder().encode
_line: Final = msgspec.json.Decoder(_Line).decode
_manifest: Final = msgspec.json.Decoder(Manifest).decode


def packed(events: Iterable[Kept]) -> bytes:
    """A segment's bytes; the same events give the same bytes."""
    lines = [_encode(_as_line(kept)) for kept in events]
    return gzip.compress(b"\n".join(lines) + b"\n", _LEVEL, mtime=0)


def _as_line(kept: Kept) -> _Line:
    try:
        return _Line(kept.seq, kept.at, kept.subject, msgspec.Raw(msgspec.json.format(kept.body, indent=-1)))
    except DAMAGED:
        return _Line(kept.seq, kept.at, kept.subject, base64=base64.b64encode(kept.body).decode())


def unpacked(data: bytes) -> list[Kept]:
    """The events of a segment; `Unreadable` if the bytes are none."""
    try:
        lines = [_line(line) for line in gzip.decompress(data).splitlines() if line]
        return [Kept(x.seq, x.at, x.subject, base64.b64decode(x.base64) if x.base64 else bytes(x.event)) for x in lines]
    except (*DAMAGED, OSError, EOFError) as err:
        raise Unreadable(f"a segment of the archive is damaged: {err}") from err


class Archive:
    """One folder of segments; whoever opened it closes it. `StoreError` where the storage does not do what is asked."""

    def __init__(self, folder: str, environ: Mapping[str, str]) -> None:
        self._folder = uri.parse_output(folder)
        self._storage = Storage(environ, own_remotes(environ))
        self._store = self._storage.of(self._folder)

    async def manifest(self) -> Manifest:
        """What is there; empty if nothing is. `Unreadable` if it is damaged, `Refused` if a newer release wrote it."""
        try:
            data = await self._store.read_bytes(self._folder.below("manifest.json"))
        except StoreError as err:
            if err.missing:
                return Manifest()
            raise
        try:
            found = _manifest(data)
        except DAMAGED as err:
            raise Unreadable(f"the manifest of the archive {self._folder} is damaged: {err}") from err
        if found.format > FORMAT:
            raise Refused(
                f"the archive {self._folder} has format {found.format}, this release reads {FORMAT}: upgrade it"
            )
        return found

    async def append(self, manifest: Manifest, events: Sequence[Kept]) -> Manifest:
        """Store these events behind all that is there, read them back, and then name them; the manifest from here on.

        A repeat after a crash writes the same again. `BadInput` if they do not follow what is there.
        """
        first, last = events[0], events[-1]
        if manifest.last >= first.seq:
            raise BadInput(f"the archive holds events up to {manifest.last} already: {first.seq} is among them")
        data = await asyncio.to_thread(packed, events)
        name = f"segments/{first.seq:020d}-{last.seq:020d}.jsonl.gz"
        segment = Segment(
            name=name, first=first.seq, last=last.seq, first_at=first.at, last_at=last.at, count=len(events),
            size=len(data), sha256=hashlib.sha256(data).hexdigest(),
        )  # fmt: skip
        await self._store.put_bytes(data, self._folder.below(name))
        await self._verified(segment)
        changed = Manifest(segments=(*manifest.segments, segment))
        await self._store.put_bytes(_encode(changed), self._folder.below("manifest.json"))
        return changed

    async def _verified(self, segment: Segment) -> bytes:
        data = await self._store.read_bytes(self._folder.below(segment.name))
        if hashlib.sha256(data).hexdigest() != segment.sha256:
            raise Unreadable(
                f"{self._folder}{segment.name} is not what was stored there: check the storage, then repeat"
            )
        return data

    async def events(self, after: int, until: int) -> AsyncIterator[list[Kept]]:
        """The events past `after` up to `until`, a segment at a time; `Unreadable` if one does not match its digest."""
        for segment in (await self.manifest()).segments:
            if segment.last > after and segment.first <= until:
                found = await asyncio.to_thread(unpacked, await self._verified(segment))
                yield [kept for kept in found if after < kept.seq <= until]

    async def close(self) -> None:
        """Let go of connections."""
        await self._storage.close()
