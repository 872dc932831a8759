"""Checkpoints of tasks: what an interrupted attempt saved for the next one.

`<output>/.longshore/<task>.checkpoint/<attempt>/…` is one generation, `…/current` a small file that names the one that
counts and is written last. So a checkpoint is there whole, or the one before it is. What must not enter: when to save.
"""

import os
import shutil
from concurrent.futures import Executor
from contextlib import suppress
from threading import Event
from typing import Final, NamedTuple

import msgspec
import structlog
from msgspec import Struct

from longshore_agent.adapters.staging.outputs import Produced, find
from longshore_agent.adapters.staging.publishing import WIDTH, drop_below, found_below
from longshore_common.damage import DAMAGED
from longshore_common.ids import AttemptId, TaskId
from longshore_common.model import OutputFile
from longshore_data import disk, uri
from longshore_data.meter import Limits, Meter
from longshore_data.parallel import each, in_thread
from longshore_data.store import Store, StoreError
from longshore_data.uri import Location

#: What names the generation that counts.
CURRENT: Final = "current"
_log = structlog.get_logger()


class Pointer(Struct, frozen=True):
    """The attempt that saved, and its files; the path of a checkpoint that is one file is empty."""

    attempt: AttemptId
    files: tuple[OutputFile, ...]


class Checkpoints(NamedTuple):
    """The checkpoint of one task."""

    store: Store
    limits: Limits
    output: Location
    task: TaskId
    pool: Executor

    @property
    def _folder(self) -> Location:
        return uri.checkpoint(self.output, self.task)

    async def save(self, attempt: AttemptId, path: str, meter: Meter) -> bool:
        """Store the file or folder `path` as the task's checkpoint; False, and nothing changed, if nothing is there."""
        produced = await in_thread(self.pool, _found, path)
        if not produced:
            return False
        generation = self._folder.below(attempt, folder=True)

        async def put(one: Produced) -> OutputFile:
            async with self.limits.turn(meter):
                stored = await self.store.put(one.source, generation.below(one.path or "file"), meter)
            return OutputFile(one.path, stored.size, stored.digest)

        files = tuple(await each(produced, put, WIDTH))
        await self.store.put_bytes(msgspec.json.encode(Pointer(attempt, files)), self._folder.below(CURRENT))
        with suppress(StoreError):  # older ones go with the task's publication at the latest
            for old in {f.path.partition("/")[0] for f in await found_below(self.store, self._folder)}:
                if old not in (attempt, CURRENT):
                    await drop_below(self.store, self._folder.below(old, folder=True))
        return True

    async def restore(self, path: str, meter: Meter, owner: tuple[int | None, int | None] = (None, None)) -> bool:
        """Put the checkpoint back as `path`, if the task has one, for the user and group that the task runs as.

        One that is damaged, or gone in part, counts as none: the task begins anew rather than never.
        """
        pointer = await self._pointer()
        if pointer is None:
            return False
        generation = self._folder.below(pointer.attempt, folder=True)
        meter.expect(sum(f.size for f in pointer.files))

        async def fetch(one: OutputFile) -> None:
            target = f"{path}/{uri.safe_path(one.path)}" if one.path else path
            async with self.limits.turn(meter):
                os.makedirs(os.path.dirname(target), exist_ok=True)
                await self.store.fetch(generation.below(one.path or "file"), target, meter)
            if await in_thread(self.pool, disk.hash_file, target) != one.digest:
                raise StoreError(f"{generation.below(one.path or 'file')} is not what was saved", missing=True)

        try:
            await each(pointer.files, fetch, WIDTH)
            if owner != (None, None):
                await in_thread(self.pool, _give, path, owner)
        except OSError as err:
            raise disk.translated(err, f"restoring the checkpoint of {self.task}") from err
        except StoreError as err:
            if not err.missing:
                raise
            _log.error("checkpoint-damaged", task=self.task, reason=str(err))
            await in_thread(self.pool, _clear, path)
            return False
        return True

    async def drop(self) -> int:
        """The task needs none any more; how many files there were."""
        return await drop_below(self.store, self._folder)

    async def _pointer(self) -> Pointer | None:
        place = self._folder.below(CURRENT)
        try:
            return msgspec.json.decode(await self.store.read_bytes(place), type=Pointer)
        except DAMAGED as err:
            _log.error("checkpoint-unreadable", task=self.task, place=str(place), reason=str(err))
            return None
        except StoreError as err:
            if not err.missing:
                raise
            return None


def _clear(_stop: Event, path: str) -> None:
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.unlink(path)


def _give(_stop: Event, path: str, owner: tuple[int | None, int | None]) -> None:
    uid, gid = (-1 if one is None else one for one in owner)
    os.chown(path, uid, gid)
    for folder, folders, names in os.walk(path):
        for name in (*folders, *names):
            os.chown(f"{folder}/{name}", uid, gid)


def _found(stop: Event, path: str) -> list[Produced]:
    if os.path.isdir(path) and not os.path.islink(path):
        produced, skipped = find(stop, path)
        if skipped:
            _log.warning("checkpoint-incomplete", path=path, number=len(skipped), some=skipped[:10])
        return produced
    return [Produced("", path)] if os.path.isfile(path) and not os.path.islink(path) else []
