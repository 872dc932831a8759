"""From a directory to a task: marker, files, wish, answer, in this order, so that it may be cut off anywhere and repeated.

What must not enter: printing, which directories are meant.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal

import msgspec

from longshore import specs
from longshore.chance import new_key
from longshore.dir import contents, ignoring, places
from longshore.dir.contents import Contents, Guard
from longshore.dir.fetching import last_left, unfetched
from longshore.dir.marker import Files, Home, Marker, said
from longshore.dir.places import Shelf
from longshore.dir.sending import RUNDIR, Digests, Sent, send
from longshore.reader import Reader
from longshore.records import Record
from longshore.writer import Writer
from longshore_common import model as m
from longshore_common.errors import BadInput, LongshoreError, Refused, Unreachable
from longshore_common.events import TasksSubmitted
from longshore_common.ids import SubmissionId, task_id
from longshore_data.parallel import each
from longshore_data.store import StoreError

#: Directories at once: most of the time they wait for disks and answers.
WIDTH: Final = 16
#: Looks for the answer to a submission, and seconds between them.
_LOOKS: Final = 40
_PAUSE: Final = 0.05


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What each directory shall become. `running`: options as `specs.spec` has them; `store`: where to put them, a URI.

    `again`: a directory whose task ended becomes another one.
    """

    image: str
    command: tuple[str, ...]
    store: str
    batch: str
    running: dict[str, Any] = {}
    priority: int = 0
    guard: Guard = Guard()
    again: bool = False


class Outcome(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one directory. `sent` and `known`: bytes that were stored, and that were there already."""

    directory: str
    result: Literal["submitted", "already", "would-be", "failed"]
    task: str = ""
    text: str = ""
    sent: int = 0
    known: int = 0
    exit_code: int = 0

    @property
    def ok(self) -> bool:
        """Whether the directory is a task now, or would be."""
        return self.result != "failed"


class Submitting:
    """Submits directories by one pen, into one storage."""

    def __init__(self, writer: Writer, reader: Reader, shelf: Shelf, wanted: Wanted) -> None:
        self.writer, self.reader, self.shelf, self.wanted = writer, reader, shelf, wanted
        self._digests = Digests()
        self._away: Unreachable | None = None

    async def many(self, homes: Iterable[Home], told: Callable[[Outcome], None]) -> list[Outcome]:
        """All of these, each with its own outcome; `told` of each as it comes. One that fails stops no other."""

        async def one(home: Home) -> Outcome:
            outcome = await self.one(home)
            told(outcome)
            return outcome

        return await each(homes, one, WIDTH)

    async def one(self, home: Home) -> Outcome:
        """This directory; a repeat goes on where the last one was cut off, and never makes a second task."""
        try:
            if self._away is not None:
                raise self._away
            if not home.path.is_dir():
                raise BadInput("it is no directory")
            with home.locked():
                return await self._one(home)
        except LongshoreError as err:
            retriable = isinstance(err, StoreError) and err.retriable
            code = Unreachable.exit_code if retriable else err.exit_code
            return Outcome(directory=str(home), result="failed", text=said(err), exit_code=code)

    async def _one(self, home: Home) -> Outcome:
        marker = home.read()
        if marker is not None and marker.task and self.wanted.again:
            await self._make_free(home, marker)
            marker = None
        if marker is not None and marker.task:
            return self._already(home, marker)
        if marker is not None and marker.wish is not None:
            task = await self._sent(home, marker, marker.wish)
            return self._already(home, msgspec.structs.replace(marker, task=task), cut_off=True)
        return await self._anew(home, marker)

    def _already(self, home: Home, marker: Marker, *, cut_off: bool = False) -> Outcome:
        """It is a task; the same words again are no failure, other ones are."""
        same = (marker.image, marker.command) == (self.wanted.image, self.wanted.command)
        text = "an earlier submission that was cut off, now complete" if cut_off else "submitted before"
        if same:
            return Outcome(directory=str(home), result="already", task=marker.task, text=text)
        raise Refused(
            f"it is task {marker.task} already, with another image or command: once that has ended give --again, "
            "or remove it with `longshore dir prune`"
        )

    async def _make_free(self, home: Home, marker: Marker) -> None:
        """Its task has ended, so that it may become another one; what was stored for it stays until then only."""
        task = await asyncio.to_thread(self.reader.task, marker.task)
        if not task.ended:
            raise Refused(f"its task {marker.task} is {task.state}: cancel it first, or wait for its end")
        own = places.at(marker.place)
        last = await asyncio.to_thread(last_left, task, self.reader)
        if left := await unfetched(self.shelf, own, home.files(), last):
            raise Refused(
                f"{left} files that its task {marker.task} left are not fetched: `longshore dir get` fetches them, "
                "`longshore dir prune` removes them"
            )
        await self.shelf.remove(own, marker.shared)
        home.retire(marker)

    async def _anew(self, home: Home, begun: Marker | None) -> Outcome:
        wanted = self.wanted
        found = await asyncio.to_thread(look, home, wanted.guard)
        key = begun.key if begun is not None else new_key()
        own = places.own(wanted.store, self.writer.profile.user, key)
        notes = await self._moved(begun, own) if begun is not None else []
        marker = Marker(
            key=key, place=str(own.place), user=self.writer.profile.user, stack=self.writer.profile.api_url,
            batch=wanted.batch, image=wanted.image, command=wanted.command,
        )  # fmt: skip
        self._wish(home, own, marker, Sent((), (RUNDIR,), "", (), {}))  # what is wrong in the words, before all else
        before = frozenset(begun.shared) if begun is not None and begun.place == marker.place else frozenset()

        def promised(digests: tuple[str, ...]) -> None:
            home.write(msgspec.structs.replace(marker, shared=tuple(sorted(before.union(digests)))))

        sent = await send(found, own, self.shelf, self._digests, promised)
        for digest in before.difference(sent.shared):
            await self.shelf.unshare(own, digest)
        event = self._wish(home, own, marker, sent)
        marker = msgspec.structs.replace(marker, digest=sent.digest, shared=sent.shared, wish=event)
        await asyncio.to_thread(_promise, home, marker, Files(sent=sent.files))
        task = await self._sent(home, marker, event)
        notes += [f"without {len(found.special)} sockets, pipes or devices"] if found.special else []
        return Outcome(
            directory=str(home), result="submitted", task=task, text="; ".join(notes), sent=sent.bytes, known=sent.known
        )

    async def _moved(self, begun: Marker, own: places.Own) -> list[str]:
        """What was begun elsewhere is removed there; a note if that cannot be."""
        if begun.place == str(own.place):
            return []
        try:
            await self.shelf.remove(places.at(begun.place), begun.shared)
        except StoreError as err:
            return [f"what was begun at {begun.place} is left there ({said(err)})"]
        return []

    def _wish(self, home: Home, own: places.Own, marker: Marker, sent: Sent) -> TasksSubmitted:
        spec = task_of(home.path.name, own, self.wanted, sent)
        return TasksSubmitted(
            key=marker.key, batch=marker.batch, body=m.Array(spec=spec, size=1), priority=self.wanted.priority
        )

    async def _sent(self, home: Home, marker: Marker, event: TasksSubmitted) -> str:
        """The task that this wish became, once the marker says so. A wish that is refused leaves nothing behind."""
        try:
            receipt = await self.writer.submit(event)
        except Unreachable as err:
            self._away = Unreachable(f"{said(err)}; what was sent is kept: repeat the same command")
            raise self._away from err
        except (Refused, BadInput):
            await self._forget(home, marker)
            raise
        if receipt.id is None:
            self._away = Unreachable("the log is away; what was sent is kept: repeat the same command")
            raise self._away
        task = await self._judged(home, marker, receipt.id)
        home.write(msgspec.structs.replace(marker, task=task, wish=None))
        return task

    async def _forget(self, home: Home, marker: Marker) -> None:
        """It is no task and will be none: nothing is left in storage, and it may be submitted in other words."""
        await self.shelf.remove(places.at(marker.place), marker.shared)
        home.retire(marker)

    async def _judged(self, home: Home, marker: Marker, submission: int) -> str:
        """The task's id: that of an earlier submission of the same key, if this is a repeat. `Refused` with the reason."""
        for _ in range(_LOOKS):
            try:
                found = await asyncio.to_thread(self.reader.submission, submission, after=submission)
            except Unreachable:
                break  # the log has it; what becomes of it `longshore dir status` tells
            if found.status == "rejected":
                await self._forget(home, marker)
                raise Refused(f"refused: {found.reason}")
            if found.status != "submitted":
                submission = found.duplicate_of or submission
                break
            await asyncio.sleep(_PAUSE)
        return task_id(SubmissionId(submission), 0)


def _promise(home: Home, marker: Marker, files: Files) -> None:
    home.write_files(files)
    home.write(marker, durable=True)


def look(home: Home, guard: Guard) -> Contents:
    """What would be sent of a directory."""
    return contents.look(home.path, ignoring.of(home.path), guard)


def task_of(name: str, own: places.Own, wanted: Wanted, sent: Sent) -> m.TaskSpec:
    """The task of a directory: one step in its image, at `/rundir`, of which everything new is collected."""
    made = specs.spec(wanted.command, **{"name": name, "container": wanted.image, **wanted.running})
    return specs.checked(
        msgspec.structs.replace(
            made,
            steps=(m.Step(command=wanted.command, container=wanted.image, workdir=RUNDIR),),
            mounts=sent.mounts,
            volumes=sent.volumes,
            collects=(m.Collect(path=RUNDIR, uri=str(own.results), directory=True, new=True),),
        )
    )


def summed(outcomes: Sequence[Outcome]) -> int:
    """The exit code of these outcomes: 0 if all is well, 3 if only what may pass is in the way, else 1; of one its own."""
    failed = [outcome.exit_code for outcome in outcomes if not outcome.ok]
    if len(outcomes) == 1 and failed:
        return failed[0]
    return (3 if all(code == 3 for code in failed) else 1) if failed else 0
