"""What the tasks of a submission are, packed: one spec for an array, compressed blobs of ~1,000 for different tasks.

What must not enter: the progress of tasks.
"""

import zlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import islice
from typing import TypeVar

import msgspec
from msgspec import Struct

from longshore_common import confidential
from longshore_common.model import Request, TaskSpec, resource_key

#: Specs or entries per blob where we cut them ourselves; parts that users send stay as they are.
CHUNK = 1000
#: Blobs kept unpacked; tasks are begun in order, so few are ever in use at once.
UNPACKED = 8

K = TypeVar("K")
V = TypeVar("V")

_pack = msgspec.msgpack.Encoder().encode
_specs = msgspec.msgpack.Decoder(tuple[msgspec.Raw, ...]).decode
_spec = msgspec.msgpack.Decoder(TaskSpec).decode
_entries = msgspec.msgpack.Decoder(tuple[str, ...]).decode


class Need(Struct, frozen=True, array_like=True, cache_hash=True):
    """What a worker must offer: a container engine, thousandths of a CPU, bytes of memory, GPUs, bytes of disk, and
    thousandths of resources that the operator named, by name; 0 = not asked for. `alternatives`: what would do instead,
    the most wanted first; they have none of their own. `secrets`: of users, as `owner/name`, that it must hold.
    """

    container: bool = False
    cpus: int = 0
    memory: int = 0
    gpus: int = 0
    disk: int = 0
    custom: tuple[tuple[str, int], ...] = ()
    alternatives: tuple["Need", ...] = ()
    secrets: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether nothing is asked for but a slot."""
        return not (self.cpus or self.memory or self.gpus or self.disk or self.custom or self.alternatives)


PLAIN = Need()
CONTAINED = Need(container=True)


class Content(Struct, array_like=True, gc=False):
    """An array's one `spec` (and its entries in blobs), or different specs in blobs; blob k begins at `firsts[k]`.

    `weight` estimates the bytes one task adds to an order.
    """

    spec: TaskSpec | None = None
    start: int = 0
    step: int = 1
    blobs: list[bytes] = []
    firsts: list[int] = []
    weight: int = 24


def need_of(spec: TaskSpec, user: str = "") -> Need:
    """What this spec asks of a worker; without its `user` as if it named no secrets, which take nothing of a host."""
    asks = spec.cpus or spec.memory or spec.gpus or spec.disk or spec.custom or spec.alternatives
    if not (asks or spec.secrets):
        return PLAIN if spec.container is None else CONTAINED
    secrets = tuple(sorted({confidential.key(user, name) for name in spec.secrets})) if user else ()
    others = tuple(_request(spec.container is not None, other, secrets) for other in spec.alternatives)
    return msgspec.structs.replace(_request(spec.container is not None, spec, secrets), alternatives=others)


def _request(container: bool, asked: TaskSpec | Request, secrets: tuple[str, ...]) -> Need:  # noqa: FBT001 - a field
    custom = tuple(sorted((name, thousandths(amount)) for name, amount in asked.custom.items() if amount))
    return Need(container, thousandths(asked.cpus), asked.memory, asked.gpus, asked.disk, custom, (), secrets)


def thousandths(amount: float) -> int:
    """An amount as it is reckoned with: what is asked for is never rounded to nothing."""
    return max(1, round(amount * 1000)) if amount > 0 else 0


@lru_cache(4096)
def variants(need: Need) -> tuple[Need, ...]:
    """What the need asks for itself, then its alternatives, each without any."""
    if not need.alternatives:
        return (need,)
    return msgspec.structs.replace(need, alternatives=()), *need.alternatives


def with_memory(need: Need, memory: int) -> Need:
    """The same need with so many bytes of memory, whichever alternative it gets."""
    others = tuple(msgspec.structs.replace(other, memory=memory) for other in need.alternatives)
    return msgspec.structs.replace(need, memory=memory, alternatives=others)


def granted(spec: TaskSpec, variant: int) -> TaskSpec:
    """The spec as an attempt gets it that was given its `variant`-th request (0: its own): without alternatives."""
    if not spec.alternatives:
        return spec
    asked = spec if variant == 0 else spec.alternatives[variant - 1]
    return msgspec.structs.replace(
        spec,
        cpus=asked.cpus,
        memory=asked.memory,
        gpus=asked.gpus,
        disk=asked.disk,
        custom=asked.custom,
        alternatives=(),
    )


def shared_resources(specs: Iterable[TaskSpec]) -> tuple[str, ...]:
    """The keys of the resources that all these tasks ask for by the same name, in order."""
    shared: dict[str, None] | None = None
    for uris in {spec.resources for spec in specs}:
        plain_names = {uri: None for uri in uris if "{" not in uri}
        shared = plain_names if shared is None else {uri: None for uri in shared if uri in plain_names}
        if not shared:
            return ()
    return tuple(sorted(map(resource_key, shared or ())))


def of_array(spec: TaskSpec, start: int, step: int, entries: Sequence[str]) -> Content:
    """The content of an array."""
    blobs = [_blob(chunk) for chunk in _chunks(entries)]
    weight = 24 + sum(map(len, entries)) // max(1, len(entries))
    return Content(spec, start, step, blobs, list(range(0, len(entries), CHUNK)), weight)


def of_specs(specs: Sequence[TaskSpec]) -> Content:
    """The content of different tasks that came in one event."""
    raw = [_pack(chunk) for chunk in _chunks(specs)]
    weight = 48 + sum(map(len, raw)) * 2 // max(1, len(specs))
    return Content(blobs=[zlib.compress(r, 1) for r in raw], firsts=list(range(0, len(specs), CHUNK)), weight=weight)


def blob_of(specs: Sequence[TaskSpec]) -> tuple[bytes, int]:
    """(one blob of these specs, its bytes before compression)."""
    raw = _pack(specs)
    return zlib.compress(raw, 1), len(raw)


class Shelf:
    """The blobs last unpacked. A cache and nothing else: what it answers depends on the content only.

    Specs are read one by one: a graph's tasks come in no order, and of most blobs only a few are wanted at a time.
    """

    def __init__(self) -> None:
        self._specs: dict[tuple[int, int], tuple[msgspec.Raw, ...]] = {}
        self._entries: dict[tuple[int, int], tuple[str, ...]] = {}

    def spec(self, submission: int, content: Content, index: int) -> TaskSpec:
        """The spec of one task."""
        if content.spec is not None:
            return content.spec
        k = bisect_right(content.firsts, index) - 1
        specs = self._specs.get((submission, k))
        if specs is None:
            specs = _specs(zlib.decompress(content.blobs[k]))
            _shelve(self._specs, (submission, k), specs)
        return _spec(specs[index - content.firsts[k]])

    def entry(self, submission: int, content: Content, index: int) -> str:
        """The entry of one array task, "" if the array has none."""
        if content.spec is None or not content.blobs:
            return ""
        k = index // CHUNK
        entries = self._entries.get((submission, k))
        if entries is None:
            entries = _entries(zlib.decompress(content.blobs[k]))
            _shelve(self._entries, (submission, k), entries)
        return entries[index % CHUNK]


def thinned(content: Content, kept: Iterable[int]) -> Content:
    """The same content without the blobs that hold none of these ordinals."""
    if not content.blobs:
        return content
    wanted = {bisect_right(content.firsts, index) - 1 for index in kept}
    blobs = [blob if k in wanted else b"" for k, blob in enumerate(content.blobs)]
    return msgspec.structs.replace(content, blobs=blobs)


def _shelve(shelf: dict[K, V], key: K, value: V) -> None:
    if len(shelf) >= UNPACKED:
        del shelf[next(iter(shelf))]
    shelf[key] = value


def _chunks(items: Sequence[V]) -> Iterable[tuple[V, ...]]:
    walk = iter(items)
    while chunk := tuple(islice(walk, CHUNK)):
        yield chunk


def _blob(items: Sequence[str]) -> bytes:
    return zlib.compress(_pack(items), 1)
