"""What the tasks of a submission really are: as submitted, with the edits that were made since.

`state.edited` keeps the piece last asked for of each submission, so that consecutive tasks share one spec. The second part
folds. What must not enter: who may edit what (`surgery`).
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from longshore_common import editing
from longshore_common import events as e
from longshore_common.ids import TaskRange
from longshore_common.log import Recorded
from longshore_common.model import TaskSpec
from longshore_dispatcher.core import bulk, changes, edition
from longshore_dispatcher.core.content import need_of, shared_resources
from longshore_dispatcher.core.edition import Edit, Origin, Piece
from longshore_dispatcher.core.ranges import Ranges, Run, of
from longshore_dispatcher.core.state import Lot, State, Submission

#: Edited submissions whose last piece is kept.
REMEMBERED = 64

_pack = msgspec.msgpack.Encoder().encode
_revived = msgspec.msgpack.Decoder(Submission).decode


class _Made:
    """The spec that tasks of one piece got from one base."""

    __slots__ = ("base", "piece", "spec")

    def __init__(self, piece: Piece, base: TaskSpec) -> None:
        self.piece, self.base = piece, base
        self.spec = edition.amended(base, piece.edits)


def spec_of(state: State, sub: Submission, index: int) -> TaskSpec:
    """The spec that the next attempt of this task gets; equal neighbours get the same object."""
    base = state.shelf.spec(sub.id, sub.content, index)
    if not sub.edits:
        return base
    made: _Made | None = state.edited.get(sub.id)
    if made is None or not made.piece.lo <= index <= made.piece.hi:
        made = _keep(state, sub.id, _Made(edition.piece(sub.edits, index, sub.size), base))
    elif made.base is not base and made.base != base:
        made = _keep(state, sub.id, _Made(made.piece, base))
    return made.spec


def stretches(state: State, sub: Submission, run: Run) -> Iterator[tuple[TaskSpec, Run]]:
    """An array's tasks of this run, cut where their spec changes."""
    lo, hi = run
    while lo <= hi:
        spec = spec_of(state, sub, lo)
        end = min(hi, edition.piece(sub.edits, lo, sub.size).hi) if sub.edits else hi
        yield spec, (lo, end)
        lo = end + 1


def _keep(state: State, submission: int, made: _Made) -> _Made:
    if len(state.edited) >= REMEMBERED:
        del state.edited[next(iter(state.edited))]
    state.edited[submission] = made
    return made


# --- the fold ---------------------------------------------------------------------------------------------------------


def tasks_edited(state: State, record: Recorded, event: e.TasksEdited) -> None:
    """An edit holds for these tasks from here on, or no more; what is on a worker keeps what it was given."""
    for submission, runs in _by_submission(event.tasks).items():
        if (sub := state.submissions.get(submission)) is not None and sub.accepted:
            _edit(state, record.seq, sub, runs, event)
            if (event.undoes and any(x.memory for x in sub.edits)) or _asks(sub, event):
                relot(state, sub)
            _describe(state, sub)
            changes.changed(state, sub)
        elif (closed := state.closed.get(submission)) is not None and closed.revive:
            sub = _revived(closed.revive)
            _edit(state, record.seq, sub, runs, event)
            relot(state, sub)
            _describe(state, sub)
            closed.revive = _pack(sub)
        state.edited.pop(submission, None)
    if not event.more:
        state.wishes.pop(event.request, None)


def _by_submission(tasks: Iterable[TaskRange]) -> dict[int, list[Run]]:
    found: dict[int, list[Run]] = {}
    for run in tasks:
        found.setdefault(run.submission, []).append((run.lo, run.hi))
    return found


def _edit(state: State, seq: int, sub: Submission, runs: Sequence[Run], event: e.TasksEdited) -> None:
    if sub.origin is None:
        sub.origin = Origin(sub.lot_starts, sub.lot_of, sub.resources, sub.delivers, sub.fetches)
    if event.undoes:
        for edit in sub.edits:
            if edit.seq == event.undoes:
                _hold(sub, edit, runs, holds=event.restored)
        return
    edit = Edit(seq, event.request, event.change, Ranges())
    sub.edits.append(edit)
    _hold(sub, edit, runs, holds=True)


def _hold(sub: Submission, edit: Edit, runs: Sequence[Run], *, holds: bool) -> None:
    """Let the edit hold for these tasks, or not. The user's word on memory comes before what was measured."""
    meant = of(reversed(bulk.falling((lo, hi) for lo, hi in runs if 0 <= lo <= hi < sub.size)))
    for task in sub.tasks.values():
        if task.placed:
            meant.cut(task.index, task.index)
    if holds:
        bulk.put(edit.runs, meant.runs)
    else:
        bulk.take(edit.runs, meant.runs)
    if "memory" not in edit.change.set:
        return
    source, target = (sub.memory, edit.memory) if holds else (edit.memory, sub.memory)
    for index in [index for index in source if meant.has(index)]:
        target.setdefault(index, source.pop(index))


def _asks(sub: Submission, event: e.TasksEdited) -> bool:
    if not event.undoes:
        return editing.asks(event.change)
    return any(edit.seq == event.undoes and editing.asks(edit.change) for edit in sub.edits)


def relot(state: State, sub: Submission) -> None:
    """Every queued task goes to the lot of what it asks for now."""
    fresh = [run for lot in sub.lots for run in lot.fresh.runs]
    again = {index: n for lot in sub.lots for index, n in lot.again.items()}
    for lot in sub.lots:
        lot.fresh, lot.again = Ranges(), {}
    memory, sub.memory = sub.memory, {}
    state.edited.pop(sub.id, None)
    sub.lot_starts, sub.lot_of = _lots(state, sub)
    for index, size in memory.items():
        changes.give_memory(sub, index, size)
    changes.line_up(sub, fresh)
    for index, n in again.items():
        changes.lot_at(sub, index).again[index] = n


def _lots(state: State, sub: Submission) -> tuple[list[int], list[int]]:
    """Where the lot changes, and to which; lots for needs that are new are made."""
    assert sub.origin is not None  # an edit keeps it first
    starts, of = sub.origin.lot_starts, sub.origin.lot_of
    asking = [edit for edit in sub.edits if edit.runs.count and editing.asks(edit.change)]
    if not asking:
        return starts, of
    cuts = {0, *starts, *(k for edit in asking for lo, hi in edit.runs.runs for k in (lo, hi + 1) if k < sub.size)}
    known: dict[tuple[int, tuple[int, ...]], int] = {}
    new_starts: list[int] = []
    new_of: list[int] = []
    for lo in sorted(cuts):
        before = of[bisect_right(starts, lo) - 1] if starts else 0
        key = before, tuple(edit.seq for edit in asking if edit.runs.has(lo))
        if key not in known:
            known[key] = _lot_for(state, sub, lo) if key[1] else before
        if not new_of or new_of[-1] != known[key]:
            new_starts.append(lo)
            new_of.append(known[key])
    return new_starts, new_of


def _lot_for(state: State, sub: Submission, index: int) -> int:
    need = need_of(spec_of(state, sub, index), sub.user)
    for number, lot in enumerate(sub.lots):
        if lot.need == need:
            return number
    sub.lots.append(Lot(need, Ranges()))
    return len(sub.lots) - 1


def _describe(state: State, sub: Submission) -> None:
    """What is said of all tasks together: which resources they share, whether any delivers or fetches."""
    assert sub.origin is not None  # an edit keeps it first
    holding = [edit for edit in sub.edits if edit.runs.count]
    fields = {name for edit in holding for name in edit.change.set}
    replaced = {one.field for edit in holding for one in edit.change.substitutions}
    sub.delivers = sub.origin.delivers or "output" in fields
    sub.fetches = sub.origin.fetches or bool(fields & {"inputs", "resources"})
    if "resources" not in fields | replaced:
        sub.resources = sub.origin.resources
    elif sub.content.spec is None:
        sub.resources = ()
    else:
        sub.resources = shared_resources(_different(state, sub))


def _different(state: State, sub: Submission) -> Iterable[TaskSpec]:
    """The spec of each piece of an array."""
    index = 0
    while index < sub.size:
        yield spec_of(state, sub, index)
        index = edition.piece(sub.edits, index, sub.size).hi + 1
