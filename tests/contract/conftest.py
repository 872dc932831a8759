"""Two worlds that must keep the same promises: a real nats-server in operator mode, and memory."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from longshore_common import subjects
from longshore_common.adapters.memory_log import Hub
from longshore_common.events import Role
from longshore_common.log import Transport
from longshore_common.testing.nats_server import NatsServer, running


class World(Protocol):
    """What the contract tests need of either."""

    async def connect(self, role: Role, name: str = "") -> Transport: ...

    async def worker(self, name: str) -> Transport: ...

    async def record(self, subject: str, body: bytes) -> int:
        """Append bytes as they are, with whatever permission that takes."""
        ...


class NatsWorld:
    def __init__(self, server: NatsServer) -> None:
        self.server = server
        self.connect = server.connect
        self.worker = server.worker

    async def record(self, subject: str, body: bytes) -> int:
        author = subjects.author(subject)
        transport = await self.server.connect(author.role, author.name)
        before = await (await self.server.connect("api")).log.last()
        got = await transport.wire.ask_within(subject, body, 5)
        assert b'"seq"' in got.data
        return before + 1


class MemoryWorld:
    def __init__(self) -> None:
        self.hub = Hub()

    async def connect(self, role: Role, name: str = "") -> Transport:
        return self.hub.connect(role, name)

    async def worker(self, name: str) -> Transport:
        return self.hub.connect("worker", name)

    async def record(self, subject: str, body: bytes) -> int:
        return self.hub.record(subject, body)


@pytest.fixture(params=["memory", "nats"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "memory":
        yield MemoryWorld()
        return
    async with running(tmp_path / "nats") as server:
        yield NatsWorld(server)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with running(tmp_path / "nats") as server:
        yield server
