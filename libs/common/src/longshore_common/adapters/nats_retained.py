"""Retained hints on JetStream: a stream that keeps the last message of each subject, heard as core messages.

A message to a stream's subject reaches core subscribers too, so a watcher needs no consumer: it subscribes, then fetches
what is kept, and does so again after every break. What must not enter: what the hints mean.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from typing import Final

from longshore_common import logs, subjects
from longshore_common.adapters.nats_wire import Answered, ApiError, Got, Lost, NoResponders, Wire, api
from longshore_common.errors import Refused, Unreachable
from longshore_common.log import Kept

log = logs.get_logger()

#: Seconds after which a watcher fetches all that is kept again: core messages may get lost.
AGAIN: Final = 300.0
#: Seconds one call may take, and before a repeat.
PATIENCE: Final = 5.0
PAUSE: Final = 0.5
#: From this many values on, and up to this many, one atomic batch (one fsync) takes them.
BATCH_FROM: Final = 8
BATCH_MOST: Final = 1000
_NO_MESSAGE: Final = 10037


class NatsRetained:
    """`Retained` on JetStream; the stream is made by `nats_setup`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._batches = 0

    async def keep(self, values: Mapping[str, bytes], *, deadline: float = 10) -> None:
        """As `Retained.keep`: what is forgotten is said empty first, so that who listens hears it, then removed."""
        listed = list(values.items())
        try:
            async with asyncio.timeout(deadline):
                for start in range(0, len(listed), BATCH_MOST):
                    await self._store(listed[start : start + BATCH_MOST])
                for subject, body in listed:
                    if not body:
                        purge = {"filter": subject}
                        await api(self._wire, f"STREAM.PURGE.{subjects.RETAINED}", purge, PATIENCE)
        except (ApiError, Lost, NoResponders, TimeoutError) as err:
            raise Unreachable(f"the store of retained hints does not answer ({err or type(err).__name__})") from err

    async def _store(self, values: list[tuple[str, bytes]]) -> None:
        if len(values) < BATCH_FROM:
            futures = [self._wire.ask(subject, body) for subject, body in values]
        else:
            futures = [self._batch(values)]
        try:
            async with asyncio.timeout(PATIENCE):
                for future in futures:
                    _check(await future)
        finally:
            self._wire.forget(futures)

    def _batch(self, values: list[tuple[str, bytes]]) -> asyncio.Future[Answered]:
        """All in one commit (ADR-50), whose acknowledgement is that of the last."""
        self._batches += 1
        ident = f"{self._wire.inbox.rsplit('.', 1)[1]}-r{self._batches}"
        for nth, (subject, body) in enumerate(values[:-1], 1):
            self._wire.post(subject, body, header=_mark(ident, nth, ""))
        subject, body = values[-1]
        return self._wire.ask(subject, body, _mark(ident, len(values), "Nats-Batch-Commit: 1\r\n"))

    async def subjects(self, *, deadline: float = 10) -> set[str]:
        """As `Retained.subjects`."""
        found: set[str] = set()
        try:
            while True:
                what = {"subjects_filter": ">", "offset": len(found)}
                info = await api(self._wire, f"STREAM.INFO.{subjects.RETAINED}", what, deadline)
                page = info["state"].get("subjects") or {}
                found.update(page)
                if not page or len(found) >= info.get("total", 0):
                    return found
        except (ApiError, Lost, NoResponders, TimeoutError) as err:
            raise Unreachable(f"the store of retained hints does not answer ({err or type(err).__name__})") from err

    async def watch(self) -> AsyncIterator[Kept]:
        """As `Retained.watch`; `Refused` if these credentials may not."""
        ear = _Ear()
        subscribed = self._wire.watch(subjects.DEMANDS, ear.take, denied=ear.deny)
        self._wire.on_up.add(ear.up)
        try:
            while not self._wire.is_closed:
                if ear.stale:
                    ear.begin()
                    if (values := await self._fetch()) is None:
                        await asyncio.sleep(PAUSE)
                        ear.up()
                        continue
                    yield Kept(whole=True, values=values)
                if changed := ear.changed():
                    yield Kept(whole=False, values=changed)
                else:
                    await ear.listen()
        finally:
            self._wire.on_up.discard(ear.up)
            self._wire.unwatch(subscribed)

    async def _fetch(self) -> dict[str, bytes] | None:
        """All that is kept; None if the store did not answer."""
        try:
            await self._wire.ready(None)
            values: dict[str, bytes] = {}
            for subject in await self.subjects(deadline=PATIENCE):
                what = {"last_by_subj": subject}
                try:
                    got = await api(self._wire, f"STREAM.MSG.GET.{subjects.RETAINED}", what, PATIENCE)
                except ApiError as err:
                    if err.err_code == _NO_MESSAGE:  # forgotten meanwhile
                        continue
                    raise
                if body := base64.b64decode(got["message"].get("data", "")):
                    values[subject] = body
        except (ApiError, Lost, NoResponders, TimeoutError, Unreachable) as err:
            log.debug("retained hints not read", reason=repr(err))
            return None
        return values


class _Ear:
    """What a watcher heard and has not taken yet; `stale`: something may have been missed, all is to be fetched again."""

    def __init__(self) -> None:
        self.stale = True
        self._heard: dict[str, bytes] = {}
        self._failed: Refused | None = None
        self._woken = asyncio.Event()

    def take(self, subject: bytes, _reply: bytes, data: bytes, _header: bytes) -> None:
        """A hint came."""
        self._heard[subject.decode(errors="replace")] = data
        self._woken.set()

    def deny(self, refused: Refused) -> None:
        """The server does not let us listen."""
        self._failed = refused
        self._woken.set()

    def up(self) -> None:
        """Connected again."""
        self.stale = True
        self._woken.set()

    def begin(self) -> None:
        """What was heard up to here is among what is fetched from here on."""
        self.stale = False
        self._heard.clear()

    def changed(self) -> dict[str, bytes]:
        """What was heard since."""
        heard, self._heard = self._heard, {}
        return heard

    async def listen(self) -> None:
        """Return when something happened, or when it is time to fetch all again."""
        if self._failed is not None:
            raise self._failed
        try:
            async with asyncio.timeout(AGAIN):
                await self._woken.wait()
        except TimeoutError:
            self.stale = True
        self._woken.clear()


def _mark(ident: str, nth: int, more: str) -> bytes:
    return f"NATS/1.0\r\nNats-Batch-Id: {ident}\r\nNats-Batch-Sequence: {nth}\r\n{more}\r\n".encode()


def _check(answered: Answered) -> None:
    """`Unreachable`, or `Refused`, unless the server says that it is stored."""
    match answered:
        case Got(data, _):
            if error := json.loads(data).get("error"):
                raise Unreachable(f"a hint was not retained: {error.get('description')}")
        case _:
            raise answered
