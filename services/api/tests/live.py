"""The application over a log in memory, a read model that follows it when told to, and users of each role."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec

from longshore_api.adapters import http
from longshore_api.adapters.doors import House
from longshore_api.adapters.feed import Feed
from longshore_api.adapters.heard import Heard
from longshore_api.adapters.idempotency import Idempotency
from longshore_api.adapters.issuer import Issuer, Names, Secrets
from longshore_api.adapters.limits import Limits
from longshore_api.adapters.output import Outputs
from longshore_api.adapters.pen import Pen
from longshore_api.adapters.progress import Progress
from longshore_api.adapters.reader import Reader
from longshore_api.adapters.store import Store
from longshore_api.core.users import Visitor
from longshore_common import events as e
from longshore_common import subjects
from longshore_common.adapters import nats_keys
from longshore_common.adapters.memory_log import Hub
from longshore_common.log import Entry
from longshore_common.testing.clocks import Stopped

USERS = {"root": "admin", "ann": "user", "bob": "user", "vic": "viewer"}


class Doors:
    """A keyring in which the secret of a user is the name."""

    def __init__(self) -> None:
        self.revoked: set[str] = set()

    async def visitor(self, shown: str, address: str) -> Visitor:
        found = self.standing(shown)
        if found is None:
            raise http_denied()
        return found

    def standing(self, ident: str) -> Visitor | None:
        if ident in self.revoked or ident not in USERS:
            return None
        return Visitor("" if ident == "vic" else ident, USERS[ident], ident)  # type: ignore[arg-type]


def http_denied() -> Exception:
    from longshore_api.adapters.keyring import Denied

    return Denied("show a secret of this stack")


class Live:
    """A client of the application; `by` is who asks."""

    def __init__(self, url: str, project: Any, reader: Reader) -> None:
        self.url, self._project, self.reader = url, project, reader
        self.clock = Stopped()
        self.hub = Hub(self.clock)
        self.transport = self.hub.connect("api")
        self.dispatch = self.hub.connect("dispatch")
        self.progress = Progress()
        heard = Heard(self.transport.hints, self.clock)
        account = nats_keys.make_seed("account")
        secrets = Secrets(account, nats_keys.public_key(account), "join", "nats://here")
        self.doors = Doors()
        self.feed = Feed(self.transport.log)
        self.house = House(
            token="", reader=reader, progress=self.progress, heard=heard, outputs=Outputs(self.transport),
            issuer=Issuer(secrets, self.transport.log, None, Names(reader, self.progress, heard)),  # type: ignore[arg-type]
            last=self.transport.log.last, rebuild=None, pen=Pen(self.transport.log), owner="root",  # type: ignore[arg-type]
            keyring=self.doors, feed=self.feed, hints=self.transport.hints,  # type: ignore[arg-type]
            limits=Limits(self.clock, 1000), keys=Idempotency(reader, self.clock),
        )  # fmt: skip
        self.app = http.application(self.house)
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://api/api/v1", timeout=20)

    async def send(self, method: str, path: str, body: Any = None, *, by: str = "ann", **more: Any) -> httpx.Response:
        """A request; `key` is an Idempotency-Key, `query` the query."""
        headers = {"Authorization": f"Bearer {by}"} | more.pop("headers", {})
        if key := more.pop("key", None):
            headers["Idempotency-Key"] = key
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        return await self.client.request(method, path, content=content, headers=headers, params=more.get("query"))

    async def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """What is answered by a request that is done."""
        answer = await self.send(method, path, body, **more)
        assert answer.status_code in (200, 202), answer.text
        return answer.json()

    async def shown(self) -> None:
        """Project all that the log has."""
        store = await Store.open(self.url)
        try:
            memory = await store.load()
            await self._project(store, memory, self.hub.records[memory.position :])
            self.progress.reach(memory.position)
        finally:
            await store.close()

    async def answer(self, event: e.Event, name: str = "") -> int:
        """An event of the dispatcher."""
        return await self.dispatch.log.append(Entry(event, name, f"d{len(self.hub.records)}"))

    def event(self, seq: int) -> Any:
        """The event at a sequence."""
        return self.hub.records[seq - 1].event

    async def asked_of(self, answers: Any) -> list[dict[str, Any]]:
        """A dispatcher that answers questions; what it was asked."""
        asked: list[dict[str, Any]] = []

        async def answer(body: bytes) -> bytes:
            asked.append(msgspec.json.decode(body))
            return msgspec.json.encode(answers(asked[-1]))

        await self.dispatch.hints.answer(subjects.ASK_DISPATCH, answer, shared=True)
        return asked


@asynccontextmanager
async def living(database: str, project: Any) -> AsyncIterator[Live]:
    """One of these, closed afterwards."""
    reader = await Reader.open(database)
    live = Live(database, project, reader)
    try:
        yield live
    finally:
        await live.feed.close()
        await live.client.aclose()
        await reader.close()
