"""The remotes of this worker: those of its host, and those that a user shared with it in a box only it can open.

The box is kept as it came; what is in it is never written here. What must not enter: what remotes are used for.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from longshore_common import logs
from longshore_common.errors import BadInput
from longshore_common.events import RemotesGiven
from longshore_data import remotes
from longshore_data.remotes import Remotes
from longshore_data.storage import Storage

log = logs.get_logger()


class SharedRemotes:
    """One per agent. `directory` is the worker's own; `creds`: the credentials file that settings name, if any.

    `changed` is called with the schemes that this worker offers, whenever those are others than before.
    """

    def __init__(self, storage: Storage, directory: Path, environ: Mapping[str, str], creds: str = "") -> None:
        self.storage, self.directory, self.environ, self.creds = storage, directory, environ, creds
        self.changed: Callable[[tuple[str, ...]], None] = lambda _: None
        self._box = directory / "remotes.box"
        self._fresh = asyncio.Event()

    async def load(self) -> tuple[str, ...]:
        """Make storage know what the host has and what was shared last; the schemes. What is unreadable is left out."""
        found = self._own()
        if self._box.is_file():
            try:
                found = found.with_more(self._opened(self._box.read_text()))
            except (BadInput, OSError) as err:
                log.error("remotes-not-opened", file=str(self._box), reason=str(err))
        await self.storage.configure(found)
        return found.names

    def take(self, order: RemotesGiven) -> None:
        """Keep what was shared, on disk when this returns, and use it soon. A box that is not ours changes nothing.

        `OSError` if the disk refuses it: the order shall come again.
        """
        try:
            names = self._opened(order.box).names
        except BadInput as err:
            log.error("remotes-not-opened", request=order.request, reason=str(err))
            return
        fresh = self._box.with_suffix(".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "w") as file:
            file.write(order.box)
            file.flush()
            os.fsync(fd)
        fresh.rename(self._box)
        log.info("remotes-given", request=order.request, names=names)
        self._fresh.set()

    async def run(self) -> None:
        """Use what is shared, for ever."""
        while True:
            await self._fresh.wait()
            self._fresh.clear()
            self.changed(await self.load())

    def _own(self) -> Remotes:
        """Those of the file that RCLONE_CONFIG names on this host."""
        path = self.environ.get("RCLONE_CONFIG", "")
        if not path or not os.path.exists(path):
            return Remotes()
        try:
            return remotes.read(Path(path).read_text())
        except (BadInput, OSError, UnicodeDecodeError) as err:
            log.error("own-remotes-not-read", file=path, reason=str(err))
            return Remotes()

    def _opened(self, box: str) -> Remotes:
        from longshore_data.sealing import open_box  # NaCl, not before it is needed

        return remotes.read(open_box(box, seed(self.directory, self.creds)))


def seed(directory: Path, creds: str) -> str:
    """The seed of the key that the worker enrolled with, else of the credentials it was given; `BadInput` if it has none."""
    from longshore_data.sealing import seed_of

    for path in (directory / "worker.seed", Path(creds) if creds else None):
        if path is not None and path.is_file():
            try:
                return seed_of(path.read_text())
            except OSError as err:
                raise BadInput(f"the key of this worker, {path}, cannot be read: {err.strerror}") from err
    raise BadInput("this worker has no key of its own to open it with: let it enrol")
