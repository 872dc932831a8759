"""The HTTP application: routers, doors, health, the OpenAPI document at /schema/openapi.json.

What must not enter: SQL, what a body looks like (see `present`), decisions.
"""

from typing import Final

import structlog
from litestar import Litestar, Request, Response, Router, get
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from longshore_api.adapters import (
    http_asking,
    http_feed,
    http_governing,
    http_history,
    http_hosts,
    http_notifications,
    http_places,
    http_requests,
    http_secrets,
    http_steer,
    http_submit,
    http_tasks,
    http_users,
    views,
)
from longshore_api.adapters.back import placed, seen
from longshore_api.adapters.document import Document
from longshore_api.adapters.doors import House, TheHouse, admit, caught_up, house, misused, problem, told, visitor
from longshore_api.adapters.keyring import Keyring
from longshore_api.adapters.limits import within_limits
from longshore_api.adapters.tes import http_tes
from longshore_api.adapters.ui import router as ui
from longshore_api.adapters.ui.desk import Desk
from longshore_api.adapters.wire import Answered
from longshore_common.clock import SystemClock
from longshore_common.errors import LongshoreError, Unreachable

log = structlog.get_logger()

BASE: Final = "/api/v1"
#: Bytes of a request's body at most; bodies are small here.
_LARGEST_BODY: Final = 1 << 20


@get("/healthz", summary="This process answers", tags=["health"], security=[])
async def healthz() -> views.Alive:
    """No more than that."""
    return views.Alive()


@get("/readyz", summary="Whether reads are answered, and how far they are", tags=["health"], security=[])
async def readyz(house: TheHouse) -> Response[views.Readiness]:
    """503 while PostgreSQL or the log is away."""
    ready, last, passed_over = house.progress.ready, 0, 0
    try:
        last = await house.last()
        passed_over = await house.reader.passed_over() if ready else 0
    except Unreachable:
        ready = False
    body = views.Readiness(ready, house.progress.position, last, passed_over)
    return Response(body, status_code=200 if ready else 503)


def _unexpected(_: Request[object, object, State], err: Exception) -> Response[views.Problem]:
    log.error("a request failed", reason=repr(err), exc_info=err)
    return problem(500, "this is a defect of the api: its log has the details")


def application(built: House) -> Litestar:
    """The ASGI application over what was built; without a keyring the stack's own token opens, and nothing else."""
    if built.keyring is None:
        built = built._replace(keyring=Keyring.alone(built.token, built.owner))
    if built.desk is None:
        built = built._replace(desk=Desk.made("", built.reader, built.heard, SystemClock())._replace(hints=built.hints))
    api = Router(BASE, route_handlers=[
        Router(
            "/",
            route_handlers=[
                http_tasks.router, http_places.guarded, http_requests.router, http_governing.router, http_history.router,
                http_users.router, http_secrets.router, http_notifications.router,
                http_submit.router, http_steer.router, http_hosts.router, http_asking.router, http_feed.router,
            ],
            guards=[admit, within_limits],
            response_class=Answered,
            security=[{"token": []}],
        ),
        http_places.enrol,
        http_tes.content,
    ])  # fmt: skip
    return Litestar(
        route_handlers=[healthz, readyz, api, http_tes.router, ui.router],
        dependencies={
            "house": Provide(house, sync_to_thread=False),
            "visitor": Provide(visitor, sync_to_thread=False),
            "caught_up": Provide(caught_up),
            "seen": Provide(seen),
        },
        before_send=[placed],
        exception_handlers={LongshoreError: told, HTTPException: misused, Exception: _unexpected},
        state=State({"house": built}),
        request_max_body_size=_LARGEST_BODY,
        openapi_config=OpenAPIConfig(
            title="Longshore",
            version="1",
            components=Components(security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}),
            use_handler_docstrings=True,
            render_plugins=[Document()],
        ),
        logging_config=None,
    )
