"""Many different tasks as few messages: parts of about a thousand specs, each below the largest message, in a stream.

Pure: takes an iterator, gives an iterator, holds one part at a time.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from longshore_common.codec import MAX_MESSAGE
from longshore_common.model import Array, Body, Parts, Specs, TaskSpec

#: Specs of one part: large enough that a message costs nothing per task, small enough for any fold's turn.
PART: Final = 1000
#: Room for the rest of the event around the specs.
_MARGIN: Final = 64 * 1024


def parts(specs: Iterable[TaskSpec]) -> Iterator[tuple[TaskSpec, ...]]:
    """Runs of at most `PART` specs whose JSON fits one message even if it does not compress at all."""
    encode = msgspec.json.Encoder().encode
    part: list[TaskSpec] = []
    held = 0
    for spec in specs:
        length = len(encode(spec)) + 1
        if len(part) == PART or (part and held + length > MAX_MESSAGE - _MARGIN):
            yield tuple(part)
            part, held = [], 0
        part.append(spec)
        held += length
    if part:
        yield tuple(part)


def size_of(body: Body) -> int:
    """How many tasks a body holds."""
    match body:
        case Array() | Parts():
            return body.size
        case Specs():
            return len(body.specs)
