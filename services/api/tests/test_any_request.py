"""Requests of all shapes that the OpenAPI document allows, and of many it does not: no defect answers any of them.

What is answered is as the document says.
"""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.config import GenerationConfig
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance
from services.api.tests.live import Live, living

from longshore_api.adapters import http
from longshore_api.adapters.keyring import FACTS, Edges, Keyring
from longshore_api.adapters.mail import Mails
from longshore_api.adapters.notify import Notifier, Ways
from longshore_api.adapters.pen import Pen
from longshore_api.adapters.users import Signer, Users
from longshore_api.adapters.webhook import Gate, Webhooks
from longshore_common.adapters import nats_keys

#: Requests of each operation.
EXAMPLES = 8


class Served:
    """The application in a loop of its own, in a thread; `url` is where."""

    def __init__(self, database: str, project: Any) -> None:
        self._made = (database, project)
        self._ready = threading.Event()
        self.url = ""
        self._server: Any = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        async with living(*self._made) as live:
            following = await _furnish(live)
            config = uvicorn.Config(live.app, host="127.0.0.1", port=0, log_config=None, access_log=False, ws="none")
            self._server = uvicorn.Server(config)
            serving = asyncio.create_task(self._server.serve())
            while not self._server.started:
                await asyncio.sleep(0.01)
            self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
            self._ready.set()
            await serving
            following.cancel()

    def __enter__(self) -> "Served":
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)


async def _furnish(live: Live) -> asyncio.Task[None]:
    """Something to be found: two submissions; no limits; a dispatcher that knows nothing."""
    live.house.limits._rate = 0  # type: ignore[union-attr]
    for size in (3, 1):
        body = {"task": {"command": ["true"]}, "size": size, "batch": "b"}
        await live.ok("POST", "/submissions", body, by="root")
    await live.shown()
    await live.asked_of(lambda _: {"id": "", "state": "unknown", "seq": 0, "reasons": []})
    ring, account = Keyring("root", "root", live.clock), nats_keys.make_seed("account")
    signer = Signer(account, nats_keys.public_key(account), "nats://here")
    users = Users(ring, Pen(live.transport.log), signer, live.clock)
    ways = Ways(Webhooks(Gate(), account), Mails(None, ""))
    live.house = live.house._replace(keyring=ring, users=users, notifier=Notifier("", ways, live.clock))
    live.app = http.application(live.house)

    async def edges() -> Edges:
        facts = [record.seq for record in live.hub.records if record.subject == FACTS]
        return Edges(1, facts[-1] if facts else 0)

    return asyncio.create_task(ring.run(live.transport.log, edges, live.url))


@pytest.fixture(scope="module")
def served(postgres: str, template: str, project: Any) -> Iterator[Served]:
    from services.api.tests.conftest import copied

    with asyncio.Runner() as runner:
        database = copied(postgres, template)
        with Served(runner.run(database.__aenter__()), project) as made:
            yield made
        runner.run(database.__aexit__(None, None, None))


def operations(url: str) -> Iterator[Any]:
    """Those below /api/v1 that come to an end."""
    schema = schemathesis.openapi.from_url(f"{url}/schema/openapi.json", wait_for_schema=10)
    schema.config.generation = GenerationConfig(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    for result in schema.get_all_operations():
        operation = result.ok()
        raw = operation.definition.raw
        if operation.path.startswith("/api/v1/") and not raw.get("x-endless") and "rebuild" not in operation.path:
            yield operation


def test_no_request_meets_a_defect(served: Served) -> None:
    tried = 0
    for operation in operations(served.url):
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            tried += _tried(operation, mode)
    assert tried > 500


def _tried(operation: Any, mode: GenerationMode) -> int:
    count = 0

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def each(case: Any) -> None:
        nonlocal count
        count += 1
        for patient in ("after", "wait", "since"):  # what is waited for is waited for elsewhere
            if isinstance((case.query or {}).get(patient), int | float):
                case.query[patient] = 0
        answer = case.call(headers={"Authorization": "Bearer root"}, timeout=20)
        case.validate_response(answer, checks=[_no_defect, status_code_conformance, response_schema_conformance])

    each()
    return count


def _no_defect(ctx: Any, response: Any, case: Any) -> None:
    """503 and 504 say what is away or late, and are answers; anything else from 500 on is a defect."""
    if response.status_code not in (503, 504):
        not_a_server_error(ctx, response, case)
    if response.status_code >= 400:
        assert response.headers["content-type"][0].startswith("application/problem+json"), response.text
