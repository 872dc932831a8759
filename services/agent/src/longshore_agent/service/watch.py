"""Watches the host beside the work: how busy it is, how full its disk, whose hour it is, and whether it is to go away.

What it finds sets `attempts.limits`; nothing that runs is touched, but by a notice that the host is taken away. What must
not enter: the readings themselves (adapters), what follows from them for single attempts (core).
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from longshore_agent.adapters import eviction, host
from longshore_agent.adapters.aside import Aside, answered
from longshore_agent.adapters.eviction import Notice
from longshore_agent.adapters.gpus import Gpus
from longshore_agent.adapters.metrics import Metrics, Waiting
from longshore_agent.core import hours, watermark
from longshore_agent.core.attempts import Act
from longshore_agent.core.throttle import Throttle
from longshore_agent.service.desk import Desk
from longshore_agent.service.reporting import Reporter
from longshore_agent.service.settings import Settings
from longshore_common import events as e
from longshore_common import logs
from longshore_common.errors import Unreachable

log = logs.get_logger()
#: Seconds between looks at: the processors' waiting; disk and hours; notices; between two tries to make room.
PRESSURE_EVERY: Final = 1.0
SPACE_EVERY: Final = 2.0
NOTICE_EVERY: Final = 1.0
ROOM_EVERY: Final = 30.0


class Watch:
    """One per agent. `make_room` frees so many bytes if it can; `act` does what an eviction asks for; `rejoin` says that the
    host stays after all.
    """

    def __init__(self, desk: Desk, reporter: Reporter, settings: Settings, gpus: Gpus | None = None) -> None:
        self.desk, self.reporter, self.settings = desk, reporter, settings
        self.limits = desk.attempts.limits
        self.act: Callable[[list[Act]], None] = lambda _: None
        self.make_room: Callable[[int], Awaitable[object]] | None = None
        self.pressure = Throttle()
        self.rules = hours.parse(settings.hours)
        self._metrics = Metrics(desk.clock.steady())
        self._gpus = Aside(gpus.read, [{"name": n} for n in gpus.names], "gpus") if gpus else None
        self._hindrances: dict[str, str] = {}
        self.rejoin: Callable[[], None] = lambda: None
        self._joined = False
        self._n = 0
        self._room_at = -ROOM_EVERY
        self._notice: Notice | None = None
        watermark.low(settings.disk_low, 1)  # a wrong setting is told at the start

    # --- what the beat tells ---

    def read(self) -> dict[str, Any]:
        """What this host does now: see `metrics`; sizes in bytes, rates in bytes a second, shares in percent."""
        attempts = self.desk.attempts
        reading = {**self._metrics.read(self.desk.clock.steady()), "at": round(self.desk.clock.now(), 3)}
        if self._gpus is not None:
            self._gpus.refresh()
            reading["gpus"] = self._gpus.known
        reading["slots"] = {"wanted": attempts.slots, "effective": self._effective()}
        reading["hindered"] = self.limits.hindered
        return reading

    def _effective(self) -> int:
        """How many may run now; with an automatic number, as many as there are at most."""
        attempts = self.desk.attempts
        most = attempts.usable()
        return most if attempts.slots >= 0 else min(most, max(attempts.width, len(attempts.held)))

    def joined(self) -> None:
        """The dispatcher knows this worker anew: tell it again what is in the way."""
        self._joined = True
        if self.limits.hindered:
            self._tell_hindered()
        if self._notice is not None:
            self._tell_evicted(self._notice)

    # --- the watches ---

    async def run(self) -> None:
        """Watch for ever."""
        watches = [self._watch_space()]
        if self.settings.throttle == "on":
            watches.append(self._watch_pressure())
        if self.settings.provider != "none":
            watches.append(self._watch_notices())
        await asyncio.gather(*watches)

    async def look(self) -> None:
        """Disk and hours, once: also before the first work is taken."""
        found = {"disk": await self._full_disk(), "hours": self._hours()}
        hindrances = {what: self._hindrances.get(what) or why for what, why in found.items() if why}
        if hindrances != self._hindrances:
            self._hindrances = hindrances
            self.limits.hindered = "; ".join(hindrances.values())
            log.warning("worker-hindered", reason=self.limits.hindered or "no longer")
            self._tell_hindered()
            self.desk.turn_soon()

    async def _watch_space(self) -> None:
        while True:
            await asyncio.sleep(SPACE_EVERY)
            await self.look()

    async def _watch_pressure(self) -> None:
        waiting = Waiting()
        while True:
            await asyncio.sleep(PRESSURE_EVERY)
            attempts = self.desk.attempts
            running = attempts.bare + attempts.containers
            slots = attempts.width if attempts.slots >= 0 else max(attempts.width, len(attempts.held))
            if self.pressure.sample(waiting.percent(), self.desk.clock.steady(), slots, running):
                self.limits.throttle = self.pressure.allowed
                log.info("throttled", slots=slots, usable=self._effective(), iowait=self.pressure.waiting)
                self.desk.turn_soon()

    # --- disk and hours ---

    async def _full_disk(self) -> str:
        """Why the disk takes no more work, after what can be spared was removed; empty if it does."""
        hindered = "disk" in self._hindrances
        space = host.space(self.desk.dirs.base)
        mark = watermark.low(self.settings.disk_low, space.total)
        lacking = watermark.missing(space, mark, hindered=hindered)
        now = self.desk.clock.steady()
        if lacking and self.make_room is not None and now - self._room_at >= ROOM_EVERY:
            self._room_at = now
            await self.make_room(lacking)
            space = host.space(self.desk.dirs.base)
        return watermark.why(space, mark, hindered=hindered)

    def _hours(self) -> str:
        """Why these are not our hours; caps that leave something are set, and what waits is judged by them."""
        local = time.localtime(self.desk.clock.now())
        caps, rule = hours.at(self.rules, local.tm_wday, local.tm_hour * 60 + local.tm_min)
        if caps != self.limits.caps:
            log.info("hours", rule=rule or "none", cpus=caps.cpus, memory=caps.memory, slots=caps.slots)
            self.limits.caps = caps
            self.act(self.desk.attempts.take_back())
            self.desk.turn_soon()
        return f"its owner allows no task at this hour: LONGSHORE_HOURS={rule!r}" if caps.none else ""

    def _tell_hindered(self) -> None:
        if not self._joined:
            return
        self._n += 1
        event = e.WorkerHindered(life=self.reporter.life, reason=self.limits.hindered)
        self.reporter.tell(event, f"{self.reporter.life}-hindered-{self._n}")

    # --- notices ---

    async def _watch_notices(self) -> None:
        settings = self.settings
        provider = await answered(lambda: eviction.find(settings.provider, settings.metadata_url))
        if provider is None:
            return
        log.info("notices-watched", provider=provider.name)
        acknowledged: str | None = None
        while True:
            with contextlib.suppress(Unreachable):  # what was said before still holds
                self._heed(await answered(lambda: provider.notice(self.desk.clock.now())))
            notice = self._notice
            if notice is not None and notice.id != acknowledged and self._all_saved():
                acknowledged = notice.id
                await answered(partial(provider.acknowledge, notice))
            await asyncio.sleep(NOTICE_EVERY)

    def _heed(self, notice: Notice | None) -> None:
        """The host goes away, or it does not after all; a notice whose instant moved a little is the same."""
        known, self._notice = self._notice, notice
        attempts = self.desk.attempts
        if notice is None:
            if known is not None:
                log.info("eviction-withdrawn", reason=known.reason)
                attempts.evict(0, 0)
                self.desk.turn_soon()
                self.rejoin()
            return
        if known is None or known.id != notice.id or abs(known.at - notice.at) > 60:
            log.warning("host-evicted", at=notice.at, reason=notice.reason, held=len(attempts.held))
            self._tell_evicted(notice)
        self.act(attempts.evict(notice.at, self.desk.clock.now()))
        self.desk.turn_soon()

    def _all_saved(self) -> bool:
        """Nothing is here any more that would be lost."""
        return not self.desk.attempts.held and self.reporter.idle.is_set()

    def _tell_evicted(self, notice: Notice) -> None:
        self._n += 1
        event = e.WorkerEvicted(life=self.reporter.life, at=notice.at, reason=notice.reason)
        self.reporter.tell(event, f"{self.reporter.life}-evicted-{self._n}")
