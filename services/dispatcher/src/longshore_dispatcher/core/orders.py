"""The orders of one turn, gathered per worker: attempts of a submission that share a spec go into one.

What must not enter: which worker gets what.
"""

from collections.abc import Iterator
from typing import Final

from longshore_common import events as e
from longshore_common.ids import SubmissionId
from longshore_common.model import TaskSpec
from longshore_dispatcher.core import edits
from longshore_dispatcher.core.ranges import Run
from longshore_dispatcher.core.state import State, Submission, Task

#: Attempts, and estimated bytes, per event.
PER_EVENT: Final = 2000
BYTES_PER_EVENT: Final = 512 * 1024


class _Open:
    """An order in the making."""

    __slots__ = ("publish_of", "spec", "starts", "sub")

    def __init__(self, sub: Submission, spec: TaskSpec, publish_of: int) -> None:
        self.sub, self.spec, self.publish_of = sub, spec, publish_of
        self.starts: list[e.Start] = []


class Orders:
    """What each worker is to run, in the order it was planned."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._by_worker: dict[str, list[_Open]] = {}
        self._given: dict[int, int] = {}

    def given(self, submission: int) -> int:
        """Attempts of this submission ordered so far."""
        return self._given.get(submission, 0)

    def fresh(self, worker: str, sub: Submission, run: Run) -> None:
        """Order the untouched tasks of a run."""
        lo, hi = run
        self._given[sub.id] = self._given.get(sub.id, 0) + hi - lo + 1
        content = sub.content
        if content.spec is None or content.blobs or sub.tried.count or sub.last:
            for index in range(lo, hi + 1):
                self._one(worker, sub, index, sub.number(index) + 1, 0)
            return
        start, step = content.start, content.step
        starts = [e.Start(i, 1, start + i * step) for i in range(lo, hi + 1)]
        self._order(worker, sub, content.spec, 0).starts += starts

    def again(self, worker: str, sub: Submission, tasks: list[Task]) -> None:
        """Order tasks that were queued again; one whose outputs were granted is to be published, not run."""
        self._given[sub.id] = self._given.get(sub.id, 0) + len(tasks)
        for task in tasks:
            self._one(worker, sub, task.index, task.n + 1, task.granted)

    def events(self) -> Iterator[tuple[e.Event, str]]:
        """Everything ordered, as events that fit in a message each."""
        for worker, opened in self._by_worker.items():
            orders: list[e.Order] = []
            count = size = 0
            for order in opened:
                weight = order.sub.content.weight
                for at in range(0, len(order.starts), PER_EVENT):
                    starts = tuple(order.starts[at : at + PER_EVENT])
                    grows = len(starts) * weight + _weight(order.spec)
                    if orders and (count + len(starts) > PER_EVENT or size + grows > BYTES_PER_EVENT):
                        yield e.AttemptsAssigned(orders=tuple(orders)), worker
                        orders, count, size = [], 0, 0
                    orders.append(_closed(order, starts))
                    count, size = count + len(starts), size + grows
            if orders:
                yield e.AttemptsAssigned(orders=tuple(orders)), worker

    def _one(self, worker: str, sub: Submission, index: int, n: int, publish_of: int) -> None:
        shelf, content = self._state.shelf, sub.content
        spec = edits.spec_of(self._state, sub, index)
        order = self._order(worker, sub, spec, publish_of)
        label = content.start + index * content.step
        memory = sub.memory.get(index, 0) if sub.memory else 0
        order.starts.append(e.Start(index, n, label, shelf.entry(sub.id, content, index), memory))

    def _order(self, worker: str, sub: Submission, spec: TaskSpec, publish_of: int) -> _Open:
        opened = self._by_worker.setdefault(worker, [])
        if opened:
            last = opened[-1]
            same = last.spec is spec or (last.sub is sub and last.spec == spec)
            if last.sub is sub and same and last.publish_of == publish_of:
                return last
        opened.append(_Open(sub, spec, publish_of))
        return opened[-1]


def _closed(order: _Open, starts: tuple[e.Start, ...]) -> e.Order:
    sub = order.sub
    return e.Order(
        submission=SubmissionId(sub.id), spec=order.spec, batch=sub.batch, user=sub.user, starts=starts,
        publish_of=order.publish_of,
    )  # fmt: skip


def _weight(spec: TaskSpec) -> int:
    """About the bytes of a spec in JSON."""
    texts = (*spec.command, *spec.inputs, *spec.resources, *spec.env.values())
    return 200 + sum(map(len, texts)) + 8 * len(texts)
