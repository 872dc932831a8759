"""What an engine says at the wrong moment: a server on a socket that answers as Podman did. No engine is needed here."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiodocker import Docker, DockerError
from aiohttp import web

from longshore_agent.adapters.containers.connection import described

ENDING = {"cause": "no such process", "message": "read /proc/17286/cgroup: no such process", "response": 500}


class Answers:
    """An engine's description of one container: each of `refusals` once, then the container."""

    def __init__(self) -> None:
        self.refusals: list[tuple[int, dict[str, object]]] = []

    async def answer(self, _request: web.Request) -> web.Response:
        if self.refusals:
            status, body = self.refusals.pop(0)
            return web.json_response(body, status=status)
        return web.json_response({"State": {"Status": "exited"}})


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[tuple[Docker, Answers]]:
    answers, app = Answers(), web.Application()
    app.router.add_get("/{version}/containers/{name}/json", answers.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, f"{tmp_path}/e.sock").start()
    docker = Docker(url=f"unix://{tmp_path}/e.sock", api_version="v1.41")
    yield docker, answers
    await docker.close()
    await runner.cleanup()


async def test_a_container_that_ends_while_it_is_described_is_described_again(engine: tuple[Docker, Answers]) -> None:
    docker, answers = engine
    answers.refusals = [(500, ENDING), (500, ENDING)]
    assert await described(docker.containers.container("c")) == {"State": {"Status": "exited"}}


async def test_other_refusals_are_told_at_once(engine: tuple[Docker, Answers]) -> None:
    docker, answers = engine
    answers.refusals = [(500, {"message": "database is locked"}), (500, ENDING)]
    with pytest.raises(DockerError, match="database is locked"):
        await described(docker.containers.container("c"))
    assert len(answers.refusals) == 1
