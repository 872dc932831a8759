"""Every route of the api by every kind of visitor: let in or refused exactly as the manual's table says."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from longshore_api.adapters.users import Terms
from longshore_api.core.users import Visitor

from .test_users import ROOT, Stack

MANUAL = Path(__file__).parents[3] / "docs" / "manual" / "users.md"
VISITORS = ("nobody", "join", "group", "viewer", "user", "admin")
#: What a door says to who may not pass; whoever hears anything else was let in.
DOORS = ("this needs the role", "this is for", "you may not")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def table() -> dict[str, dict[str, str]]:
    """By `METHOD /path` and visitor: yes, own or no."""
    part = MANUAL.read_text().split("## The table: routes")[1].split("\n## ")[0]
    rows = ([c.strip() for c in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("| `"))
    return {row[0].strip("`"): dict(zip(VISITORS, row[1:], strict=True)) for row in rows}


class Doors:
    """The api with a visitor of each kind."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.shown: dict[str, str] = {"nobody": ""}

    async def fill(self) -> None:
        """Each visitor with a credential that counts, whatever became of the last one."""
        users, root = self.stack.users, Visitor("root", "admin", "stack")
        roles: dict[str, Any] = {"viewer": "viewer", "user": "user", "admin": "admin", "other": "user"}
        for name, role in roles.items():
            if self.stack.ring.register.authority.roles.get(name) is None:
                self.shown[name] = (await users.add(root, name, role, Terms())).shown
            elif not self.counts(name):
                self.shown[name] = (await users.grant(root, "secret", name, Terms())).shown
            await users.change(root, name, role)
        for kind in [kind for kind in ("join", "group") if not self.counts(kind)]:
            self.shown[kind] = (await users.grant(root, kind, "", Terms())).shown  # type: ignore[arg-type]

    def counts(self, visitor: str) -> bool:
        """Whether what they show still opens anything."""
        shown = self.shown.get(visitor, "__").split("_")[1]
        return self.stack.ring.register.standing(shown, self.stack.clock.now()) is not None

    @property
    def app(self) -> Any:
        transport = self.stack.client._transport
        assert isinstance(transport, httpx.ASGITransport)
        return transport.app

    def routes(self) -> list[str]:
        """All of the document."""
        paths = self.app.openapi_schema.paths
        return sorted(
            f"{method} {path}" for path, item in paths.items() for method in METHODS if getattr(item, method.lower())
        )

    async def enters(self, route: str, visitor: str, whose: str) -> bool:
        if "/users" in route or "/credentials" in route:  # what these do is done
            await self.fill()
        method, path = route.split(" ")
        path = re.sub(r"\{(name)\}", whose, path) if "/users/" in path else path
        path = re.sub(r"\{[^}]*\}", "1", path)
        shown = self.shown[visitor]
        headers = {"Authorization": f"Bearer {shown}"} if shown else {}
        body = None if method in ("GET", "DELETE") else {}
        try:
            async with asyncio.timeout(1):
                answer = await self.stack.client.request(method, f"http://api{path}", json=body, headers=headers)
        except TimeoutError:  # a stream
            return True
        if answer.status_code == 401:
            return False
        return not (answer.status_code == 403 and any(door in answer.text for door in DOORS))

    async def found(self, route: str) -> dict[str, str]:
        """What really is."""
        told: dict[str, str] = {}
        for visitor in VISITORS:
            own = await self.enters(route, visitor, visitor)
            others = await self.enters(route, visitor, "other") if own and "/users/{name}" in route else own
            told[visitor] = "yes" if own and others else "own" if own else "no"
        return told


@pytest.fixture
async def doors() -> AsyncIterator[Doors]:
    stack = Stack()
    await asyncio.wait_for(stack.users.found(""), 5)
    made = Doors(stack)
    await made.fill()
    yield made
    await stack.close()


async def test_every_route_lets_in_exactly_whom_the_manual_says(doors: Doors) -> None:
    said = table()
    routes = doors.routes()
    assert set(said) == set(routes), "give each route a line in docs/manual/users.md"
    wrong = [
        f"{route}: {visitor} is told {what}, the manual says {said[route][visitor]}"
        for route in routes
        for visitor, what in (await doors.found(route)).items()
        if said[route][visitor] != what
    ]
    assert not wrong, "\n".join(wrong)


async def test_what_is_not_in_the_document_shows_nothing_to_who_is_not_signed_in(doors: Doors) -> None:
    """Pages lead to the sign-in; what everybody may fetch is named here."""
    for route in doors.app.routes:
        path = re.sub(r"\{[^}]*\}", "1", route.path)
        if path.startswith(("/api/", "/ga4gh/", "/schema", "/static", "/sign-", "/healthz", "/readyz")):
            continue
        for method in route.methods - {"OPTIONS"}:
            answer = await doors.stack.client.request(method, f"http://api{path}")
            assert answer.status_code in (302, 303, 401, 403), f"{method} {path}: {answer.status_code}"


def test_nobody_writes_who_may_not_read_and_each_role_may_what_the_one_before_may() -> None:
    order = {"no": 0, "own": 1, "yes": 2}
    for route, cells in table().items():
        if cells["join"] == "yes" or cells["nobody"] == "yes":
            continue
        ranks = [order[cells[visitor]] for visitor in ("group", "viewer", "user", "admin")]
        assert ranks == sorted(ranks), route
        assert cells["nobody"] == cells["join"] == "no", route


async def test_the_stacks_own_token_is_an_admins(doors: Doors) -> None:
    assert (await doors.stack.said("GET", "/whoami", by=ROOT))["role"] == "admin"
