"""How far transfers are: told to the log now and then while they last, and to who asks at once.

What must not enter: moving bytes, the order of phases.
"""

import asyncio
import json
from typing import Final, Literal

from longshore_agent.core.attempts import Attempt
from longshore_agent.service.desk import Desk
from longshore_data.meter import Meter

#: Seconds between two tellings of one transfer; one that is over sooner is not told.
EVERY: Final = 2.0
Moving = Literal["staging", "delivering"]


class _Going:
    def __init__(self, state: Moving, meter: Meter, since: float) -> None:
        self.state, self.meter, self.since = state, meter, since
        self.told = -1


class Progress:
    """The transfers of one agent that are under way."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._going: dict[str, _Going] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, attempt: Attempt, state: Moving, meter: Meter) -> None:
        """A transfer of this attempt is counted by `meter`; a further try takes the place of the one before."""
        loop = asyncio.get_running_loop()
        before = self._going.get(attempt.id)
        going = _Going(state, meter, before.since if before else loop.time())
        going.told = before.told if before else -1
        self._going[attempt.id] = going
        if self._timer is None:
            self._timer = loop.call_later(EVERY, self._tick)

    def over(self, attempt: Attempt) -> None:
        """It is over: what was told before is told to its end."""
        going = self._going.pop(attempt.id, None)
        if going is not None and going.told >= 0:
            self._tell(attempt.id, going)

    def answer(self, body: bytes) -> bytes:
        """How far these attempts (`{"attempts": […]}`, all if empty) are, as JSON by attempt; sizes in bytes, s, bytes/s."""
        try:
            wanted = json.loads(body or b"{}").get("attempts") or list(self._going)
        except (ValueError, AttributeError) as err:
            return json.dumps({"error": f"unreadable question: {err!r}"}).encode()
        return json.dumps({name: self._said(self._going[name]) for name in wanted if name in self._going}).encode()

    def close(self) -> None:
        """Tell no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._going.clear()

    def _said(self, going: _Going) -> dict[str, object]:
        done, total, rate, eta = going.meter.progress()
        return {"phase": going.state, "done": done, "total": total, "rate": round(rate), "eta": round(eta, 1)}

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(EVERY, self._tick) if self._going else None
        for name, going in self._going.items():
            if loop.time() - going.since >= EVERY:
                self._tell(name, going)
        self.desk.wake_reports()

    def _tell(self, name: str, going: _Going) -> None:
        done, total, *_ = going.meter.progress()
        if done == going.told or name not in self.desk.attempts.held:
            return
        going.told = done
        attempt = self.desk.attempts.held[name]  # type: ignore[index]
        self.desk.attempts.pending.progressed(attempt.id, going.state, self.desk.clock.now(), (done, max(done, total)))
