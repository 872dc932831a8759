"""How many tasks were in which state, and how fast they ended: looked at now and then, kept by the minute for a week.

Every process looks for itself; the minutes stand beside those of workers (`worker_metric`, name `*`, which no worker has), and
the first to write one has written it. What must not enter: pages, the projection.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from longshore_api.adapters.heard import Heard
from longshore_api.adapters.reader import Reader
from longshore_api.core.rows import OPEN_STATES, TASK_STATES
from longshore_common.clock import Clock
from longshore_common.errors import LongshoreError

log = structlog.get_logger()

#: The name under which the minutes of the whole stack are kept.
WHOLE: Final = "*"
#: Seconds between looks, and how many looks are remembered: an hour.
EVERY: Final = 10.0
_REMEMBERED: Final = 360
#: Open batches whose pace is measured, the ones submitted to last first, over so many looks.
_BATCHES: Final = 500
_PACE: Final = 30

_SUMS: Final = ", ".join(f"coalesce(sum({s}), 0)::bigint AS {s}" for s in TASK_STATES)
_OPEN: Final = " + ".join(s for s in TASK_STATES if s in OPEN_STATES)
_OVER: Final = " + ".join(s for s in TASK_STATES if s not in OPEN_STATES)
_ALL: Final = f"SELECT {_SUMS} FROM batch"
_EACH: Final = (
    f"SELECT name, ({_OVER}) AS over FROM batch WHERE ({_OPEN}) > 0 "
    f"ORDER BY submitted_at DESC NULLS LAST LIMIT {_BATCHES}"
)
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Look(NamedTuple):
    """What one look saw: tasks by state, and how many ended each minute since the look before."""

    at: float
    counts: Mapping[str, float]
    pace: float | None


class Samples:
    """The last hour at hand, the last week in PostgreSQL."""

    def __init__(self, reader: Reader, heard: Heard, clock: Clock) -> None:
        self._reader = reader
        self._heard = heard
        self._clock = clock
        self._looks: deque[Look] = deque(maxlen=_REMEMBERED)
        self._over: dict[str, deque[tuple[float, int]]] = {}
        self._minute = -1

    async def run(self) -> None:
        """For ever; what does not answer is looked at again later."""
        while True:
            try:
                await self.look()
            except LongshoreError as err:
                log.debug("no sample", reason=str(err))
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """One look; the minute before is handed over to be written when a new one begins."""
        row = (await self._reader.fetch(_ALL))[0]
        now, counts = self._clock.now(), {str(s): int(row[s]) for s in TASK_STATES}
        last = self._looks[-1] if self._looks else None
        self._looks.append(Look(now, counts, _pace(last, now, counts)))
        batches = {r["name"]: int(r["over"]) for r in await self._reader.fetch(_EACH)}
        self._over = {name: self._over.get(name) or deque(maxlen=_PACE) for name in batches}
        for name, over in batches.items():
            self._over[name].append((now, over))
        if (minute := int(now) // 60 * 60) != self._minute:
            if self._minute >= 0:
                self._keep(self._minute)
            self._minute = minute

    def _keep(self, minute: int) -> None:
        seen = [look for look in self._looks if minute <= look.at < minute + 60]
        if seen:
            paces = [look.pace for look in seen if look.pace is not None]
            told = {"counts": dict(seen[-1].counts), "pace": sum(paces) / len(paces) if paces else None}
            self._heard.note(WHOLE, minute, told)

    def pace(self) -> float | None:
        """How many tasks ended each minute, over the last one; None before the second look."""
        recent = [look.pace for look in self._looks if look.pace is not None and look.at > self._clock.now() - 65]
        return sum(recent) / len(recent) if recent else None

    def pace_of(self, batch: str) -> float | None:
        """How many tasks of this open batch ended each second, over the last minutes; None if that is not known."""
        seen = self._over.get(batch)
        if not seen or seen[-1][0] - seen[0][0] < EVERY:
            return None
        return max(0.0, (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0]))

    async def since(self, begin: float) -> list[Look]:
        """Looks from this instant (Unix seconds) on, oldest first: minutes as far as they were kept, then one's own."""
        first = self._looks[0].at if self._looks else self._clock.now()
        kept = []
        if begin < first - 60:
            for row in await self._reader.metrics(WHOLE, begin, 20_000):
                if row["minute"] + 60 <= first:
                    told = _decode(row["sample"])
                    kept.append(Look(row["minute"] + 60.0, told["counts"], told["pace"]))
        return kept + [look for look in self._looks if look.at >= begin]


def _pace(last: Look | None, now: float, counts: Mapping[str, float]) -> float | None:
    """Tasks that ended, a minute; what was deleted or tried again is not counted back."""
    if last is None or now - last.at < 1 or now - last.at > 6 * EVERY:
        return None
    gone = sum(max(0.0, counts[s] - last.counts[s]) for s in TASK_STATES if s not in OPEN_STATES)
    return 60 * gone / (now - last.at)
