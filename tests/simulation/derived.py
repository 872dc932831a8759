"""What a state holds beside its snapshot, in a form that can be compared: what is made anew must be what was kept up."""

from longshore_dispatcher.core import changes, sweeping
from longshore_dispatcher.core.state import State


def derived(state: State) -> dict[str, object]:
    """What is not in snapshots, in a form that can be compared."""
    return {
        "loads": {
            name: (set(load.attempts), load.phases, load.cpus, load.memory, load.gpus, load.recalls)
            for name, load in state.loads.items()
        },
        "queue": {key: line.members for key, line in state.queue.lines.items()},
        "order": {key: list(line) for key, line in state.queue.lines.items()},
        "delayed": {entry for entry in state.delayed if changes.is_delayed(state, entry)},
        "verdicts": set(state.verdicts), "grants": set(state.grants), "frozen": state.frozen,
        "due": {(key, entry) for key, heap in state.due.items() for entry in heap if sweeping.is_due(state, entry)},
        "graphs": {sub: (graph.open, graph.broken) for sub, graph in state.tied.graphs.items()},
        "ready": state.tied.ready, "doomed": state.tied.doomed,
        "open": state.open, "ripe": state.ripe, "dependents": state.dependents, "keys": state.keys,
    }  # fmt: skip
