"""What each attempt of a task was given of its host, read from the events that assigned them.

Only one task at a time: what a list shows must not need the archive. What must not enter: SQL.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from longshore_api.adapters.store import recorded
from longshore_common import events as e
from longshore_common.model import Request, TaskSpec


def asks(spec: TaskSpec | None) -> bool:
    """Whether such a task asks for more than a slot."""
    return spec is not None and bool(
        spec.cpus or spec.memory or spec.gpus or spec.disk or spec.custom or spec.alternatives
    )


def given(rows: Iterable[Any], submission: int, index: int) -> dict[int, Request]:
    """Number of the attempt -> what its order says it may use."""
    return {start.n: _request(order.spec, start) for order, start in ordered(rows, submission, index)}


def ordered(rows: Iterable[Any], submission: int, index: int) -> Iterator[tuple[e.Order, e.Start]]:
    """The order and start of each attempt of the task: what it really was given."""
    for row in rows:
        event = recorded(row).event
        for order in event.orders if isinstance(event, e.AttemptsAssigned) else ():
            for start in order.starts:
                if order.submission == submission and start.index == index:
                    yield order, start


def _request(spec: TaskSpec, start: e.Start) -> Request:
    memory = start.memory or spec.memory
    return Request(cpus=spec.cpus, memory=memory, gpus=spec.gpus, disk=spec.disk, custom=spec.custom)
