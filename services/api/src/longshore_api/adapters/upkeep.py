"""What is done every now and then if it is configured: export the archive, take old events out of PostgreSQL, trim the log.

What must not enter: how each is done.
"""

import asyncio
import os
from collections.abc import Mapping
from typing import Final

import msgspec
import structlog

from longshore_api.adapters import archiving, trimming
from longshore_api.core.past import span
from longshore_common.adapters.nats_log import NatsTransport
from longshore_common.clock import SystemClock
from longshore_common.errors import BadInput, Conflict, LongshoreError
from longshore_data.archive import Archive

log = structlog.get_logger()

#: The log keeps at least so many seconds: whoever was away that long goes on where it was.
LEAST: Final = 3600.0


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Where events are exported to, and how long they stay in PostgreSQL and in the log afterwards; empty = for ever."""

    archive: str = ""
    forget_after: str = ""
    trim_after: str = ""
    every: float = 600.0

    def checked(self) -> "Policy":
        """Itself; `BadInput` if it cannot be meant."""
        keeping(self.trim_after or "1h")
        if self.forget_after and span(self.forget_after) and not self.archive:
            raise BadInput("LONGSHORE_FORGET_AFTER removes only what is exported: set LONGSHORE_ARCHIVE as well")
        return self


def keeping(text: str) -> float:
    """Seconds for which the log keeps events; `BadInput` if that is too short."""
    seconds = span(text)
    if seconds < LEAST:
        raise BadInput(f"the log keeps at least an hour, for whoever is away that long: {text!r} is less")
    return seconds


def opened(folder: str, environ: Mapping[str, str] | None = None) -> Archive:
    """The archive there."""
    return Archive(folder, os.environ if environ is None else environ)


class Upkeep:
    """The loop; every process may run it: one at a time works."""

    def __init__(self, url: str, transport: NatsTransport, policy: Policy) -> None:
        self._url = url
        self._transport = transport
        self._policy = policy.checked()
        self._clock = SystemClock()

    async def run(self) -> None:
        """For ever; nothing if nothing is configured."""
        policy = self._policy
        if not (policy.archive or policy.trim_after):
            await asyncio.Event().wait()
        while True:
            await asyncio.sleep(policy.every)
            try:
                await self.once()
            except Conflict as err:
                log.info("upkeep left to another process", reason=str(err))
            except LongshoreError as err:
                log.warning("upkeep failed", reason=str(err), retry_seconds=policy.every)

    async def once(self) -> None:
        """Export, forget, trim, in this order."""
        policy, now = self._policy, self._clock.now()
        if policy.archive:
            archive = opened(policy.archive)
            try:
                await archiving.export(self._url, archive, policy.archive, now=now)
                if policy.forget_after:
                    gone = await archiving.forget(self._url, archive, now - span(policy.forget_after))
                    log.info("forgotten", events=gone)
            finally:
                await archive.close()
        if policy.trim_after:
            plan = await trimming.planned(self._transport, self._url, keeping(policy.trim_after), policy.archive)
            first = await trimming.trimmed(self._transport, plan)
            log.info("trimmed", first=first, held_by=plan.bound.who if plan.bound else "age")
