"""Directories that are tasks: how they stand, and removing what is stored for them. What must not enter: printing."""

import asyncio
from collections.abc import Iterable
from typing import Final, NamedTuple

from longshore.dir import places
from longshore.dir.fetching import last_left, unfetched
from longshore.dir.marker import Home, Marker, said
from longshore.dir.places import Shelf
from longshore.reader import Reader
from longshore.records import Record, Task
from longshore_common.errors import LongshoreError, NotFound, Refused

#: Tasks asked about at once.
_SOME: Final = 100


class Standing(NamedTuple):
    """A directory, its marker, and its task as the api knows it now (None if it knows none of that id)."""

    home: Home
    marker: Marker
    task: Task | None

    @property
    def known(self) -> Task:
        """The task; `NotFound` or `Refused` if there is none, or another one under its id, as in another stack."""
        if self.task is None:
            raise NotFound(f"this stack knows no task {self.marker.task}: it was submitted to {self.marker.stack}")
        if self.task.command != self.marker.command or self.task.user != self.marker.user:
            raise Refused(
                f"task {self.marker.task} of this stack is another one: it was submitted to {self.marker.stack}"
            )
        return self.task


class DirectoryTask(Record, frozen=True, kw_only=True):
    """A directory as a task. `state` is "unknown" if the stack has no such task; `stored`: where its files are, a URI.

    `fetched`: files that came back so far. `task` is None while its submission is cut off.
    """

    directory: str
    task: str | None
    state: str
    reason: str | None = None
    cause: str | None = None
    exit_code: int | None = None
    batch: str = ""
    image: str = ""
    command: tuple[str, ...] = ()
    stored: str = ""
    fetched: int = 0


def described(one: Standing) -> DirectoryTask:
    """How it stands, in one record."""
    task, marker = one.task, one.marker
    return DirectoryTask(
        directory=str(one.home), task=marker.task or None, state=task.state if task else "unknown",
        reason=task.reason if task else None, cause=task.cause if task else None,
        exit_code=task.exit_code if task else None, batch=marker.batch, image=marker.image, command=marker.command,
        stored=marker.place, fetched=len(one.home.files().fetched),
    )  # fmt: skip


def standings(homes: Iterable[tuple[Home, Marker]], reader: Reader) -> list[Standing]:
    """How these stand, in their order; as many requests as hundreds of them."""
    pairs = list(homes)
    tasks: dict[str, Task] = {}
    ids = sorted({marker.task for _, marker in pairs if marker.task})
    for at in range(0, len(ids), _SOME):
        tasks |= {task.id: task for task in reader.tasks(ids=",".join(ids[at : at + _SOME]))}
    return [Standing(home, marker, tasks.get(marker.task)) for home, marker in pairs]


async def prune(standing: Standing, shelf: Shelf, *, fetched_only: Reader | None = None, force: bool = False) -> int:
    """Remove all that is stored for a directory, and make it none that is a task; how many files went.

    `Refused` while its task has not ended, and with `fetched_only` (by which it is asked what the task left) while that was
    never fetched.
    `force`: also if nobody knows whether its task has ended.
    """
    home, marker = standing.home, standing.marker
    if not force and (marker.task or marker.wish is not None):
        _refuse_running(standing)
    own = places.at(marker.place)
    if fetched_only is not None:
        last = await asyncio.to_thread(last_left, standing.task, fetched_only) if standing.task else None
        if left := await unfetched(shelf, own, home.files(), last):
            raise Refused(f"{left} files are not fetched: see `longshore dir get`")
    with home.locked():
        if home.read() != marker:
            raise Refused("it was changed meanwhile: repeat this")
        gone = await shelf.remove(own, marker.shared)
        home.retire(marker)
    return gone


def _refuse_running(standing: Standing) -> None:
    if not standing.marker.task:
        raise Refused(
            "its submission was cut off: repeat the same `longshore dir submit`, then cancel it, or give --force"
        )
    try:
        task = standing.known
    except LongshoreError as err:
        raise Refused(f"{said(err)}; with --force its files are removed all the same") from err
    if not task.ended:
        raise Refused(f"its task {task.id} is {task.state} and would fail: `longshore dir cancel` it first")
