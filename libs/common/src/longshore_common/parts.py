"""Many different tasks as few messages: parts of about a thousand specs, each below the largest message, in a stream.

Pure: takes an iterator, gives an iterator, holds one part at a time.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from longshore_common.model import Array, Body, Edge, Parts, Specs, TaskSpec
from longshore_common.ties import Names, Tied

#: Specs of one part: large enough that a message costs nothing per task, small enough for any fold's turn.
PART: Final = 1000
#: Bytes of JSON that the specs of a part may take; a longer one is alone in its part.
FULL: Final = 500_000
#: Edges of one part: each takes up to 20 bytes.
EDGES: Final = 20_000

_encode: Final = msgspec.json.Encoder().encode


class Part(NamedTuple):
    """Some specs and some edges, these by ordinals in the whole submission; the last parts may have no specs."""

    specs: tuple[TaskSpec, ...]
    edges: tuple[Edge, ...] = ()


def parts(tasks: Iterable[TaskSpec | Tied]) -> Iterator[Part]:
    """Parts of at most `PART` specs and `EDGES` edges; `BadInput` at the end for requirements that nobody knows."""
    rest, names = iter(tasks), Names()
    edges: list[Edge] = []
    last: list[TaskSpec] = []  # held back: what only the end tells may go with them
    while some := list(islice(rest, PART)):
        for part in _fitting(last):
            yield Part(part, tuple(edges[:EDGES]))
            edges = edges[EDGES:]
        last = [task.spec if type(task) is Tied else task for task in some]  # type: ignore[misc]
        names.add(some, edges)
    yield from _end(last, edges, names)


def _end(last: list[TaskSpec], edges: list[Edge], names: Names) -> Iterator[Part]:
    """The last specs, and all edges that are left."""
    edges += names.rest()
    pieces = list(_fitting(last))
    for at in range(0, max(len(pieces), -(-len(edges) // EDGES))):
        specs = pieces[at] if at < len(pieces) else ()
        yield Part(specs, tuple(edges[at * EDGES : (at + 1) * EDGES]))


def _fitting(specs: list[TaskSpec]) -> Iterator[tuple[TaskSpec, ...]]:
    """All of these if they are not too large together, else in halves; encoded at once, which costs a tenth of one by one."""
    if len(specs) > 1 and len(_encode(specs)) > FULL:
        half = len(specs) // 2
        yield from _fitting(specs[:half])
        yield from _fitting(specs[half:])
    elif specs:
        yield tuple(specs)


def size_of(body: Body) -> int:
    """How many tasks a body holds."""
    match body:
        case Array() | Parts():
            return body.size
        case Specs():
            return len(body.specs)
