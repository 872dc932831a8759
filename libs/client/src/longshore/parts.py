"""Many different tasks as few messages: parts of about a thousand specs, each below the largest message, in a stream.

Pure: takes an iterator, gives an iterator, holds one part at a time.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from longshore.ties import Names, Tied
from longshore_common.model import Array, Body, Edge, Parts, Specs, TaskSpec

#: Specs of one part: large enough that a message costs nothing per task, small enough for any fold's turn.
PART: Final = 1000
#: Bytes of JSON after which a part is full; a longer spec is alone in its part.
FULL: Final = 500_000
#: Edges of one part, and bytes of JSON that each may take.
EDGES: Final = 20_000
_EDGE: Final = 20


class Part(NamedTuple):
    """Some specs and some edges, these by ordinals in the whole submission; the last parts may have no specs."""

    specs: tuple[TaskSpec, ...]
    edges: tuple[Edge, ...] = ()


def parts(tasks: Iterable[TaskSpec | Tied]) -> Iterator[Part]:
    """Parts of at most `PART` specs and `EDGES` edges; `BadInput` at the end for requirements that nobody knows."""
    encode = msgspec.json.Encoder().encode
    names = Names()
    specs: list[TaskSpec] = []
    edges: list[Edge] = []
    held = 0
    for task in tasks:
        spec = task.spec if isinstance(task, Tied) else task
        length = len(encode(spec)) + 1
        if len(specs) == PART or len(edges) >= EDGES or (specs and held + length + len(edges) * _EDGE > FULL):
            yield Part(tuple(specs), tuple(edges[:EDGES]))
            specs, edges, held = [], edges[EDGES:], 0
        specs.append(spec)
        held += length
        if isinstance(task, Tied):
            edges += names.edges(task)
        else:
            names.count += 1
    yield from _last(specs, edges, names.rest(), held)


def _last(specs: list[TaskSpec], edges: list[Edge], rest: Iterator[Edge], held: int) -> Iterator[Part]:
    """The last specs, and all edges that are left."""
    room = max(0, min(EDGES, (FULL - held) // _EDGE))
    edges += islice(rest, max(0, room - len(edges)))
    if specs or edges:
        yield Part(tuple(specs), tuple(edges[:room]))
    edges = edges[room:]
    while edges := [*edges, *islice(rest, max(0, EDGES - len(edges)))]:
        yield Part((), tuple(edges[:EDGES]))
        edges = edges[EDGES:]


def size_of(body: Body) -> int:
    """How many tasks a body holds."""
    match body:
        case Array() | Parts():
            return body.size
        case Specs():
            return len(body.specs)
