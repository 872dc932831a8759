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
from longshore_common.model import Change, TaskSpec
from longshore_dispatcher.core import bulk, edition, edits, remembering, validity
from longshore_dispatcher.core.ranges import Run, of
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
    for submission, named in remembering.by_submission(runs).items():
        if found.fault or found.more:
            break
        sub = remembering.known(state, submission)
        if sub is None:
            found.ended += sum(hi - lo + 1 for lo, hi in named)
        else:
            _of_submission(state, wish, event, _Part(sub, bulk.falling(named)), found)
    return found


class _Part(NamedTuple):
    """Runs of a submission, none touching the next, the highest first."""

    sub: Submission
    runs: list[Run]


def _of_submission(state: State, wish: Wish, event: e.EditRequested, part: _Part, found: Reach) -> None:
    sub, runs = part
    idle = remembering.of_runs(sub, runs, "editable")
    every, done = idle.count, 0
    for edit in sub.edits:
        if edit.request == wish.seq:
            done += sum(hi - lo + 1 for lo, hi in bulk.take(idle, edit.runs.runs))
    before = len(found.fetch)
    fetch, running = _on_workers(part)
    found.fetch += _changed(state, event, sub, fetch)
    found.running, found.done = found.running + running, found.done + done
    found.unchanged += len(fetch) - len(found.fetch) + before
    found.ended += sum(hi - lo + 1 for lo, hi in runs) - every - len(fetch) - running
    if idle.count and len(sub.edits) >= edition.MOST:
        found.fault = f"submission {sub.id} was edited {edition.MOST} times: edit more of its tasks at once"
        return
    hits: list[Run] = []
    for run in idle.ascending():
        _look(state, event, (sub, run), (found, hits))
        if found.fault or found.more:
            break
    found.found += [TaskRange(SubmissionId(sub.id), lo, hi) for lo, hi in reversed(bulk.falling(hits))]


def _on_workers(part: _Part) -> tuple[list[Task], int]:
    """The tasks that are to be fetched back, and how many run, or are to be published."""
    sub, runs = part
    meant = of(reversed(runs))
    inside = sub.tasks_in(runs[-1][0], runs[0][1]) if sub.tasks else ()
    busy = [task for task in inside if (task.placed or task.granted) and meant.has(task.index)]
    fetch = [task for task in busy if PHASE.get(task.state) == 0 and not (task.cancel or task.granted)]
    return fetch, len(busy) - len(fetch)


def _changed(state: State, event: e.EditRequested, sub: Submission, fetch: list[Task]) -> list[Task]:
    """Those that the edit changes, or spoils: the others would be fetched back in vain, and again once they are handed out."""
    kept: list[Task] = []
    base, changes = None, False
    for task in fetch:
        spec = edits.spec_of(state, sub, task.index)
        if spec is not base:
            base, changes = spec, _changes(spec, event.change)
        if changes:
            kept.append(task)
    return kept


def _changes(spec: TaskSpec, change: Change) -> bool:
    try:
        return editing.edited(spec, change) is not spec
    except BadInput:
        return True


def _look(state: State, event: e.EditRequested, part: tuple[Submission, Run], into: tuple[Reach, list[Run]]) -> None:
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
            hits.append((index, end))
            if len(found.samples) < SAMPLES:
                found.samples.append(Sample(task_id(sub.id, index), before, after))
        index = end + 1
