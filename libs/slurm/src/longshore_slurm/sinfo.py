"""sinfo: partitions and nodes, which are batches and the workers that serve them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from longshore.records import Worker
from longshore_slurm import columns, nodes
from longshore_slurm.door import Door
from longshore_slurm.main import helped
from longshore_slurm.options import Table, read

OPTIONS: Final = Table("""
all|a clusters|M= cluster= dead|d exact|e federation Format|O= format|o= future|F help hide iterate|i= json? list-reasons|R
local long|l Node|N nodes|n= noconvert noheader|h partition|p= reservation|T responding|r state|t= states= sort|S= summarize|s
usage verbose|v version|V yaml?
""")
_PLAIN: Final = "%9P %.5a %.10l %.6D %.6t %N"
_BY_NODE: Final = "%N %.6D %.9P %6t"


class Group(NamedTuple):
    """Nodes of one partition that are in one state; `shared` with no other partition."""

    partition: str
    state: str
    workers: list[Worker]


_Field = Callable[[Group], str]


def _least(group: Group, of: Callable[[Worker], int]) -> str:
    found = [of(worker) for worker in group.workers]
    least = min(found, default=0)
    return f"{least}+" if found and max(found) > least else str(least)


LETTERS: Final[dict[str, tuple[_Field, str]]] = {
    "P": (lambda g: g.partition + ("*" if g.partition == nodes.DEFAULT else ""), "PARTITION"),
    "R": (lambda g: g.partition, "PARTITION"),
    "a": (lambda g: "up", "AVAIL"),
    "l": (lambda g: "infinite", "TIMELIMIT"),
    "L": (lambda g: "n/a", "DEFAULTTIME"),
    "D": (lambda g: str(len(g.workers)), "NODES"),
    "t": (lambda g: {"allocated": "alloc", "mixed": "mix"}.get(g.state, g.state)[:5], "STATE"),
    "T": (lambda g: g.state, "STATE"),
    "N": (lambda g: ",".join(worker.name for worker in g.workers), "NODELIST"),
    "n": (lambda g: ",".join(worker.name for worker in g.workers), "HOSTNAMES"),
    "c": (lambda g: _least(g, nodes.cpus), "CPUS"),
    "m": (lambda g: _least(g, nodes.memory), "MEMORY"),
    "p": (lambda g: "1", "PRIO_TIER"),
    "G": (lambda g: nodes.gpus(g.workers[0]) if g.workers else "(null)", "GRES"),
    "f": (lambda g: "(null)", "AVAIL_FEATURES"),
    "E": (lambda g: next((w.reason for w in g.workers if w.reason), "none"), "REASON"),
    "F": (lambda g: _counted(g), "NODES(A/I/O/T)"),
    "C": (lambda g: _cores(g), "CPUS(A/I/O/T)"),
    "d": (lambda g: "0", "TMP_DISK"),
}  # fmt: skip


def _counted(group: Group) -> str:
    total = len(group.workers)
    busy = total if group.state in ("allocated", "mixed") else 0
    idle = total if group.state == "idle" else 0
    return f"{busy}/{idle}/{total - busy - idle}/{total}"


def _cores(group: Group) -> str:
    total = sum(map(nodes.cpus, group.workers))
    busy = min(total, sum(worker.running for worker in group.workers))
    down = total if group.state not in ("idle", "mixed", "allocated") else 0
    return f"{busy}/{max(total - busy - down, 0)}/{down}/{total}"


def run(words: list[str], environ: Mapping[str, str]) -> int:
    """List partitions."""
    options = read(OPTIONS, words)
    if helped(options, "sinfo [OPTION...]"):
        return 0
    text = options.last("format") or (_BY_NODE if options.has("Node") else _PLAIN)
    some = columns.of_letters(text)
    fields = [LETTERS.get(column.name, (lambda _: "(null)", column.name)) for column in some]
    if not options.has("noheader"):
        print(columns.line(some, [head for _, head in fields]))
    wanted, by_node = options.listed("partition"), options.has("Node")
    shown = set[str]()
    for group in _groups(Door(environ), by_node=by_node, by_state=_tells_state(some)):
        if not wanted or group.partition in wanted:
            line = columns.line(some, [field(group) for field, _ in fields])
            if line not in shown:
                print(line)
            shown.add(line)
    return 0


def _tells_state(some: tuple[columns.Column, ...]) -> bool:
    return any(column.name in "tTNnE" for column in some)


def _groups(door: Door, *, by_node: bool, by_state: bool) -> Iterator[Group]:
    for partition, workers in nodes.partitions(door.reader.workers()).items():
        states: dict[str, list[Worker]] = {}
        for worker in workers:
            states.setdefault(
                (worker.name if by_node else "") + "/" + (nodes.state(worker) if by_state else ""), []
            ).append(worker)
        for members in states.values():
            yield Group(partition, nodes.state(members[0]), members)
        if not workers and not by_node:
            yield Group(partition, "n/a", [])
