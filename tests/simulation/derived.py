"""What a state holds beside its snapshot, in a form that can be compared: what is made anew must be what was kept up."""

from longshore_dispatcher.core import changes, sweeping
from longshore_dispatcher.core.load import Sum
from longshore_dispatcher.core.roster import Roster
from longshore_dispatcher.core.shares import Hold
from longshore_dispatcher.core.state import State


def derived(state: State) -> dict[str, object]:
    """What is not in snapshots, in a form that can be compared."""
    return {
        "loads": {
            name: (set(load.attempts), load.phases, sums(load), load.recalls) for name, load in state.loads.items()
        },
        "roster": roster(state.roster), "needs": state.queue.needs,
        "holds": {key: held(hold) for key, hold in state.holds.items()},
        "books": {key: [held(hold) for hold in books] for key, books in state.books.items()},
        "queue": {key: line.members for key, line in state.queue.lines.items()},
        "order": {key: list(line) for key, line in state.queue.lines.items()},
        "delayed": {entry for entry in state.delayed if changes.is_delayed(state, entry)},
        "asked_back": set(state.asked_back),
        "verdicts": set(state.verdicts), "grants": set(state.grants), "frozen": state.frozen,
        "due": {(key, entry) for key, heap in state.due.items() for entry in heap if sweeping.is_due(state, entry)},
        "graphs": {sub: (graph.open, graph.broken) for sub, graph in state.tied.graphs.items()},
        "ready": state.tied.ready, "doomed": state.tied.doomed,
        "open": state.open, "ripe": state.ripe, "dependents": state.dependents, "keys": state.keys,
    }  # fmt: skip


def sums(held: Sum) -> tuple[object, ...]:
    """What is summed up, to be compared."""
    return held.asking, held.cpus, held.memory, held.gpus, held.disk, held.custom


def held(hold: Hold) -> tuple[object, ...]:
    """What somebody holds."""
    return hold.placed, hold.plain, [part and sums(part) for part in hold.sums], hold.account


def roster(kept: Roster) -> tuple[object, ...]:
    """Who stands where; not in which order, and not when they changed."""
    kinds = {
        kind: (
            set(m.names),
            *((rows.mask, {k: set(row) for k, row in rows.rows.items()}) for rows in (m.by_size, m.by_slots)),
        )
        for kind, m in kept.kinds.items()
    }
    total = (kept.total.cpus, kept.total.memory, kept.total.gpus, kept.total.disk)
    return kinds, total, kept.places, set(kept.ahead), set(kept.kills), {k: set(v) for k, v in kept.holders.items()}
