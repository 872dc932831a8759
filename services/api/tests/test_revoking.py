"""On a real NATS server: a login's key writes in its user's name alone, and is cut off within a second when it is void."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from longshore_api.adapters.issuer import Secrets
from longshore_api.adapters.people import People, Told
from longshore_api.adapters.users import Terms
from longshore_api.core.users import Visitor
from longshore_common import events as e
from longshore_common.adapters import nats_keys
from longshore_common.adapters.nats_log import NatsTransport, connect
from longshore_common.clock import SystemClock
from longshore_common.errors import Refused, Unreachable
from longshore_common.log import Entry
from longshore_common.model import Array, TaskSpec
from longshore_common.testing.nats_server import NatsServer, running

ROOT = Visitor("root", "admin", "stack")
NOWHERE = "postgresql://nobody@/none?host=/nonexistent"


class Stack:
    """What one api process holds about users, on a server of the test's own."""

    def __init__(self, server: NatsServer, transport: NatsTransport) -> None:
        self.server = server
        told = Told("t0ken", "", server.operator_seed, server.system_creds(), server.url, server.url, NOWHERE)
        secrets = Secrets(server.signing_seed, server.account, "", server.url)
        self.people = People(told, secrets, transport, SystemClock())
        self.task = asyncio.create_task(self.people.keep())
        self.opened: list[NatsTransport] = []

    async def user(self, name: str, role: Any = "user") -> Visitor:
        granted = await self.people.users.add(ROOT, name, role, Terms())
        return await self.people.ring.visitor(granted.shown, "here")

    async def login(self, who: Visitor) -> str:
        """A credentials file of theirs."""
        seed = nats_keys.make_seed("user")
        got = await self.people.users.login(who, nats_keys.public_key(seed))
        path = self.server.directory / f"{who.user}-{nats_keys.public_key(seed)[-6:]}.creds"
        path.write_text(nats_keys.creds_text(got.jwt, seed))
        return str(path)

    async def connected(self, who: Visitor, creds: str = "") -> NatsTransport:
        creds = creds or await self.login(who)
        transport = await connect(self.server.url, creds=creds, role="user", name=who.user, deadline=5)
        self.opened.append(transport)
        return transport

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await asyncio.gather(*(t.close() for t in self.opened))


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running(tmp_path / "nats", claims=True) as server:
        made = Stack(server, await server.connect("api"))
        async with asyncio.timeout(10):
            while "root" not in made.people.ring.register.accounts:
                await asyncio.sleep(0.01)
        begun = int(time.time())
        async with asyncio.timeout(3):  # of two claims of one second the server takes the last it is shown
            while int(time.time()) == begun:
                await asyncio.sleep(0.01)
        yield made
        await made.close()


def wish(key: str, user: str = "ann") -> Entry:
    body = Array(spec=TaskSpec(command=("true",)), size=1)
    return Entry(e.TasksSubmitted(key=key, batch="b", body=body), user, key)


async def cut(transport: NatsTransport) -> float:
    """Seconds until the server lets go of it."""
    began = time.monotonic()
    async with asyncio.timeout(10):
        while transport.wire.up:
            await asyncio.sleep(0.005)
    return time.monotonic() - began


async def test_a_login_writes_in_its_own_name_and_in_no_other(stack: Stack) -> None:
    ann = await stack.connected(await stack.user("ann"))
    assert await ann.log.append(wish("1")) > 0
    with pytest.raises(Refused):
        await ann.log.append(wish("2", "bob"))


async def test_a_viewer_writes_nothing(stack: Stack) -> None:
    vic = await stack.connected(await stack.user("vic", "viewer"))
    with pytest.raises(Refused):
        await vic.log.append(wish("1", "vic"))


async def test_a_revoked_user_is_cut_off_within_a_second_and_for_good_and_others_stay(stack: Stack) -> None:
    ann, bob = await stack.user("ann"), await stack.user("bob")
    creds = await stack.login(ann)
    writing, other = await stack.connected(ann, creds), await stack.connected(bob)
    await stack.people.users.revoke(ROOT, "ann", "left")
    assert await cut(writing) < 1
    with pytest.raises(Unreachable):
        await writing.log.append(wish("1"), deadline=0.3)
    with pytest.raises(Refused, match="credentials"):
        await stack.connected(ann, creds)
    assert await other.log.append(wish("b", "bob")) > 0
    stack.server.kill()
    stack.server.start()
    with pytest.raises(Refused, match="credentials"):
        await stack.connected(ann, creds)
    assert await (await stack.connected(bob)).log.append(wish("c", "bob")) > 0


async def test_a_revoked_secret_takes_the_keys_got_by_it_and_no_others(stack: Stack) -> None:
    first = await stack.user("ann")
    granted = await stack.people.users.grant(ROOT, "secret", "ann", Terms())
    second = await stack.people.ring.visitor(granted.shown, "here")
    one, two = await stack.connected(first), await stack.connected(second)
    await stack.people.users.withdraw(ROOT, first.credential, "lost")
    assert await cut(one) < 1
    assert await two.log.append(wish("2")) > 0


async def test_a_rotated_secrets_keys_end_with_the_overlap(stack: Stack) -> None:
    first = await stack.user("ann")
    writing = await stack.connected(first)
    granted = await stack.people.users.rotate(first, "ann", Terms(), 0.5)
    assert await writing.log.append(wish("1")) > 0
    assert await cut(writing) < 1.5
    second = await stack.people.ring.visitor(granted.shown, "here")
    assert await (await stack.connected(second)).log.append(wish("2")) > 0


async def test_a_server_that_lost_what_it_was_told_is_told_again(stack: Stack, monkeypatch: Any) -> None:
    monkeypatch.setattr("longshore_api.adapters.claims.REPEAT", 0.1)
    ann = await stack.user("ann")
    creds = await stack.login(ann)
    await stack.people.users.revoke(ROOT, "ann", "")
    stack.server.kill()
    for file in (stack.server.directory / "claims").glob("*.jwt"):
        file.unlink()
    stack.server.start()
    async with asyncio.timeout(20):
        while True:
            try:
                transport = await stack.connected(ann, creds)
            except Refused:
                break
            await cut(transport)


async def test_who_may_tell_claims_may_do_nothing_else(stack: Stack) -> None:
    system = await connect(stack.server.url, creds=stack.server.system_creds(), role="api", deadline=5)
    stack.opened.append(system)
    for subject in ("$SYS.REQ.SERVER.PING", "$SYS.REQ.CLAIMS.DELETE", "$SYS.REQ.CLAIMS.LIST", "log.user.ann.wish"):
        with pytest.raises(Refused):
            await system.wire.ask_within(subject, b"{}", 2)
