"""Routes for questions that only a dispatcher answers, and for clients that speak in events: any wish, any question.

What must not enter: what events and questions mean.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.di import Provide
from litestar.params import FromPath, QueryParameter, RawBody

from longshore_api.adapters import asking, bodies
from longshore_api.adapters.asking import TheHow, asked, how, pen
from longshore_api.adapters.doors import TheHouse, TheVisitor, submitters
from longshore_api.adapters.idempotency import event_id
from longshore_api.adapters.permits import permitted
from longshore_api.adapters.taking import taken, wrong
from longshore_common import events as e

#: Bytes of one event; deflated it must fit into a message of the log.
LARGEST: Final = 64 << 20

Kind = Annotated[Literal["task", "submission", "batch", "worker"], QueryParameter(description="What `id` names")]
Id = Annotated[str, QueryParameter(description="A task, a submission, or the name of a batch or worker")]

_UNION: Any = None
for _kind, _role in e.AUTHOR.items():
    if _role == "user":
        _UNION = _kind if _UNION is None else _UNION | _kind
#: Any wish of a user.
Wish: Final = _UNION


class Appended(msgspec.Struct):
    """The event is in the log at `seq`."""

    seq: int


@get("/explain", summary="Why something is not running, or idle, and what to do", tags=["explain"])
async def explain(how: TheHow, id: Id, kind: Kind = "task") -> bodies.Explanation:
    """As any dispatcher says; 503 if none is there."""
    return await asked(how, {"id": id, "kind": kind}, bodies.Explanation)


@get("/tasks/{task:str}/explain", summary="Why a task is not running, and what to do", tags=["explain"])
async def explain_task(how: TheHow, task: FromPath[str]) -> bodies.Explanation:
    """As any dispatcher says; 503 if none is there."""
    return await asked(how, {"id": task, "kind": "task"}, bodies.Explanation)


@get("/demand", summary="What waits, by batch, in which shapes and since when", tags=["explain"])
async def demand(
    how: TheHow, batch: Annotated[str, QueryParameter(description="Of this batch only")] = ""
) -> bodies.Demand:
    """As any dispatcher says; 503 if none is there."""
    return await asked(how, {"id": batch, "kind": "demand"}, bodies.Demand)


@post(
    "/ask", status_code=200, summary="Ask a dispatcher: explanations, previews, demand", tags=["explain"],
    opt={"takes": bodies.Question, "gives": dict},
)  # fmt: skip
async def ask(house: TheHouse, visitor: TheVisitor, body: RawBody) -> Response[bytes]:
    """The dispatcher's answer as it is; `preview` has the wish in `body`."""
    question = taken(body, bodies.Question)
    said = await asking.raw(house.hints, msgspec.structs.asdict(question), visitor.user)
    return Response(said, media_type="application/json")


@post(
    "/wishes", status_code=200, summary="Append a wish to the log, as an event", tags=["requests"],
    request_max_body_size=LARGEST, guards=[submitters], opt={"takes": Wish},
)  # fmt: skip
async def wishes(request: Request[Any, Any, Any], how: TheHow, body: RawBody) -> Appended:
    """For clients that speak in events, as over NATS: the user is who asks; a repeat with the same key is the same event.

    The body may be deflated (Content-Encoding: deflate).
    """
    event: e.Event = taken(body, Wish, request.headers.get("content-encoding", ""))
    if isinstance(event, e.TasksSubmitted | e.SubmissionPartSent) and not 1 <= len(event.key) <= 512:
        raise wrong("key", "give each submission a key of its own, of at most 512 characters")
    await permitted(how.house, how.visitor, event)
    ident = event_id(how.visitor.user, how.key) if how.key else ""
    return Appended(await pen(how.house).wish(how.visitor.user, event, ident))


router: Final = Router(
    "/", route_handlers=[explain, explain_task, demand, ask, wishes], dependencies={"how": Provide(how)}
)
