"""Workers as nodes, batches that they serve as partitions. Pure."""

from collections.abc import Iterable
from typing import Any, Final

from longshore.records import Worker

#: The partition of jobs that name none; workers that serve every batch are in it.
DEFAULT: Final = "default"
_UP: Final = frozenset({"up"})
_MEGABYTE: Final = 1024 * 1024


def partitions(workers: Iterable[Worker]) -> dict[str, list[Worker]]:
    """Workers by the batches they serve, the usual partition first. Those that left are in none."""
    found: dict[str, list[Worker]] = {DEFAULT: []}
    for worker in workers:
        if worker.state != "left":
            found.setdefault(DEFAULT if worker.batch == "*" else worker.batch, []).append(worker)
    return found


def state(worker: Worker) -> str:
    """idle, mixed, allocated, drained, draining or down."""
    if worker.state in ("draining", "drained"):
        return worker.state
    if worker.state == "paused":
        return "drained" if not worker.running else "draining"
    if worker.state not in _UP:
        return "down"
    if not worker.running:
        return "idle"
    return "allocated" if 0 < worker.concurrency <= worker.running else "mixed"


def cpus(worker: Worker) -> int:
    """Cores of its host."""
    return _number(worker.facts, "cpus")


def memory(worker: Worker) -> int:
    """Megabytes of its host."""
    return _number(worker.facts, "memory") // _MEGABYTE


def gpus(worker: Worker) -> str:
    """`gpu:2`, or (null)."""
    count = _number(worker.facts, "gpus")
    return f"gpu:{count}" if count else "(null)"


def _number(facts: dict[str, Any], name: str) -> int:
    return int(facts.get(name) or 0)


def lines(worker: Worker) -> list[list[str]]:
    """A node in the words of scontrol."""
    hostname = worker.facts.get("hostname") or worker.hostname or worker.name
    return [
        [f"NodeName={worker.name} CPUAlloc={worker.running} CPUTot={cpus(worker)} Gres={gpus(worker)}"],
        [f"NodeAddr={hostname} NodeHostName={hostname} Version=longshore"],
        [f"RealMemory={memory(worker)} State={state(worker).upper()} Partitions={_partition(worker)}"],
        [f"Reason={worker.reason or 'none'}"],
    ]


def _partition(worker: Worker) -> str:
    return DEFAULT if worker.batch == "*" else worker.batch
