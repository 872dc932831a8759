"""All pages under `/`, and how their errors look. What must not enter: what a page shows."""

from typing import Any, Final

import structlog
from litestar import Request, Response, Router, get
from litestar.di import Provide
from litestar.exceptions import HTTPException, NotAuthorizedException, NotFoundException
from litestar.params import FromPath

from longshore_api.adapters import doors
from longshore_api.adapters.ui import (
    access,
    acting,
    assets,
    batches,
    events,
    live,
    mine,
    overview,
    submit,
    surgery,
    tasks,
    workers,
)
from longshore_api.adapters.ui.entry import desk, form, seated, sign_in, sign_out, signed_in, unseated
from longshore_api.adapters.ui.rendering import HEADERS, PART, Frame, page
from longshore_common.errors import LongshoreError

log = structlog.get_logger()

_FOR_EVER: Final = "public, max-age=31536000, immutable"
_TITLES: Final = {
    400: "That does not work", 403: "Not for you", 404: "Not here", 405: "Not like this", 409: "In each other's way",
    503: "Away at the moment", 504: "Not yet",
}  # fmt: skip


@get("/static/{digest:str}/{name:str}", include_in_schema=False)
async def static(request: Request[Any, Any, Any], digest: FromPath[str], name: FromPath[str]) -> Response[bytes]:
    """A file that never changes: its path has its digest."""
    packed = "gzip" in request.headers.get("accept-encoding", "")
    found = assets.found(name, packed=packed)
    if found is None or digest != assets.DIGEST:
        raise NotFoundException("there is no such file")
    body, kind = found
    headers = {"Cache-Control": _FOR_EVER, "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"}
    return Response(body, media_type=kind, headers=headers | ({"Content-Encoding": "gzip"} if packed else {}))


def told(request: Request[Any, Any, Any], err: Exception) -> Response[Any]:
    """What went wrong: a page for people, words for our script."""
    if isinstance(err, NotAuthorizedException):
        return unseated(request)
    status, text = _status(err)
    if status == 500:
        log.error("a page failed", reason=repr(err), exc_info=err)
    if request.method != "GET" and PART.lower() in request.headers:
        body = {"text": text, "kind": "bad", "to": "", "undo": 0}
        return Response(body, status_code=status, media_type="application/json", headers=HEADERS)
    if not hasattr(request.state, "frame"):
        request.state.frame = Frame(request.url.path, None)
    values = {"title": _TITLES.get(status, "Something broke"), "text": text, "status": status}
    return page(request, "trouble.html", values, status=status)


def _status(err: Exception) -> tuple[int, str]:
    if isinstance(err, HTTPException):
        return err.status_code, err.detail
    if isinstance(err, LongshoreError):
        problem = doors.told(_NO_REQUEST, err)
        return problem.status_code or 500, str(err)
    return 500, "This is a defect of the api: its log has the details."


_NO_REQUEST: Final[Any] = None

pages: Final = Router(
    "/",
    route_handlers=[
        overview.overview, batches.batches, batches.batch, tasks.tasks, tasks.task, tasks.output, tasks.saved,
        workers.workers, workers.worker, events.events, submit.submit, submit.submitted, live.live,
        tasks.why, surgery.edited, mine.forgotten, mine.noticed,
        acting.on_tasks, acting.on_batch, acting.on_workers, acting.undo,
        access.access, access.made, access.users, access.revoked,
    ],
    guards=[seated],
)  # fmt: skip

router: Final = Router(
    "/",
    route_handlers=[sign_in, signed_in, sign_out, static, pages],
    dependencies={"desk": Provide(desk, sync_to_thread=False), "form": Provide(form)},
    exception_handlers={LongshoreError: told, HTTPException: told, Exception: told},
)
