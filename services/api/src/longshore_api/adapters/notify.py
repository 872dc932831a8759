"""Tells users what they asked to be told: looks at batches, writes notices into an outbox, and sends them until they are taken.

One process of all replicas does so, the one that holds a lock. What is seen twice has one id and is told once; what was
sent and not noted as sent, by a death in between, is sent again with that id. What must not enter: routes.
"""

import asyncio
import itertools
import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

import asyncpg
import structlog

from longshore_api.adapters.mail import Mails
from longshore_api.adapters.store import away
from longshore_api.adapters.tables import COUNTERS
from longshore_api.adapters.webhook import Webhooks
from longshore_api.core import notices
from longshore_api.core.notices import BatchNow, Notice, Rule
from longshore_common.clock import Clock
from longshore_common.errors import LongshoreError

log = structlog.get_logger()

#: Of the one sender among all replicas ("noti").
LOCK: Final = 0x6E6F7469
#: Seconds between two looks, and between attempts to become the sender.
EVERY: Final = 1.0
_AGAIN: Final = 5.0
#: Looks between two removals of what is over for long.
_CLEAN: Final = 600
#: Seconds by which the read model may be behind the clock: what it says while it is rebuilt is no news.
_BEHIND: Final = 10.0
#: Seconds after each try; after the last a notice is given up.
PAUSES: Final = (5, 15, 60, 300, 900, 3600, 3600, 7200, 14_400, 28_800)
#: Notices sent at once, and those that are kept, in seconds, after they were sent or given up.
_TOGETHER: Final = 16
KEPT: Final = 30 * 86_400.0
#: Seconds for one statement.
_STATEMENT: Final = 30.0


class Ways(NamedTuple):
    """How notices are sent."""

    webhooks: Webhooks
    mails: Mails


class Notifier:
    """One per process; `run` works until it is cancelled."""

    def __init__(self, url: str, ways: Ways, clock: Clock) -> None:
        self._url, self.ways, self._clock = url, ways, clock

    def now(self) -> float:
        """The instant, in Unix seconds."""
        return self._clock.now()

    async def run(self) -> None:
        """Become the sender, and be it, for ever."""
        while True:
            try:
                await self._turns()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as err:
                log.warning("notifications wait", reason=str(away(err)))
            await asyncio.sleep(_AGAIN)

    async def _turns(self) -> None:
        connection = await asyncpg.connect(
            self._url,
            timeout=10,
            command_timeout=_STATEMENT,
            server_settings={"application_name": "longshore-notifier"},
        )
        try:
            while not await connection.fetchval(  # noqa: ASYNC110 - PostgreSQL tells nobody that a lock is free
                "SELECT pg_try_advisory_lock($1)", LOCK
            ):
                await asyncio.sleep(_AGAIN)
            outbox = Outbox(connection)
            for turns in itertools.count():
                await self.turn(outbox)
                if turns % _CLEAN == 0:
                    await outbox.clean(self._clock.now() - KEPT)
                await asyncio.sleep(EVERY)
        finally:
            connection.terminate()

    async def turn(self, outbox: "Outbox") -> None:
        """See what is to be told, and send what is due."""
        now = self._clock.now()
        if (rules := await outbox.rules()) and await outbox.current(now):
            batches = await outbox.batches(now, sorted({rule.user for rule in rules}))
            await outbox.put([n for rule in rules for batch in batches for n in notices.due(rule, batch, now)], now)
        if waiting := await outbox.due(now, _TOGETHER):
            await asyncio.gather(*(self._send(outbox, row) for row in waiting))
        await outbox.clean(now - KEPT)

    async def _send(self, outbox: "Outbox", row: Any) -> None:
        now = self._clock.now()
        try:
            if row["way"] == "webhook":
                await self.ways.webhooks.send(row["rule"], row["target"], row["id"], row["body"], now)
            else:
                said = json.loads(row["body"])
                subject = f"Longshore: {said.get('batch') or 'test'} {said['occasion']}"
                await self.ways.mails.send(row["target"], row["id"], subject, said["text"], now)
        except LongshoreError as err:
            tries = row["tries"] + 1
            again = now + PAUSES[tries - 1] if tries <= len(PAUSES) else None
            log.warning("notice not taken", id=row["id"], rule=row["rule"], tries=tries, reason=str(err))
            await outbox.failed(row["id"], again, str(err))
        else:
            log.info("notice sent", id=row["id"], rule=row["rule"], way=row["way"])
            await outbox.sent(row["id"], now)


class Database(Protocol):
    """Where notices are kept."""

    async def fetch(self, sql: str, *values: object) -> list[Any]:
        """Rows of one statement."""
        ...


class Outbox:
    """The statements, one at a time."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._lock = asyncio.Lock()

    async def _fetch(self, sql: str, *values: object) -> list[Any]:
        async with self._lock:
            return list(await self._db.fetch(sql, *values))

    async def rules(self) -> list[Rule]:
        """Those that hold."""
        rows = await self._fetch("SELECT value FROM governing WHERE kind = $1", notices.RULE)
        return notices.rules(row["value"] for row in rows)

    async def current(self, now: float) -> bool:
        """Whether what the read model says is of now."""
        (row,) = await self._fetch(
            "SELECT p.at, p.seq, coalesce((SELECT max(seq) FROM event), 0) AS last FROM position p"
        )
        return row["seq"] >= row["last"] or now - (row["at"] or 0) < _BEHIND

    async def batches(self, now: float, users: Sequence[str]) -> list[BatchNow]:
        """Those of these users of which there may be news; and remember since when those wait that do."""
        states = ", ".join(f"b.{state}" for state in COUNTERS)
        rows = await self._fetch(
            f"SELECT b.name, b.users, b.submissions, b.paused, b.ended_at, b.ran, w.since, {states} "
            "FROM batch b LEFT JOIN notice_watch w ON w.batch = b.name WHERE b.submissions > 0 AND b.users && $1::text[] "
            "AND (b.ended_at > $2 OR b.queued > 0 OR w.since IS NOT NULL)",
            list(users), now - notices.NEWS,
        )  # fmt: skip
        found = [_batch(row) for row in rows]
        known = {row["name"]: row["since"] for row in rows}
        began = [batch.name for batch in found if batch.waits and known[batch.name] is None]
        over = [batch.name for batch in found if not batch.waits and known[batch.name] is not None]
        if began:
            await self._fetch(
                "INSERT INTO notice_watch (batch, since) SELECT v, $2 FROM unnest($1::text[]) AS v ON CONFLICT DO NOTHING",
                began, now,
            )  # fmt: skip
        if over:
            await self._fetch("DELETE FROM notice_watch WHERE batch = ANY($1::text[])", over)
        return [batch._replace(idle=(known[batch.name] or now) if batch.waits else None) for batch in found]

    async def put(self, found: Sequence[Notice], now: float) -> None:
        """To be sent; those that are known are passed over."""
        if found:
            columns = [list(column) for column in zip(*found, strict=True)]
            await self._fetch(
                "INSERT INTO notice (id, rule, way, target, body, made_at, due_at) SELECT v.*, $6, $6 FROM unnest("
                "$1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS v ON CONFLICT DO NOTHING",
                *columns, now,
            )  # fmt: skip

    async def due(self, now: float, most: int) -> list[Any]:
        """What is to be sent now, the oldest first, of rules that still hold."""
        return await self._fetch(
            "SELECT n.* FROM notice n JOIN governing g ON g.kind = $3 AND g.name = n.rule AND g.value <> '' "
            "WHERE n.due_at <= $1 ORDER BY n.due_at LIMIT $2",
            now, most, notices.RULE,
        )  # fmt: skip

    async def sent(self, ident: str, now: float) -> None:
        """It was taken."""
        await self._fetch(
            "UPDATE notice SET sent_at = $2, due_at = NULL, tries = tries + 1, error = '' WHERE id = $1", ident, now
        )

    async def failed(self, ident: str, again: float | None, error: str) -> None:
        """It was not taken, and is tried again at that instant, or never."""
        clean = error.replace("\0", "\ufffd")[:500]
        await self._fetch(
            "UPDATE notice SET tries = tries + 1, due_at = $2, error = $3 WHERE id = $1", ident, again, clean
        )

    async def clean(self, before: float) -> None:
        """Forget those of long ago: what they told is no news any more, and is not told again."""
        await self._fetch("DELETE FROM notice WHERE made_at < $1", before)


def _batch(row: Any) -> BatchNow:
    counts: dict[str, int] = {state: int(row[state]) for state in COUNTERS}
    return BatchNow(
        row["name"], tuple(row["users"]), row["submissions"], row["paused"], counts, row["ended_at"], ran=row["ran"]
    )
