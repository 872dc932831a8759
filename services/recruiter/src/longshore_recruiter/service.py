"""The recruiter process: it follows what the leading dispatcher tells of demand, and says when that has changed.

It hires nobody yet: offers, plans and providers are rooms of their own beside this one. What must not enter: how demand
is counted.
"""

import asyncio
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import ClassVar, Final

import msgspec
import structlog

from longshore_common import settings
from longshore_common.adapters import nats_log
from longshore_common.clock import iso
from longshore_common.errors import Refused, Unreachable
from longshore_common.log import Retained
from longshore_recruiter.core.demand import Demand, demand
from longshore_recruiter.core.state import State, take

log = structlog.get_logger()

#: Seconds between two looks at demand while events come; none while nothing comes.
LOOK: Final = 5.0
_AGAIN: Final = 1.0


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the process is told."""

    ENV: ClassVar[dict[str, str]] = {"nats_url": "NATS_URL", "nats_creds": "NATS_CREDS"}

    nats_url: str = "nats://127.0.0.1:4222"
    nats_creds: str | None = None


def configured(environ: Mapping[str, str]) -> Settings:
    """The settings of this environment; `BadInput` names what is wrong."""
    found: Settings = settings.load(Settings, environ).value
    return found


class Recruiter:
    """Follows the retained hints; `told` holds what was said of demand last."""

    def __init__(self, source: Retained) -> None:
        self._retained = source
        self._changed = asyncio.Event()
        self.state = State()
        self.told: dict[str, int] = {}

    async def follow(self) -> None:
        """For ever; a store that does not answer is waited for."""
        while True:
            try:
                async for kept in self._retained.watch():
                    take(self.state, kept)
                    self._changed.set()
                return
            except (Unreachable, Refused) as err:  # credentials may be replaced while it runs
                log.warning("waiting", what="the retained hints", reason=str(err))
                await asyncio.sleep(_AGAIN)

    async def tell(self) -> None:
        """For ever: what changed, at most once in `LOOK` seconds."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            self.look()
            await asyncio.sleep(LOOK)

    def look(self) -> list[Demand]:
        """Log each batch whose demand is not what was told last; returns those."""
        now = {d.batch: d for d in demand(self.state)}
        changed = [d for d in now.values() if self.told.get(d.batch) != d.tasks]
        for each in changed:
            shapes = [{**msgspec.to_builtins(shape), "tasks": count} for shape, count in each.shapes.items()]
            log.info(
                "demand", batch=each.batch, tasks=each.tasks, slots=each.slots, since=iso(each.since), shapes=shapes[:8]
            )
        for batch in self.told.keys() - now.keys():
            log.info("demand", batch=batch, tasks=0)
        self.told = {batch: d.tasks for batch, d in now.items()}
        return changed


async def serve(found: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    working = asyncio.create_task(_work(found), name="recruiter")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if stop.is_set():
        working.cancel()
    with suppress(asyncio.CancelledError):
        await working
    log.info("stopped")


async def _work(found: Settings) -> None:
    transport = await nats_log.connect(found.nats_url, creds=found.nats_creds, role="recruit")
    try:
        recruiter = Recruiter(transport.retained)
        log.info("following")
        async with asyncio.TaskGroup() as group:
            group.create_task(recruiter.follow())
            group.create_task(recruiter.tell())
    finally:
        await transport.close()
