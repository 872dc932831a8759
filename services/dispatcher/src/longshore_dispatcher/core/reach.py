"""How far an edit reaches now: which tasks it would change into what, which are to be fetched back first, which not.

Many different specs are looked at some per turn. What must not enter: changes of state, answers.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from msgspec import Struct

from longshore_common import editing
from longshore_common import events as e
from longshore_common.errors import BadInput
from longshore_common.ids import SubmissionId, TaskRange, task_id
from longshore_common.model import TaskSpec
from longshore_dispatcher.core import edition, edits, remembering, validity
from longshore_dispatcher.core.ranges import Ranges, Run
from longshore_dispatcher.core.state import PHASE, State, Submission, Task, Wish

#: Different specs looked at per turn: about 10 ms.
PER_TURN: Final = 1000
#: Examples of what an edit makes of a task.
SAMPLES: Final = 3


class Sample(NamedTuple):
    """A task as it is and as it would be."""

    task: str
    before: TaskSpec
    after: TaskSpec


class Reach(Struct):
    """How far an edit reaches now: tasks `found` to be changed, those on workers that are to `fetch` back first, how many run
    or have ended, how many it does not change, how many this wish has `done`.

    `more`: not all was looked at, which were more than `most`. `fault`: why none of it can be.
    """

    found: list[TaskRange] = []
    fetch: list[Task] = []
    running: int = 0
    ended: int = 0
    unchanged: int = 0
    done: int = 0
    looked: int = 0
    more: bool = False
    fault: str = ""
    samples: list[Sample] = []
    most: int = PER_TURN

    @property
    def count(self) -> int:
        """How many tasks are to be changed now."""
        return sum(map(len, self.found))

    def left_out(self) -> str:
        """What is not changed, in words."""
        told = (
            (self.running, "run already and keep what they were given"),
            (self.ended, "have ended"),
            (self.unchanged, "are so already, or do not have it"),
        )
        return "; ".join(f"{count} {what}" for count, what in told if count)


def reach(state: State, wish: Wish, event: e.EditRequested, runs: Iterable[TaskRange], most: int = PER_TURN) -> Reach:
    """How far the edit reaches; a fault names the first task that it would spoil."""
    found = Reach(fault=editing.fault(event.change), most=most)
    for run in runs:
        if found.fault or found.more:
            break
        sub = remembering.known(state, run.submission)
        if sub is None:
            found.ended += len(run)
        else:
            _of_run(state, wish, event, _Part(sub, (run.lo, run.hi)), found)
    return found


class _Part(NamedTuple):
    sub: Submission
    run: Run


def _of_run(state: State, wish: Wish, event: e.EditRequested, part: _Part, found: Reach) -> None:
    sub, run = part
    idle = remembering.ranges_of(sub, run, "editable")
    every, done = idle.count, 0
    for edit in sub.edits:
        if edit.request == wish.seq:
            done += sum(b - a + 1 for lo, hi in edit.runs.within(*run) for a, b in idle.cut(lo, hi))
    fetch, running = _on_workers(sub, run)
    found.fetch += fetch
    found.running, found.done = found.running + running, found.done + done
    found.ended += run[1] - run[0] + 1 - every - len(fetch) - running
    if idle.count and len(sub.edits) >= edition.MOST:
        found.fault = f"submission {sub.id} was edited {edition.MOST} times: edit more of its tasks at once"
        return
    hits = Ranges()
    for lo, hi in idle.ascending():
        if not (found.fault or found.more):
            _look(state, event, _Part(sub, (lo, hi)), (found, hits))
    found.found += [TaskRange(SubmissionId(sub.id), lo, hi) for lo, hi in hits.ascending()]


def _on_workers(sub: Submission, run: Run) -> tuple[list[Task], int]:
    """The tasks that are to be fetched back, and how many run, or are to be published."""
    busy = [task for task in sub.tasks_in(*run) if task.placed or task.granted]
    fetch = [task for task in busy if PHASE.get(task.state) == 0 and not (task.cancel or task.granted)]
    return fetch, len(busy) - len(fetch)


def _look(state: State, event: e.EditRequested, part: _Part, into: tuple[Reach, Ranges]) -> None:
    """Each different spec of these tasks with the edit made."""
    (sub, (index, last)), (found, hits) = part, into
    while index <= last:
        if found.looked >= found.most:
            found.more = True
            return
        found.looked += 1
        end = min(last, edition.piece(sub.edits, index, sub.size).hi) if sub.content.spec is not None else index
        before = edits.spec_of(state, sub, index)
        try:
            after = editing.edited(before, event.change)
        except BadInput as err:
            found.fault = f"task {task_id(sub.id, index)}: {err}"
            return
        if after is before:
            found.unchanged += end - index + 1
        elif why := validity.problem(after):
            found.fault = f"task {task_id(sub.id, index)}: {why}"
            return
        else:
            hits.add(index, end)
            if len(found.samples) < SAMPLES:
                found.samples.append(Sample(task_id(sub.id, index), before, after))
        index = end + 1
