"""What the routes share: the things they ask, who may come in, how errors are told, waiting for one's own writes.

What must not enter: routes.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final, NamedTuple

from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter

from longshore_api.adapters.feed import Feed
from longshore_api.adapters.heard import Heard
from longshore_api.adapters.idempotency import Idempotency
from longshore_api.adapters.issuer import Issuer
from longshore_api.adapters.keyring import Denied, Keyring, TooMany
from longshore_api.adapters.limits import Limits
from longshore_api.adapters.notify import Notifier
from longshore_api.adapters.output import Outputs
from longshore_api.adapters.past import Pasts, StillMaking
from longshore_api.adapters.pen import Pen
from longshore_api.adapters.progress import Progress
from longshore_api.adapters.reader import Reader
from longshore_api.adapters.taking import Wrong
from longshore_api.adapters.tes.contents import Contents
from longshore_api.adapters.ui.desk import Desk
from longshore_api.adapters.users import Users
from longshore_api.adapters.views import Fault, Problem
from longshore_api.core.selection import MOST_ITEMS
from longshore_api.core.users import Visitor as Visitor  # what routes know of who asks
from longshore_common import errors
from longshore_common.authority import ROLES as ROLES  # the same
from longshore_common.log import Hints
from longshore_common.model import UserRole

#: Seconds after which to try again when a service was away.
RETRY_AFTER: Final = "1"

_STATUS: Final[tuple[tuple[type[errors.LongshoreError], int], ...]] = (
    (Denied, 401), (TooMany, 429), (errors.BadInput, 400), (errors.NotFound, 404), (errors.Conflict, 409),
    (errors.Refused, 403),
    (errors.Unreachable, 503), (errors.Unreadable, 502),
)  # fmt: skip

Limit = Annotated[int, QueryParameter(ge=1, le=MOST_ITEMS, description="Most items of this page")]
Cursor = Annotated[str | None, QueryParameter(description="`next` of the page before")]


class TooLate(errors.Unreachable):
    """The read model did not reach the wanted sequence in time; ask again."""


class House(NamedTuple):
    """Everything the routes ask."""

    token: str
    reader: Reader
    progress: Progress
    heard: Heard
    outputs: Outputs
    issuer: Issuer
    last: Callable[[], Awaitable[int]]
    rebuild: Callable[[], Awaitable[None]]
    pasts: Pasts | None = None
    pen: Pen | None = None
    owner: str = "root"
    keyring: Keyring | None = None
    users: Users | None = None
    desk: Desk | None = None
    feed: Feed | None = None
    hints: Hints | None = None
    contents: Contents | None = None
    limits: Limits | None = None
    keys: Idempotency | None = None
    notifier: Notifier | None = None


TheHouse = NamedDependency[House]
TheVisitor = NamedDependency[Visitor]
#: The projected position, once it has passed what the reader asked for.
CaughtUp = NamedDependency[int]


async def admit(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard of what everybody may read who shows a credential: a secret, the group's token, or the stack's own."""
    connection.scope["user"] = await admitted(connection, bearer(connection))


async def admitted(connection: ASGIConnection[Any, Any, Any, Any], shown: str) -> Visitor:
    """Who shows this, however it came; `Denied`, or `TooMany` for an address that guesses."""
    found: Visitor = await keyring(connection).visitor(shown, address(connection))
    return found


def keyring(connection: ASGIConnection[Any, Any, Any, Any]) -> Keyring:
    """Who may come in."""
    found: Keyring = connection.app.state.house.keyring
    return found


def address(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Where a request comes from, as the socket says: what a header says anybody may write."""
    return connection.client.host if connection.client else ""


async def submitters(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard of what users and admins may do; after `admit`."""
    _only(connection, "user")


async def admins(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard of what admins alone may do; after `admit`."""
    _only(connection, "admin")


def _only(connection: ASGIConnection[Any, Any, Any, Any], role: UserRole) -> None:
    visitor: Visitor = connection.scope["user"]
    if not visitor.may(role):
        raise PermissionDeniedException(
            f"this needs the role {role}, yours is {visitor.role}: ask an admin of this stack"
        )


async def person(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard of what any user may do for themselves, which a group is not; after `admit`."""
    if not connection.scope["user"].user:
        raise PermissionDeniedException("this is for users, and a group's token is nobody's: ask an admin for a secret")


def visitor(request: Request[Any, Any, Any]) -> Visitor:
    """Who asks; behind `admit` only."""
    found: Visitor = request.scope["user"]
    return found


def bearer(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """The bearer token of a request, "" if there is none."""
    kind, _, value = connection.headers.get("Authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else ""


def house(request: Request[Any, Any, Any]) -> House:
    """What this process was built with."""
    found: House = request.app.state.house
    return found


async def caught_up(
    house: TheHouse,
    after: Annotated[
        int, QueryParameter(ge=0, description="Answer only once this sequence of the log is projected")
    ] = 0,
) -> int:
    """Waits for the projection to pass `after`, at most 10 seconds; the projected position."""
    if not await house.progress.passed(after):
        last = house.progress.position
        raise TooLate(f"the read model is at {last}, not yet at {after}: ask again, or see /readyz")
    return house.progress.position


def told(_: Request[Any, Any, Any], err: errors.LongshoreError) -> Response[Problem]:
    """One of our errors as a problem document."""
    status = (
        504
        if isinstance(err, TooLate | StillMaking)
        else next((s for kind, s in _STATUS if isinstance(err, kind)), 500)
    )
    answer = problem(status, str(err), err.faults if isinstance(err, Wrong) else ())
    if isinstance(err, TooMany):
        answer.headers["Retry-After"] = str(int(err.after) + 1)
    return answer


def misused(_: Request[Any, Any, Any], err: HTTPException) -> Response[Problem]:
    """What the framework refused, in the same shape."""
    extra = err.extra if isinstance(err.extra, list) else []
    faults = [Fault(str(e.get("key", "")), str(e.get("message", ""))) for e in extra if isinstance(e, dict)]
    more = "; ".join(f"{fault.field}: {fault.remedy}" for fault in faults)
    made = problem(err.status_code, f"{err.detail}{': ' if more else ''}{more}", faults)
    made.headers.update(err.headers or {})
    return made


def problem(status: int, detail: str, faults: Sequence[Fault] = ()) -> Response[Problem]:
    """application/problem+json (RFC 9457)."""
    headers = {"Retry-After": RETRY_AFTER} if status in (503, 504) else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = Problem(_TITLES.get(status, "Error"), detail, status, list(faults))
    return Response(body, status_code=status, headers=headers, media_type="application/problem+json")


_TITLES: Final = {
    400: "Bad input", 401: "Not authorized", 403: "Refused", 404: "Not found", 405: "Method not allowed",
    409: "Conflict", 413: "Too large", 429: "Too many requests", 500: "Internal error", 502: "Unreadable",
    503: "Unavailable", 504: "Not yet",
}  # fmt: skip
