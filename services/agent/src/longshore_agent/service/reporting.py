"""The outbox: reports are journalled, then appended to the log in order, until it has them; for days if need be.

One append is in flight at a time; what comes meanwhile goes together into the next. At rest a report leaves at once.
What must not enter: what is worth reporting.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Final

from longshore_agent.adapters.journal import LARGE, Reported, Sent, State
from longshore_agent.service.desk import Desk
from longshore_common import events as e
from longshore_common import logs
from longshore_common.errors import LongshoreError, Unreachable
from longshore_common.log import Entry, Log
from longshore_common.model import HostFacts

log = logs.get_logger()
#: Seconds that a mere change of phase waits for company.
MOVES_WAIT: Final = 0.02
#: (ends in a report, seconds that the next one then waits for company). Every report costs all services a turn and the
#: log's disk a sync; what is prefetched lasts a quarter of a second, so no slot idles meanwhile.
BUSY: Final = ((24, 0.05), (4, 0.015))
_RECENTLY: Final = 0.05  # seconds for which a report counts as the last one
_AT_ONCE: Final = 16


class Reporter:
    """Sends what `desk.attempts` has pending. `acknowledge` is called once ends are journalled."""

    def __init__(self, desk: Desk, life: int, log_port: Log, old: list[e.AttemptsReported]) -> None:
        self.desk, self.life, self.log = desk, life, log_port
        self.n = 0
        self.joins = 0
        self.acknowledge: Callable[[], None] = lambda: None
        self.state: Callable[[], State] | None = None
        self._after: dict[str, Callable[[], None]] = {}
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._entries: deque[Entry] = deque(self._entry(r) for r in old)
        self._sent: Sent | None = None
        self._unwritten: list[Reported] = []
        self._most = _AT_ONCE
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self.idle = asyncio.Event()

    def wake(self) -> None:
        """There is something to report."""
        self.idle.clear()
        self._wake.set()
        if self.desk.attempts.pending.urgent:
            self._urgent.set()

    def join(self, facts: HostFacts, batch: str) -> None:
        """Say that we are at work, after all that was to be reported before."""
        self._collect()
        self.joins += 1
        attempts = self.desk.attempts
        event = e.WorkerJoined(
            life=self.life,
            facts=facts,
            concurrency=attempts.slots,
            prefetch=attempts.prefetch,
            prefetch_percent=attempts.prefetch_percent,
            batch=batch,
            held=tuple(attempts.held),
            handled=attempts.heard,
        )
        self._append(event, f"{self.desk.host.worker}-{self.life}-joined-{self.joins}")

    def leave(self, reason: str) -> None:
        """Say that we stop for good."""
        self._collect()
        event = e.WorkerLeft(life=self.life, reason=reason)
        self._append(event, f"{self.desk.host.worker}-{self.life}-left")

    def tell(self, event: e.Event, name: str, then: Callable[[], None] | None = None) -> None:
        """Say something about this host, once per `name`; `then` is called when the log has it.

        It does not outlive this process: whoever tells it can find it out again.
        """
        if then is not None:
            self._after[f"{self.desk.host.worker}-{name}"] = then
        self._append(event, f"{self.desk.host.worker}-{name}")

    def outbox(self) -> tuple[e.AttemptsReported, ...]:
        """Reports the log has not acknowledged."""
        return tuple(x.event for x in self._entries if isinstance(x.event, e.AttemptsReported))

    async def said(self) -> None:
        """Return when the log has all that was reported so far; as long as it cannot be reached, this does not."""
        self._collect()
        if self._entries:
            last = self._entries[-1].id
            if last not in self._waiting:
                self._waiting[last] = asyncio.get_running_loop().create_future()
            self.wake()
            await asyncio.shield(self._waiting[last])

    async def run(self) -> None:
        """Report for ever."""
        pause, busy_until, wait = 0.0, 0.0, 0.0
        now = asyncio.get_running_loop().time
        while True:
            await self._wake.wait()
            if not self._urgent.is_set() and not self._entries:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._urgent.wait(), MOVES_WAIT)
            elif now() < busy_until:
                await asyncio.sleep(wait)
            self._wake.clear()
            self._urgent.clear()
            ends = self._collect()
            pause = await self._send(pause)
            wait = next((seconds for many, seconds in BUSY if ends > many), 0.0)
            busy_until = now() + _RECENTLY if wait else 0.0
            if self._entries or len(self.desk.attempts.pending):
                self._wake.set()
            else:
                self.idle.set()

    def _collect(self) -> int:
        """Pending entries become journalled reports; how many ends there were."""
        pending, ends = self.desk.attempts.pending, 0
        while (report := pending.take(self.life, self.n + 1)) is not None:
            self.n += 1
            ends += len(report.ended)
            self._unwritten.append(Reported(report))
            self._entries.append(self._entry(report))
        if self._unwritten:
            records = [*self._unwritten] if self._sent is None else [self._sent, *self._unwritten]
            if not self.desk.note(*records):
                return ends  # what the journal does not know, the spawner shall remember
            self._unwritten, self._sent = [], None
        self.acknowledge()
        self.desk.tidy()
        self._rewrite()
        return ends

    async def _send(self, pause: float) -> float:
        """Append what the outbox holds; the pause to make before the next try, 0 after success."""
        entries = [self._entries[k] for k in range(min(len(self._entries), self._most))]
        if not entries:
            return 0
        try:
            if len(entries) == 1:
                await self.log.append(entries[0])
            else:
                await self.log.append_all(entries)
        except Unreachable as err:
            log.warning("reports-wait", reports=len(self._entries), reason=str(err))
            pause = min(10.0, pause * 2 or 0.25)
            await asyncio.sleep(pause)
            return pause
        except LongshoreError as err:
            log.error("report-refused", ids=[x.id for x in entries], reason=str(err))
            await asyncio.sleep(1)
            if len(entries) > 1:
                self._most = 1  # one of them is the culprit
                return 1
        self._most = _AT_ONCE
        self._is_in(entries)
        return 0

    def _is_in(self, entries: list[Entry]) -> None:
        """The log has these, or refused one for good."""
        for entry in entries:
            self._entries.popleft()
            if isinstance(entry.event, e.AttemptsReported):
                self._sent = Sent(entry.event.life, entry.event.n)
            if (then := self._after.pop(entry.id, None)) is not None:
                then()
            if self._waiting and (waiting := self._waiting.pop(entry.id, None)) is not None:
                waiting.set_result(None)

    def _append(self, event: e.Event, name: str) -> None:
        self._entries.append(Entry(event, self.desk.host.worker, name))
        self.wake()

    def _entry(self, report: e.AttemptsReported) -> Entry:
        worker = self.desk.host.worker
        return Entry(report, worker, f"{worker}-{report.life}-{report.n}")

    def _rewrite(self) -> None:
        """Rewrite the journal when it is large; nothing is pending now, so its state is all there is."""
        if self.desk.journal.size < LARGE or self.state is None:
            return
        try:
            self.desk.journal.rewrite([self.state()])
        except OSError as err:
            log.error("journal-not-rewritten", reason=str(err))
