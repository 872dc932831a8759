"""`run+fastq://` and `run+submitted://`: the files of a sequencing run by its accession, from whoever has them.

ENA's report says which files there are; they come by https, else by ftp, else (FASTQ only) unpacked from SRA. What ENA
states an MD5 for is checked against it. What must not enter: how a report reads, how bytes move.
"""

import asyncio
import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import copy
from threading import Event
from typing import Final

from longshore_data import disk
from longshore_data.meter import UNMETERED, Meter
from longshore_data.parallel import Stopped, in_thread
from longshore_data.store import Found, Put, Store, StoreError
from longshore_data.stores.ena_report import (
    RunFile,
    file_place,
    info_place,
    only_read_1,
    read_info,
    read_report,
    report_place,
)
from longshore_data.stores.sra import Dumps
from longshore_data.uri import Location

#: Ways to a run's files in the order in which they are tried; `run+submitted` has no SRA.
WAYS: Final = ("https", "ftp", "sra")
#: Reports that are remembered, and seconds for which: fetching what was just listed asks nobody, what is revised is seen.
REMEMBERED: Final = 256
REMEMBERED_FOR: Final = 600.0


class Nets(dict[str, Store]):
    """The stores that fetch: `https` and `ftp`, and `report` for the archives' small answers, which alone is ours to close."""


class EnaStore:
    """A `Store` over the public archives. `environ`: those of `ena_report`, and PATH."""

    def __init__(self, environ: Mapping[str, str], nets: Nets) -> None:
        self._environ, self._nets = environ, nets
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="run-store")
        self._dumps = Dumps(environ, nets["https"], self._pool)
        self._reports: dict[Location, tuple[float, list[RunFile]]] = {}
        self._options: tuple[str, ...] = ()

    def with_options(self, options: tuple[str, ...]) -> "EnaStore":
        """See `Choosy`: @https, @ftp and @sra force that way; @filter_r1 keeps the first reads only."""
        view = copy(self)
        view._options = options
        return view

    async def listing(self, folder: Location) -> list[Found]:
        """See `Store`: the files of the run."""
        return [file.found() for file in await self._files(folder)]

    async def stat(self, place: Location) -> Found:
        """See `Store`; `place` is below a run."""
        return (await self._file(place)).found()

    async def fetch(self, source: Location, target: str, meter: Meter = UNMETERED) -> int:
        """See `Store`: each way in turn until one gives the file with the MD5 that ENA states."""
        file = await self._file(source)
        run = source.key.partition("/")[0]
        failed: list[tuple[str, StoreError]] = []
        for way in self._ways(source):
            try:
                if way == "sra":
                    return await self._dumps.take(run, file.name, target, meter)
                if file.path:
                    return await self._checked(way, file, target, meter)
            except StoreError as err:
                if err.disk_full:
                    raise
                failed.append((way, err))
        raise _none_left(source, failed)

    async def put(self, path: str, target: Location, meter: Meter = UNMETERED) -> Put:
        """See `Store`: refused."""
        raise _read_only(target)

    async def put_bytes(self, data: bytes, target: Location) -> None:
        """See `Store`: refused."""
        raise _read_only(target)

    async def read_bytes(self, source: Location) -> bytes:
        """See `Store`: refused, for no file of a run is small."""
        raise StoreError(f"reading {source}: the files of a run can only be fetched")

    async def copy(self, source: Location, target: Location, size: int) -> None:
        """See `Store`: refused."""
        raise _read_only(target)

    async def digest(self, source: Location) -> str:
        """See `Store`: by reading it all, from ENA."""
        file = await self._file(source)
        return await self._nets["https"].digest(file_place(self._environ, "https", file.path))

    async def settle(self, folders: Sequence[Location]) -> None:
        """See `Store`: nothing was written."""

    async def drop(self, folder: Location, paths: Sequence[str]) -> None:
        """See `Store`: refused."""
        raise _read_only(folder)

    async def close(self) -> None:
        """See `Store`."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        await self._nets["report"].close()

    def _ways(self, place: Location) -> tuple[str, ...]:
        if "aspera" in self._options:
            words = "the archives gave up public Aspera: leave @aspera out, or write @https or @ftp"
            raise StoreError(f"fetching {place}: {words}")
        ways = tuple(o for o in self._options if o in WAYS) or WAYS
        return ways if place.scheme == "run+fastq" else tuple(w for w in ways if w != "sra")

    async def _file(self, place: Location) -> RunFile:
        run, _, name = place.key.partition("/")
        for file in await self._files(Location(place.scheme, "", run, folder=True)):
            if file.name == name:
                return file
        raise StoreError(f"looking at {place}: the run has no such file", missing=True)

    async def _files(self, folder: Location) -> list[RunFile]:
        ways = self._ways(folder)
        by_sra_only = ways == ("sra",)
        key = folder._replace(bucket="sra" if by_sra_only else "")
        now = asyncio.get_running_loop().time()
        until, files = self._reports.get(key, (0.0, []))
        if until < now:
            files = await (self._from_sra(folder, "") if by_sra_only else self._asked(folder, ways))
            while len(self._reports) >= REMEMBERED:
                del self._reports[next(iter(self._reports))]
            self._reports.pop(key, None)
            self._reports[key] = (now + REMEMBERED_FOR, files)
        return only_read_1(files) if "filter_r1" in self._options else files

    async def _asked(self, folder: Location, ways: tuple[str, ...]) -> list[RunFile]:
        """What ENA says, or where it has nothing to say, what SRA must have."""
        doing = f"listing {folder}"
        kind = folder.scheme.removeprefix("run+")
        why, retriable = "ENA has no such files", False
        try:
            data = await self._nets["report"].read_bytes(report_place(self._environ, folder.key))
            if files := read_report(data, kind, doing):
                return files
        except StoreError as err:
            why, retriable = str(err), err.retriable
        if "sra" in ways:
            return await self._from_sra(folder, why)
        fix = "correct the accession" + (", or try run+fastq://" if kind == "submitted" else "")
        raise StoreError(f"{doing}: {why}: {fix}", retriable=retriable, missing=not retriable)

    async def _from_sra(self, folder: Location, why: str) -> list[RunFile]:
        doing = f"listing {folder}" + (f" in SRA, since {why}" if why else " in SRA")
        self._dumps.program(doing)
        data = await self._nets["report"].read_bytes(info_place(self._environ, folder.key))
        return read_info(data, folder.key, doing)

    async def _checked(self, way: str, file: RunFile, target: str, meter: Meter) -> int:
        """Fetch beside the target, and let it appear only with the MD5 that is due."""
        part = f"{disk.part_of(target)}-run"
        place = file_place(self._environ, way, file.path)
        try:
            size = await self._nets[way].fetch(place, part, meter)
            if file.md5 and (got := (await in_thread(self._pool, _md5, part))) != file.md5:
                await meter.moved(-size)
                words = f"fetching {place}: what came has MD5 {got}, not {file.md5} as ENA states"
                raise StoreError(words, retriable=True)
            os.rename(part, target)
            return size
        except OSError as err:
            raise disk.translated(err, f"fetching {place} to {target}") from err
        finally:
            with suppress(OSError):
                os.unlink(part)


def _none_left(source: Location, failed: Sequence[tuple[str, StoreError]]) -> StoreError:
    """One error for all ways: it may pass if any of them may."""
    words = "; ".join(f"by {way}: {err}" for way, err in failed) or "no archive serves it"
    return StoreError(
        f"fetching {source}: {words}",
        retriable=any(err.retriable for _, err in failed),
        missing=bool(failed) and all(err.missing for _, err in failed),
    )


def _read_only(place: Location) -> StoreError:
    return StoreError(f"writing to {place}: the archives can only be read: choose s3://, file:// or a remote")


def _md5(stop: Event, path: str) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb", buffering=0) as src:
        while piece := src.read(disk.PIECE):
            if stop.is_set():
                raise Stopped
            digest.update(piece)
    return digest.hexdigest()
