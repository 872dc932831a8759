"""What the recruiter knows of demand: the leading dispatcher's hints, batch by batch.

The dispatcher counts, because it knows what finds a place; nothing is folded here. What must not enter: hiring.
"""

import msgspec
from msgspec import Struct

from longshore_common import subjects
from longshore_common.damage import DAMAGED
from longshore_common.demand import BatchDemand, Leader
from longshore_common.log import Kept

_batch = msgspec.json.Decoder(BatchDemand).decode
_leader = msgspec.json.Decoder(Leader).decode


class State(Struct):
    """Mutable; changed by `take` alone. `known`: a leader has told all it knows, and it is still there to be read.

    While it is not, `batches` is what was known last: good enough to keep machines, not to release any.
    """

    known: bool = False
    leader: int = 0
    batches: dict[str, BatchDemand] = {}


def take(state: State, kept: Kept) -> None:
    """Take what is retained, or what changed. A hint that cannot be read changes nothing."""
    leader = _read_leader(kept.values.get(subjects.DEMAND_LEADER, b""))
    if kept.whole:
        state.known = leader is not None
        if leader is None:
            return  # an emptied store is no empty queue
        state.leader, state.batches = leader.fence, {}
    elif leader is not None and leader.fence >= state.leader:
        # it told all batches before it said so: what is left of its predecessor is over
        state.known, state.leader = True, leader.fence
        state.batches = {name: batch for name, batch in state.batches.items() if batch.leader >= leader.fence}
    for subject, body in kept.values.items():
        if subject != subjects.DEMAND_LEADER:
            _take_batch(state, subject.rsplit(".", 1)[1], body)


def _read_leader(body: bytes) -> Leader | None:
    try:
        return _leader(body) if body else None
    except DAMAGED:
        return None


def _take_batch(state: State, name: str, body: bytes) -> None:
    if not body:
        state.batches.pop(name, None)
        return
    try:
        batch = _batch(body)
    except DAMAGED:
        return
    if batch.leader >= state.leader:  # else it is of one that leads no more
        state.batches[name] = batch
