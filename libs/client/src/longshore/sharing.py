"""Which workers can be given remotes and secrets, and the events that give them: sealed here, for each worker with its own key.

What must not enter: the command line; where the configuration comes from.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from longshore.records import Worker
from longshore_common import confidential
from longshore_common.codec import MAX_MESSAGE
from longshore_common.confidential import Sheet
from longshore_common.errors import BadInput
from longshore_common.events import Box, RemotesShared, SecretShared
from longshore_common.ids import WorkerId
from longshore_data.remotes import Remotes
from longshore_data.sealing import seal

#: Bytes of boxes in one event; the rest of it is small.
ROOM: Final = MAX_MESSAGE * 3 // 4


class Meant(NamedTuple):
    """Workers that can be given something, and why others cannot, a line each."""

    workers: tuple[Worker, ...]
    others: tuple[str, ...]


def meant(workers: Iterable[Worker], names: Sequence[str]) -> Meant:
    """Those of these names, none named = all that have joined. `BadInput` for a name that is not there or has no key."""
    known = {worker.name: worker for worker in workers}
    if absent := [name for name in names if name not in known]:
        raise BadInput(f"no worker is called {', '.join(absent)}; known are {', '.join(known) or 'none'}")
    chosen, others = [], []
    for worker in (known[name] for name in names) if names else known.values():
        why = _hindrance(worker)
        if why and names:
            raise BadInput(why)
        if why:
            others.append(why)
        else:
            chosen.append(worker)
    return Meant(tuple(chosen), tuple(others))


def sealed(remotes: Remotes, workers: Iterable[Worker]) -> Iterator[RemotesShared]:
    """As many events as it takes. `BadInput` if a configuration is too large for one."""
    text = remotes.text()
    for some in boxes(text, workers, f"this configuration has {len(text)} bytes", "choose with --only"):
        yield RemotesShared(boxes=some)


def confided(sheet: Sheet, workers: Iterable[Worker]) -> Iterator[SecretShared]:
    """The same for a secret."""
    text = confidential.text(sheet)
    for some in boxes(text, workers, "this secret is too large", "keep it in storage, and a key to it as the secret"):
        yield SecretShared(name=sheet.name, boxes=some)


def boxes(text: str, workers: Iterable[Worker], large: str, fix: str) -> Iterator[tuple[Box, ...]]:
    """A box of `text` for each worker, in parts that fit into an event each."""
    found: list[Box] = []
    size = 0
    for worker in workers:
        box = Box(WorkerId(worker.name), seal(text, worker.public_key))
        if len(box.box) > ROOM:
            raise BadInput(f"{large}, and a box can hold {ROOM * 3 // 4}: {fix}")
        if size + len(box.box) > ROOM:
            yield tuple(found)
            found, size = [], 0
        found.append(box)
        size += len(box.box) + len(worker.name) + 10
    if found:
        yield tuple(found)


def secrets(worker: Worker) -> tuple[str, ...]:
    """The secrets that this worker holds and can open, as `owner/name`, as it said when it joined last."""
    found = worker.facts.get("secrets")
    return tuple(map(str, found)) if isinstance(found, list | tuple) else ()


def schemes(worker: Worker) -> tuple[str, ...]:
    """The remotes that this worker offers, as it said when it joined last."""
    found = worker.facts.get("schemes")
    return tuple(map(str, found)) if isinstance(found, list | tuple) else ()


def _hindrance(worker: Worker) -> str:
    if not worker.public_key:
        return f"{worker.name} did not enrol and has no key: name a configuration on its host with RCLONE_CONFIG"
    if worker.state == "enrolled":
        return f"{worker.name} has not joined yet: share again once its agent runs"
    return ""
