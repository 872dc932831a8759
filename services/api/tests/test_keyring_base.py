"""Where the keyring begins: with the read model's rows where the log has lost its front, with the log where there is none."""

import asyncio
from typing import Any

import pytest

from longshore_api.adapters.keyring import FACTS, Edges, Keyring, make
from longshore_api.adapters.store import Store
from longshore_common import events as e
from longshore_common.adapters.memory_log import Hub
from longshore_common.clock import SystemClock
from longshore_common.errors import Unreachable
from longshore_common.log import Entry

NOWHERE = "postgresql://nobody@/none?host=/nonexistent"


async def shown(url: str, book: Any, project: Any) -> None:
    store = await Store.open(url)
    try:
        memory = await store.load()
        await project(store, memory, book.records[memory.position :])
    finally:
        await store.close()


async def test_rows_are_read_where_the_log_begins_later_and_facts_after_them(
    database: str, book: Any, project: Any
) -> None:
    made, other = make(), make()
    book.write(e.UserAdded(user="ann", role="user"))
    book.write(e.CredentialIssued(id=made.id, kind="secret", user="ann", digest=made.digest))
    await shown(database, book, project)
    book.write(e.UserRevoked(user="ann"))
    book.write(e.UserAdded(user="bob", role="viewer"))
    book.write(e.CredentialIssued(id=other.id, kind="secret", user="bob", role="viewer", digest=other.digest))
    await shown(database, book, project)
    hub = Hub(SystemClock())
    api = hub.connect("api")
    for record in book.records:
        await api.log.append(Entry(record.event, "api", str(record.seq)))
    hub.trimmed = 4
    ring = Keyring("", "root", SystemClock())

    async def edges() -> Edges:
        return Edges(hub.trimmed + 1, len(hub.records))

    task = asyncio.create_task(ring.run(api.log, edges, database))
    await asyncio.wait_for(ring.known(), 10)
    assert (await ring.visitor(other.shown, "a")).user == "bob"
    assert ring.register.authority.roles == {"ann": None, "bob": "viewer"}
    assert ring.standing(made.id) is None
    await api.log.append(Entry(e.UserRevoked(user="bob"), "api", "last"))
    assert await ring.passed(6)
    assert ring.register.authority.roles["bob"] == "viewer" or ring.standing(other.id) is None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_without_rows_a_log_that_lost_its_front_lets_nobody_in_who_is_not_known() -> None:
    hub = Hub(SystemClock())
    api = hub.connect("api")
    made = make()
    await api.log.append(Entry(e.UserAdded(user="ann", role="user"), "api", "1"))
    await api.log.append(
        Entry(e.CredentialIssued(id=made.id, kind="secret", user="ann", digest=made.digest), "api", "2")
    )
    ring = Keyring("", "root", SystemClock())

    async def edges() -> Edges:
        return Edges(2, 2)

    task = asyncio.create_task(ring.run(api.log, edges, NOWHERE))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ring.known(), 1.2)
    with pytest.raises(Unreachable, match="not read who its users are"):
        await ring.visitor(made.shown, "a")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_facts_are_on_the_subject_that_is_followed() -> None:
    from longshore_common import subjects

    assert subjects.of(e.UserRevoked(user="x")) == FACTS
