"""The desk: a dispatcher's core, users and workers as the stories tell of them."""

from collections.abc import Iterable

import pytest

from longshore_common import events as e
from longshore_common.ids import TaskRange, attempt_id
from longshore_common.model import Array, HostFacts, TaskSpec, Usage
from longshore_common.testing.story import Story
from longshore_dispatcher.core.decide import decide
from longshore_dispatcher.core.evolve import evolve
from longshore_dispatcher.core.explain import explain
from longshore_dispatcher.core.state import State

BIG = HostFacts(hostname="h", cpus=8, memory=16 << 30, engines=("docker",))


class Desk(Story[State]):
    """A story with the words of users and agents."""

    def __init__(self) -> None:
        self.silent: tuple[str, ...] = ()
        super().__init__(State(), evolve, lambda state, now: decide(state, now, self.silent))
        self.keys = 0

    def worker(self, name="w1", slots=2, prefetch=-1, batch="*", facts=BIG, held=(), handled=0, life=1):
        return self.given(
            e.WorkerJoined(
                life=life,
                facts=facts,
                concurrency=slots,
                prefetch=prefetch,
                batch=batch,
                held=tuple(held),
                handled=handled,
            ),
            name,
        )

    def submitted(self, size=1, *, user="ada", spec=None, batch="b", key=None, body=None, **more):
        self.keys += 1
        body = body or Array(spec=spec or TaskSpec(command=("true",)), size=size)
        return self.given(e.TasksSubmitted(key=key or f"k{self.keys}", batch=batch, body=body, **more), user)

    def accepted(self, size=1, **more):
        submission = self.submitted(size, **more)
        self.given(e.SubmissionAccepted(submission=submission, size=size))
        return submission

    def starts(self) -> dict[str, list[tuple[int, int, int]]]:
        """(submission, index, n) of all that was just decided to be assigned, by worker."""
        found: dict[str, list[tuple[int, int, int]]] = {}
        for event, name in self.decided:
            if isinstance(event, e.AttemptsAssigned):
                for order in event.orders:
                    found.setdefault(name, []).extend((order.submission, s.index, s.n) for s in order.starts)
        return found

    def moved(self, worker, state, *attempts):
        moves = tuple(e.Move(attempt_id(*a), state, self.now) for a in attempts)
        return self.given(e.AttemptsReported(life=1, n=1, moved=moves), worker)

    def delivered(self, worker, *attempts):
        return self.given(
            e.AttemptsReported(life=1, n=1, delivered=tuple(e.Delivered(attempt_id(*a)) for a in attempts)), worker
        )

    def ended(self, worker, attempt, outcome="succeeded", cause=None, reason="", took=None, code=None):
        usage = Usage() if took is None else Usage(self.now, self.now, self.now + took, self.now + took)
        end = e.Ended(attempt_id(*attempt), outcome, code, cause, reason, usage)
        return self.given(e.AttemptsReported(life=1, n=1, ended=(end,)), worker)

    def state_of(self, submission: int, index: int = 0) -> str:
        return explain(self.state, f"{submission}.{index}", "task", self.now).state

    def reasons(self, submission: int, index: int = 0) -> str:
        answer = explain(self.state, f"{submission}.{index}", "task", self.now)
        return " / ".join(r.text for reason in answer.reasons for r in (reason, *reason.parts))

    def states(self, submission: int, indices: Iterable[int]) -> list[str]:
        return [self.state_of(submission, i) for i in indices]

    @staticmethod
    def tasks(submission: int, lo: int, hi: int | None = None) -> tuple[TaskRange, ...]:
        return (TaskRange(submission, lo, lo if hi is None else hi),)


@pytest.fixture
def desk() -> Desk:
    return Desk()
