"""The secrets of users that this worker holds: kept sealed as they came, opened only for the start of an attempt.

What is in them is never written here, logged or reported. What must not enter: how a task gets them.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from longshore_agent.service.remotes import seed
from longshore_common import confidential, logs
from longshore_common.clock import Clock
from longshore_common.confidential import Sheet
from longshore_common.damage import DAMAGED
from longshore_common.errors import BadInput
from longshore_common.events import Order, SecretGiven
from longshore_data.sealing import Opener

log = logs.get_logger()

_encode: Final = msgspec.json.Encoder().encode


class Kept(Struct, frozen=True):
    """What is on disk of one secret: whose it is, what it is called, and its box as it came."""

    owner: str
    name: str
    box: str


class Lacking(BadInput):
    """A secret cannot be had here. `definite`: nor by a retry, until its owner sets it again."""

    def __init__(self, reason: str, *, definite: bool = False) -> None:
        super().__init__(reason)
        self.definite = definite


class Confidences:
    """One per agent. `directory` is the worker's own; `creds`: the credentials file that settings name, if any.

    `changed` is called with the names of all that can be opened here, as `owner/name`, whenever those may be others.
    """

    def __init__(self, directory: Path, clock: Clock, creds: str = "") -> None:
        self.directory, self.clock, self.creds = directory, clock, creds
        self.changed: Callable[[tuple[str, ...]], None] = lambda _: None
        self._folder = directory / "secrets"
        self._held: dict[str, Kept] = {}
        self._fresh = asyncio.Event()

    @property
    def names(self) -> tuple[str, ...]:
        """Those that can be opened here."""
        return tuple(sorted(self._held))

    def load(self) -> tuple[str, ...]:
        """What was given in earlier lives; what cannot be opened, such as after another enrolment, is not counted on."""
        self._held.clear()
        for file in sorted(self._folder.glob("*.box")) if self._folder.is_dir() else ():
            try:
                kept = msgspec.json.decode(file.read_bytes(), type=Kept)
                self._sheet(kept)
            except (*DAMAGED, BadInput, OSError) as err:
                log.error("secret-not-opened", file=str(file), reason=str(err))
                continue
            self._held[confidential.key(kept.owner, kept.name)] = kept
        return self.names

    def take(self, order: SecretGiven) -> None:
        """Keep it, or forget it, on disk when this returns. `OSError` if the disk refuses: the order shall come again.

        A box that is not ours, or is another secret's, changes nothing.
        """
        key = confidential.key(order.owner, order.name)
        if not order.box:
            self._held.pop(key, None)
            self._file(key).unlink(missing_ok=True)
            log.info("secret-forgotten", request=order.request, secret=key)
            self._fresh.set()
            return
        kept = Kept(order.owner, order.name, order.box)
        try:
            self._sheet(kept)
        except BadInput as err:
            log.error("secret-not-opened", request=order.request, secret=key, reason=str(err))
            return
        self._write(self._file(key), _encode(kept))
        self._held[key] = kept
        log.info("secret-given", request=order.request, secret=key)
        self._fresh.set()

    async def run(self) -> None:
        """Say what is held whenever that has changed, for ever."""
        while True:
            await self._fresh.wait()
            self._fresh.clear()
            self.changed(self.names)

    def sheets(self, order: Order) -> list[Sheet]:
        """The secrets that the tasks of an order name, opened; `Lacking` with the fix if one cannot be had."""
        found = []
        for name in order.spec.secrets:
            kept = self._held.get(confidential.key(order.user, name))
            if kept is None:
                raise Lacking(f"this worker does not hold the secret {name}: longshore secret share {name}")
            try:
                sheet = self._sheet(kept)
            except BadInput as err:
                raise Lacking(str(err)) from err
            if sheet.expires and sheet.expires <= self.clock.now():
                raise Lacking(
                    f"the secret {name} has expired: make it anew, such as with `longshore secret s3`, and retry the task",
                    definite=True,
                )
            found.append(sheet)
        return found

    def values(self, order: Order) -> dict[str, str]:
        """The variables of the secrets that the tasks of an order name; `Lacking` with the fix if one cannot be had."""
        return {word: value for sheet in self.sheets(order) for word, value in sheet.values.items()}

    def storage(self, order: Order) -> dict[str, str]:
        """The same of those with which storage is to be reached for them; empty: with this worker's own credentials."""
        return {word: value for sheet in self.sheets(order) if sheet.store for word, value in sheet.values.items()}

    def _sheet(self, kept: Kept) -> Sheet:
        opened = Opener("secret", "longshore secret set").open(kept.box, seed(self.directory, self.creds))
        return confidential.sheet(opened, kept.owner, kept.name)

    def _file(self, key: str) -> Path:
        """Where it is kept: a name that no word of a user can lead out of the folder."""
        return self._folder / f"{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}.box"

    def _write(self, file: Path, data: bytes) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        fresh = file.with_suffix(".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as target:
            target.write(data)
            target.flush()
            os.fsync(fd)
        fresh.rename(file)
