"""Who may look: the guard of all pages, signing in and out, and what makes sure that a form is one of ours.

What must not enter: pages that need a visitor, which credentials there are (see `doors`).
"""

from typing import Annotated, Any, Final
from urllib.parse import unquote, urlencode, urlsplit

from litestar import Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie, FormMultiDict
from litestar.di import NamedDependency
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter
from litestar.response import Redirect

from longshore_api.adapters import doors
from longshore_api.adapters.keyring import Denied, TooMany
from longshore_api.adapters.ui.desk import Desk
from longshore_api.adapters.ui.rendering import PART, Frame, page
from longshore_api.adapters.ui.sessions import LASTS, PLAIN_NAME, SECURE_NAME, Session

TheDesk = NamedDependency[Desk]
#: A form of this session, checked.
TheForm = NamedDependency[FormMultiDict]
Next = Annotated[str, QueryParameter(name="next", description="Where to go afterwards")]

#: The cookie of what an action says to who came without a script, shown once.
TOLD: Final = "longshore-told"
_WRONG: Final = "This secret is not known here: it was mistyped, has expired, or was revoked."


def desk(request: Request[Any, Any, Any]) -> Desk:
    """What this process's pages share."""
    found: Desk = request.app.state.house.desk
    return found


def seated(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: a session whose credential is good at this moment."""
    at: Desk = connection.app.state.house.desk
    session = _session(connection, at)
    found = doors.keyring(connection).standing(session.credential) if session else None
    if session is None or found is None:
        raise NotAuthorizedException("sign in")
    connection.scope["user"] = found
    connection.state.session = session
    stamp, told = at.sessions.stamp(session), unquote(connection.cookies.get(TOLD, ""))
    connection.state.frame = Frame(connection.url.path, found, stamp, told)


def _session(connection: ASGIConnection[Any, Any, Any, Any], at: Desk) -> Session | None:
    value = connection.cookies.get(_name(connection))
    return at.sessions.read(value, at.clock.now()) if value else None


def _secure(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    return bool(connection.url.scheme == "https")


def _name(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    return SECURE_NAME if _secure(connection) else PLAIN_NAME


def ours(request: Request[Any, Any, Any]) -> None:
    """`PermissionDenied` for a form that another site sends."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "same-origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host", "")
    if foreign or site not in ("same-origin", "none"):
        raise PermissionDeniedException("this form was sent by another site: open the page here and send it again")


async def form(request: Request[Any, Any, Any]) -> FormMultiDict:
    """The form of a request, once it is known to be of this session."""
    ours(request)
    found = await request.form()
    at = desk(request)
    if not at.sessions.stamped(request.state.session, str(found.get("stamp") or "")):
        raise PermissionDeniedException("this form is of another session: load the page again")
    return found


def inside(path: str) -> str:
    """The path itself if it is one of ours, else `/`."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"


@get("/sign-in", include_in_schema=False)
async def sign_in(request: Request[Any, Any, Any], following: Next = "/") -> Response[bytes]:
    """The form."""
    return _asked(request, following)


def _asked(request: Request[Any, Any, Any], following: str, trouble: str = "", status: int = 200) -> Response[bytes]:
    request.state.frame = Frame("/sign-in", None)
    return page(request, "sign_in.html", {"following": inside(following), "trouble": trouble}, status=status)


@post("/sign-in", include_in_schema=False, status_code=303)
async def signed_in(request: Request[Any, Any, Any], desk: TheDesk) -> Response[Any]:
    """A session for who shows a secret."""
    ours(request)
    given = await request.form()
    following = inside(str(given.get("next") or "/"))
    try:
        visitor = await doors.admitted(request, str(given.get("secret") or "").strip())
    except Denied:
        return _asked(request, following, _WRONG, 401)
    except TooMany as err:
        return _asked(
            request, following, f"Too many wrong secrets came from your address: try again in {err.after:.0f} s.", 429
        )
    cookie = Cookie(
        key=_name(request), value=desk.sessions.opened(visitor.credential, desk.clock.now()), path="/", httponly=True,
        secure=_secure(request), samesite="strict", max_age=LASTS,
    )  # fmt: skip
    return Redirect(following, status_code=303, cookies=[cookie])


@post("/sign-out", include_in_schema=False, status_code=303, guards=[seated])
async def sign_out(request: Request[Any, Any, Any], desk: TheDesk, form: TheForm) -> Response[Any]:
    """The session ends here, and its cookie is taken back."""
    desk.sessions.end(request.state.session, desk.clock.now())
    gone = Cookie(
        key=_name(request), value="", path="/", httponly=True, secure=_secure(request), max_age=0, samesite="strict"
    )
    return Redirect("/sign-in", status_code=303, cookies=[gone], headers={"Clear-Site-Data": '"cache"'})


def unseated(request: Request[Any, Any, Any]) -> Response[Any]:
    """Who has no session is asked to sign in, and comes back afterwards."""
    if PART.lower() in request.headers or request.method != "GET":
        return Response(b"sign in", status_code=401, media_type="text/plain")
    query = request.url.query
    following = request.url.path + (f"?{query}" if query else "")
    return Redirect("/sign-in" + (f"?{urlencode({'next': following})}" if following != "/" else ""), status_code=303)
