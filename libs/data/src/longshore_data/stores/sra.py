"""Runs of the Sequence Read Archive: the archive's own object, unpacked into FASTQ by `fasterq-dump` of this host.

What must not enter: ENA, names of files that are not asked for.
"""

import asyncio
import gzip
import os
import shutil
import signal
from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import suppress
from threading import Event
from typing import Final

from longshore_data import disk, uri
from longshore_data.meter import Meter
from longshore_data.parallel import Stopped, in_thread
from longshore_data.store import Store, StoreError
from longshore_data.stores.ena_report import address

PROGRAM: Final = "fasterq-dump"
#: Seconds that unpacking one run may take.
UNPACK_WITHIN: Final = 12 * 3600.0
#: Characters of the program's last words that an error shows.
LAST_WORDS: Final = 300


class Dumps:
    """Unpacked runs: the files of one run that go to one folder share one download. `web` fetches."""

    def __init__(self, environ: Mapping[str, str], web: Store, pool: Executor) -> None:
        self._environ, self._web, self._pool = environ, web, pool
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: dict[str, int] = {}

    def program(self, doing: str) -> str:
        """The path of `fasterq-dump`; a `StoreError` says what to install."""
        if (path := shutil.which(PROGRAM, path=self._environ.get("PATH"))) is None:
            words = f"{doing}: {PROGRAM} is not on this host: install sra-tools (package sra-toolkit), or use @https"
            raise StoreError(words)
        return path

    async def take(self, run: str, name: str, target: str, meter: Meter) -> int:
        """Make `target` the file `name` (as ENA calls it, compressed) of a run; its size in bytes."""
        doing = f"unpacking {run} from SRA"
        program = self.program(doing)
        scratch = f"{os.path.dirname(target)}/{disk.PART}sra-{run}"
        self._users[scratch] = self._users.get(scratch, 0) + 1
        try:
            async with self._locks.setdefault(scratch, asyncio.Lock()):
                if not await asyncio.to_thread(os.path.exists, f"{scratch}/done"):
                    await self._dump(program, run, scratch, meter)
            plain = f"{scratch}/{name.removesuffix('.gz')}"
            if not await asyncio.to_thread(os.path.exists, plain):
                there = ", ".join(sorted(n for n in os.listdir(scratch) if n.endswith(".fastq"))) or "nothing"
                raise StoreError(f"{doing}: there is no {name} in it, but {there}: use @https or @ftp")
            return await in_thread(self._pool, _pack, plain, target)
        except OSError as err:
            raise disk.translated(err, doing) from err
        finally:
            self._users[scratch] -= 1
            if not self._users[scratch]:
                del self._users[scratch], self._locks[scratch]
                shutil.rmtree(scratch, ignore_errors=True)

    async def _dump(self, program: str, run: str, scratch: str, meter: Meter) -> None:
        os.makedirs(scratch, exist_ok=True)
        source = uri.parse(f"{address(self._environ, 'LONGSHORE_SRA_URL')}/{run}/{run}")
        await self._web.fetch(source, f"{scratch}/{run}", meter)
        await self._run(program, "--split-3", "--force", "--outdir", scratch, "--temp", scratch, f"{scratch}/{run}")
        os.unlink(f"{scratch}/{run}")
        os.mkdir(f"{scratch}/done")

    async def _run(self, *command: str) -> None:
        """Run the program; its whole group is killed if we are cancelled or it takes for ever."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={k: v for k, v in self._environ.items() if not k.startswith(("AWS_", "LONGSHORE_"))},
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(UNPACK_WITHIN):
                _, said = await process.communicate()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode:
            last = " ".join(said.decode(errors="replace").split())[-LAST_WORDS:]
            words = f"unpacking {command[-1].rpartition('/')[2]}: {PROGRAM} ended with {process.returncode} ({last})"
            raise StoreError(words, retriable=True)


def _pack(stop: Event, plain: str, target: str) -> int:
    """Compress `plain` into `target`, which appears complete; lightly, for the link to it was slower already."""
    part = disk.part_of(target)
    try:
        with open(plain, "rb", buffering=0) as src, gzip.open(part, "wb", compresslevel=1) as dst:
            while piece := src.read(disk.PIECE):
                if stop.is_set():
                    raise Stopped
                dst.write(piece)
        os.rename(part, target)
    finally:
        with suppress(OSError):
            os.unlink(part)
    return os.stat(target).st_size
