"""Routes about who asks, users, and credentials: secrets of users, tokens of groups, secrets for hosts, keys of NATS.

What must not enter: who may what with them (see `users`).
"""

from typing import Final

from litestar import Router, delete, get, patch, post
from litestar.datastructures import ResponseHeader
from litestar.params import FromPath, JSONBody

from longshore_api.adapters import user_views as views
from longshore_api.adapters.doors import CaughtUp, House, TheHouse, TheVisitor, admins, person
from longshore_api.adapters.present import when
from longshore_api.adapters.users import Terms, Users
from longshore_common.errors import Refused


@get("/whoami", summary="Who asks, and what they may do", tags=["users"])
async def whoami(house: TheHouse, visitor: TheVisitor) -> views.Me:
    """`user` is empty for a group's token."""
    own = house.keyring.register.credentials.get(visitor.credential) if house.keyring else None
    return views.Me(
        user=visitor.user, role=visitor.role, credential=visitor.credential,
        expires_at=when((own.expires or None) if own else None),
    )  # fmt: skip


@post("/login", status_code=200, summary="Credentials of NATS for a key of one's own", tags=["users"])
async def login(house: TheHouse, visitor: TheVisitor, data: JSONBody[views.Key]) -> views.Login:
    """They last a week at most, and no longer than the secret they were got by; revoked with it, at once."""
    got = await _users(house).login(visitor, data.public_key)
    return views.Login(
        user=visitor.user, role=visitor.role, jwt=got.jwt, nats_url=got.nats_url, expires=got.expires,
        expires_at=when(got.expires or None),
    )  # fmt: skip


@post("/logout", status_code=200, summary="A key of NATS is void from here on", tags=["users"], guards=[person])
async def logout(house: TheHouse, visitor: TheVisitor, data: JSONBody[views.Key]) -> views.Changed:
    """One's own, got by a login; a repeat changes nothing."""
    return views.Changed(await _users(house).withdraw(visitor, data.public_key, "logged out"))


@get("/users", summary="Users by name", tags=["users"])
async def users(house: TheHouse, caught_up: CaughtUp) -> views.Users:
    """All there ever were; those without a role are revoked."""
    return views.Users([views.user(each) for each in _users(house).accounts()], None, caught_up)


@get("/users/{name:str}", summary="One user", tags=["users"])
async def user(house: TheHouse, caught_up: CaughtUp, name: FromPath[str]) -> views.User:
    """What the user may do, and who said so."""
    return views.user(_users(house).account(name))


@post("/users", summary="Add a user, with a first secret", tags=["users"], guards=[admins])
async def add(house: TheHouse, visitor: TheVisitor, data: JSONBody[views.NewUser]) -> views.Shown:
    """The secret is shown in this answer and never again. Somebody who was revoked may be added again."""
    terms = Terms(data.secret_name, data.lasts)
    return views.shown(await _users(house).add(visitor, data.name, data.role, terms))


@patch("/users/{name:str}", summary="Another role", tags=["users"], guards=[admins])
async def change(
    house: TheHouse, visitor: TheVisitor, name: FromPath[str], data: JSONBody[views.Role]
) -> views.Changed:
    """The last admin stays one."""
    return views.Changed(await _users(house).change(visitor, name, data.role))


@post(
    "/users/{name:str}/revoke", status_code=200, summary="Void all their credentials", tags=["users"], guards=[admins]
)
async def revoke(
    house: TheHouse, visitor: TheVisitor, name: FromPath[str], data: JSONBody[views.Reason]
) -> views.Changed:
    """At once, by HTTP and on NATS. What they submitted goes on; admins may do with it what they could."""
    return views.Changed(await _users(house).revoke(visitor, name, data.reason))


@get("/users/{name:str}/credentials", summary="Secrets and keys of a user", tags=["users"], guards=[person])
async def of_user(house: TheHouse, visitor: TheVisitor, caught_up: CaughtUp, name: FromPath[str]) -> views.Credentials:
    """One's own, or as an admin."""
    found = _users(house).credentials(visitor, name, ("secret", "nats"))
    return views.Credentials([views.credential(each) for each in found], None, caught_up)


@post("/users/{name:str}/secrets", summary="Another secret of a user", tags=["users"], guards=[person])
async def issue(
    house: TheHouse, visitor: TheVisitor, name: FromPath[str], data: JSONBody[views.NewSecret]
) -> views.Shown:
    """One's own, or as an admin; shown in this answer and never again."""
    terms = Terms(data.name, data.lasts)
    return views.shown(await _users(house).grant(visitor, "secret", name, terms))


@post("/users/{name:str}/rotate", summary="A new secret; the others end", tags=["users"], guards=[person])
async def rotate(
    house: TheHouse, visitor: TheVisitor, name: FromPath[str], data: JSONBody[views.Rotation]
) -> views.Shown:
    """One's own, or as an admin. During `overlap` both count, so that the new one can be spread."""
    terms = Terms(data.name, data.lasts)
    return views.shown(await _users(house).rotate(visitor, name, terms, data.overlap))


@get("/credentials", summary="Tokens of groups and secrets for hosts", tags=["users"], guards=[admins])
async def shared(house: TheHouse, visitor: TheVisitor, caught_up: CaughtUp) -> views.Credentials:
    """Those that are nobody's. The join secret in the stack's own file is not among them: it is read, never listed."""
    found = _users(house).credentials(visitor, None, ("group", "join"))
    return views.Credentials([views.credential(each) for each in found], None, caught_up)


@post("/credentials", summary="A group's token, or a secret for hosts", tags=["users"], guards=[admins])
async def share(house: TheHouse, visitor: TheVisitor, data: JSONBody[views.NewCredential]) -> views.Shown:
    """Shown in this answer and never again; several may count at once."""
    return views.shown(await _users(house).grant(visitor, data.kind, "", Terms(data.name, data.lasts)))


@post("/credentials/{ident:str}/rotate", summary="A new one; the old one ends", tags=["users"], guards=[admins])
async def replace(
    house: TheHouse, visitor: TheVisitor, ident: FromPath[str], data: JSONBody[views.Rotation]
) -> views.Shown:
    """Of a group's token or a secret for hosts. During `overlap` both count."""
    return views.shown(await _users(house).replace(visitor, ident, data.overlap))


@delete("/credentials/{ident:str}", status_code=200, summary="Revoke a credential", tags=["users"], guards=[person])
async def withdraw(house: TheHouse, visitor: TheVisitor, ident: FromPath[str]) -> views.Changed:
    """One's own, or as an admin; at once, with every key of NATS that was got by it. A repeat changes nothing."""
    return views.Changed(await _users(house).withdraw(visitor, ident, ""))


def _users(house: House) -> Users:
    if house.users is None:
        raise Refused("this api keeps no users: it was started without a log")
    return house.users


router: Final = Router(
    "/",
    route_handlers=[
        whoami, login, logout, users, user, add, change, revoke, of_user, issue, rotate, shared, share, replace, withdraw,
    ],
    response_headers=[ResponseHeader(name="Cache-Control", value="no-store")],  # answers may hold a secret
)  # fmt: skip
