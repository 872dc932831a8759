"""Who may come in: one's own credentials, and for admins everybody's. A secret is on the page that answers, and nowhere after.

What must not enter: what makes a credential good (see `users`).
"""

from typing import Any, Final, NamedTuple, cast

from litestar import Request, Response, get, post
from litestar.datastructures import FormMultiDict
from litestar.response import Redirect

from longshore_api.adapters.doors import House, TheHouse
from longshore_api.adapters.present import when
from longshore_api.adapters.ui import mine
from longshore_api.adapters.ui.entry import TheForm
from longshore_api.adapters.ui.rendering import page
from longshore_api.adapters.users import Granted, Terms, Users
from longshore_api.core.users import Credential, Kind, Visitor
from longshore_common.errors import BadInput, Refused
from longshore_common.model import UserRole

#: Seconds for which a user's other secrets count after a new one was made.
_OVERLAP: Final = 3_600.0
_ROLES: Final = ("viewer", "user", "admin")


class Shown(NamedTuple):
    """A new secret, on the one page that has it."""

    text: str
    secret: str


def _users(house: House) -> Users:
    if house.users is None:
        raise Refused("this api knows no users")
    return house.users


@get("/access", include_in_schema=False)
async def access(request: Request[Any, Any, Any], house: TheHouse) -> Response[bytes]:
    """What there is."""
    return await _page(request, house)


async def _page(request: Request[Any, Any, Any], house: House, shown: Shown | None = None) -> Response[bytes]:
    visitor: Visitor = request.scope["user"]
    users, admin = _users(house), visitor.may("admin")
    own = users.credentials(visitor, visitor.user, ("secret",)) if visitor.user else []
    everyone = users.credentials(visitor, None, ("secret", "nats")) if admin else []
    others = users.credentials(visitor, None, ("group", "join")) if admin else []
    accounts = [{"name": a.name, "role": a.role, "at": when(a.changed or a.added or None)} for a in users.accounts()]
    values = {
        "shown": shown,
        "mine": [_told(c) for c in own],
        "others": [_told(c) for c in others],
        "theirs": [_told(c) for c in everyone if c.user != visitor.user],
        "users": accounts if admin else None,
        "secrets": await mine.secrets(house, visitor),
        "rules": await mine.rules(house, visitor),
        "occasions": mine.OCCASIONS,
        "tells": house.notifier is not None,
    }
    found = page(request, "access.html", values)
    if shown is not None:
        found.headers["Cache-Control"] = "no-store"
        found.headers.pop("ETag", None)
    return found


def _told(found: Credential) -> dict[str, Any]:
    return {
        "id": found.id, "kind": found.kind, "user": found.user, "name": found.name,
        "issued": when(found.issued or None), "expires": when(found.expires or None),
    }  # fmt: skip


@post("/access/secret", include_in_schema=False, status_code=200)
async def made(request: Request[Any, Any, Any], house: TheHouse, form: TheForm) -> Response[bytes]:
    """A new secret: one's own, or of nobody for admins."""
    visitor: Visitor = request.scope["user"]
    kind = str(form.get("kind") or "secret")
    if kind not in ("secret", "group", "join"):
        raise BadInput(f"{kind!r} is no kind of secret")
    granted = await _users(house).grant(visitor, cast("Kind", kind), visitor.user, _terms(form))
    return await _page(request, house, _shown(granted))


def _terms(form: FormMultiDict) -> Terms:
    lasts = str(form.get("lasts") or "0")
    if not lasts.isdigit():
        raise BadInput("for how long it counts is no number of seconds")
    return Terms(str(form.get("name") or ""), float(lasts))


def _shown(granted: Granted) -> Shown:
    of = granted.credential
    what = {"secret": f"A new secret of {of.user}", "group": "A new group token", "join": "A new join secret"}
    return Shown(f"{what.get(of.kind, of.kind)} was made.", granted.shown)


@post("/access/users", include_in_schema=False, status_code=200)
async def users(request: Request[Any, Any, Any], house: TheHouse, form: TheForm) -> Response[Any]:
    """Something for a user; who may not is refused by `users`."""
    visitor: Visitor = request.scope["user"]
    name, role = str(form.get("user") or "").strip(), str(form.get("role") or "user")
    if role not in _ROLES:
        raise BadInput(f"{role!r} is no role: choose viewer, user or admin")
    match str(form.get("verb") or ""):
        case "add":
            return await _page(
                request, house, _shown(await _users(house).add(visitor, name, cast("UserRole", role), Terms()))
            )
        case "rotate":
            return await _page(request, house, _shown(await _users(house).rotate(visitor, name, Terms(), _OVERLAP)))
        case "role":
            await _users(house).change(visitor, name, cast("UserRole", role))
        case "revoke":
            await _users(house).revoke(visitor, name, "")
        case _ as verb:
            raise BadInput(f"{verb!r} is nothing that can be done to a user")
    return Redirect("/access", status_code=303)


@post("/access/revoke", include_in_schema=False, status_code=303)
async def revoked(request: Request[Any, Any, Any], house: TheHouse, form: TheForm) -> Response[Any]:
    """A credential is void at once."""
    await _users(house).withdraw(request.scope["user"], str(form.get("id") or ""), "")
    return Redirect("/access", status_code=303)
