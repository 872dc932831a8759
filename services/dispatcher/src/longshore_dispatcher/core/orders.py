"""The orders of one turn, gathered per worker: attempts of a submission that share a spec go into one.

What must not enter: which worker gets what.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from longshore_common import events as e
from longshore_common.ids import SubmissionId
from longshore_common.model import TaskSpec
from longshore_dispatcher.core import edits
from longshore_dispatcher.core.content import granted
from longshore_dispatcher.core.ranges import Run
from longshore_dispatcher.core.state import State, Submission, Task

#: Attempts, and estimated bytes, per event.
PER_EVENT: Final = 2000
BYTES_PER_EVENT: Final = 512 * 1024
#: Orders of a worker that another attempt may still join: shares make submissions take turns.
RECENT: Final = 8


class _Open:
    """An order in the making."""

    __slots__ = ("publish_of", "spec", "starts", "sub")

    def __init__(self, sub: Submission, spec: TaskSpec, publish_of: int) -> None:
        self.sub, self.spec, self.publish_of = sub, spec, publish_of
        self.starts: list[e.Start] = []


class _Nth(NamedTuple):
    """Attempt `n` of a task, which gets the `variant`-th of its requests."""

    task: int
    n: int
    variant: int
    publish_of: int = 0


class Orders:
    """What each worker is to run, in the order it was planned."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._by_worker: dict[str, list[_Open]] = {}
        self._given: dict[int, int] = {}
        self._granted: dict[tuple[int, int], tuple[TaskSpec, TaskSpec]] = {}
        self.count = 0

    def given(self, submission: int) -> int:
        """Attempts of this submission ordered so far."""
        return self._given.get(submission, 0)

    def fresh(self, worker: str, sub: Submission, run: Run, variant: int = 0) -> None:
        """Order the untouched tasks of a run, which get the `variant`-th of their requests (0: the first)."""
        lo, hi = run
        self._count(sub, hi - lo + 1)
        content = sub.content
        if content.spec is None or content.blobs or sub.tried.count or sub.last:
            for index in range(lo, hi + 1):
                self._one(worker, sub, _Nth(index, sub.number(index) + 1, variant))
            return
        start, step = content.start, content.step
        for spec, (first, last) in edits.stretches(self._state, sub, run):
            starts = [e.Start(i, 1, start + i * step) for i in range(first, last + 1)]
            self._order(worker, sub, self._spec(spec, variant), 0).starts += starts

    def again(self, worker: str, sub: Submission, tasks: list[Task], variant: int = 0) -> None:
        """Order tasks that were queued again; one whose outputs were granted is to be published, not run."""
        self._count(sub, len(tasks))
        for task in tasks:
            self._one(worker, sub, _Nth(task.index, task.n + 1, variant, task.granted))

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

    def _count(self, sub: Submission, count: int) -> None:
        self._given[sub.id] = self._given.get(sub.id, 0) + count
        self.count += count

    def _one(self, worker: str, sub: Submission, nth: _Nth) -> None:
        shelf, content = self._state.shelf, sub.content
        spec = self._spec(edits.spec_of(self._state, sub, nth.task), nth.variant)
        order = self._order(worker, sub, spec, nth.publish_of)
        label = content.start + nth.task * content.step
        memory = sub.memory.get(nth.task, 0) if sub.memory else 0
        order.starts.append(e.Start(nth.task, nth.n, label, shelf.entry(sub.id, content, nth.task), memory))

    def _spec(self, spec: TaskSpec, variant: int) -> TaskSpec:
        """As the attempt gets it; made once per turn."""
        if not spec.alternatives:
            return spec
        known = self._granted.get((id(spec), variant))
        if known is None:  # the spec itself is kept as well, so that its id stays its own
            known = self._granted[(id(spec), variant)] = spec, granted(spec, variant)
        return known[1]

    def _order(self, worker: str, sub: Submission, spec: TaskSpec, publish_of: int) -> _Open:
        opened = self._by_worker.get(worker)
        if opened is None:
            opened = self._by_worker[worker] = []
        for last in reversed(opened[-RECENT:]):
            if last.sub is sub and last.publish_of == publish_of and (last.spec is spec or last.spec == spec):
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
