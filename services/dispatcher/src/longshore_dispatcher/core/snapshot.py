"""The state as bytes and back. What is derived is left out and made anew, so a snapshot cannot disagree with itself.

What must not enter: where snapshots are kept.
"""

import zlib
from collections.abc import Iterator
from itertools import chain, pairwise
from typing import Final

import msgspec
from msgspec import Struct

from longshore_common.damage import DAMAGED
from longshore_common.errors import Unreadable
from longshore_common.model import Policy, Retention, Share, UserRole
from longshore_dispatcher.core import blocked, changes, placing, requirements, shares, sweeping, trust
from longshore_dispatcher.core.claims import Reservation
from longshore_dispatcher.core.deeds import Deed
from longshore_dispatcher.core.ledger import Keys, Ledger, Rows, mark_of
from longshore_dispatcher.core.residue import Residue, Sweep
from longshore_dispatcher.core.shares import Account
from longshore_dispatcher.core.state import (
    PHASE,
    Batch,
    Closed,
    Parts,
    Result,
    State,
    Submission,
    Task,
    Wish,
    Worker,
)

#: Raised whenever an older dispatcher would misread what a newer one wrote; a snapshot of a newer version is not used.
VERSION: Final = 4
#: Tasks say what they hold of their hosts since this version.
WITH_NEEDS: Final = 3


class Image(Struct):
    """What is kept of a state."""

    version: int
    seq: int
    at: float
    leader: int
    leader_name: str
    submissions: dict[int, Submission]
    closed: list[Closed]
    parts: dict[str, Parts]
    broken_parts: dict[str, str]
    workers: dict[str, Worker]
    batches: dict[str, Batch]
    wishes: dict[int, Wish]
    paces: dict[str, float]
    retention: dict[str, Retention] = {}
    residues: list[Residue] = []
    sweeps: dict[int, Sweep] = {}
    shares: dict[tuple[str, str], Share] = {}
    policy: Policy = Policy()
    results: dict[str, Result] = {}
    usage: dict[tuple[str, str], Account] = {}
    reservations: dict[str, Reservation] = {}
    deeds: dict[int, Deed] = {}
    rows: Rows = Rows()
    lines: dict[str, list[str]] = {}  # attempts by worker, where they stand in another order than `_in_line`
    secrets: dict[str, dict[str, None]] = {}
    roles: dict[str, UserRole | None] = {}


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Image).decode


def image(state: State) -> Image:
    """The part of the state from which all the rest follows."""
    return Image(
        VERSION, state.seq, state.at, state.leader, state.leader_name, state.submissions,
        list(state.closed.others.values()),
        state.parts, state.broken_parts, state.workers, state.batches, state.wishes, state.paces, state.retention,
        list(state.residues.values()), state.sweeps, state.shares, state.policy,
        state.results, state.usage, state.reservations, state.deeds, state.closed.rows(),
        dict(_lines(state)), state.secrets, state.authority.roles,
    )  # fmt: skip


def _lines(state: State) -> Iterator[tuple[str, list[str]]]:
    for name, load in state.loads.items():
        tasks = load.attempts.values()
        if any(_in_line(one) > _in_line(other) for one, other in pairwise(tasks)):
            yield name, list(load.attempts)


def to_bytes(state: State) -> bytes:
    """The state at its sequence."""
    return _encode(image(state))


def from_bytes(data: bytes) -> State:
    """The state again; `Unreadable` if the bytes are damaged or of another version."""
    try:
        kept = _decode(data)
    except (*DAMAGED, zlib.error) as err:
        raise Unreadable(f"a snapshot is damaged: {err}") from err
    if not 1 <= kept.version <= VERSION:
        raise Unreadable(f"a snapshot has version {kept.version}, this dispatcher reads 1 to {VERSION}")
    state = State()
    state.seq, state.at, state.leader, state.leader_name = kept.seq, kept.at, kept.leader, kept.leader_name
    state.submissions, state.parts, state.broken_parts = kept.submissions, kept.parts, kept.broken_parts
    state.workers, state.batches, state.wishes, state.paces = kept.workers, kept.batches, kept.wishes, kept.paces
    state.closed = Ledger.restored(kept.closed, kept.rows)
    state.residues = {residue.id: residue for residue in kept.residues}
    state.retention, state.sweeps = kept.retention, kept.sweeps
    state.shares, state.policy, state.results = kept.shares, kept.policy, kept.results
    state.usage, state.reservations = kept.usage, kept.reservations
    if kept.version < WITH_NEEDS:
        _give_needs(state)
    state.deeds, state.secrets = kept.deeds, kept.secrets
    state.authority.roles = kept.roles
    _derive(state, kept.lines)
    return state


def _derive(state: State, lines: dict[str, list[str]]) -> None:
    _derive_keys(state)
    trust.derive(state)
    for residue in state.residues.values():
        sweeping.schedule(state, residue)
    for name in state.workers:
        state.load(name)
        state.roster.touched.add(name)
    placed: list[Task] = []
    for sub in state.submissions.values():
        state.count_priority(sub.priority, 1)
        for task in sub.tasks.values():
            _place(state, sub, task, placed)
        changes.stand(state, sub)
    state.queue.restored()
    _line_up(state, placed, lines)
    state.roster.refresh(state)
    for sub in [sub for sub in state.submissions.values() if sub.accepted]:
        blocked.register(state, sub)
        if sub.waiting:
            requirements.register(state, sub)


def _line_up(state: State, placed: list[Task], lines: dict[str, list[str]]) -> None:
    """What workers hold, in the order in which they got it: who cannot start has a claim against those behind it."""
    placed.sort(key=_in_line)
    for task in placed:
        state.loads[task.worker].attempts[task.attempt] = task
    for name, attempts in lines.items():
        held = state.loads[name].attempts
        state.loads[name].attempts = {attempt: held[attempt] for attempt in attempts}


def _give_needs(state: State) -> None:
    """Tasks of an older snapshot do not say what they hold: what they asked for then, without alternatives."""
    for sub in state.submissions.values():
        for task in sub.tasks.values():
            if task.placed:
                task.need = placing.held(changes.lot_at(sub, task.index).need)


def _derive_keys(state: State) -> None:
    whole = [closed for closed in state.closed.others.values() if not (closed.first or closed.rejected)]
    state.keys = Keys.of(chain(((mark_of(closed), closed.id) for closed in whole), state.closed.marks()))
    for sub in sorted(state.submissions.values(), key=_answered_first):
        state.keys.setdefault(f"{sub.user}/{sub.key}", sub.id)


def _answered_first(sub: Submission) -> tuple[bool, int]:
    return not sub.accepted, sub.id


def _in_line(task: Task) -> tuple[int, int, int]:
    return task.seq, task.submission, task.index


def _place(state: State, sub: Submission, task: Task, placed: list[Task]) -> None:
    key = (sub.id, task.index)
    lot = changes.lot_at(sub, task.index)
    if task.end is not None:
        state.verdicts[key] = task
    elif not task.placed:
        if task.index not in lot.again:
            changes.delay(state, (task.not_before, sub.id, task.index), task.wait)
    else:
        placed.append(task)
        _count(state, sub, task, key)


def _count(state: State, sub: Submission, task: Task, key: tuple[int, int]) -> None:
    """What its worker holds with it."""
    load = state.load(task.worker)
    load.phases[PHASE[task.state]] += 1
    load.recalls += task.recalled
    if task.recalled:
        state.asked_back[task.attempt] = task
    if PHASE[task.state] < 2 and task.need is not None:
        load.charge(task.need, 1)
    shares.restored(state, sub, task, PHASE[task.state])
    if task.delivered and not task.granted:
        state.grants[key] = task
    if task.asks:
        state.asked[key] = task
    if task.frozen:
        state.frozen.add(task.attempt)
