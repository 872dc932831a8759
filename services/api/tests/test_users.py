"""Users over HTTP: added, renewed, revoked; what a secret opens and for how long; who guesses is shut out."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from longshore_api import service
from longshore_api.adapters import guesses, http
from longshore_api.adapters.doors import House
from longshore_api.adapters.issuer import Issuer, Secrets
from longshore_api.adapters.keyring import FACTS, Denied, Edges, Keyring, make
from longshore_api.adapters.pen import Pen
from longshore_api.adapters.progress import Progress
from longshore_api.adapters.users import Signer, Users
from longshore_common import events as e
from longshore_common.adapters import nats_keys
from longshore_common.adapters.memory_log import Hub
from longshore_common.errors import Unreachable
from longshore_common.log import Entry
from longshore_common.testing.clocks import Stopped

ROOT, JOIN = "r00t-token-of-the-stack", "j0in"
NOWHERE = "postgresql://nobody@/none?host=/nonexistent"


class Stack:
    """An api over a log in memory, without a read model."""

    def __init__(self, *, token: str = ROOT) -> None:
        self.clock = Stopped()
        self.hub = Hub(self.clock)
        self.transport = self.hub.connect("api")
        self.account = nats_keys.make_seed("account")
        self.token = token
        self.tasks: list[asyncio.Task[None]] = []
        self.ring, self.users, self.client = self.process()

    def process(self) -> tuple[Keyring, Users, httpx.AsyncClient]:
        """Another process of the api beside the others."""
        ring = Keyring(self.token, "root", self.clock)
        pen = Pen(self.transport.log)
        signer = Signer(self.account, nats_keys.public_key(self.account), "nats://here")
        users = Users(ring, pen, signer, self.clock)
        progress = Progress()
        progress.reach(0)
        issuer = Issuer(Secrets(self.account, signer.account, JOIN, "nats://here"), self.transport.log, None, None)  # type: ignore[arg-type]
        nothing = cast(Any, None)
        house = House(
            token=self.token, reader=nothing, progress=progress, heard=nothing, outputs=nothing, issuer=issuer,
            last=self.transport.log.last, rebuild=nothing, pen=pen, owner="root", keyring=ring, users=users,
        )  # fmt: skip
        self.tasks.append(asyncio.create_task(ring.run(self.transport.log, self.edges, NOWHERE)))
        transport = httpx.ASGITransport(http.application(house), raise_app_exceptions=False, client=("10.0.0.1", 1))
        return ring, users, httpx.AsyncClient(transport=transport, base_url="http://api/api/v1")

    async def edges(self) -> Edges:
        facts = [r.seq for r in self.hub.records if r.subject == FACTS]
        return Edges(1, facts[-1] if facts else 0)

    async def ask(self, method: str, path: str, body: Any = None, *, by: str = ROOT) -> httpx.Response:
        headers = {"Authorization": f"Bearer {by}"} if by else {}
        return await self.client.request(method, path, json=body, headers=headers)

    async def said(self, method: str, path: str, body: Any = None, *, by: str = ROOT) -> Any:
        answer = await self.ask(method, path, body, by=by)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    async def add(self, name: str, role: str = "user", **more: Any) -> str:
        return str((await self.said("POST", "/users", {"name": name, "role": role} | more))["secret"])

    async def status(self, by: str, path: str = "/whoami") -> int:
        return (await self.ask("GET", path, by=by)).status_code

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.client.aclose()


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    made = Stack()
    await asyncio.wait_for(made.users.found(""), 5)
    yield made
    await made.close()


async def test_a_user_comes_by_a_secret_that_is_shown_once_and_never_kept(stack: Stack) -> None:
    secret = await stack.add("ann")
    assert re.fullmatch(r"ls_[0-9a-f]{12}_[\w-]{43}", secret)
    answer = await stack.ask("POST", "/users/ann/secrets", {})
    assert answer.headers["Cache-Control"] == "no-store"
    me = await stack.said("GET", "/whoami", by=secret)
    assert (me["user"], me["role"], me["expires_at"]) == ("ann", "user", None)
    hidden = secret.rsplit("_", 1)[1] if "_" not in secret[16:] else secret[16:]
    kept = b"".join(r.body or b"" for r in stack.hub.records) + repr([r.event for r in stack.hub.records]).encode()
    assert hidden.encode() not in kept
    assert b"$argon2id$" in kept
    listed = (await stack.ask("GET", "/users/ann/credentials")).text
    assert hidden not in listed
    assert "argon2" not in listed


async def test_the_owner_is_an_admin_from_the_first_start_on_and_is_added_once(stack: Stack) -> None:
    before = len(stack.hub.records)
    ring, users, client = stack.process()
    await asyncio.wait_for(users.found(""), 5)
    assert len(stack.hub.records) == before == 1
    assert ring.register.authority.roles == {"root": "admin"}
    await client.aclose()


async def test_what_is_no_secret_of_ours_is_refused_and_says_what_to_show(stack: Stack) -> None:
    secret = await stack.add("ann")
    for wrong in ("", "x", secret[:-1], secret + "x", secret[:3] + "0" * 12 + secret[15:], f"ls_{'0' * 12}_{'x' * 43}"):
        answer = await stack.ask("GET", "/whoami", by=wrong)
        assert answer.status_code == 401
        assert "api secret" in answer.json()["detail"]
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        stack.clock.at += 10


async def test_revoked_users_are_refused_by_every_process_at_once_and_may_come_back_with_another_secret(
    stack: Stack,
) -> None:
    secret = await stack.add("ann")
    _, _, other = stack.process()
    door = {"Authorization": f"Bearer {secret}"}
    assert (await other.get("/whoami", headers=door)).status_code in (200, 503)
    await stack.said("POST", "/users/ann/revoke", {"reason": "left"})
    assert await stack.status(secret) == 401
    async with asyncio.timeout(1):
        while (await other.get("/whoami", headers=door)).status_code != 401:
            await asyncio.sleep(0.01)
    again = await stack.add("ann", "viewer")
    assert await stack.status(again) == 200
    assert await stack.status(secret) == 401
    await other.aclose()


async def test_a_secret_ends_when_it_is_told_to(stack: Stack) -> None:
    secret = await stack.add("ann", lasts=60)
    stack.clock.at += 59
    assert await stack.status(secret) == 200
    stack.clock.at += 2
    answer = await stack.ask("GET", "/whoami", by=secret)
    assert answer.status_code == 401
    assert "expired" in answer.json()["detail"]


async def test_while_secrets_are_rotated_both_count_and_then_the_new_one_alone(stack: Stack) -> None:
    first = await stack.add("ann")
    second = (await stack.said("POST", "/users/ann/rotate", {"overlap": 100}, by=first))["secret"]
    assert [await stack.status(first), await stack.status(second)] == [200, 200]
    stack.clock.at += 101
    assert [await stack.status(first), await stack.status(second)] == [401, 200]
    third = (await stack.said("POST", "/users/ann/rotate", {}, by=second))["secret"]
    assert [await stack.status(second), await stack.status(third)] == [401, 200]


async def test_nobody_renews_a_secret_beyond_the_end_of_the_one_they_came_with(stack: Stack) -> None:
    secret = await stack.add("ann", lasts=60)
    for path in ("/users/ann/secrets", "/users/ann/rotate"):
        longer = await stack.said(
            "POST", path, {"lasts": 10_000} | ({"overlap": 30} if "rotate" in path else {}), by=secret
        )
        assert longer["credential"]["expires_at"] == "1970-01-01T01:24:20.000+00:00"
    stack.clock.at += 61
    assert await stack.status(longer["secret"]) == 401


async def test_the_last_admin_stays_one_even_if_two_remove_each_other_at_once() -> None:
    stack = Stack(token="")
    await stack.transport.log.append(Entry(e.UserAdded(user="ann", role="admin"), "api", "1"))
    made = make()
    issued = e.CredentialIssued(id=made.id, kind="secret", user="ann", role="admin", digest=made.digest)
    await stack.transport.log.append(Entry(issued, "api", "2"))
    await asyncio.wait_for(stack.ring.passed(2), 5)
    ann = made.shown
    for body, path in (({"role": "user"}, "/users/ann"), ({"reason": ""}, "/users/ann/revoke")):
        answer = await stack.ask("PATCH" if "role" in body else "POST", path, body, by=ann)
        assert answer.status_code == 403
        assert "last admin" in answer.json()["detail"]
    bob = (await stack.said("POST", "/users", {"name": "bob", "role": "admin"}, by=ann))["secret"]
    both = await asyncio.gather(
        stack.ask("POST", "/users/bob/revoke", {}, by=ann), stack.ask("POST", "/users/ann/revoke", {}, by=bob)
    )
    assert sorted(answer.status_code for answer in both) in ([200, 401], [200, 403])
    assert [role for role in stack.ring.register.authority.roles.values()].count("admin") == 1
    await stack.close()


async def test_the_owner_is_not_revoked_whose_token_would_open_anyway(stack: Stack) -> None:
    await stack.add("ann", "admin")
    answer = await stack.ask("POST", "/users/root/revoke", {})
    assert answer.status_code == 403
    assert "owns this stack" in answer.json()["detail"]


async def test_a_group_reads_and_is_nobody(stack: Stack) -> None:
    made = await stack.said("POST", "/credentials", {"kind": "group", "name": "lab"})
    assert await stack.said("GET", "/whoami", by=made["secret"]) == {
        "user": "", "role": "viewer", "credential": made["credential"]["id"], "expires_at": None,
    }  # fmt: skip
    assert await stack.status(made["secret"], "/users") == 200
    for method, path, body in (
        ("POST", "/users", {"name": "x"}), ("GET", "/credentials", None),
        ("POST", "/users/root/secrets", {}), ("DELETE", f"/credentials/{made['credential']['id']}", None),
    ):  # fmt: skip
        assert (await stack.ask(method, path, body, by=made["secret"])).status_code in (403, 404)
    key = nats_keys.public_key(nats_keys.make_seed("user"))
    login = await stack.said("POST", "/login", {"public_key": key}, by=made["secret"])
    assert (login["jwt"], login["nats_url"]) == ("", "")
    await stack.said("DELETE", f"/credentials/{made['credential']['id']}")
    assert await stack.status(made["secret"]) == 401


async def test_users_see_and_change_their_own_secrets_and_no_others(stack: Stack) -> None:
    ann, bob = await stack.add("ann"), await stack.add("bob")
    for method, path, body in (
        ("GET", "/users/bob/credentials", None), ("POST", "/users/bob/secrets", {}), ("POST", "/users/bob/rotate", {}),
        ("POST", "/users/bob/revoke", {}), ("PATCH", "/users/ann", {"role": "admin"}), ("POST", "/users", {"name": "x"}),
        ("GET", "/credentials", None), ("POST", "/credentials", {"kind": "join"}),
    ):  # fmt: skip
        assert (await stack.ask(method, path, body, by=ann)).status_code == 403, path
    own = await stack.said("GET", "/users/ann/credentials", by=ann)
    assert [c["user"] for c in own["items"]] == ["ann"]
    theirs = (await stack.said("GET", "/users/bob/credentials"))["items"][0]["id"]
    assert (await stack.ask("DELETE", f"/credentials/{theirs}", by=ann)).status_code == 404
    assert await stack.status(bob) == 200
    await stack.said("DELETE", f"/credentials/{own['items'][0]['id']}", by=ann)
    assert await stack.status(ann) == 401


async def test_several_join_secrets_count_beside_the_files_and_open_nothing_else(stack: Stack) -> None:
    made = await stack.said("POST", "/credentials", {"kind": "join", "lasts": 100})
    for secret in (JOIN, made["secret"]):
        answer = await stack.ask("POST", "/workers/enrol", {"name": "w", "public_key": "x", "hostname": "h"}, by=secret)
        assert answer.status_code == 400, "let in, and told what is wrong with the key"
    assert await stack.status(made["secret"]) == 401
    stack.clock.at += 101
    answer = await stack.ask("POST", "/workers/enrol", {"name": "w", "public_key": "x"}, by=made["secret"])
    assert answer.status_code == 401
    again = await stack.said("POST", "/credentials", {"kind": "join"})
    third = await stack.said("POST", f"/credentials/{again['credential']['id']}/rotate", {"overlap": 50})
    assert third["credential"]["kind"] == "join"
    assert len((await stack.said("GET", "/credentials"))["items"]) >= 2


async def test_a_login_signs_a_key_once_for_no_longer_than_its_secret_and_voids_it_with_it(stack: Stack) -> None:
    secret = await stack.add("ann", lasts=1000)
    key = nats_keys.public_key(nats_keys.make_seed("user"))
    login = await stack.said("POST", "/login", {"public_key": key}, by=secret)
    assert (login["user"], login["nats_url"], login["expires"]) == ("ann", "nats://here", 6000)
    assert (await stack.ask("POST", "/login", {"public_key": key}, by=secret)).status_code == 409
    assert stack.ring.register.void_keys(stack.clock.now(), 7 * 86_400) == {}
    ident = secret.split("_")[1]
    await stack.said("DELETE", f"/credentials/{ident}", by=secret)
    assert list(stack.ring.register.void_keys(stack.clock.now(), 7 * 86_400)) == [key]
    stack.clock.at += 8 * 86_400
    assert stack.ring.register.void_keys(stack.clock.now(), 7 * 86_400) == {}


async def test_who_becomes_a_viewer_loses_the_keys_with_which_they_could_write(stack: Stack) -> None:
    secret = await stack.add("ann")
    key = nats_keys.public_key(nats_keys.make_seed("user"))
    await stack.said("POST", "/login", {"public_key": key}, by=secret)
    await stack.said("PATCH", "/users/ann", {"role": "viewer"})
    assert list(stack.ring.register.void_keys(stack.clock.now(), 7 * 86_400)) == [key]
    assert await stack.status(secret) == 200


async def test_who_guesses_waits_and_who_is_known_there_does_not(stack: Stack) -> None:
    secret = await stack.add("ann")
    assert await stack.status(secret) == 200
    wrong = [f"ls_{k:012x}_{'x' * 43}" for k in range(guesses.MOST + 1)]
    codes = [await stack.status(each) for each in wrong]
    assert codes == [401] * guesses.MOST + [429]
    answer = await stack.ask("GET", "/whoami", by=wrong[0])
    assert int(answer.headers["Retry-After"]) in range(1, 62)
    assert [await stack.status(secret), await stack.status(ROOT)] == [200, 200]
    stack.clock.at += guesses.WITHIN + 1
    assert await stack.status(wrong[0]) == 401


async def test_many_guesses_at_once_are_no_way_around(stack: Stack) -> None:
    codes = await asyncio.gather(*(stack.status(f"ls_{k:012x}_{'x' * 43}") for k in range(40)))
    assert codes.count(429) == 40 - guesses.MOST


async def test_guesses_from_everywhere_at_once_fill_no_queue_and_stop_nobody_who_is_known(stack: Stack) -> None:
    secret = await stack.add("ann")
    assert await stack.status(secret) == 200
    shown = [f"ls_{k:012x}_{'x' * 43}" for k in range(150)]
    asked = [asyncio.create_task(stack.ring.visitor(each, f"10.1.1.{k}")) for k, each in enumerate(shown)]
    await asyncio.sleep(0)
    assert await stack.status(secret) == 200
    told = await asyncio.gather(*asked, return_exceptions=True)
    assert Counter(type(each) for each in told) == {Denied: 100, Unreachable: 50}


async def test_where_a_request_comes_from_is_believed_of_named_proxies_alone(stack: Stack) -> None:
    """Else each guess could come from another address."""
    transport = cast(Any, stack.client._transport)
    house = transport.app.state.house
    for named, believes in (("", False), ("10.0.0.9", True)):
        server = service._server(service.Settings(trusted_proxies=named), house)
        server.config.load()
        loaded = server.config.loaded_app
        assert isinstance(loaded, ProxyHeadersMiddleware) is believes
        if believes:
            assert "10.0.0.9" in loaded.trusted_hosts
            assert "127.0.0.1" not in loaded.trusted_hosts


def test_one_network_of_ipv6_counts_as_one_address() -> None:
    assert guesses.block("2001:db8::1") == guesses.block("2001:db8::ffff:1")
    assert guesses.block("2001:db8::1") != guesses.block("2001:db8:0:1::1")
    assert guesses.block("10.0.0.1") != guesses.block("10.0.0.2")


async def test_before_users_are_read_an_unknown_secret_is_asked_to_come_again_rather_than_refused() -> None:
    stack = Stack()
    for task in stack.tasks:
        task.cancel()
    answer = await stack.ask("GET", "/whoami", by=f"ls_{'0' * 12}_{'x' * 43}")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert await stack.status(ROOT) == 200
    await stack.close()


async def test_names_and_times_that_are_none_are_told_by_field(stack: Stack) -> None:
    for body in (
        {"name": "Ann"},
        {"name": ""},
        {"name": "a.b"},
        {"name": "x", "role": "king"},
        {"name": "x", "lasts": -1},
    ):
        assert (await stack.ask("POST", "/users", body)).status_code == 400, body
    assert (await stack.ask("GET", "/users/none")).status_code == 404
    await stack.add("ann")
    assert (await stack.ask("POST", "/users", {"name": "ann"})).status_code == 409
