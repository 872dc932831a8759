"""How the edges and element-wise requirements of a submission become its ties, as far as they can be kept.

What must not enter: refusals; what is wrong with a submission is noted in it for `decide` to answer.
"""

from collections.abc import Sequence
from typing import Final

from longshore_common import events as e
from longshore_common.model import Edge, Parts, Specs
from longshore_dispatcher.core import graph
from longshore_dispatcher.core.ranges import Ranges, whole
from longshore_dispatcher.core.state import Parts as Sent
from longshore_dispatcher.core.state import Submission
from longshore_dispatcher.core.ties import Ties

#: Ranges that a submission may require element by element.
MOST_EACH: Final = 100
#: What stands for edges that name no task anybody could have.
UNREADABLE: Final = b"?"


def packed(edges: Sequence[Edge]) -> bytes:
    """The edges of one part."""
    if not edges:
        return b""
    try:
        return graph.pack(edges)
    except OverflowError:
        return UNREADABLE


def tie(sub: Submission, event: e.TasksSubmitted, sent: Sent | None) -> None:
    """Give a submission its ties, if it has any; unless it is held, its tasks are blocked then."""
    patient = event.on_failed_requirement == "wait"
    each = event.each_requires and bool(event.requires)
    edges = _edges(sub, event, sent)
    if sub.fault or sub.problems or not (edges or each or patient):
        return
    sub.fault = _each_fault(sub) if each else ""
    made = _graph(sub, edges) if edges else None
    if sub.fault or sub.problems:
        return
    sub.ties = Ties(each, patient, Ranges(), made)
    if sub.ties.by_task and not event.held:
        sub.ties.blocked = whole(sub.size)
        for lot in sub.lots:
            lot.fresh = Ranges()


def _edges(sub: Submission, event: e.TasksSubmitted, sent: Sent | None) -> bytes:
    """All its edges, packed; a fault is noted if some of them are missing or unreadable."""
    match event.body:
        case Specs():
            pieces, told = [packed(event.body.edges)], len(event.body.edges)
        case Parts() if sent is not None:
            pieces, told = [sent.parts[k].edges for k in sorted(sent.parts)], event.body.edges
        case _:
            return b""
    if UNREADABLE in pieces:
        sub.fault = sub.fault or "an edge names a task below 0 or beyond any: edges are [dependent, required] ordinals"
        return b""
    found = b"".join(pieces)
    if (count := len(found) // (2 * graph.WIDTH)) != told:
        sub.fault = sub.fault or f"its parts hold {count} edges, not {told}: submit again with a new key"
    return found


def _each_fault(sub: Submission) -> str:
    if len(sub.requires) > MOST_EACH:
        return f"it requires {len(sub.requires)} ranges element by element, at most {MOST_EACH} are possible: join them"
    for required in sub.requires:
        if len(required) != sub.size:
            return (
                f"it requires {required} element by element, which are {len(required)} tasks, but it has {sub.size}: "
                "make both as long, or require them as a whole"
            )
    return ""


def _graph(sub: Submission, edges: bytes) -> graph.Graph | None:
    if (bad := graph.fault(sub.size, edges)) is not None:
        sub.problems = [bad]
        return None
    made = graph.of(sub.size, edges)
    if ring := graph.cycle(sub.size, edges, made):
        sub.fault = graph.told(ring)
        return None
    return made
