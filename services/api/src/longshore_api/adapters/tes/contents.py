"""What inputs of TES tasks hold: encrypted in PostgreSQL, fetched by agents while the task goes on, removed after it.

A log that is kept for ever must not hold it, since clients put keys there. The key is derived from the account's signing
seed, the address from nothing: whoever was not told it cannot guess it. What must not enter: HTTP, who may see it.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

import structlog
from nacl.exceptions import CryptoError
from nacl.secret import Aead

from longshore_api.adapters.tes.mapping import Content
from longshore_common.clock import Clock
from longshore_common.errors import LongshoreError, NotFound, Refused, Unreadable

log = structlog.get_logger()

#: Path of the route that serves them.
PATH: Final = "/api/v1/contents"
#: Seconds for which they are kept after the end of their task if its batch says nothing of its inputs: for a retry.
KEPT: Final = 30 * 86_400.0
#: Seconds after which those go whose submission never reached the log.
ORPHAN: Final = 86_400.0
#: Seconds between two looks for what may go; rows of one look.
EVERY: Final = 600.0
_ROWS: Final = 1_000

_ENDED: Final = """
DELETE FROM tes_content WHERE id IN (
    SELECT unnest(x.contents) FROM tes x JOIN submission s ON s.id = x.submission LEFT JOIN batch b ON b.name = s.batch
    LEFT JOIN task t ON t.submission = x.submission AND t.index = 0
    LEFT JOIN task_range r ON r.submission = x.submission
    WHERE x.contents <> '{}' AND s.open = 0 AND coalesce(t.ended_at, r.at, s.submitted_at)
        + coalesce(nullif((b.retention::jsonb ->> 'inputs')::float8, 0), $2::float8) < $1::float8
        AND EXISTS (SELECT 1 FROM tes_content c WHERE c.id = ANY(x.contents))
    ORDER BY x.submission LIMIT $3
)
"""
#: The projection must be past them: else the read model may be only rebuilt, and their submissions still to come.
_ORPHANED: Final = """
DELETE FROM tes_content c WHERE c.at < $1::float8 - $2::float8 AND c.at + 3600 < (SELECT at FROM position)
    AND NOT EXISTS (SELECT 1 FROM tes x WHERE x.contents <> '{}' AND x.contents @> ARRAY[c.id])
"""
_OPEN: Final = """
SELECT c.body, EXISTS (
    SELECT 1 FROM tes x JOIN submission s ON s.id = x.submission
    WHERE x.contents <> '{}' AND x.contents @> ARRAY[c.id] AND s.open = 0
) AS over FROM tes_content c WHERE c.id = $1
"""


class Database(Protocol):
    """Where they are kept."""

    async def fetch(self, sql: str, *args: object) -> list[Any]:
        """Rows of one statement."""
        ...


class Contents:
    """`seed`: what the key is derived from, "" = nothing can be kept; `root`: the api's URL as workers reach it."""

    def __init__(self, database: Database, seed: str, root: str, clock: Clock) -> None:
        self._database = database
        self._root = root.rstrip("/")
        self._clock = clock
        key = hashlib.blake2b(seed.encode(), digest_size=Aead.KEY_SIZE, person=b"tes content").digest()
        self._box = Aead(key) if seed else None

    def place(self, body: bytes) -> Content:
        """An address for these bytes that nobody can guess; they are not kept yet."""
        if self._box is None:
            raise Refused("inputs by content cannot be kept: this api was started without a signing seed; give urls")
        token = secrets.token_urlsafe(32)
        return Content(_id(token), f"{self._root}{PATH}?token={token}", body)

    async def keep(self, contents: Sequence[Content]) -> None:
        """Store them; `Unreachable` if PostgreSQL does not answer: then nothing must be submitted."""
        if not contents or self._box is None:
            return
        now = self._clock.now()
        bodies = [bytes(self._box.encrypt(content.body, content.id.encode())) for content in contents]
        await self._database.fetch(
            "INSERT INTO tes_content (id, at, body) SELECT v.id, $3, v.body FROM unnest($1::text[], $2::bytea[]) "
            "AS v (id, body)",
            [content.id for content in contents], bodies, now,
        )  # fmt: skip

    async def fetched(self, token: str) -> bytes:
        """What the bearer of this token may fetch, while its task has not ended. `NotFound` otherwise."""
        found = await self._database.fetch(_OPEN, _id(token))
        if not found or found[0]["over"]:
            raise NotFound("there is no such content, or its task has ended")
        return self._opened(_id(token), found[0]["body"])

    async def shown(self, ids: Iterable[str]) -> dict[str, str]:
        """The texts that are kept under these ids; what cannot be decrypted any more is missing."""
        wanted = list(ids)
        rows = (
            await self._database.fetch("SELECT id, body FROM tes_content WHERE id = ANY($1::text[])", wanted)
            if wanted
            else []
        )
        result = {}
        for row in rows:
            try:
                result[row["id"]] = self._opened(row["id"], row["body"]).decode()
            except Unreadable as err:
                log.warning("a content cannot be shown", id=row["id"], reason=str(err))
        return result

    def _opened(self, place: str, body: bytes) -> bytes:
        if self._box is None:
            raise Unreadable("this content was encrypted, and this api has no signing seed")
        try:
            return self._box.decrypt(body, place.encode())
        except (CryptoError, ValueError) as err:
            raise Unreadable("this content was encrypted with another signing seed, or was damaged") from err

    async def run(self) -> None:
        """Remove what may go, now and then, for ever."""
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.sweep()
            except LongshoreError as err:
                log.warning("contents were not swept", reason=str(err), retry_seconds=EVERY)

    async def sweep(self) -> None:
        """Remove what is past its task's retention, and what never had a task."""
        now = self._clock.now()
        await self._database.fetch(_ENDED, now, KEPT, _ROWS)
        await self._database.fetch(_ORPHANED, now, ORPHAN)


def _id(token: str) -> str:
    """What a token's content is kept under; the token itself is not stored."""
    return hashlib.sha256(token.encode()).hexdigest()
