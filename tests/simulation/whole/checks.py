"""What must hold of a history, on the way and when all is over.

The ledger asserts as the log grows: one worker per task, one success, one publication, nothing promised twice. Here: all
that was accepted ends, every open task has a reason with words, and whoever folds the log folds the same.
"""

import asyncio

from longshore_common import events as e
from longshore_dispatcher.core import snapshot
from longshore_dispatcher.core.evolve import evolve_all
from longshore_dispatcher.core.explain import explain
from longshore_dispatcher.core.state import State

from ..derived import derived

TERMINAL = ("succeeded", "failed", "cancelled")
#: The answers to a submission.
ANSWERS = (e.SubmissionAccepted, e.SubmissionRejected, e.SubmissionDuplicated)


class Checks:
    """Over one world."""

    def __init__(self, world) -> None:
        self.world = world
        self.hub = world.hub
        self._read = 0
        self._answered: set[int] = set()

    def dispatchers(self):
        """Those that are at work."""
        return [node.thing for node in self.world.nodes[:2] if not node.dead]

    def all_ended(self) -> bool:
        """Whether every submission is answered, every task over, every wish answered."""
        for record in self.hub.records[self._read :]:
            if isinstance(record.event, ANSWERS):
                self._answered.add(record.event.submission)
        self._read = len(self.hub.records)
        ledger = self.hub.ledger
        if set(self.world.user.acknowledged.values()) - self._answered:
            return False
        if any(state not in TERMINAL for state in ledger.state.values()):
            return False
        return any(d.leading and d.state.seq >= self._read and not d.state.wishes for d in self.dispatchers())

    def awaited(self) -> list[tuple[int, int]]:
        """Tasks that did not end well and for which others wait by their submission's wish, until somebody retries them."""
        ledger = self.hub.ledger
        return sorted({
            required
            for task, where in ledger.state.items()
            if where == "waiting" and ledger.submitted[task[0]].on_failed_requirement == "wait"
            for required in ledger.required(task)
            if ledger.state.get(required) in ("failed", "cancelled")
        })  # fmt: skip

    def stuck(self) -> str:
        """What is not over, and what is said of it."""
        ledger, now = self.hub.ledger, self.world.hub.clock.now()
        state = self.replayed()
        left = [task for task, where in ledger.state.items() if where not in TERMINAL]
        lines = [str(explain(state, f"{s}.{i}", "task", now)) for s, i in left[:5]]
        silent = set(self.world.user.acknowledged.values()) - self._answered
        return f"left: {left}; unanswered: {silent} {state.wishes}; {lines}; leading: {[d.leading for d in self.dispatchers()]}"

    async def quiet(self) -> None:
        """Until everybody has read the whole log."""
        for _ in range(600):
            last = len(self.hub.records)
            positions = [d.state.seq for d in self.dispatchers()]
            positions += [
                node.thing.memory.position for node in self.world.nodes if node.name == "api" and not node.dead
            ]
            if len(positions) == 3 and all(at == last for at in positions):
                return
            await asyncio.sleep(1)
        raise AssertionError(f"the log has {last}, but its followers are at {positions}")

    def replayed(self) -> State:
        """The state of the whole log, folded at once."""
        state = State()
        evolve_all(state, self.hub.records)
        return state

    def at_the_end(self) -> None:
        """Everything."""
        fresh = self.replayed()
        image = snapshot.to_bytes(fresh)
        for dispatcher in self.dispatchers():
            assert snapshot.to_bytes(dispatcher.state) == image, "a dispatcher folded something else than the log"
            again = snapshot.from_bytes(snapshot.to_bytes(dispatcher.state))
            assert derived(again) == derived(dispatcher.state), "what is derived differs from what a snapshot derives"
        self.projection()
        self.publications()
        self.cuts()

    def projection(self) -> None:
        """The projector knows every task to be in the state the ledger has for it."""
        projector = next(node.thing for node in self.world.nodes if node.name == "api")
        known: dict[int, dict[int, str]] = {}
        for (submission, index), state in self.hub.ledger.state.items():
            states = known.setdefault(submission, projector.states(submission))
            assert states[index] == state, f"{submission}.{index} is {state}, projected as {states[index]}"
        for submission, states in known.items():
            counts = projector.memory.submissions[submission].counts
            for state in TERMINAL:
                assert counts[state] == list(states.values()).count(state), f"{submission}: {counts} of {states}"

    def publications(self) -> None:
        """One attempt's outputs at most, but for tasks that a user had run again."""
        retried = {
            (run.submission, index)
            for record in self.hub.records
            if isinstance(record.event, e.TasksRetried)
            for run in record.event.tasks
            for index in range(run.lo, run.hi + 1)
        }
        for task, sources in self.world.published.items():
            submission, _, index = task.partition(".")
            if (int(submission), int(index)) not in retried:
                assert len(set(sources)) == 1, f"{task}: {sources} were published"

    def cuts(self) -> None:
        """From a snapshot anywhere, the tail leads to the same; on the way every open task has a reason."""
        records, dice = self.hub.records, self.world.dice
        state, at = State(), 0
        for cut in sorted(dice.randrange(len(records)) for _ in range(2)):
            evolve_all(state, records[at:cut])
            state, at = snapshot.from_bytes(snapshot.to_bytes(state)), cut
            self.explained(state)
        evolve_all(state, records[at:])
        assert snapshot.to_bytes(state) == snapshot.to_bytes(self.replayed()), "a snapshot and its tail lead elsewhere"

    def explained(self, state: State) -> None:
        """Every open task has a reason in words."""
        for submission in state.submissions.values():
            for index in range(submission.size):
                if submission.accepted and submission.state_of(index) not in TERMINAL:
                    answer = explain(state, f"{submission.id}.{index}", "task", state.at)
                    assert answer.reasons, f"{submission.id}.{index} is {answer.state} and nobody says why"
                    assert all(reason.text for reason in answer.reasons)
